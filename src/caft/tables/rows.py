"""Rows of a file that somebody gives: Parquet, JSONL, CSV or TSV, read within limits.

What a row holds too much of, or what cannot be read of it, is the row's; what is wrong with the
file is an error. Neither takes more memory than the limits say.
"""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from caft.errors import ItemError

FileFormat = Literal["parquet", "jsonl", "csv", "tsv"]
_DEEPEST = 100  # levels of a cell
_CELLS = 8  # a row may be so many times as large as its largest cell
_ROWS = 256  # of a Parquet file at once


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


Row = tuple[int, dict[str, Any] | Unusable]
"""A row as an editor shows it, and its values by column."""


def read_rows(path: str, file_format: FileFormat, limits: Limits) -> Iterator[Row]:
    """Read a file row by row; in CSV and TSV every value is text, and an empty field is None.

    Raises:
        ItemError: if the file is too large, or cannot be read as that format.
    """
    require_size(path, Path(path).stat().st_size, limits)
    if file_format == "parquet":
        rows = _parquet(path, limits)
    elif file_format == "jsonl":
        rows = _jsonl(path, limits)
    else:
        rows = _csv(path, "," if file_format == "csv" else "\t", limits)
    try:
        for number, row in rows:
            yield number, row if isinstance(row, Unusable) else checked(row, limits)
    except UnicodeDecodeError:
        raise _no_text(path) from None


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
    for column, value in row.items():
        shown = f"column {str(column)[:60]!r}"
        if isinstance(value, str):
            if len(value) > limits.cell:
                return Unusable("too_large", limits.told(f"{shown} ({len(value)} characters)"))
        elif not _is_flat(value):
            return Unusable("too_deep", f"{shown} is nested deeper than {_DEEPEST} levels")
    return row


def _is_flat(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list | tuple)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return True
    return False


def _no_text(path: str) -> ItemError:
    """Say where a file is not UTF-8."""
    before = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                place = f"{path}, line {number} (byte {before + error.start})"
                return ItemError(f"{place}: not UTF-8; save the file as UTF-8.")
            before += len(line)
    return ItemError(f"{path}: not UTF-8; save the file as UTF-8.")


def _jsonl(path: str, limits: Limits) -> Iterator[Row]:
    # Lines end at "\n" alone: JSON strings may hold U+2028 and its like.
    most = limits.row
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        number = 0
        while line := file.readline(most + 1):
            number += 1
            if len(line) > most:
                while not line.endswith("\n") and (line := file.readline(most)):
                    pass
                yield number, Unusable("too_large", limits.told("the line"))
            elif line.strip():
                yield number, _json_row(line)


def _json_row(line: str) -> dict[str, Any] | Unusable:
    try:
        row = json.loads(line)
    except RecursionError:
        return Unusable("too_deep", "the line is nested too deeply")
    except ValueError as error:
        return Unusable("bad_json", f"the line is no JSON: {error}")
    return row if isinstance(row, dict) else Unusable("bad_json", "the line is no JSON object")


def _csv(path: str, delimiter: str, limits: Limits) -> Iterator[Row]:
    csv.field_size_limit(limits.row)
    with open(path, encoding="utf-8-sig", newline="") as file:

        def lines() -> Iterator[str]:
            while line := file.readline(limits.row + 1):
                if len(line) > limits.row:
                    raise csv.Error(limits.told("a cell"))
                yield line

        reader = csv.reader(lines(), delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            row = reader.line_num + 1
            for fields in reader:
                if len(fields) == len(header):
                    values = (value or None for value in fields)
                    yield row, dict(zip(header, values, strict=True))
                elif fields:
                    detail = f"{len(fields)} fields, the header has {len(header)}"
                    yield row, Unusable("bad_csv", detail)
                row = reader.line_num + 1
        except csv.Error as error:
            why = limits.told("a cell") if "field limit" in str(error) else str(error)
            line = reader.line_num + 1 if "max_cell_mb" in why else reader.line_num
            raise ItemError(f"{path}, line {line}: not valid CSV ({why}).") from error


def class_names(path: str, file_format: FileFormat | None) -> dict[str, list[str]]:
    """Return the names of the classes of a Parquet file's columns, if `datasets` wrote it."""
    if file_format != "parquet":
        return {}
    try:
        info = json.loads((pq.read_schema(path).metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:
        return {}
    found = {}
    match info:
        case {"info": {"features": dict(features)}}:
            for name, feature in features.items():
                match feature:
                    case {"_type": "ClassLabel", "names": [*names]}:
                        found[name] = [str(one) for one in names]
    return found


def _parquet(path: str, limits: Limits) -> Iterator[Row]:
    number, size = 0, 0.0
    try:
        metadata = pq.read_metadata(path)
        groups = range(metadata.num_row_groups)
        require_size(path, sum(metadata.row_group(n).total_byte_size for n in groups), limits)
        # Texts that are repeated stay one text until they are weighed.
        columns = (metadata.schema.column(n) for n in range(metadata.num_columns))
        texts = [one.path for one in columns if one.physical_type == "BYTE_ARRAY"]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(_ROWS):
                for weight, row in _rows_in(batch, limits):
                    number, size = number + 1, size + weight
                    require_size(path, size, limits)
                    yield number, row
    except (OSError, MemoryError, pa.ArrowException) as error:
        raise ItemError(f"{path}: cannot be read as Parquet ({str(error)[:300]}).") from error


def _rows_in(
    batch: pa.RecordBatch, limits: Limits
) -> Iterator[tuple[float, dict[str, Any] | Unusable]]:
    """Yield rows with the bytes that they hold; none is unpacked before it is weighed."""
    weight, count = sum(map(_weight, batch.columns)), batch.num_rows
    if weight <= limits.row:
        try:
            for row in batch.to_pylist(maps_as_pydicts="strict"):
                yield weight / count, row
            return
        except (ValueError, KeyError, OverflowError, RecursionError, pa.ArrowException) as error:
            if count == 1:
                yield weight, Unusable("not_text", f"a cell cannot be read: {str(error)[:200]}")
    elif count == 1:
        yield 0, Unusable("too_large", limits.told(f"the row ({weight} bytes)"))
    if count > 1:
        half = count // 2
        yield from _rows_in(batch.slice(0, half), limits)
        yield from _rows_in(batch.slice(half), limits)


def _weight(array: pa.Array) -> int:
    """Return how many bytes an array holds, each repetition counted."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.take(pc.binary_length(array.dictionary), array.indices)
        return (pc.sum(lengths).as_py() or 0) + 8 * len(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _weight(array.flatten()) + 8 * len(array)
    if pa.types.is_struct(kind):
        return sum(map(_weight, array.flatten())) + 8 * len(array)
    return int(array.nbytes)
