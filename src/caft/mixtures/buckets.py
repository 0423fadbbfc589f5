"""Easy, medium and hard: a partition of the items by one complexity metric and two thresholds."""

from collections.abc import Iterable, Mapping
from math import log1p
from typing import Any

import numpy as np
import pandas as pd

from caft.errors import ConfigError
from caft.mixtures.settings import Buckets, Draw
from caft.tables.hashing import unit_interval

BUCKETS = ["easy", "medium", "hard"]
_ROUNDING = 1e-9  # sums of floats may miss a budget by that share


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


def thresholds(
    scores: pd.Series, settings: Buckets, prices: pd.Series | None = None
) -> tuple[float, float]:
    """Resolve a bucket definition to two absolute thresholds.

    Args:
        scores: complexity of the training items, NaN allowed.
        settings: `quantiles` of the scores, or absolute `thresholds`; with `hard` the upper one is
            what its money pays for.
        prices: what each item's rationale is expected to cost in USD, same index; for `hard`.

    Returns:
        (lower, upper); both NaN-free. Without any score all items follow `on_missing`.
    """
    known = scores.dropna()
    if settings.thresholds:
        lower, upper = settings.thresholds
    elif settings.quantiles and not known.empty:
        # "lower" takes a value that occurs, so an item on the boundary is at, not beside, the
        # threshold.
        lower, upper = np.quantile(known, settings.quantiles, method="lower")
    else:
        return 0.0, 0.0
    if settings.hard and prices is not None:
        upper = budget_threshold(known, prices[known.index], settings.hard.budget_usd, lower)
    return float(lower), float(upper)


def budget_threshold(
    scores: pd.Series, prices: pd.Series, budget_usd: float, lower: float
) -> float:
    """Return the threshold above which a budget pays for every item, the most complex first.

    Items of equal complexity are bought together or not at all.

    Args:
        scores: complexity, NaN-free.
        prices: of the same items in USD, same index.
        budget_usd: what all items above the threshold may cost together.
        lower: the threshold is at least this.
    """
    per_value = prices.groupby(scores).sum().sort_index(ascending=False)
    too_much = per_value.cumsum() > budget_usd * (1 + _ROUNDING)
    return float(max(per_value.index[too_much].max(), lower)) if too_much.any() else lower


def build_buckets(
    metrics: pd.DataFrame,
    settings: Buckets,
    seed: int,
    decimals: int | None = 4,
    prices: pd.Series | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Turn a metrics table into a buckets table.

    Thresholds come from the training split alone; the items of the other splits are placed by the
    same thresholds, for reporting only.

    Args:
        metrics: a metrics table.
        settings: a bucket definition.
        seed: of the sample when `per_bucket` limits it.
        decimals: to which values are rounded before they meet a threshold; None for no rounding.
        prices: with `hard`, what each item's rationale is expected to cost in USD, by item_id.

    Returns:
        The buckets table, and a report: thresholds, counts per split and bucket, missing scores;
        with `hard` what its training items are expected to cost.
    """
    complexity = metrics["value"].astype(float)
    if decimals is not None:
        complexity = complexity.round(decimals)
    training = metrics["split"] == "train"
    if prices is not None:
        prices = prices.reindex(metrics["item_id"]).set_axis(metrics.index)
    lower, upper = thresholds(complexity[training], settings, prices)
    bucket = assign_buckets(complexity, lower, upper, settings.on_missing).astype(str)
    table = pd.DataFrame(
        {
            "item_id": metrics["item_id"],
            "split": metrics["split"],
            "complexity": complexity,
            "bucket": bucket,
            "missing": complexity.isna(),
            "sampled": training
            & sample_per_bucket(metrics["item_id"], bucket, training, settings.per_bucket, seed),
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
    if prices is not None:
        report["hard_usd"] = float(prices[training & (bucket == "hard")].sum())
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


def drawn_membership(buckets: pd.DataFrame, draw: Draw, seed: int) -> pd.Series:
    """Redraw bucket membership, with the same sizes or a number of hard items.

    Of the other items as many are easy as before: the least complex ones, but any at a random draw.
    An item without a complexity stays in its bucket, but for a random draw, which needs none.

    Args:
        buckets: rows of a buckets table.
        draw: how.
        seed: of the draw; without chance in it every seed gives the same.

    Returns:
        Bucket names, same index.

    Raises:
        ConfigError: if the weights of a proportional draw are negative.
    """
    pool = buckets if draw.draw == "random" else buckets[buckets["complexity"].notna()]
    complexity = dict(zip(pool["item_id"], pool["complexity"], strict=True))
    sizes = pool["bucket"].value_counts().reindex(BUCKETS, fill_value=0)
    hard = min(draw.items or int(sizes["hard"]), len(pool))
    easy = min(int(sizes["easy"]), len(pool) - hard)
    names = ["easy"] * easy + ["medium"] * (len(pool) - easy - hard) + ["hard"] * hard
    order = drawn_order(complexity, draw, hard, seed)
    if draw.draw == "proportional":
        others, ties = order[: len(order) - hard], _ties(order, draw, seed)
        others.sort(key=lambda item: (complexity[item], ties[item]))
        order = [*others, *order[len(others) :]]
    members = dict(zip(order, names, strict=True))
    return buckets["item_id"].map(members).fillna(buckets["bucket"])


def drawn_order(complexity: Mapping[str, float], draw: Draw, hard: int, seed: int) -> list[str]:
    """Order items so that the last ones are those drawn to be hard.

    Every item has a key of its own, which follows from its id and the seed: one more item displaces
    one at most. With weights the key is u^(1/w), which draws without replacement in proportion to
    them (Efraimidis and Spirakis, 10.1016/j.ipl.2005.11.003), here its logarithm. A draw without
    chance orders items of equal complexity alike for every seed.

    Args:
        complexity: by item_id; the weights of a proportional draw.
        draw: how.
        hard: how many are drawn.
        seed: of the draw.

    Raises:
        ConfigError: if the weights of a proportional draw are negative.
    """
    chance = _ties(complexity, draw, seed)
    keys: Mapping[str, float] = {"random": chance}.get(draw.draw, complexity)
    if draw.draw == "proportional":
        if (lowest := min(complexity.values(), default=0)) < 0:
            raise ConfigError(
                "strategies.<name>.membership: draw: proportional takes complexities as weights, "
                f"and the lowest is {lowest:g}. Divide by a metric that is never negative "
                "(buckets.<name>.metric), such as the ranks of this one: combine: {metrics: "
                "{METRIC: 1}, by: rank}."
            )
        keys = {item: _weighted_key(weight, seed, item) for item, weight in complexity.items()}
    order = sorted(complexity, key=lambda item: (keys[item], chance[item]))
    uniform = round((draw.uniform or 0) * hard)
    first = set(sorted(complexity, key=chance.__getitem__)[len(complexity) - uniform :])
    return [item for item in order if item not in first] + [item for item in order if item in first]


def _ties(items: Iterable[str], draw: Draw, seed: int) -> dict[str, float]:
    """Return what orders items that are equal otherwise: the seed is in it where chance draws."""
    parts = ("random_bucket", seed) if draw.by_chance else ("tie",)
    return {item: unit_interval(*parts, item) for item in items}


def _weighted_key(weight: float, seed: int, item: str) -> float:
    if weight == 0:
        return float("-inf")  # drawn when nothing else is left
    return log1p(-unit_interval("proportional_bucket", seed, item)) / weight
