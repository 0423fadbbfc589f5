"""Intervals: of an accuracy, of a paired difference, of a ROC AUC."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_DRAWS = 10_000
_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; NaN where it cannot be computed."""

    value: float
    low: float
    high: float


_UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def accuracy_interval(correct: ArrayLike) -> Estimate:
    """Return the share of right answers with Wilson's score interval (Wilson 1927, JASA 22:209).

    Args:
        correct: booleans, shape (n_items,).
    """
    from scipy.stats import binomtest

    values = np.asarray(correct, dtype=bool)
    if not len(values):
        return _UNKNOWN
    interval = binomtest(int(values.sum()), len(values)).proportion_ci(_LEVEL, method="wilson")
    return Estimate(float(values.mean()), float(interval.low), float(interval.high))


def paired_difference(correct: ArrayLike, reference: ArrayLike, seed: int = 0) -> Estimate:
    """Return the accuracy difference of two models on the same items, with an interval.

    Items are redrawn together (Efron & Tibshirani 1993, percentile method); only the counts of
    items gained,
    lost and tied matter, so the draws are multinomial.

    Args:
        correct: booleans of the one model, shape (n_items,).
        reference: booleans of the other on the same items, same shape.
        seed: of the draws.
    """
    difference = np.asarray(correct, dtype=int) - np.asarray(reference, dtype=int)
    count = len(difference)
    if not count:
        return _UNKNOWN
    shares = [(difference == value).mean() for value in (1, -1, 0)]
    draws = np.random.default_rng(seed).multinomial(count, shares, size=_DRAWS)
    low, high = _percentiles((draws[:, 0] - draws[:, 1]) / count)
    return Estimate(float(difference.mean()), low, high)


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
    if labels.all() or not labels.any():
        return _UNKNOWN
    order = np.argsort(values, kind="stable")
    values, labels = values[order], labels[order]
    starts = np.flatnonzero(np.r_[True, np.diff(values) > 0])
    generator = np.random.default_rng(seed)
    areas = np.concatenate(
        [
            _weighted_auc(
                starts,
                labels,
                generator.multinomial(len(values), np.full(len(values), 1 / len(values)), size),
            )
            for size in _blocks(draws, len(values))
        ]
    )
    low, high = _percentiles(areas[np.isfinite(areas)])
    whole = _weighted_auc(starts, labels, np.ones((1, len(values)), dtype=int))[0]
    return Estimate(float(whole), low, high)


def _blocks(draws: int, width: int) -> list[int]:
    """Part the draws so that one block of weights stays below 5 million numbers."""
    size = max(1, min(draws, 5_000_000 // width))
    return [min(size, draws - start) for start in range(0, draws, size)]


def _weighted_auc(starts: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the AUC per row of weights; items are sorted, `starts` begin runs of equal values."""
    wrong = np.add.reduceat(weights * labels, starts, axis=1)
    right = np.add.reduceat(weights * ~labels, starts, axis=1)
    below = np.cumsum(right, axis=1) - right
    with np.errstate(invalid="ignore", divide="ignore"):
        return (wrong * (below + right / 2)).sum(1) / (wrong.sum(1) * right.sum(1))


def _percentiles(draws: np.ndarray) -> tuple[float, float]:
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
