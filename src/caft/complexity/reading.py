"""A value of a cell: a number, a word that stands for one, or a list that comes to one."""

import math
import re
from collections.abc import Mapping
from typing import Any

from caft.complexity.settings import At, MetricSettings
from caft.datasets.cells import as_text
from caft.errors import ConfigError
from caft.tables.selectors import Misfit, parsed, select

_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")
_LOGICAL = {"true": 1.0, "false": 0.0}


def read_value(cell: Any, row: Mapping[str, Any], settings: MetricSettings) -> dict[str, Any]:
    """Read a value, true as 1 and false as 0; else say why it is none.

    Args:
        cell: what stands in the values' column.
        row: the whole row, for the position of `aggregate: {at: ...}`.
        settings: `values`, `aggregate` and `zero_is_missing` of the metric.

    Returns:
        value, and reason where there is none: no_value, not_a_number, no_such_position, zero.
    """
    cell = as_list(cell)
    if settings.aggregate is not None and isinstance(cell, list):
        found = _aggregated(cell, row, settings)
    else:
        found = _number(cell, settings.values or {})
    if settings.zero_is_missing and found == 0:
        found = "zero"
    if isinstance(found, str):
        return {"value": None, "reason": found}
    return {"value": found, "reason": None}


def as_list(cell: Any) -> Any:
    """Return a list that was written as text as a list, anything else as it is."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            return parsed(cell)
        except Misfit:  # a list without commas, which nobody can part
            return cell
    return list(cell) if isinstance(cell, tuple) else cell


def require_number(place: str, cells: list[Any], found: list[float | None]) -> None:
    """Refuse a column in which no cell that holds something is a number.

    Args:
        place: file and column, for the message.
        cells: what stands in them.
        found: their values.

    Raises:
        ConfigError: showing three of the cells, and the setting that reads such ones.
    """
    held = [as_list(cell) for cell in cells if as_text(cell) is not None]
    if not held or any(value is not None for value in found):
        return
    distinct = list(dict.fromkeys(f"{cell!r:.60}" for cell in held))
    if any(isinstance(cell, str) and _DECIMAL_COMMA.fullmatch(cell.strip()) for cell in held):
        mend = "Write decimals with a point"
    elif isinstance(held[0], list):
        mend = "Set `aggregate` to mean, max, last or {at: COLUMN} to make a number of each list"
    else:
        words = [str(cell) for cell in dict.fromkeys(map(str, held))][:3]
        numbers = ", ".join(f"{word!r}: {number}" for number, word in enumerate(words))
        mend = f"Give each value its number with `values`, such as {{{numbers}}}"
    raise ConfigError(
        f"{place} holds no number: it has {', '.join(distinct[:3])}. {mend}, or name another "
        "`column`."
    )


def _number(cell: Any, values: Mapping[str, float]) -> float | str:
    text = (as_text(cell) or "").strip()
    if text in values:
        return values[text]
    plain = text.lower()
    if plain in ("", "nan"):
        return "no_value"
    try:
        value = _LOGICAL[plain] if plain in _LOGICAL else float(plain)
    except ValueError:
        return "not_a_number"
    if math.isnan(value):  # "-nan", as C prints it
        return "no_value"
    return "not_a_number" if math.isinf(value) else value


def _aggregated(cell: list[Any], row: Mapping[str, Any], settings: MetricSettings) -> float | str:
    numbers = [_number(part, settings.values or {}) for part in cell]
    if not numbers:
        return "no_value"
    if isinstance(settings.aggregate, At):
        position = _number(select(row, settings.aggregate.at), {})
        if isinstance(position, str) or position not in range(len(numbers)):
            return "no_such_position"
        return numbers[int(position)]
    if settings.aggregate == "last":
        return numbers[-1]
    good = [number for number in numbers if isinstance(number, float | int)]
    if len(good) < len(numbers):
        return "not_a_number"
    return max(good) if settings.aggregate == "max" else sum(good) / len(good)
