"""Paired comparisons of strategies over items and training seeds; docs/statistics.md explains them.

`correct` is always a boolean matrix of shape (n_seeds, n_items): one row per training seed, the
same items in the same order for all strategies. The untuned student has one row.

The symbols of docs/statistics.md are here:

    S        _Side.seeds        number of training seeds of one strategy
    spread   _Side.spread       MS_seeds / (S n), variance of the mean as the seeds show it
    noise    _Side.noise        MS_residual / (S n), what single answers alone would give
    n        _Contrast.count    number of items
    items    _Contrast.items    variance between items beyond the noise
    V        _Contrast.variance variance of the difference, or of the mean
    t        _Contrast.freedom  its degrees of freedom
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from caft.analysis.intervals import UNKNOWN, Estimate, accuracy_interval
from caft.errors import ComparisonError

_ERROR_RATE = 0.05
_POWER = 0.8
# Two significant digits are all that a plan deserves: 2 to 9, 10 to 99, 100, 110, ...
_COUNTS = [*range(2, 10), *(number * 10**power for power in range(12) for number in range(10, 100))]


@dataclass(frozen=True)
class _Side:
    """One strategy's share of the variance of a mean, from a two-way analysis of variance.

    With one seed both variances are 0: nothing is known of other seeds.
    """

    shares: np.ndarray  # of right answers over the seeds, per item: (n_items,)
    seeds: int
    spread: float  # variance of the mean over the seeds, as their accuracies show it
    noise: float  # what of it single answers alone would give, however alike the seeds are

    def with_noise_times(self, factor: float) -> "_Side":
        """Scale the noise, as other numbers of items do."""
        noise = self.noise * factor
        return replace(self, spread=self.spread - self.noise + noise, noise=noise)

    def with_seeds(self, seeds: int) -> "_Side":
        """Scale both variances to another number of seeds."""
        factor = self.seeds / seeds
        return _Side(self.shares, seeds, self.spread * factor, self.noise * factor)


@dataclass(frozen=True)
class _Contrast:
    """A mean, or a difference of two, with the variance that items and seeds give it."""

    centre: float
    items: float  # variance between items beyond the noise of single answers
    count: int  # items that the mean is over
    sides: tuple[_Side, ...]

    @property
    def seed_variance(self) -> float:
        """What seeds alone would leave with endlessly many items."""
        return sum(side.spread - side.noise for side in self.sides)

    @property
    def variance(self) -> float:
        """Of the centre: items plus seeds."""
        return self.items / self.count + sum(side.spread for side in self.sides)

    @property
    def freedom(self) -> float:
        """Degrees of freedom: Satterthwaite's of the seeds (1946), over their share of variance.

        Items are many, so that only the seeds make the variance uncertain. Satterthwaite's formula
        for the whole would divide by the square of the share; with three seeds on one side its
        intervals hold the truth in 92% (docs/statistics.md).
        """
        uncertainty = sum(
            side.spread**2 / (side.seeds - 1) for side in self.sides if side.seeds > 1
        )
        seeds = sum(side.spread for side in self.sides)
        return seeds * self.variance / uncertainty if uncertainty else math.inf

    def at_least_noisy(self) -> "_Contrast":
        """Let no seeds look more alike than single answers allow."""
        sides = (replace(side, spread=max(side.spread, side.noise)) for side in self.sides)
        return replace(self, sides=tuple(sides))

    def with_items(self, count: int) -> "_Contrast":
        """Return what other items of the same kind would give."""
        sides = tuple(side.with_noise_times(self.count / count) for side in self.sides)
        return replace(self, count=count, sides=sides)

    def with_seeds(self, seeds: int) -> "_Contrast":
        """Return what that many seeds on each side with several would give."""
        sides = tuple(side.with_seeds(seeds) if side.seeds > 1 else side for side in self.sides)
        return replace(self, sides=sides)


def seed_spread(correct: ArrayLike) -> tuple[float, float]:
    """Return the mean accuracy and the standard deviation of the accuracies over the seeds.

    Args:
        correct: booleans, shape (n_seeds, n_items).

    Returns:
        Both as shares; NaN without items, and the deviation NaN with one seed.
    """
    matrix = _matrix(correct)
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
    matrix = _matrix(correct)
    if len(matrix) == 1 or not matrix.size:
        return accuracy_interval(matrix[0])
    side = _side(matrix)
    share, count = float(side.shares.mean()), len(side.shares)
    items = max(0.0, float(side.shares.var()) - side.noise * count)
    contrast = _Contrast(share, items, count, (side,))
    # Where the answers show no variance they say nothing of the seeds: count each item once.
    simple = share * (1 - share)
    size = min(simple / (contrast.variance or math.inf) or count, matrix.size)
    squared = _quantile(1 - _ERROR_RATE / 2, contrast.freedom) ** 2 / size
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
    contrast = _contrast(one, other)
    first, second = (side.shares for side in contrast.sides)
    if not len(first):
        return UNKNOWN
    half = _quantile(1 - _ERROR_RATE / 2, contrast.freedom) * math.sqrt(contrast.variance)
    low, high = max(-1.0, contrast.centre - half), min(1.0, contrast.centre + half)
    return Estimate(float(first.mean() - second.mean()), low, high)


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

    first, second = _pair(one, other)
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

    contrast = _contrast(one, other).at_least_noisy()
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


def items_needed(
    one: ArrayLike, other: ArrayLike, relevant: float = 0.05, comparisons: int = 1
) -> float:
    """Return about how many items would show a relevant difference, with the seeds that there are.

    That is, with 80% power at the level 0.05 / comparisons, which the smallest p value of a family
    has to reach, and with the variances observed.

    Args:
        one: booleans, shape (n_seeds, n_items).
        other: the same items in the same order, with any number of seeds.
        relevant: difference of accuracies to be seen, a share of at least 0.0001.
        comparisons: tests in the family.

    Returns:
        Two significant digits; infinite if no number of items would do.

    Raises:
        ComparisonError: if the items differ in number, or relevant is out of range.
    """
    return _items_needed(_contrast(one, other).at_least_noisy(), _limit(relevant), comparisons)


def detectable_difference(
    one: ArrayLike,
    other: ArrayLike,
    items: int | None = None,
    seeds: int | None = None,
    comparisons: int = 1,
) -> float:
    """Return the difference that so many items and seeds would show with 80% power.

    As `items_needed`, at the level 0.05 / comparisons and with the variances observed here.

    Args:
        one: booleans, shape (n_seeds, n_items).
        other: the same items in the same order, with any number of seeds.
        items: how many there would be; None for those that there are.
        seeds: how many each side with several would have; a side with one keeps it.
        comparisons: tests in the family.

    Returns:
        A difference of accuracies.

    Raises:
        ComparisonError: if the items differ in number.
    """
    contrast = _contrast(one, other).at_least_noisy()
    contrast = contrast.with_items(items) if items else contrast
    return _detectable(contrast.with_seeds(seeds) if seeds else contrast, comparisons)


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
        `underpowered: needs about N items`, `… N seeds` where the seeds give most of the variance,
        or `… N seeds and M items` where neither alone would do.

    Raises:
        ComparisonError: if the items differ in number, or relevant is out of range.
    """
    limit = _limit(relevant)
    interval = difference_interval(one, other)
    if p_adjusted < _ERROR_RATE and (interval.low > 0 or interval.high < 0):
        return "better" if interval.low > 0 else "worse"
    contrast = _contrast(one, other).at_least_noisy()
    if _detectable(contrast, comparisons) <= limit:
        return "no detectable difference"
    return f"underpowered: needs about {_missing(contrast, limit, comparisons)}"


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
    answers = {name: _matrix(matrix, name) for name, matrix in correct.items()}
    pairs = list(combinations(answers, 2))
    for one, other in pairs:
        if answers[one].shape[1] != answers[other].shape[1]:
            raise _unequal(answers[one], answers[other], one, other)
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


