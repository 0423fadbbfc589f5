"""A row of a file that somebody gives, and what is read of the file at most.

What a row holds too much of, or what cannot be read of it, is the row's; what is wrong with the
file is an error. Neither takes more memory than the limits say.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from caft.errors import ItemError

_DEEPEST = 100  # levels of a cell
_NESTED = (dict, list, tuple)
_CELLS = 8  # a row may be so many times as large as its largest cell


@dataclass(frozen=True)
class Limits:
    """What is read of a file, in MB: a cell in millions of characters, a file in bytes."""

    max_cell_mb: float = 1.0
    max_file_mb: float = 500.0

    @property
    def cell(self) -> int:
        """Characters of a cell."""
        return math.ceil(1e6 * self.max_cell_mb)

    @property
    def row(self) -> int:
        """Characters of a row."""
        return _CELLS * self.cell

    @property
    def file(self) -> int:
        """Bytes of a file."""
        return math.ceil(1e6 * self.max_file_mb)

    def told(self, what: str) -> str:
        """Say that something is larger than a cell may be."""
        return f"{what} is larger than max_cell_mb ({self.max_cell_mb:g}) allows"


@dataclass(frozen=True)
class Unusable:
    """A row that cannot be used: a reason in a word, and in words."""

    reason: str
    detail: str


class Unread(ItemError):
    """A file that one more key of the configuration would read.

    Attributes:
        mend: the key, and its value as far as the file tells it.
    """

    def __init__(self, message: str, **mend: str):
        super().__init__(message)
        self.mend = mend


class Unclear:
    """A cell that is no text for a reason of its own, such as a date a spreadsheet has made.

    Attributes:
        found: what it is, in words.
    """

    def __init__(self, found: str):
        self.found = found

    def __str__(self) -> str:
        return self.found


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Unclear:
    """Return the object of JSON that has these pairs; it is unclear if a key stands there twice."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
    return Unclear(f"an object in which the key {key!r} stands twice")


BLANK = Unusable("blank_row", "the row is empty")
"""A row of a spreadsheet without a value."""

Row = tuple[int, dict[str, Any] | Unusable]
"""A row as an editor shows it, and its values by column."""


def require_size(name: str, size: float, limits: Limits) -> None:
    """Refuse what is larger than a file may be.

    Raises:
        ItemError: naming the limit.
    """
    if size > limits.file:
        raise ItemError(
            f"{name}: holds {size / 1e6:.0f} MB, more than max_file_mb ({limits.max_file_mb:g}); "
            "give a smaller file, or raise it if there is memory for several times as much."
        )


def checked(row: dict[str, Any], limits: Limits) -> dict[str, Any] | Unusable:
    """Return a row; unusable if one of its cells is too large, or nested too deeply."""
    cell = limits.cell
    for column, value in row.items():
        if isinstance(value, str):
            if len(value) > cell:
                shown = f"{_shown(column)} ({len(value)} characters)"
                return Unusable("too_large", limits.told(shown))
        elif isinstance(value, _NESTED) and not _is_flat(value):
            return Unusable("too_deep", f"{_shown(column)} is nested deeper than {_DEEPEST} levels")
    return row


def _shown(column: Any) -> str:
    return f"column {str(column)[:60]!r}"


def _is_flat(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, _NESTED)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return True
    return False
