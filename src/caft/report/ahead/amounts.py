"""Arithmetic with amounts of which some are unknown."""

from typing import Any

from caft.report.ahead.known import Bound

_ORDER: dict[Bound, int] = {"exact": 0, "about": 1, "at most": 2, "unknown": 3}


def times(one: float | None, other: float | None) -> float | None:
    """Return the product; None if a factor is unknown."""
    return None if one is None or other is None else one * other


def total(values: Any) -> float | None:
    """Return the sum; None if one of the values is unknown."""
    listed = list(values)
    return None if any(value is None for value in listed) else sum(listed)


def least(one: float | None, other: float | None) -> float | None:
    """Return the smaller of those that are known; None if neither is."""
    known = [value for value in (one, other) if value is not None]
    return min(known) if known else None


def whole(value: float | None) -> int | None:
    """Round what is known."""
    return None if value is None else round(value)


def worst(bounds: Any) -> Bound:
    """Return the bound of a sum: that of its least certain part."""
    return max(bounds, key=_ORDER.__getitem__, default="exact")