def _matrix(correct: ArrayLike, name: str = "predictions") -> np.ndarray:
    matrix = np.asarray(correct)
    if matrix.ndim != 2 or not len(matrix) or (matrix.size and matrix.dtype != bool):
        raise ComparisonError(
            f"{name}: expected booleans, one row per seed and one column per item, not "
            f"{matrix.dtype} of shape {matrix.shape}."
        )
    return matrix.astype(bool)


def _pair(one: ArrayLike, other: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = _matrix(one), _matrix(other)
    if first.shape[1] != second.shape[1]:
        raise _unequal(first, second, "one", "other")
    return first, second


def _unequal(first: np.ndarray, second: np.ndarray, one: str, other: str) -> ComparisonError:
    return ComparisonError(
        f"{one} answered {first.shape[1]} items and {other} {second.shape[1]}; "
        "compare strategies on the same items."
    )


def _limit(relevant: float) -> float:
    if not 0.0001 <= relevant < 1:
        raise ComparisonError(f"relevant: {relevant} is not a share from 0.0001 to below 1.")
    return relevant


def _side(matrix: np.ndarray) -> _Side:
    """Part the variance of a mean over seeds and items (Searle et al. 1992, Variance Components).

    In the terms of the two-way table without repeats: spread is MS_seeds / (n_seeds n_items), noise
    is MS_residual / (n_seeds n_items).
    """
    seeds, items = matrix.shape
    shares = matrix.mean(axis=0) if items else np.zeros(0)
    if seeds == 1 or not items:
        return _Side(shares, seeds, 0.0, 0.0)
    accuracies = matrix.mean(axis=1)
    within = float((shares * (1 - shares)).sum()) * seeds  # squares around each item's mean
    residual = max(0.0, within - items * seeds * float(accuracies.var()))
    noise = residual / ((seeds - 1) * max(1, items - 1)) / (seeds * items)
    return _Side(shares, seeds, float(accuracies.var(ddof=1)) / seeds, noise)


def _contrast(one: ArrayLike, other: ArrayLike) -> _Contrast:
    """Return the difference with one more item won and one more lost (Bonett & Price 2012)."""
    first, second = (_side(matrix) for matrix in _pair(one, other))
    differences = np.append(first.shares - second.shares, [1.0, -1.0])
    count = len(differences)
    noise = (first.noise + second.noise) * (count - 2)
    # Without the noise, which the seed parts hold already; but the two added items stay.
    items = max(2 / count, float(differences.var()) - noise)
    return _Contrast(float(differences.mean()), items, count, (first, second))


def _quantile(share: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _detectable(contrast: _Contrast, comparisons: int) -> float:
    """Return the difference that would be found with 80% power, by the t distribution."""
    freedom = contrast.freedom
    quantiles = _quantile(1 - _ERROR_RATE / comparisons / 2, freedom) + _quantile(_POWER, freedom)
    return quantiles * math.sqrt(contrast.variance)


def _smallest(enough: Callable[[int], bool]) -> float:
    """Return the smallest count that is enough, or infinity."""
    place = bisect_left(_COUNTS, True, key=enough)
    return _COUNTS[place] if place < len(_COUNTS) else math.inf


def _items_needed(contrast: _Contrast, limit: float, comparisons: int) -> float:
    return _smallest(lambda n: _detectable(contrast.with_items(n), comparisons) <= limit)


def _seeds_needed(contrast: _Contrast, limit: float, comparisons: int) -> float:
    if all(side.seeds == 1 for side in contrast.sides):
        return math.inf
    return _smallest(lambda n: _detectable(contrast.with_seeds(n), comparisons) <= limit)


def _missing(contrast: _Contrast, limit: float, comparisons: int) -> str:
    """Return what would make the relevant difference detectable, in words."""
    items = _items_needed(contrast, limit, comparisons)
    seeds = _seeds_needed(contrast, limit, comparisons)
    seeds_dominate = contrast.seed_variance > contrast.variance / 2
    if items < math.inf and not (seeds_dominate and seeds < math.inf):
        return f"{items:.0f} items"
    if seeds < math.inf:
        return f"{seeds:.0f} seeds"
    # Neither alone: seeds and items may each take half of the variance that the power allows.
    seeds = _seeds_needed(contrast.with_items(_COUNTS[-1]), limit / math.sqrt(2), comparisons)
    items = _items_needed(contrast.with_seeds(int(seeds)), limit, comparisons)
    return f"{seeds:.0f} seeds and {items:.0f} items"
