"""What is kept per paid answer: its fields, its key, its bytes, and how damage to it is named."""

import errno
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from caft.errors import StoreError
from caft.tables.hashing import digest

RECORD = pa.schema(
    {
        "key": pa.string(),
        "kind": pa.string(),  # rationale | judge
        "model_id": pa.string(),
        "revision": pa.string(),
        "request": pa.string(),  # JSON: messages, decoding, sample
        "text": pa.string(),
        "reasoning": pa.string(),
        "finish_reason": pa.string(),
        "prompt_tokens": pa.int64(),
        "completion_tokens": pa.int64(),
        "cost_usd": pa.float64(),  # null: unknown
        "seconds": pa.float64(),
        "received_at": pa.string(),  # ISO, UTC
        "raw": pa.string(),  # JSON
    }
)
_HEAVY = ("request", "text", "reasoning", "raw")
LIGHT = pa.schema(
    [column for column in RECORD if column.name not in _HEAVY] + [pa.field("imported", pa.bool_())]
)
"""The columns that can be read without the texts; `imported` says that nothing was paid."""

_INT64 = 2**63

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Place(NamedTuple):
    """Where an answer lies."""

    key: str
    received_at: str
    path: Path
    start: int  # byte of its line or frame; its row in a segment that is read as Parquet
    size: int | None = None  # bytes; None in a segment that is read as Parquet


Purchase = tuple[str, str]
"""Which answer, of those to the same request: its key, and when it was received."""


class DamagedError(Exception):
    """A file is not as it was written; the caller looks through its bytes for what is intact."""


@dataclass(frozen=True)
class Damage:
    """An answer that cannot be used, or (`row` None) what else is wrong with a file."""

    path: Path
    reason: str
    row: int | None = None  # line of a journal or row of a segment, from 1
    offset: int | None = None  # bytes from the start of the file
    key: str | None = None
    torn: bool = False  # the unfinished last line of a journal, which never counted as received

    def __str__(self) -> str:
        """Return file, place, key and reason in one line."""
        unit = "line" if self.path.suffix == ".jsonl" else "row"
        row = f", {unit} {self.row}" if self.row else ""
        offset = f", byte {self.offset}" if self.offset is not None else ""
        key = f", key {self.key}" if self.key else ""
        return f"{self.path}{row}{offset}{key}: {self.reason}"


@dataclass
class Contents:
    """What was found in a file: intact answers, and what is wrong."""

    places: list[Place] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    size: int = 0  # bytes of a journal when it was read
    end: int = 0  # bytes of its complete lines: where reading goes on
    line: int = 1  # the line that begins there


def answer_key(
    model_id: str,
    revision: str,
    messages: list[dict[str, Any]],
    decoding: Mapping[str, Any],
    sample: int,
) -> str:
    """Return the key of a paid answer: 64 hex digits over all that decides what the model is asked.

    Args:
        model_id: the provider's name of the model.
        revision: its revision, or a hash of its files.
        messages: the rendered chat messages.
        decoding: the decoding parameters as sent; 0 and 0.0 are the same setting.
        sample: which of several samples of the same request, from 0.
    """
    settings = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in decoding.items()
    }
    request = {
        "model_id": model_id,
        "revision": revision,
        "messages": messages,
        "decoding": settings,
        "sample": sample,
    }
    return digest(request, 64)


def encode(records: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Return records as bytes, JSON with all fields of `RECORD`; those left out become null.

    A value that does not fit its column becomes null, too: what was paid for is kept, and `raw`
    says what came.

    Raises:
        ValueError: if one has no key or an unknown field.
    """
    bodies = []
    for record in records:
        unknown = record.keys() - _RECORD.keys()
        if not record.get("key") or unknown:
            raise ValueError(f"a record needs a key and only known fields; unknown: {unknown}")
        # Half a surrogate pair, which a server can send, has no UTF-8 form.
        whole = json.dumps(_fitting(record, _RECORD), ensure_ascii=False).encode("utf-8", "replace")
        bodies.append(whole)
    return bodies


def numbers_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts, the cost and the seconds of a record, whoever wrote it; else None."""
    return _fitting(record, _NUMBERS)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    """Return a count, which is never negative; so are costs and seconds."""
    if not _is_number(value):
        return None
    return int(value) if 0 <= value < _INT64 and value == int(value) else None


def _finite(value: Any) -> float | None:
    try:
        return float(value) if _is_number(value) and 0 <= value < math.inf else None
    except OverflowError:
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(schema: pa.Schema) -> dict[str, Callable[[Any], Any]]:
    """Return what turns a value into one that its column holds, None if it is none, by column."""
    kinds = {pa.string(): _text, pa.int64(): _whole, pa.float64(): _finite, pa.bool_(): _flag}
    return {column.name: kinds[column.type] for column in schema}


_RECORD, _LIGHT = _fits(RECORD), _fits(LIGHT)
_NUMBERS = {name: fit for name, fit in _RECORD.items() if fit is not _text}


def _fitting(record: Mapping[str, Any], fits: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    return {name: fit(record.get(name)) for name, fit in fits.items()}


def light(body: bytes) -> dict[str, Any]:
    """Return the fields of `LIGHT` of a record's bytes, whichever version of caft wrote them."""
    return light_of(json.loads(body))


def light_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `LIGHT` of a record."""
    return _fitting({**record, "imported": _is_imported(record.get("raw") or "")}, _LIGHT)


def _is_imported(raw: str) -> bool:
    if '"imported"' not in raw:
        return False
    try:
        value = json.loads(raw)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("imported") is True


def light_table(bodies: Iterable[bytes]) -> pa.Table:
    """Return the light columns of records given as bytes."""
    return pa.Table.from_pylist([light(body) for body in bodies], schema=LIGHT)


def first_received(
    places: Iterable[Place],
    known: dict[str, Place] | None = None,
    dropped: Collection[Purchase] = frozenset(),
) -> dict[str, Place]:
    """Return one place per key: of duplicates the answer that was received first, wherever it lies.

    Args:
        places: where answers lie.
        known: an earlier result, which is added to.
        dropped: answers that are not used any more.
    """
    index: dict[str, Place] = {} if known is None else known
    if dropped:
        places = (place for place in places if (place.key, place.received_at) not in dropped)
    for place in places:
        other = index.setdefault(place.key, place)
        if other is not place and (place.received_at, place.path.name) < (
            other.received_at,
            other.path.name,
        ):
            index[place.key] = place
    return index


def each_purchase(places: Iterable[Place]) -> list[Place]:
    """Return one place per answer that was paid for; of its copies any is as good."""
    return list({(place.key, place.received_at): place for place in places}.values())


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a failed write into an error that says what to do.

    Raises:
        StoreError: if the body raises an OSError.
    """
    try:
        yield
    except OSError as error:
        what = "no space left on the disk" if error.errno in _NO_SPACE else str(error)
        todo = "free some" if error.errno in _NO_SPACE else "check disk and permissions"
        raise StoreError(
            f"{folder}: cannot write: {what}; {todo} and run again. All answers stored so far are "
            "kept."
        ) from error


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn a failed read into an error that names the folder.

    Raises:
        StoreError: if the body raises an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"{folder}: cannot be read ({error}); nothing was changed.") from error
