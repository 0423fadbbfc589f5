"""Answers out of a store, for other tools."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caft.errors import StoreError
from caft.store.answers import Store
from caft.store.record import RECORD
from caft.tables.files import atomic_path

FORMATS = (".parquet", ".jsonl")


def export(store: Store, path: Path, model_id: str | None = None) -> int:
    """Write all answers, each key once, with the fields of `RECORD`; return how many.

    Args:
        store: where they are.
        path: the file to write, `.parquet` or `.jsonl`.
        model_id: only of this model.

    Raises:
        StoreError: if the file has another suffix or cannot be written.
    """
    if path.suffix not in FORMATS:
        raise StoreError(f"{path}: name a file that ends in {' or '.join(FORMATS)}.")
    keys = store.keys()
    if model_id is not None:
        keys &= set(store.table(["key"], model_id)["key"].to_pylist())
    write = _write_parquet if path.suffix == ".parquet" else _write_lines
    try:
        with atomic_path(path) as temporary:
            return write(temporary, store.batches(keys))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error}).") from error


def _write_parquet(path: Path, batches: Iterable[list[dict[str, Any]]]) -> int:
    count = 0
    with pq.ParquetWriter(path, RECORD, compression="zstd") as writer:
        for records in batches:
            writer.write_table(pa.Table.from_pylist(records, schema=RECORD))
            count += len(records)
    return count


def _write_lines(path: Path, batches: Iterable[list[dict[str, Any]]]) -> int:
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for records in batches:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            count += len(records)
    return count
