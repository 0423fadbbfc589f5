"""Segments: immutable Parquet files, named by their content, that lose only what is damaged.

The light columns of `record.LIGHT` are compressed and serve queries. The column `record` holds a
frame per row, stored as it is: wherever in the file a byte is wrong, the other frames can be found
in the raw bytes by their magic and are known to be right by their check. A frame is

    magic (8 bytes) | check (8) | bytes of the payload, of the record, row, rows (4 each) | payload

with the check over all that follows it, and the record's JSON, compressed with zstd, as payload.
"""

import json
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from caft.store.record import LIGHT, Contents, Damage, DamagedError, Place, light
from caft.tables.files import atomic_path
from caft.tables.hashing import file_sha256

SEGMENT_BYTES = 64 * 2**20  # of compressed records; a segment is made in memory
_GROUP_BYTES, _GROUP_ROWS = 4 * 2**20, 1000  # of a row group: the least that is read for an answer

_MAGIC = b"\xffcaft\xfe\x01\xff"  # no UTF-8, so no text holds it
_START = struct.Struct("<8s8s")
_COUNTS = struct.Struct("<4I")
_HEAD = _START.size + _COUNTS.size
_METADATA_KEY = "caft"
_CODEC = pa.Codec("zstd")

UNREADABLE = "no answer in it can be read"
DAMAGED = "is damaged; this answer is not used"
ELSEWHERE = "is damaged, but not in its answers: all of them are used"


class _Row(NamedTuple):
    light: dict[str, Any]
    length: int  # of the record's bytes
    payload: bytes  # compressed


class _Frame(NamedTuple):
    start: int
    size: int
    row: int
    rows: int
    body: bytes


def pack(folder: Path, bodies: Iterable[bytes]) -> list[Path]:
    """Write records into as few segments as their size allows; each is durable before the next.

    Args:
        folder: where the segments go.
        bodies: records as bytes; a segment sorts its own by key.

    Raises:
        OSError: if a write fails; what it concerns is then not there at all.
    """
    segments: list[Path] = []
    batch: list[_Row] = []
    size = 0
    for body in bodies:
        row = _Row(light(body), len(body), _CODEC.compress(body, asbytes=True))
        if batch and size + len(row.payload) > SEGMENT_BYTES:
            segments.append(_write(folder, batch))
            batch, size = [], 0
        batch.append(row)
        size += len(row.payload)
    return [*segments, _write(folder, batch)] if batch else segments


def _write(folder: Path, rows: list[_Row]) -> Path:
    rows = sorted(rows, key=lambda row: row.light["key"])
    table = pa.Table.from_pylist([row.light for row in rows], schema=LIGHT)
    promise = {"rows": len(rows), "columns": {name: _digest(table[name]) for name in LIGHT.names}}
    schema = pa.schema([*LIGHT, pa.field("record", pa.binary(), nullable=False)])
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression={name: "zstd" for name in LIGHT.names} | {"record": "none"},
        use_dictionary=["kind", "model_id", "revision", "finish_reason"],
        write_statistics=LIGHT.names,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        for first, end in pairwise(_group_starts(rows)):
            frames = [_frame(rows[number], number, len(rows)) for number in range(first, end)]
            columns = [*table.slice(first, end - first).columns, pa.array(frames, pa.binary())]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=end - first)
        writer.add_key_value_metadata({_METADATA_KEY: json.dumps(promise)})
    content = sink.getvalue()
    path = folder / f"{sha256(content).hexdigest()}.parquet"
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def _group_starts(rows: list[_Row]) -> list[int]:
    """Return where row groups start, and the end."""
    starts, size = [0], 0
    for number, row in enumerate(rows):
        if number > starts[-1] and (
            size + len(row.payload) > _GROUP_BYTES or number - starts[-1] >= _GROUP_ROWS
        ):
            starts.append(number)
            size = 0
        size += len(row.payload)
    return [*starts, len(rows)]


def _frame(row: _Row, number: int, rows: int) -> bytes:
    rest = _COUNTS.pack(len(row.payload), row.length, number, rows) + row.payload
    return _MAGIC + sha256(rest).digest()[:8] + rest


def _open_frame(data: bytes, start: int) -> _Frame | None:
    """Return the frame that begins at a byte, None if it is not intact."""
    head = data[start : start + _HEAD]
    if len(head) < _HEAD:
        return None
    magic, check = _START.unpack_from(head)
    size, length, row, rows = _COUNTS.unpack_from(head, _START.size)
    end = start + _HEAD + size
    rest = data[start + _START.size : end]
    if magic != _MAGIC or end > len(data) or sha256(rest).digest()[:8] != check:
        return None
    body = _CODEC.decompress(rest[_COUNTS.size :], decompressed_size=length, asbytes=True)
    return _Frame(start, end - start, row, rows, body)


def _digest(column: pa.ChunkedArray) -> str:
    return sha256(json.dumps(column.to_pylist()).encode()).hexdigest()[:16]


