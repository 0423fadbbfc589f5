"""Intervals: of an accuracy, of ROC AUCs and their differences."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

_LEVEL = 0.95
_BLOCK = 320_000
"""Weights at a time: few enough that what is computed from them stays in a processor's cache."""
_DRAWS = 16
"""At a time at least; what is drawn of an item lies side by side."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; NaN where it cannot be computed."""

    value: float
    low: float
    high: float

    def named(self, name: str) -> dict[str, float]:
        """Return the columns of a table: `name`, `name_low` and `name_high`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def accuracy_interval(correct: ArrayLike) -> Estimate:
    """Return the share of right answers with Wilson's score interval (Wilson 1927, JASA 22:209).

    Args:
        correct: booleans, shape (n_items,).
    """
    from scipy.stats import binomtest

    values = np.asarray(correct, dtype=bool)
    if not len(values):
        return UNKNOWN
    interval = binomtest(int(values.sum()), len(values)).proportion_ci(_LEVEL, method="wilson")
    return Estimate(float(values.mean()), float(interval.low), float(interval.high))


def rank_correlation(spearman: float, count: int) -> Estimate:
    """Return Spearman's rank correlation with its interval by Fisher's z transformation.

    The variance of z is (1 + r² / 2) / (n - 3) (Bonett & Wright 2000, Psychometrika 65:23).

    Args:
        spearman: the coefficient in the sample; NaN where one side has one value only.
        count: of pairs; with 3 or fewer, or all in the same order, the interval has no end.
    """
    if not abs(spearman) < 1 or count <= 3:
        return Estimate(spearman, float("nan"), float("nan"))
    from scipy.stats import norm

    reach = norm.ppf((1 + _LEVEL) / 2) * np.sqrt((1 + spearman**2 / 2) / (count - 3))
    low, high = np.tanh(np.arctanh(spearman) + np.array([-reach, reach]))
    return Estimate(spearman, float(low), float(high))


def roc_auc(complexity: ArrayLike, wrong: ArrayLike, draws: int = 2_000, seed: int = 0) -> Estimate:
    """Return how well complexity ranks wrong answers above right ones, with an interval.

    The area equals P(complexity of a wrong item > of a right one) + ½ P(equal) (Hanley & McNeil
    1982).

    Args:
        complexity: finite numbers, shape (n_items,).
        wrong: booleans, same shape.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        NaN where all answers are right or all are wrong.
    """
    values, labels = np.asarray(complexity, dtype=float), np.asarray(wrong, dtype=bool)
    order = np.argsort(values, kind="stable")  # so that the order of the items draws no other lot
    (areas,) = _bootstrap([values[order]], labels[order], draws, seed).values()
    return _estimate(areas)


def paired_areas(
    values: pd.DataFrame, wrong: np.ndarray, reference: str, draws: int = 2_000, seed: int = 0
) -> dict[str, tuple[Estimate, Estimate]]:
    """Return each metric's area under the ROC curve, and by how much it exceeds a reference's.

    The area is P(value of a wrong item > of a right one) + ½ P(equal) (Hanley & McNeil 1982). The
    intervals are a percentile bootstrap over items (Efron & Tibshirani 1993); all metrics share the
    draws, so one set of draws serves all and differences are paired.

    Args:
        values: one column per metric, one row per item; NaN where it could not be computed.
        wrong: booleans, shape (n_items,).
        reference: column that the others are compared with, on the items that both have.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        By metric: area and difference; NaN where all items with a value are right or all are wrong,
        and differences where there is no reference.
    """
    own = {str(name): values[name].to_numpy(dtype=float) for name in values}
    base = own.get(reference, np.full(len(values), np.nan))
    pairs = {
        name: (np.where(np.isnan(base), np.nan, column), np.where(np.isnan(column), np.nan, base))
        for name, column in own.items()
    }
    paired = (column for pair in pairs.values() for column in pair)
    areas = _bootstrap([*own.values(), *paired], wrong, draws, seed)
    found = {}
    for name, column in own.items():
        one, other = (areas[part.tobytes()] for part in pairs[name])
        found[name] = _estimate(areas[column.tobytes()]), _estimate(one - other)
    return found


def _bootstrap(
    columns: Iterable[np.ndarray], wrong: np.ndarray, draws: int, seed: int
) -> dict[bytes, np.ndarray]:
    """Return by content of the column: the area in the sample, then in each draw.

    By content, because columns without missing values occur several times.
    """
    orders = {column.tobytes(): _order(column, wrong) for column in columns}
    areas: dict[bytes, list[np.ndarray]] = {key: [] for key in orders}
    for weights in _weights(len(wrong), draws, seed):
        for key, order in orders.items():
            areas[key].append(_weighted_areas(weights, *order))
    return {key: np.concatenate(parts) for key, parts in areas.items()}


def _weights(count: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each item counts: once in the sample, then as drawn.

    Returns:
        Blocks of shape (count, draws at a time). No item is drawn 256 times: of 256 items or more,
        drawn as often as there are, that has a chance of less than 1e-500.
    """
    yield np.ones((count, 1), dtype=np.uint8)
    generator = np.random.default_rng(seed)
    for size in _blocks(draws, count) if count else []:
        drawn = generator.multinomial(count, np.full(count, 1 / count), size)
        yield np.ascontiguousarray(drawn.T, dtype=np.uint8)


def _order(values: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return right and wrong items by value, and the number of right ones below and up to wrong.

    Items without a value are in neither.
    """
    right = np.flatnonzero(~wrong & ~np.isnan(values))
    right = right[np.argsort(values[right], kind="stable")]
    missed = np.flatnonzero(wrong & ~np.isnan(values))
    missed = missed[np.argsort(values[missed], kind="stable")]
    below = np.searchsorted(values[right], values[missed], side="left")
    up_to = np.searchsorted(values[right], values[missed], side="right")
    return right, missed, below, up_to


def _weighted_areas(
    weights: np.ndarray, right: np.ndarray, missed: np.ndarray, below: np.ndarray, up_to: np.ndarray
) -> np.ndarray:
    """Return the area per column of weights, NaN without both classes; ties count half."""
    # A product is at most 2 * 255 times the number of items.
    dtype = np.int32 if len(weights) < 4_000_000 else np.int64
    smaller = np.zeros((len(right) + 1, weights.shape[1]), dtype=dtype)
    np.cumsum(weights.take(right, axis=0), axis=0, out=smaller[1:])
    missed_weights = weights.take(missed, axis=0)  # faster than weights[missed]
    twice = smaller.take(below, axis=0)
    twice += smaller.take(up_to, axis=0)
    twice *= missed_weights
    with np.errstate(invalid="ignore", divide="ignore"):
        return twice.sum(axis=0, dtype=np.int64) / (
            2 * missed_weights.sum(axis=0, dtype=np.int64) * smaller[-1]
        )


def _estimate(areas: np.ndarray) -> Estimate:
    """Return the sample's value with the middle 95% of the draws that have one."""
    drawn = areas[1:][np.isfinite(areas[1:])]
    low, high = _percentiles(drawn) if len(drawn) else (float("nan"), float("nan"))
    return Estimate(float(areas[0]), low, high)


def _blocks(draws: int, width: int) -> list[int]:
    """Part the draws so that one block of weights stays below `_BLOCK` numbers, or has few."""
    size = min(draws, max(_DRAWS, _BLOCK // width))
    return [min(size, draws - start) for start in range(0, draws, size)]


def _percentiles(draws: np.ndarray) -> tuple[float, float]:
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
