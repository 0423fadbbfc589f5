"""Numbers in the words of the sentences and of the overview."""

from collections.abc import Iterable

import pandas as pd

from caft.analysis.intervals import Estimate


def duration(seconds: float) -> str:
    """Return a time for people."""
    if pd.isna(seconds):
        return "an unknown time"
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def interval(row: pd.Series, name: str) -> str:
    """Return a value of a row of a table with its interval."""
    value, low, high = (float(row[f"{name}{part}"]) for part in ("", "_low", "_high"))
    return "-" if pd.isna(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def difference(estimate: Estimate) -> str:
    """Return a difference with its interval, all with a sign: -0.00 is below 0."""
    value, low, high = (round(part, 6) + 0.0 for part in vars(estimate).values())
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def percent(share: float) -> str:
    """Return a share in percent, with two digits where it is small."""
    return f"{share:.0%}" if share >= 0.1 or not share else f"{100 * share:.2g}%"


def listed(names: Iterable[str]) -> str:
    """Return a list of the marked names of strategies, in words."""
    return joined(f"{{{name}}}" for name in names)


def joined(parts: Iterable[str]) -> str:
    """Return parts as a list in words: `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
