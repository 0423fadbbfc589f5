"""The record of paid answers: append-only, content-addressed, for any number of writers, lock-free.

A process appends to a journal of its own and folds it into an immutable segment named by its
content. Readers take the union of all segments and journals, so a killed writer loses nothing that
counted as received.
"""

import json
import logging
import os
import socket
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from caft.errors import TeacherError
from caft.files import atomic_path, sync_folder
from caft.hashing import digest, rows_digest

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
        "cost_usd": pa.float64(),
        "seconds": pa.float64(),
        "received_at": pa.string(),  # ISO, UTC
        "raw": pa.string(),  # JSON
    }
)

log = logging.getLogger("caft")


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


class Store:
    """A folder of paid answers; as a context manager it folds this process's journal at the end.

    Records have the fields of `RECORD`. What others wrote is looked up once, at the first `get`.
    """

    def __init__(self, folder: str | Path):
        """Name the folder; it is made when something is appended."""
        self.folder = Path(folder)
        self._own: dict[str, dict[str, Any]] = {}
        self._journalled: dict[str, dict[str, Any]] = {}
        self._segments: dict[Path, set[str]] | None = None
        self._journal: BinaryIO | None = None

    def __enter__(self) -> "Store":
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Fold, after an error too."""
        self.fold()

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the stored records among `keys`; of duplicates the one that was received first.

        Raises:
            TeacherError: if a segment is damaged.
        """
        wanted = set(keys)
        found: dict[str, dict[str, Any]] = {}
        for path, present in self._load().items():
            if here := wanted & present:
                rows = _read_segment(path, filters=ds.field("key").isin(list(here)))
                _merge(found, rows.to_pylist())
        for known in (self._journalled, self._own):
            _merge(found, [known[key] for key in wanted & known.keys()])
        return found

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Store answers; once this returns they are on the disk and count as received.

        Args:
            records: fields of `RECORD`, those left out become null. A key that this process has
                already written is left as it is.

        Raises:
            ValueError: if a record has no key or an unknown field; nothing is written then.
        """
        lines, complete = [], {}
        for record in records:
            unknown = set(record) - set(RECORD.names)
            if not record.get("key") or unknown:
                raise ValueError(f"a record needs a key and only known fields; unknown: {unknown}")
            if record["key"] in self._own or record["key"] in complete:
                continue
            whole = {name: record.get(name) for name in RECORD.names}
            # Half a surrogate pair, which a server can send, has no UTF-8 form.
            line = json.dumps(whole, ensure_ascii=False).encode("utf-8", "replace")
            lines.append(line + b"\n")
            complete[record["key"]] = json.loads(line)
        if not lines:
            return
        journal = self._journal or self._open_journal()
        journal.write(b"".join(lines))
        journal.flush()
        os.fsync(journal.fileno())
        self._own |= complete

    def fold(self) -> Path | None:
        """Turn this process's journal into a segment; return its path, None without a journal."""
        if self._journal is None:
            return None
        self._journal.close()
        journal, self._journal = Path(self._journal.name), None
        records = sorted(_read_journal(journal).values(), key=lambda record: record["key"])
        rows = pa.Table.from_pylist(records, schema=RECORD)
        segment = self.folder / "segments" / f"{rows_digest(rows.to_pylist(), 64)}.parquet"
        with atomic_path(segment) as temporary:
            pq.write_table(rows, temporary, compression="zstd", write_page_checksum=True)
        journal.unlink()
        return segment

    def _open_journal(self) -> BinaryIO:
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}.jsonl"
        path = self.folder / "journals" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._journal = open(path, "xb")  # noqa: SIM115 - open until it is folded
        sync_folder(path.parent)
        sync_folder(self.folder)
        return self._journal

    def _load(self) -> dict[Path, set[str]]:
        if self._segments is None:
            # Journals first: one that its writer folds meanwhile is then found among the segments.
            for path in sorted(self.folder.glob("journals/*.jsonl")):
                _merge(self._journalled, _read_journal(path).values())
            self._segments = {
                path: set(_read_segment(path, columns=["key"])["key"].to_pylist())
                for path in sorted(self.folder.glob("segments/*.parquet"))
            }
        return self._segments


def _merge(found: dict[str, dict[str, Any]], records: Iterable[dict[str, Any]]) -> None:
    for record in records:
        # The first answer received wins wherever it lies, so a later duplicate changes no result.
        known = found.setdefault(record["key"], record)
        if (record["received_at"] or "") < (known["received_at"] or ""):
            found[record["key"]] = record


def _read_journal(path: Path) -> dict[str, dict[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:  # folded by its writer since it was listed
        return {}
    records: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            record = json.loads(line)
            records.setdefault(record["key"], {name: record.get(name) for name in RECORD.names})
        except (ValueError, KeyError, TypeError, AttributeError):
            cut = number == len(lines)
            what = "was cut off (its writer was stopped or still writes)" if cut else "is damaged"
            log.warning("%s, line %d: %s; that one answer is skipped.", path, number, what)
    return records


def _read_segment(path: Path, **selection: Any) -> pa.Table:
    try:
        return pq.read_table(path, page_checksum_verification=True, **selection)
    except (OSError, pa.ArrowException) as error:
        raise TeacherError(
            f"{path}: damaged; move it away and run again, only its answers are bought again "
            f"({str(error).splitlines()[0]})."
        ) from error
