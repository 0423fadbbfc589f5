"""Easy, medium and hard: a partition of the items by one complexity metric and two thresholds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from caft.errors import ConfigError
from caft.hashing import unit_interval

BUCKETS = ["easy", "medium", "hard"]
_DECIMALS = 4  # of entropies before thresholds: the noise of float32 batching is below it


def assign_buckets(
    scores: pd.Series, lower: float, upper: float, on_missing: str = "medium"
) -> pd.Series:
    """Split items into easy, medium and hard by two thresholds.

    Args:
        scores: complexity per item, any unit, larger is harder; NaN where it could not be computed.
            Shape (n_items,).
        lower: items at or below it are easy.
        upper: items above it are hard.
        on_missing: bucket of items without a score.

    Returns:
        Categorical of shape (n_items,), same index, categories easy < medium < hard. Every item is
        in exactly one bucket.

    Raises:
        ConfigError: if lower > upper or on_missing names no bucket.
    """
    if lower > upper:
        raise ConfigError(
            f"buckets: {lower} comes before {upper}; give thresholds in ascending order."
        )
    if on_missing not in BUCKETS:
        raise ConfigError(
            f"buckets: on_missing: {on_missing!r} is no bucket; choose from {BUCKETS}."
        )
    names = np.select(
        [scores.isna(), scores <= lower, scores <= upper],
        [on_missing, "easy", "medium"],
        default="hard",
    )
    return pd.Series(pd.Categorical(names, categories=BUCKETS, ordered=True), index=scores.index)


def thresholds(scores: pd.Series, spec: Mapping[str, Any]) -> tuple[float, float]:
    """Resolve a bucket definition to two absolute thresholds.

    Args:
        scores: complexity of the training items, NaN allowed.
        spec: `quantiles` of the scores, or absolute `thresholds`.

    Returns:
        (lower, upper); both NaN-free. Without any score all items follow `on_missing`.
    """
    if spec.get("thresholds"):
        lower, upper = spec["thresholds"]
        return float(lower), float(upper)
    known = scores.dropna()
    if known.empty:
        return 0.0, 0.0
    # "lower" takes a value that occurs, so an item on the boundary is at, not beside, the
    # threshold.
    lower, upper = np.quantile(known, spec["quantiles"], method="lower")
    return float(lower), float(upper)


def build_buckets(
    scores: pd.DataFrame, spec: Mapping[str, Any], seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Turn a scores table into a buckets table.

    Thresholds come from the training split alone; the items of the other splits are placed by the
    same
    thresholds, for reporting only.

    Args:
        scores: a scores table.
        spec: a bucket definition of the config: metric, thresholds or quantiles, on_missing,
            per_bucket.
        seed: of the sample when `per_bucket` limits it.

    Returns:
        The buckets table, and a report: thresholds, counts per split and bucket, missing scores.
    """
    complexity = scores[spec["metric"]].astype(float).round(_DECIMALS)
    training = scores["split"] == "train"
    lower, upper = thresholds(complexity[training], spec)
    bucket = assign_buckets(complexity, lower, upper, spec["on_missing"]).astype(str)
    table = pd.DataFrame(
        {
            "item_id": scores["item_id"],
            "split": scores["split"],
            "complexity": complexity,
            "bucket": bucket,
            "missing": complexity.isna(),
            "sampled": training
            & sample_per_bucket(scores["item_id"], bucket, training, spec["per_bucket"], seed),
        }
    )
    report = {
        "lower": lower,
        "upper": upper,
        "missing": int(table["missing"].sum()),
        "counts": {
            split: {name: int((part["bucket"] == name).sum()) for name in BUCKETS}
            for split, part in table.groupby("split")
        },
        "sampled": int(table["sampled"].sum()),
    }
    return table, report


def sample_per_bucket(
    item_ids: pd.Series, bucket: pd.Series, eligible: pd.Series, per_bucket: int | None, seed: int
) -> pd.Series:
    """Mark at most `per_bucket` eligible items of each bucket; an item's draw is its own."""
    if per_bucket is None:
        return eligible.copy()
    draws = pd.Series(
        [unit_interval("sample", seed, item_id) for item_id in item_ids], index=item_ids.index
    )
    ranks = draws[eligible].groupby(bucket[eligible]).rank(method="first")
    return ranks.reindex(item_ids.index).le(per_bucket)


def random_membership(buckets: pd.DataFrame, seed: int) -> pd.Series:
    """Redraw bucket membership at random with the same sizes, the control for complexity.

    Args:
        buckets: rows of a buckets table.
        seed: of the draw.

    Returns:
        Bucket names, same index; each bucket has exactly as many items as before.
    """
    draws = pd.Series(
        [unit_interval("random_bucket", seed, item) for item in buckets["item_id"]],
        index=buckets.index,
    )
    order = draws.sort_values().index
    sizes = buckets["bucket"].value_counts()
    names = [name for name in BUCKETS for _ in range(int(sizes.get(name, 0)))]
    return pd.Series(names, index=order, dtype=object).reindex(buckets.index)
