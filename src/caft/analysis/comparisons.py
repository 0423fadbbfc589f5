"""Paired comparisons of strategies over items and training seeds; docs/statistics.md explains them.

`correct` is always a boolean matrix of shape (n_seeds, n_items): one row per training seed, the
same items in the same order for all strategies. The untuned student has one row.
"""

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from caft.analysis.contrasts import (
    Contrast,
    contrast_of,
    gain_of,
    matrix_of,
    pair_of,
    quantile,
    side_of,
    unequal,
)
from caft.analysis.intervals import UNKNOWN, Estimate, accuracy_interval
from caft.analysis.power import ERROR_RATE, checked_limit, detectable, missing
from caft.errors import ComparisonError


def seed_spread(correct: ArrayLike) -> tuple[float, float]:
    """Return the mean accuracy and the standard deviation of the accuracies over the seeds.

    Args:
        correct: booleans, shape (n_seeds, n_items).

    Returns:
        Both as shares; NaN without items, and the deviation NaN with one seed.
    """
    matrix = matrix_of(correct)
    if not matrix.size:
        return math.nan, math.nan
    accuracies = matrix.mean(axis=1)
    deviation = float(accuracies.std(ddof=1)) if len(matrix) > 1 else math.nan
    return float(accuracies.mean()), deviation


def mean_interval(correct: ArrayLike) -> Estimate:
    """Return the mean accuracy with an interval for other items and other seeds.

    Wilson's interval with the sample size that a simple sample of the same variance would have
    (Franco et al. 2019, J. Surv. Stat. Methodol. 7:334) and Satterthwaite's degrees of freedom.
    With one seed it is Wilson's own and holds for other items, but not for other seeds.

    Args:
        correct: booleans, shape (n_seeds, n_items).

    Returns:
        NaN without items.
    """
    matrix = matrix_of(correct)
    if len(matrix) == 1 or not matrix.size:
        return accuracy_interval(matrix[0])
    side = side_of(matrix)
    share, count = float(side.shares.mean()), len(side.shares)
    items = max(0.0, float(side.shares.var()) - side.noise * count)
    contrast = Contrast(share, items, count, (side,))
    # Where the answers show no variance they say nothing of the seeds: count each item once.
    simple = share * (1 - share)
    size = min(simple / (contrast.variance or math.inf) or count, matrix.size)
    squared = quantile(1 - ERROR_RATE / 2, contrast.freedom) ** 2 / size
    centre = (share + squared / 2) / (1 + squared)
    half = math.sqrt(squared * simple + squared**2 / 4) / (1 + squared)
    return Estimate(share, centre - half, centre + half)


def difference_interval(one: ArrayLike, other: ArrayLike) -> Estimate:
    """Return by how much one accuracy exceeds the other, with an interval for items and seeds.

    A t interval whose variance is the sum of an item part and of each side's seed part, from a
    two-way analysis of variance. The items enter as in Bonett & Price (2012, J. Educ. Behav. Stat.
    37:479), with one more item won and one more lost, so that equal answers still have an interval;
    with one seed on both sides it is theirs. A side with one seed adds no seed part: its
    interval does not hold for other seeds of it.

    Args:
        one: booleans, shape (n_seeds, n_items).
        other: the same items in the same order, with any number of seeds.

    Returns:
        NaN without items.

    Raises:
        ComparisonError: if the items differ in number.
    """
    contrast = contrast_of(one, other)
    first, second = (side.shares for side in contrast.sides)
    return _interval(contrast, float(first.mean() - second.mean())) if len(first) else UNKNOWN


def gain_interval(one: ArrayLike, other: ArrayLike) -> Estimate:
    """Return by how much the same models gain when they are asked in one way and not in another.

    As `difference_interval`, but a row of both sides is the same model: the analysis of variance is
    of the differences, with as many degrees of freedom as they have seeds, less one.

    Args:
        one: booleans, shape (n_seeds, n_items).
        other: the same models and items in the same order.

    Returns:
        NaN without items; with one seed what `difference_interval` returns.

    Raises:
        ComparisonError: if the items or the seeds differ in number.
    """
    contrast = gain_of(one, other)
    first, second = pair_of(one, other)
    return _interval(contrast, float(first.mean() - second.mean())) if first.size else UNKNOWN


def _interval(contrast: Contrast, value: float) -> Estimate:
    half = quantile(1 - ERROR_RATE / 2, contrast.freedom) * math.sqrt(contrast.variance)
    return Estimate(value, max(-1.0, contrast.centre - half), min(1.0, contrast.centre + half))


