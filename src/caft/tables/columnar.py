"""Rows of Parquet and Arrow files, unpacked a few at a time."""

import json
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import ipc

from caft.errors import ItemError
from caft.tables.rows import Limits, Row, Unusable, require_size

_ROWS = 1024  # of a file at once


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of the classes of columns with class labels, if `datasets` wrote them."""
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
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


def schema_of(file: IO[bytes], kind: str) -> pa.Schema:
    """Return the schema of a Parquet or Arrow file."""
    return pq.read_schema(file) if kind == "parquet" else _batches(file)[0]


def parquet_rows(path: str, file: IO[bytes], limits: Limits) -> Iterator[Row]:
    """Read a Parquet file, batch by batch of its row groups.

    Raises:
        ItemError: if it is damaged, or unpacks to more than a file may hold.
    """
    number, size = 0, 0.0
    try:
        metadata = pq.read_metadata(file)
        groups = range(metadata.num_row_groups)
        require_size(path, sum(metadata.row_group(n).total_byte_size for n in groups), limits)
        for batch in _parquet_batches(file, metadata):
            for weight, row in _rows_in(batch, limits):
                number, size = number + 1, size + weight
                require_size(path, size, limits)
                yield number, row
    except (OSError, MemoryError, pa.ArrowException) as error:
        raise ItemError(f"{path}: cannot be read as Parquet ({str(error)[:300]}).") from error


def _parquet_batches(file: IO[bytes], metadata: pq.FileMetaData) -> Iterator[pa.RecordBatch]:
    """Yield rows of a Parquet file; texts that are repeated stay one text until they are weighed.

    Arrow cannot do so in lists that go on in the next row group, so each group is read by itself.
    """
    columns = (metadata.schema.column(n) for n in range(metadata.num_columns))
    texts = [one.path for one in columns if one.physical_type == "BYTE_ARRAY"]
    table = pq.ParquetFile(file, read_dictionary=texts)
    for group in range(metadata.num_row_groups):
        yield from table.iter_batches(_ROWS, row_groups=[group])


def values_of(path: str, file: IO[bytes], column: str, limits: Limits) -> Iterator[Any]:
    """Yield the values of a column of a Parquet file, each once for some rows.

    Raises:
        ItemError: if it is damaged, or unpacks to more than a file may hold.
    """
    try:
        metadata = pq.read_metadata(file)
        groups = range(metadata.num_row_groups)
        require_size(path, sum(metadata.row_group(n).total_byte_size for n in groups), limits)
        table = pq.ParquetFile(file, read_dictionary=[column])
        for batch in table.iter_batches(_ROWS, columns=[column]):
            yield from batch.column(0).unique().to_pylist()
    except (OSError, MemoryError, pa.ArrowException) as error:
        raise ItemError(f"{path}: cannot be read as Parquet ({str(error)[:300]}).") from error


def arrow_rows(path: str, file: IO[bytes], limits: Limits) -> Iterator[Row]:
    """Read an Arrow file or stream, as Feather and `datasets` write them.

    Raises:
        ItemError: if it is damaged, or unpacks to more than a file may hold.
    """
    number, size = 0, 0.0
    try:
        for batch in _batches(file)[1]:
            for start in range(0, batch.num_rows, _ROWS):
                for weight, row in _rows_in(batch.slice(start, _ROWS), limits):
                    number, size = number + 1, size + weight
                    require_size(path, size, limits)
                    yield number, row
    except (OSError, MemoryError, pa.ArrowException) as error:
        raise ItemError(f"{path}: cannot be read as Arrow ({str(error)[:300]}).") from error


def _batches(file: IO[bytes]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    head = file.read(6)
    file.seek(0)
    if head == b"ARROW1":
        whole = ipc.open_file(file)
        return whole.schema, map(whole.get_batch, range(whole.num_record_batches))
    stream = ipc.open_stream(file)
    return stream.schema, iter(stream)


def _rows_in(
    batch: pa.RecordBatch, limits: Limits
) -> Iterator[tuple[float, dict[str, Any] | Unusable]]:
    """Yield rows with the bytes that they hold; none is unpacked before it is weighed."""
    weight, count = sum(map(_weight, batch.columns)), batch.num_rows
    if weight <= limits.row:
        try:
            for row in as_written(batch).to_pylist(maps_as_pydicts="strict"):
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


def as_written(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose numbers of single precision are as people write them: 0.1 stays 0.1."""
    short = [_with(pa.string(), one.type) for one in batch.columns]
    columns = [
        one if kind == one.type else one.cast(kind).cast(_with(pa.float64(), one.type))
        for one, kind in zip(batch.columns, short, strict=True)
    ]
    return pa.record_batch(columns, names=batch.schema.names)


def _with(number: pa.DataType, kind: pa.DataType) -> pa.DataType:
    """Return a type in which another one stands for single precision."""
    if pa.types.is_float32(kind):
        return number
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_with(number, kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with(number, field.type)) for field in kind])
    return kind


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
