"""Answers that somebody owns already, into the store: what is owned is never bought."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from caft.errors import ItemError, StoreError
from caft.store.answers import Store
from caft.tables import reading, rows
from caft.tables.files import write_csv

COLUMNS = (
    "id",
    "text",
    "reasoning",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "sample",
)
"""What a column of the file can be; `id` and `text` are needed."""
KEYS = ("source_id", "item_id", "question")
"""Columns of the items table that `id` can be."""

_ENDINGS = (".parquet", ".jsonl", ".csv")
_LIMITS = rows.Limits(max_cell_mb=32, max_file_mb=2000)
_BATCH = 256  # answers per fsync
# What the store has of a prompt that was not taken (`caft.teacher.NOT_TAKEN`): no answer.
_REFUSED = ("refused", "too_long")
_IN_THE_WAY = (
    "a refusal is stored for it: `caft store drop --reason refused too_long` lists it, and with "
    "--remove it makes room"
)


@dataclass(frozen=True)
class Owned:
    """An answer that somebody owns; counts are None where the file does not tell them."""

    text: str
    reasoning: str | None
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    sample: int
    row: int


@dataclass(frozen=True)
class Rejected:
    """A row of the file that was not stored."""

    row: int  # from 1, without a header
    id: str
    reason: str


@dataclass
class Imported:
    """What became of the rows: `rows` = `stored` + `owned` + the rejected ones."""

    rows: int = 0
    stored: int = 0
    owned: int = 0  # an answer is already in the store
    rejected: list[Rejected] = field(default_factory=list)


def import_answers(
    given: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str],
    items: Iterable[dict[str, Any]],
    by: str,
    record_of: Callable[[dict[str, Any], Owned], dict[str, Any]],
    store: Store,
) -> Imported:
    """Store the rows that answer exactly one item each.

    Args:
        given: rows of a file, see `read_rows`.
        columns: the file's column for some of `COLUMNS`.
        items: rows of the items table.
        by: which of `KEYS` the file's `id` is.
        record_of: makes the record of an item's answer, under the key it would be asked with.
        store: where the answers go.

    Raises:
        StoreError: if the file lacks one of the columns, or the store cannot be written.
    """
    answered = defaultdict(list)
    for item in items:
        answered[_plain(item[by])].append(item)
    done = Imported()
    records: dict[str, dict[str, Any]] = {}
    places: dict[str, tuple[int, str]] = {}
    for number, row in enumerate(given, start=1):
        done.rows += 1
        if number == 1:
            _check_columns(row, columns)
        name = _plain(row.get(columns["id"]))
        try:
            answer = _answer(row, columns, number)
            record = record_of(_only(answered.get(name, []), name), answer)
            if record["key"] in records:
                raise ValueError("an earlier row answers the same item and sample")
            records[record["key"]], places[record["key"]] = record, (number, name)
        except ValueError as error:
            done.rejected.append(Rejected(number, name, str(error)))
    keys = list(records)
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        known = store.get(batch)
        store.append(records[key] for key in batch if key not in known)
        refused = [key for key in known if known[key]["finish_reason"] in _REFUSED]
        done.rejected += [Rejected(*places[key], _IN_THE_WAY) for key in refused]
        done.owned += len(known) - len(refused)
        done.stored += len(batch) - len(known)
    done.rejected.sort(key=lambda one: one.row)
    return done


def _check_columns(row: Mapping[str, Any], columns: Mapping[str, str]) -> None:
    for name in columns.values():
        if name not in row:
            raise StoreError(
                f"--columns: the file has no column {name!r}; it has {', '.join(row)}."
            )


def _only(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    if not name:
        raise ValueError("no id")
    if len(items) != 1:
        raise ValueError("several items have this id" if items else "no item has this id")
    return items[0]


def _answer(row: Mapping[str, Any], columns: Mapping[str, str], number: int) -> Owned:
    values = {name: row.get(columns[name]) if name in columns else None for name in COLUMNS}
    if not isinstance(values["text"], str) or not values["text"].strip():
        raise ValueError("no text")
    return Owned(
        text=values["text"],
        reasoning=values["reasoning"] or None,
        finish_reason=values["finish_reason"] or "stop",
        prompt_tokens=_count(values["prompt_tokens"]),
        completion_tokens=_count(values["completion_tokens"]),
        sample=_sample(values["sample"]),
        row=number,
    )


def _count(value: Any) -> int | None:
    """Return a count; None for what is none: no odd number of tokens costs an answer."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number >= 0 and number.is_integer() else None


def _sample(value: Any) -> int:
    # Unlike a count of tokens it decides which answer this is.
    if value is None or value == "" or value != value:
        return 0
    if (number := _count(value)) is None:
        raise ValueError("sample is no count")
    return number


def _plain(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split())


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read a Parquet, JSONL or CSV file row by row.

    Raises:
        StoreError: if it cannot be read, or a row cannot.
    """
    if path.suffix not in _ENDINGS:
        raise StoreError(f"{path}: name a file that ends in {', '.join(_ENDINGS)}.")
    try:
        for number, row in reading.read_rows(str(path), _LIMITS):
            if row is rows.BLANK:
                continue
            if isinstance(row, rows.Unusable):
                raise StoreError(f"{path}: cannot be read (line {number}: {row.detail}).")
            yield row
    except (OSError, ItemError) as error:
        raise StoreError(str(error)) from error


def write_rejected(path: Path, rejected: Iterable[Rejected]) -> None:
    """Write the rejected rows as CSV."""
    import pandas as pd

    write_csv(path, pd.DataFrame(map(asdict, rejected), columns=["row", "id", "reason"]))