def mcnemar(one: ArrayLike, other: ArrayLike) -> float:
    """Return the exact p value of McNemar's test (1947, Psychometrika 12:153), two-sided.

    Args:
        one: booleans of one seed, shape (1, n_items).
        other: the same items in the same order, same shape.

    Returns:
        1 where no answer differs.

    Raises:
        ComparisonError: if there are several seeds, or the items differ in number.
    """
    from scipy.stats import binomtest

    first, second = pair_of(one, other)
    if len(first) > 1 or len(second) > 1:
        raise ComparisonError("McNemar's test takes one seed of each strategy; use crossed_p.")
    won, lost = int((first & ~second).sum()), int((~first & second).sum())
    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def crossed_p(one: ArrayLike, other: ArrayLike) -> float:
    """Return the two-sided p value of no difference over items and seeds.

    The t test that belongs to `difference_interval`, with one difference: the seeds of a side never
    count as more alike than the noise of single answers. The interval is right on average
    without that; far out in the tail, where Holm's procedure looks, a lucky likeness of three seeds
    would pass for certainty. Why not a permutation test: docs/statistics.md.

    Args:
        one: booleans, shape (n_seeds, n_items).
        other: the same items in the same order, with any number of seeds.

    Returns:
        1 where no answer differs, and without items.

    Raises:
        ComparisonError: if the items differ in number.
    """
    from scipy.special import stdtr

    contrast = contrast_of(one, other).at_least_noisy()
    distance = abs(contrast.centre) / math.sqrt(contrast.variance)
    return float(2 * stdtr(contrast.freedom, -distance))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return p values adjusted for their number (Holm 1979, Scand. J. Statist. 6:65).

    Args:
        p_values: shape (n_tests,).

    Returns:
        Same shape and order, at most 1: below 0.05 in any of true null hypotheses with a
        probability of at most 5%.
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def verdict(
    one: ArrayLike,
    other: ArrayLike,
    p_adjusted: float,
    relevant: float = 0.05,
    comparisons: int = 1,
) -> str:
    """Return in words what the comparison shows.

    Args:
        one: booleans, shape (n_seeds, n_items).
        other: the same items in the same order, with any number of seeds.
        p_adjusted: p value of the pair after `holm`.
        relevant: the smallest difference of accuracies that matters, a share of at least 0.0001.
        comparisons: tests in the family.

    Returns:
        `better` or `worse`, of one, if p_adjusted < 0.05 and the interval leaves out 0; else
        `no detectable difference` if a relevant difference had been found with 80% power; else
        `underpowered: needs about N items`, `… N seeds` or `… N seeds and M items`, whichever costs
        least.

    Raises:
        ComparisonError: if the items differ in number, or relevant is out of range.
    """
    limit = checked_limit(relevant)
    interval = difference_interval(one, other)
    if p_adjusted < ERROR_RATE and (interval.low > 0 or interval.high < 0):
        return "better" if interval.low > 0 else "worse"
    contrast = contrast_of(one, other).at_least_noisy()
    if detectable(contrast, comparisons) <= limit:
        return "no detectable difference"
    return f"underpowered: needs about {missing(contrast, limit, comparisons)}"


def compare_all(correct: Mapping[str, np.ndarray], relevant: float = 0.05) -> pd.DataFrame:
    """Compare every two strategies; all pairs are one family for Holm's procedure.

    Args:
        correct: by strategy, booleans of shape (n_seeds, n_items): the same items in the same
            order, any number of seeds.
        relevant: the smallest difference of accuracies that matters, a share of at least 0.0001.

    Returns:
        One row per unordered pair, in the order of the mapping: strategy, other, n_items, n_seeds,
        n_seeds_other, difference (strategy minus other, with difference_low and difference_high),
        test (`mcnemar` with one seed each, else `t`), p, p_holm, verdict.

    Raises:
        ComparisonError: naming the strategies, if their items differ in number, and as `verdict`.
    """
    answers = {name: matrix_of(matrix, name) for name, matrix in correct.items()}
    pairs = list(combinations(answers, 2))
    for one, other in pairs:
        if answers[one].shape[1] != answers[other].shape[1]:
            raise unequal(answers[one], answers[other], one, other)
    rows = [_compare(one, answers[one], other, answers[other]) for one, other in pairs]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table["p_holm"] = holm(table["p"])
    table["verdict"] = [
        verdict(answers[one], answers[other], p, relevant, len(pairs))
        for one, other, p in zip(table["strategy"], table["other"], table["p_holm"], strict=True)
    ]
    return table


_COLUMNS = [
    "strategy",
    "other",
    "n_items",
    "n_seeds",
    "n_seeds_other",
    "difference",
    "difference_low",
    "difference_high",
    "test",
    "p",
]


def _compare(name: str, one: np.ndarray, other_name: str, other: np.ndarray) -> tuple[object, ...]:
    """Return a row of the table up to its p value."""
    single = len(one) == len(other) == 1
    found = difference_interval(one, other)
    test = ("mcnemar", mcnemar(one, other)) if single else ("t", crossed_p(one, other))
    counts = one.shape[1], len(one), len(other)
    return name, other_name, *counts, found.value, found.low, found.high, *test
