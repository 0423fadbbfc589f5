"""Which complexity metric to trust: tables about one student on one data set.

Metrics arrive as `metrics` tables by name, the student's own answers as `wrong` (item_id → bool).
Items that the student has seen in a warm-up are left out wherever metrics are judged.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caft.analysis.intervals import UNKNOWN, accuracy_interval, paired_areas, rank_correlation
from caft.mixtures.buckets import BUCKETS
from caft.tables.files import atomic_path, write_csv

ALL = "(all)"
NO_CATEGORY = "(none)"
SPLITS = ["train", "validation", "test"]
_RANK_COLUMNS = ["metric", "reads_label", "bin", "rank", "value_low", "value_high", "n"]
_RANK_COLUMNS += ["accuracy", "accuracy_low", "accuracy_high"]
_PAIR_COLUMNS = ["metric", "other", "spearman", "spearman_low", "spearman_high", "n", "reason"]

Metrics = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Judging:
    """How metrics are judged as predictors of the student's own errors.

    Attributes:
        allow_label: judge those that read the gold answer as well; by default they are refused.
        reference: metric that the others are compared with, on the items that both have.
        draws: of the bootstrap, overall and in each category.
        seed: of the draws.
    """

    allow_label: bool = False
    reference: str = "single_token_entropy"
    draws: int = 2_000
    seed: int = 0


def wrong_answers(scores: pd.DataFrame) -> pd.Series:
    """Return whether the student's own answer was wrong, by item_id; unanswered items are absent.

    Args:
        scores: rows with item_id and correct (null where there is no answer).
    """
    answered = scores[scores["correct"].notna()]
    return ~answered.set_index("item_id")["correct"].astype(bool)


def warm_up_items(metrics: Metrics) -> set[str]:
    """Return the items that were in the warm-up sample of any of the metrics."""
    return {
        item for table in metrics.values() for item in table["item_id"][table["warm_up"].eq(True)]
    }


def metric_values(metrics: Metrics, split: str | None = None) -> pd.DataFrame:
    """Lay metrics side by side, so that all are judged on the same unseen items.

    Args:
        metrics: metrics tables by name.
        split: only this split; None for all.

    Returns:
        One row per item_id and one column per metric, NaN where it could not be computed. Items in
        the warm-up sample of any of the metrics are left out of all.
    """
    seen = warm_up_items(metrics)
    columns = {}
    for name, table in metrics.items():
        kept = table[~table["item_id"].isin(seen)]
        if split is not None:
            kept = kept[kept["split"] == split]
        columns[name] = kept.set_index("item_id")["value"].astype(float)
    return pd.DataFrame(columns).sort_index()


def metric_quality(
    metrics: Metrics,
    items: pd.DataFrame,
    wrong: pd.Series,
    judging: Judging = Judging(),
    *,
    reads_label: Collection[str] = (),
    split: str | None = None,
) -> pd.DataFrame:
    """Tell how well each metric finds the student's own errors, overall and per category.

    The area under the ROC curve is P(value of a wrong item > of a right one) + ½ P(equal) (Hanley &
    McNeil 1982), of values as they are, not rounded. Its interval is a percentile bootstrap over
    items (Efron & Tibshirani 1993). All metrics share the draws, so that the difference to the
    reference is paired; 20 metrics, 15 categories and 12,000 items take some 20 seconds.

    Args:
        metrics: metrics tables by name.
        items: the items table.
        wrong: from `wrong_answers`.
        judging: how.
        reads_label: metrics that read the gold answer.
        split: only this split; None for all.

    Returns:
        One row per metric and category, `(all)` first: metric, category, reads_label, n (items with
        value and answer), n_wrong, n_missing, missing_reasons ("too_long 3; no_answer 1"),
        accuracy, roc_auc and vs_reference with `_low` and `_high`, reason (why roc_auc is null:
        reads_label, no_values, all_right, all_wrong) and reference.
    """
    values = metric_values(metrics, split)
    answers = wrong.reindex(values.index)
    why = _missing_reasons(metrics, values, answers)
    judged = [name for name in metrics if judging.allow_label or name not in reads_label]
    rows: list[dict[str, Any]] = []
    for category, member in _groups(_categories(items, values.index)):
        part, labels = values[member].where(answers[member].notna(), axis=0), answers[member]
        areas = paired_areas(
            part[judged],
            labels.eq(True).to_numpy(),
            judging.reference,
            judging.draws,
            judging.seed,
        )
        for name in metrics:
            known = labels[part[name].notna()].astype(bool)
            refused = "reads_label" if name not in judged else _one_class(known)
            missing = why.loc[member, name].dropna().value_counts()
            found, difference = (UNKNOWN, UNKNOWN) if refused else areas[name]
            rows.append(
                {
                    "metric": name,
                    "category": category,
                    "reads_label": name in reads_label,
                    "n": len(known),
                    "n_wrong": int(known.sum()),
                    "n_missing": int(missing.sum()),
                    "missing_reasons": _compact(missing),
                    **accuracy_interval(~known).named("accuracy"),
                    **found.named("roc_auc"),
                    "reason": refused,
                    **difference.named("vs_reference"),
                    "reference": judging.reference,
                }
            )
    order = {name: place for place, name in enumerate(metrics)}
    return _table(rows, ["missing_reasons", "reason"]).sort_values(
        "metric", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )


def metric_correlation(metrics: Metrics, split: str | None = None) -> pd.DataFrame:
    """Return Spearman's rank correlation of each two metrics on the items that both have.

    Returns:
        One row per pair: metric, other, spearman with `_low` and `_high`
        (`caft.analysis.intervals.rank_correlation`), n, reason (why it is null: too_few, constant).
    """
    values = metric_values(metrics, split)
    matrix, known = values.corr("spearman").to_numpy(), values.notna().to_numpy()
    rows = []
    for (left, one), (right, other) in combinations(enumerate(metrics), 2):
        count, found = int((known[:, left] & known[:, right]).sum()), matrix[left, right]
        few = count < 3
        estimate = UNKNOWN if few else rank_correlation(found, count)
        rows.append(
            {
                "metric": one,
                "other": other,
                **estimate.named("spearman"),
                "n": count,
                "reason": "too_few" if few else "constant" if np.isnan(found) else None,
            }
        )
    return _table(rows, ["reason"], _PAIR_COLUMNS)


def bucket_composition(buckets: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Count what the buckets consist of.

    Args:
        buckets: a buckets table.
        items: the items table.

    Returns:
        One row per split, bucket and category (`(all)` first), zeros included: split, bucket,
        category, n, share (of the bucket that is of the category), share_of_category (of the
        category that is in the bucket). Shares of nothing are null.
    """
    category = _categories(items, pd.Index(buckets["item_id"]))
    table = buckets.assign(category=category.to_numpy())
    names = [ALL, *sorted(table["category"].unique())]
    rows = []
    for split, part in _by_split(table):
        counts = pd.crosstab(part["bucket"], part["category"])
        counts = counts.reindex(index=BUCKETS, columns=names, fill_value=0)
        counts[ALL] = counts.sum(axis=1)
        for bucket in BUCKETS:
            rows += [
                {
                    "split": split,
                    "bucket": bucket,
                    "category": name,
                    "n": int(counts.loc[bucket, name]),
                    "share": _ratio(counts.loc[bucket, name], counts.loc[bucket, ALL]),
                    "share_of_category": _ratio(counts.loc[bucket, name], counts[name].sum()),
                }
                for name in names
            ]
    return pd.DataFrame(rows)


