"""How many items and seeds would show a difference, and which one so many would show."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from caft.analysis.contrasts import Contrast, contrast_of, quantile
from caft.errors import ComparisonError

ERROR_RATE = 0.05
_POWER = 0.8
# Two significant digits are all that a plan deserves: 2 to 9, 10 to 99, 100, 110, ...
_PATIENCE = 2  # times the best number of seeds so far: where the search for a better one ends
_COUNTS = [*range(2, 10), *(number * 10**power for power in range(12) for number in range(10, 100))]
_ITEMS = np.array(_COUNTS, dtype=float)


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
    contrast = contrast_of(one, other).at_least_noisy()
    return _items_needed(contrast, checked_limit(relevant), comparisons)


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
        A difference of accuracies, at most 1. NaN if one seed is asked for and there are several:
        the test of one seed takes the models as given.

    Raises:
        ComparisonError: if the items differ in number.
    """
    contrast = contrast_of(one, other).at_least_noisy()
    if seeds == 1 and any(side.seeds > 1 for side in contrast.sides):
        return math.nan
    planned = contrast.with_seeds(seeds) if seeds else contrast
    count = items or contrast.count
    fewer = np.append(_ITEMS[count > _ITEMS], count)
    return float(min(1, _detectables(planned, fewer, comparisons)[-1]))


def checked_limit(relevant: float) -> float:
    """Return the smallest difference that matters, if it is a share that can be one."""
    if not 0.0001 <= relevant < 1:
        raise ComparisonError(f"relevant: {relevant} is not a share from 0.0001 to below 1.")
    return relevant


def detectable(contrast: Contrast, comparisons: int) -> Any:
    """Return the difference that would be found with 80% power, by the t distribution."""
    freedom = contrast.freedom
    quantiles = quantile(1 - ERROR_RATE / comparisons / 2, freedom) + quantile(_POWER, freedom)
    return quantiles * np.sqrt(contrast.variance)


def _detectables(contrast: Contrast, counts: np.ndarray, comparisons: int) -> np.ndarray:
    """Return the difference that up to so many items would show, for rising numbers of items.

    With two or three seeds more items leave fewer degrees of freedom, as they take away the share
    of the variance that is known; what fewer items show, more of them show too.
    """
    return np.minimum.accumulate(detectable(contrast.with_items(counts), comparisons))


def _smallest(enough: Callable[[int], bool]) -> float:
    """Return the smallest count that is enough, or infinity."""
    place = bisect_left(_COUNTS, True, key=enough)
    return _COUNTS[place] if place < len(_COUNTS) else math.inf


def _items_needed(contrast: Contrast, limit: float, comparisons: int) -> float:
    enough = np.flatnonzero(_detectables(contrast, _ITEMS, comparisons) <= limit)
    return _COUNTS[enough[0]] if len(enough) else math.inf


def _seeds_needed(contrast: Contrast, limit: float, comparisons: int) -> float:
    return _smallest(lambda n: detectable(contrast.with_seeds(n), comparisons) <= limit)


def missing(contrast: Contrast, limit: float, comparisons: int) -> str:
    """Return in words which seeds and items would make the relevant difference detectable.

    Of all pairs of both numbers it is about the cheapest: every seed is a training, which is taken
    to cost as much as the answers to all items that there are, and answers all items.
    """
    now = best = max(side.seeds for side in contrast.sides)
    least = _items_needed(contrast, limit, comparisons)
    for seeds in _more_seeds(now):
        if seeds > _PATIENCE * best and least < math.inf:
            break
        items = _items_needed(contrast.with_seeds(seeds), limit, comparisons)
        if seeds * (items + contrast.count) < best * (least + contrast.count):
            best, least = seeds, items
    if best == now:
        return f"{least:.0f} items"
    if least <= contrast.count:  # those that there are do, and with all of them fewer seeds do
        return f"{_seeds_needed(contrast, limit, comparisons):.0f} seeds"
    return f"{best} seeds and {least:.0f} items"


def _more_seeds(now: int) -> Iterator[int]:
    """Yield numbers of seeds to try, each a fifth above the one before; none for a single seed."""
    last = now
    for count in _COUNTS if now > 1 else ():
        if count >= 1.2 * last:
            last = count
            yield count