def is_intact(path: Path) -> bool:
    """Tell whether a segment's bytes are those that it is named by."""
    return file_sha256(path) == path.stem


def read_light(path: Path, columns: list[str]) -> pa.Table:
    """Read columns of `LIGHT`, without the records; one that did not exist yet then is null.

    Raises:
        FileNotFoundError: if the segment was merged into another one meanwhile.
        DamagedError: if these columns are not as they were written.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            promise = json.loads(file.metadata.metadata[_METADATA_KEY.encode()])["columns"]
            # Beside a name that only a wrong byte can have made, none counts as missing.
            own = [name for name in columns if name in promise or promise.keys() - LIGHT.names]
            table = file.read(columns=own, use_threads=False).select(own)
            table = table.replace_schema_metadata(None)
            right = table.schema.equals(pa.schema([LIGHT.field(name) for name in own])) and all(
                _digest(table[name]) == promise[name] for name in own
            )
            for name in (name for name in columns if name not in own):
                nulls = pa.nulls(file.metadata.num_rows, LIGHT.field(name).type)
                table = table.append_column(LIGHT.field(name), nulls)
    except FileNotFoundError:
        raise
    except Exception as error:  # a wrong byte in the footer can make Arrow raise anything
        raise DamagedError(path) from error
    if not right:
        raise DamagedError(path)
    return table.select(columns)


def read(path: Path) -> Contents:
    """Find the answers of a segment by its keys; its frames are looked at when they are needed.

    Raises:
        FileNotFoundError: if the segment was merged into another one meanwhile.
    """
    try:
        light = read_light(path, ["key", "received_at"])
    except DamagedError:
        return salvage(path)
    keys, times = (light[name].to_pylist() for name in ("key", "received_at"))
    received = (time or "" for time in times)
    return Contents(list(map(Place, keys, received, repeat(path), range(len(keys)))))


def salvage(path: Path) -> Contents:
    """Find the intact answers of a segment by their frames, whatever became of the file.

    Returns:
        The intact answers, and every lost one by its row, as far as a frame or the footer still
        tells how many there were.

    Raises:
        FileNotFoundError: if the segment was merged into another one meanwhile.
    """
    found, seen, rows = Contents(), set(), 0
    for frame in _scan(path.read_bytes()):
        record = json.loads(frame.body)
        received = record.get("received_at") or ""
        found.places.append(Place(record["key"], received, path, frame.start, frame.size))
        seen.add(frame.row)
        rows = frame.rows
    try:
        keys = dict(enumerate(read_light(path, ["key"])["key"].to_pylist()))
    except DamagedError:
        keys = {}
    lost = sorted(set(range(max(rows, len(keys)))) - seen)
    found.damage = [Damage(path, DAMAGED, row + 1, key=keys.get(row)) for row in lost]
    if not seen:
        found.damage.append(Damage(path, UNREADABLE))
    return found


def _scan(data: bytes) -> Iterator[_Frame]:
    start = data.find(_MAGIC)
    while start >= 0:
        frame = _open_frame(data, start)
        if frame:
            yield frame
        start = data.find(_MAGIC, start + (frame.size if frame else 1))


def bodies(path: Path, places: Iterable[Place]) -> Iterator[tuple[Place, bytes]]:
    """Read the records at these places, in the order in which they lie.

    Raises:
        FileNotFoundError: if the segment was merged into another one meanwhile.
        DamagedError: if one of them is not intact.
    """
    ordered = sorted(places, key=lambda place: place.start)
    read_frames = _frames_at if ordered[0].size else _frames_of_rows
    count = 0
    try:
        for place, frame in read_frames(path, ordered):
            if frame is None or not frame.body.startswith(_opening(place.key)):
                raise DamagedError(path)
            yield place, frame.body
            count += 1
    except (FileNotFoundError, DamagedError):
        raise
    except Exception as error:  # as in `read_light`
        raise DamagedError(path) from error
    if count < len(ordered):
        raise DamagedError(path)


def _opening(key: str) -> bytes:
    return b'{"key": ' + json.dumps(key, ensure_ascii=False).encode() + b","


def _frames_at(path: Path, places: list[Place]) -> Iterator[tuple[Place, _Frame | None]]:
    with open(path, "rb") as file:
        for place in places:
            file.seek(place.start)
            yield place, _open_frame(file.read(place.size), 0)


def _frames_of_rows(path: Path, places: list[Place]) -> Iterator[tuple[Place, _Frame | None]]:
    rows = [place.start for place in places]
    with pq.ParquetFile(path) as file:
        end = 0
        for group in range(file.num_row_groups):
            first, end = end, end + file.metadata.row_group(group).num_rows
            here = places[bisect_left(rows, first) : bisect_left(rows, end)]
            if not here:
                continue
            column = file.read_row_group(group, columns=["record"], use_threads=False)["record"]
            for place in here:
                yield place, _open_frame(column[place.start - first].as_py(), 0)