def bucket_accuracy(
    buckets: pd.DataFrame, wrong: pd.Series, left_out: Collection[str] = ()
) -> pd.DataFrame:
    """Return the student's accuracy by bucket, with Wilson's interval.

    Args:
        buckets: a buckets table.
        wrong: from `wrong_answers`.
        left_out: items to leave out, from `warm_up_items`.

    Returns:
        One row per split and bucket, `(all)` last: split, bucket, n (answered items), accuracy,
        accuracy_low, accuracy_high.
    """
    answers = wrong[~wrong.index.isin(left_out)]
    table = buckets.assign(wrong=answers.reindex(buckets["item_id"]).to_numpy())
    table = table[table["wrong"].notna()]
    rows = []
    for split, part in _by_split(table):
        for bucket in [*BUCKETS, ALL]:
            chosen = part if bucket == ALL else part[part["bucket"] == bucket]
            estimate = accuracy_interval(~chosen["wrong"].astype(bool))
            place = {"split": split, "bucket": bucket, "n": len(chosen)}
            rows.append({**place, **estimate.named("accuracy")})
    return pd.DataFrame(rows)


def complexity_accuracy(
    metrics: Metrics,
    wrong: pd.Series,
    *,
    reads_label: Collection[str] = (),
    split: str | None = None,
    bins: int = 10,
) -> pd.DataFrame:
    """Return the student's accuracy along the complexity rank, least complex items first.

    Items of equal value have one rank and stay together, so a metric with few values has few bins.

    Args:
        metrics: metrics tables by name.
        wrong: from `wrong_answers`.
        reads_label: metrics that read the gold answer, marked here.
        split: only this split; None for all.
        bins: how many, of equally many items.

    Returns:
        One row per metric and bin that holds items: metric, reads_label, bin (from 1), rank (mean
        rank share, 0..1), value_low, value_high, n, accuracy, accuracy_low, accuracy_high.
    """
    values = metric_values(metrics, split)
    answers = wrong.reindex(values.index)
    rows = []
    for name in metrics:
        known = values[name][answers.notna()].dropna()
        share, number = _rank_bins(known, bins)
        for place in np.unique(number):
            chosen = known[number == place]
            right = ~answers[chosen.index].astype(bool)
            rows.append(
                {
                    "metric": name,
                    "reads_label": name in reads_label,
                    "bin": int(place),
                    "rank": float(share[number == place].mean()),
                    "value_low": chosen.min(),
                    "value_high": chosen.max(),
                    "n": len(chosen),
                    **accuracy_interval(right).named("accuracy"),
                }
            )
    return pd.DataFrame(rows, columns=_RANK_COLUMNS)


