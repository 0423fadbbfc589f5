"""The difference of two strategies over items and training seeds, and what makes it vary.

The symbols of docs/statistics.md are here:

    S        Side.seeds        number of training seeds of one strategy
    spread   Side.spread       MS_seeds / (S n), variance of the mean as the seeds show it
    noise    Side.noise        MS_residual / (S n), what single answers alone would give
    n        Contrast.count    number of items
    items    Contrast.items    variance between items beyond the noise
    V        Contrast.variance variance of the difference, or of the mean
    t        Contrast.freedom  its degrees of freedom
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from caft.errors import ComparisonError


@dataclass(frozen=True)
class Side:
    """One strategy's share of the variance of a mean, from a two-way analysis of variance.

    With one seed both variances are 0: nothing is known of other seeds.
    """

    shares: np.ndarray  # of right answers over the seeds, per item: (n_items,)
    seeds: int
    spread: float  # variance of the mean over the seeds, as their accuracies show it
    noise: float  # what of it single answers alone would give, however alike the seeds are

    def with_noise_times(self, factor: float) -> "Side":
        """Scale the noise, as other numbers of items do."""
        noise = self.noise * factor
        return replace(self, spread=self.spread - self.noise + noise, noise=noise)

    def with_seeds(self, seeds: int) -> "Side":
        """Scale both variances to another number of seeds."""
        factor = self.seeds / seeds
        return Side(self.shares, seeds, self.spread * factor, self.noise * factor)


@dataclass(frozen=True)
class Contrast:
    """A mean, or a difference of two, with the variance that items and seeds give it."""

    centre: float
    items: float  # variance between items beyond the noise of single answers
    count: Any  # items that the mean is over; an array where several numbers are compared
    sides: tuple[Side, ...]

    @property
    def variance(self) -> float:
        """Of the centre: items plus seeds."""
        return self.items / self.count + sum(side.spread for side in self.sides)

    @property
    def freedom(self) -> Any:
        """Degrees of freedom: Satterthwaite's of the seeds (1946), over their share of variance.

        Items are many, so that only the seeds make the variance uncertain. Satterthwaite's formula
        for the whole would divide by the square of the share; with three seeds on one side its
        intervals hold the truth in 92% (docs/statistics.md).
        """
        uncertainty = sum(
            side.spread**2 / (side.seeds - 1) for side in self.sides if side.seeds > 1
        )
        seeds = sum(side.spread for side in self.sides)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.divide(seeds * self.variance, uncertainty)
        return np.where(uncertainty == 0, math.inf, found)[()]

    def at_least_noisy(self) -> "Contrast":
        """Let no seeds look more alike than single answers allow."""
        sides = (replace(side, spread=max(side.spread, side.noise)) for side in self.sides)
        return replace(self, sides=tuple(sides))

    def with_items(self, count: Any) -> "Contrast":
        """Return what another number of items of the same kind would give, or each of several."""
        sides = tuple(side.with_noise_times(self.count / count) for side in self.sides)
        return replace(self, count=count, sides=sides)

    def with_seeds(self, seeds: int) -> "Contrast":
        """Return what that many seeds on each side with several would give."""
        sides = tuple(side.with_seeds(seeds) if side.seeds > 1 else side for side in self.sides)
        return replace(self, sides=sides)


def matrix_of(correct: ArrayLike, name: str = "predictions") -> np.ndarray:
    """Return answers as a boolean matrix of shape (n_seeds, n_items), or refuse them by a name."""
    matrix = np.asarray(correct)
    if matrix.ndim != 2 or not len(matrix) or (matrix.size and matrix.dtype != bool):
        raise ComparisonError(
            f"{name}: expected booleans, one row per seed and one column per item, not "
            f"{matrix.dtype} of shape {matrix.shape}."
        )
    return matrix.astype(bool)


def pair_of(one: ArrayLike, other: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers of two sides as matrices of the same items."""
    first, second = matrix_of(one), matrix_of(other)
    if first.shape[1] != second.shape[1]:
        raise unequal(first, second, "one", "other")
    return first, second


def unequal(first: np.ndarray, second: np.ndarray, one: str, other: str) -> ComparisonError:
    """Return the error of two sides that have answered other numbers of items."""
    return ComparisonError(
        f"{one} answered {first.shape[1]} items and {other} {second.shape[1]}; "
        "compare strategies on the same items."
    )


def side_of(matrix: np.ndarray) -> Side:
    """Part the variance of a mean over seeds and items (Searle et al. 1992, Variance Components).

    In the terms of the two-way table without repeats: spread is MS_seeds / (n_seeds n_items), noise
    is MS_residual / (n_seeds n_items).
    """
    shares = _shares(matrix)
    return _parted(matrix, shares, shares * (1 - shares))


def _shares(matrix: np.ndarray) -> np.ndarray:
    return matrix.mean(axis=0) if matrix.shape[1] else np.zeros(0)


def _parted(matrix: np.ndarray, shares: np.ndarray, variances: np.ndarray) -> Side:
    """Part the variance of a mean; `shares` and `variances` are of each item over the seeds."""
    seeds, items = matrix.shape
    if seeds == 1 or not items:
        return Side(shares, seeds, 0.0, 0.0)
    means = matrix.mean(axis=1)
    within = float(variances.sum()) * seeds  # squares around each item's mean
    residual = max(0.0, within - items * seeds * float(means.var()))
    noise = residual / ((seeds - 1) * max(1, items - 1)) / (seeds * items)
    return Side(shares, seeds, float(means.var(ddof=1)) / seeds, noise)


def contrast_of(one: ArrayLike, other: ArrayLike) -> Contrast:
    """Return the difference with one more item won and one more lost (Bonett & Price 2012)."""
    first, second = (side_of(matrix) for matrix in pair_of(one, other))
    return _with_two_items(first.shares - second.shares, (first, second))


def gain_of(one: ArrayLike, other: ArrayLike) -> Contrast:
    """Return the difference where a row of both sides is the same model, asked in two ways.

    The differences are one side, so that what moves a model as a whole moves nothing here. With one
    seed it is `contrast_of`.
    """
    first, second = pair_of(one, other)
    if len(first) != len(second):
        raise ComparisonError(
            f"one has {len(first)} seeds and other {len(second)}; pair the same models."
        )
    gains = first.astype(float) - second
    shares = _shares(gains)
    return _with_two_items(shares, (_parted(gains, shares, gains.var(axis=0)),))


def _with_two_items(differences: np.ndarray, sides: tuple[Side, ...]) -> Contrast:
    differences = np.append(differences, [1.0, -1.0])
    count = len(differences)
    noise = sum(side.noise for side in sides) * (count - 2)
    # Without the noise, which the seed parts hold already; but the two added items stay.
    items = max(2 / count, float(differences.var()) - noise)
    return Contrast(float(differences.mean()), items, count, sides)


def quantile(share: float, freedom: Any) -> Any:
    """Return the quantile of the t distribution, one for each number of degrees of freedom."""
    from scipy.special import stdtrit

    return stdtrit(freedom, share)
