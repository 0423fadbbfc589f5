"""Judge published entropies, and sort published buckets by absolute thresholds.

    python benchmarks/published/run.py --data FOLDER

FOLDER holds `published_scores.parquet` and `published_splits.parquet` (their README says where they
come from). Prints the ROC AUC of entropy against the student's own errors, beside a plain bootstrap
of 10,000 draws that shares no code with ours, and where the published buckets fall.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from caft.analysis.metric_tables import metric_quality, wrong_answers
from caft.mixtures.buckets import BUCKETS, assign_buckets

VARIANTS = {
    ("phi-4-mini-instruct", "numbers_fallback"): (0.4526, 1.608),
    ("qwen2.5-3b-instruct", "numbers_old"): (0.01236, 0.899),
}
METRIC = "single_token_entropy"


def read(folder: Path, model: str, variant: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a variant's scores (item_id, value, correct, category …) and its membership."""
    tables = []
    for name in ("published_scores", "published_splits"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        table = table[(table["model"] == model) & (table["variant"] == variant)]
        tables.append(table.assign(item_id=table["item_id"].astype(str)))
    return tables[0], tables[1]


def judged(scores: pd.DataFrame, members: pd.DataFrame, test_only: bool) -> pd.DataFrame:
    """Return the rows with entropy and answer: of the test set, or all."""
    known = scores[scores["entropy"].notna() & scores["correct"].notna()]
    test = members.loc[members["split"] == "test", "item_id"]
    return known[known["item_id"].isin(test)] if test_only else known


def quality(rows: pd.DataFrame) -> pd.Series:
    """Return the row of `metric_quality` about all categories together."""
    metric = rows[["item_id"]].assign(
        split="test", value=rows["entropy"], reason=None, warm_up=False
    )
    return metric_quality({METRIC: metric}, rows, wrong_answers(rows)).iloc[0]


def published_overlap(
    values: pd.Series, lower: float, upper: float, published: pd.DataFrame
) -> pd.DataFrame:
    """Tell which of our buckets the items of published buckets fall into.

    Args:
        values: complexity by item_id, not rounded: thresholds may have more digits than 4.
        lower: items at or below it are easy.
        upper: items above it are hard.
        published: item_id and bucket, one row per membership.

    Returns:
        One row per published bucket in order of appearance: published, n, easy, medium, hard
        (shares of the items that have a value), n_missing (members without one).
    """
    scored = values.reindex(published["item_id"]).reset_index(drop=True)
    ours = assign_buckets(scored, lower, upper).astype(str).where(scored.notna())
    rows = []
    for name in published["bucket"].unique():
        member = ours[(published["bucket"] == name).to_numpy()]
        shares = {bucket: float((member == bucket).sum() / member.count()) for bucket in BUCKETS}
        counts = {"n": len(member), **shares, "n_missing": int(member.isna().sum())}
        rows.append({"published": name, **counts})
    return pd.DataFrame(rows)


def overlap(
    scores: pd.DataFrame, members: pd.DataFrame, lower: float, upper: float
) -> pd.DataFrame:
    """Tell where the training and validation items of the published buckets fall."""
    drawn = members[members["split"].isin(["train", "valid"]) & (members["bucket"] != "random")]
    return published_overlap(scores.set_index("item_id")["entropy"], lower, upper, drawn)


def plain_interval(known: pd.DataFrame, draws: int) -> tuple[float, float]:
    """Redraw rows one draw at a time; the area by the rank sum (Mann & Whitney 1947)."""
    from scipy.stats import rankdata

    values, wrong = known["entropy"].to_numpy(), ~known["correct"].to_numpy(dtype=bool)
    generator = np.random.default_rng(17)
    areas = []
    for _ in range(draws):
        rows = generator.integers(0, len(values), len(values))
        ranks, count = rankdata(values[rows]), wrong[rows].sum()
        above = ranks[wrong[rows]].sum() - count * (count + 1) / 2
        areas.append(above / (count * (len(rows) - count)))
    low, high = np.quantile(areas, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=10_000)
    settings = parser.parse_args()
    for (model, variant), (lower, upper) in VARIANTS.items():
        scores, members = read(settings.data, model, variant)
        print(f"\n{model}, {variant}")
        for test_only in (True, False):
            known = judged(scores, members, test_only)
            row = quality(known)
            low, high = plain_interval(known, settings.draws)
            print(
                f"{'test rows' if test_only else 'all rows':9} n {row['n']}: AUC "
                f"{row['roc_auc']:.4f} [{row['roc_auc_low']:.4f}, {row['roc_auc_high']:.4f}], "
                f"plain bootstrap [{low:.4f}, {high:.4f}]"
            )
        print(overlap(scores, members, lower, upper).to_string(index=False))


if __name__ == "__main__":
    main()