def calibration(
    scores: pd.DataFrame,
    items: pd.DataFrame,
    left_out: Collection[str] = (),
    *,
    split: str | None = None,
    bins: int = 10,
) -> pd.DataFrame:
    """Compare the student's probability of its best option with how often that option is right.

    Choice items only. The option probabilities are renormalised to sum to one; `option_mass` is
    what they summed to before. The expected calibration error is the mean over items of |accuracy -
    confidence| of their bin (Naeini et al. 2015; Guo et al. 2017), here in bins of equally many
    items.

    Args:
        scores: a scores table.
        items: the items table.
        left_out: items to leave out, from `warm_up_items`.
        split: only this split; None for all.
        bins: how many.

    Returns:
        One row per bin, least confident first: bin, n, confidence (mean), confidence_low,
        confidence_high (its range), accuracy, accuracy_low, accuracy_high, option_mass (mean), and
        calibration_error, the same in every row. No rows without choice items.
    """
    table = scores[scores["option_logprobs"].notna() & ~scores["item_id"].isin(left_out)]
    if split is not None:
        table = table[table["split"] == split]
    gold = items.set_index("item_id")["answer"].reindex(table["item_id"])
    options = [np.exp(np.asarray(values, dtype=float)) for values in table["option_logprobs"]]
    best = pd.DataFrame(
        {
            "confidence": [values.max() / values.sum() for values in options],
            "mass": [values.sum() for values in options],
            "right": [
                int(values.argmax()) == ord(letter) - ord("A")
                for values, letter in zip(options, gold, strict=True)
            ],
        }
    )
    _, number = _rank_bins(best["confidence"], bins)
    parts = {int(place): best[number == place] for place in np.unique(number)}
    rows = [
        {
            "bin": place,
            "n": len(part),
            "confidence": part["confidence"].mean(),
            "confidence_low": part["confidence"].min(),
            "confidence_high": part["confidence"].max(),
            **accuracy_interval(part["right"]).named("accuracy"),
            "option_mass": part["mass"].mean(),
        }
        for place, part in parts.items()
    ]
    found = pd.DataFrame(rows)
    if rows:
        gap = (found["accuracy"] - found["confidence"]).abs()
        found["calibration_error"] = (gap * found["n"]).sum() / found["n"].sum()
    return found


def name_rows(table: pd.DataFrame, dataset: str, student: str) -> pd.DataFrame:
    """Put the columns dataset and student in front."""
    named = table.copy()
    named.insert(0, "student", student)
    named.insert(0, "dataset", dataset)
    return named


def save_table(table: pd.DataFrame, csv: str | Path, parquet: str | Path) -> None:
    """Write a table as CSV (6 significant digits) and Parquet (exact); equal rows, equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_csv(csv, table, digits=6)
    rows = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    with atomic_path(parquet) as temporary:
        pq.write_table(rows, temporary, compression="zstd")


def _one_class(wrong: pd.Series) -> str | None:
    if wrong.empty:
        return "no_values"
    return "all_wrong" if wrong.all() else None if wrong.any() else "all_right"


def _missing_reasons(metrics: Metrics, values: pd.DataFrame, answers: pd.Series) -> pd.DataFrame:
    """Say per item and metric why it is not judged; NaN where it is."""
    found = {}
    for name, table in metrics.items():
        given = table.set_index("item_id")["reason"].astype(object).reindex(values.index)
        given = given.fillna("absent").where(values[name].isna(), "no_outcome")
        found[name] = given.where(values[name].isna() | answers.isna())
    return pd.DataFrame(found)


def _compact(counts: pd.Series) -> str | None:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
    return "; ".join(f"{reason} {count}" for reason, count in ordered) or None


def _categories(items: pd.DataFrame, item_ids: pd.Index) -> pd.Series:
    return items.set_index("item_id")["category"].reindex(item_ids).fillna(NO_CATEGORY).astype(str)


def _groups(category: pd.Series) -> Iterable[tuple[str, np.ndarray]]:
    yield ALL, np.full(len(category), True)
    for name in sorted(category.unique()):
        yield name, (category == name).to_numpy()


def _by_split(table: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    for split in SPLITS:
        part = table[table["split"] == split]
        if len(part):
            yield split, part


def _rank_bins(values: pd.Series, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank as a share in 0..1 and the bin from 1; equal values have equal ranks."""
    below = values.rank(method="average").to_numpy() - 0.5
    count = max(len(values), 1)
    return below / count, (below * bins // count).astype(int) + 1


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")


def _table(
    rows: list[dict[str, Any]], texts: list[str], columns: list[str] | None = None
) -> pd.DataFrame:
    """Make a table whose texts are texts even where all are null."""
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(texts, "str"))
