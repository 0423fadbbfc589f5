"""Content hashes: of items, of config slices, of tables and of files."""

import hashlib
import json
import os
import re
import time
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from caft import layout
from caft.tables.files import write_text

_HASHED_BYTES = 64_000_000
_SETTLED_NS = 5_000_000_000  # after a change, until the next one surely has another time
_SHA256 = re.compile("[0-9a-f]{64}")


def _dict(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"JSON has no word for {type(value).__name__}")


def _encoder(ascii_alone: bool) -> json.JSONEncoder:
    return json.JSONEncoder(
        sort_keys=True, ensure_ascii=ascii_alone, separators=(",", ":"), default=_dict
    )


_JSON, _ASCII_JSON = _encoder(False), _encoder(True)


def canonical_json(value: Any) -> str:
    """Serialise to the one JSON text that equal values share: UTF-8, sorted keys, NFC strings.

    Raises:
        TypeError: if the value holds something JSON has no word for.
    """
    text = _ASCII_JSON.encode(value)  # which takes a third of the time
    if "\\u" not in text:  # then nothing was escaped that the other one leaves as it is
        return text
    text = _JSON.encode(value)
    # Parts of an NFC text are NFC, so almost always nothing is left to do.
    normal = text.isascii() or (not _has_run(text) and unicodedata.is_normalized("NFC", text))
    return text if normal else _JSON.encode(_normalise(value))


def nfc(text: str) -> str:
    """Return a text in the normal form NFC.

    One in which more than 100 marks follow each other, which no script writes, stays as it is:
    putting marks into their order takes the square of their number.
    """
    return text if text.isascii() or _has_run(text) else unicodedata.normalize("NFC", text)


def _has_run(text: str) -> bool:
    return _runs().search(text) is not None


@cache
def _runs() -> re.Pattern[str]:
    marks = "".join(one for one in map(chr, range(0x1F000)) if unicodedata.combining(one))
    return re.compile(f"[{marks}]{{100}}")


def _normalise(value: Any) -> Any:
    if isinstance(value, str):
        return nfc(value)
    if isinstance(value, Mapping):
        return {_normalise(key): _normalise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normalise(item) for item in value]
    return value


def digest(value: Any, length: int = 16) -> str:
    """Return the first `length` hex digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def item_id(question: str, options: list[str] | None, answer: str) -> str:
    """Return an item's id: 16 hex digits over its content (DESIGN: question, options, answer)."""
    return digest({"question": question, "options": options, "answer": answer})


def rows_digest(rows: Iterable[Mapping[str, Any]], length: int = 16) -> str:
    """Hash rows in the given order; equal rows give equal digests on every machine."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(canonical_json(row).encode())
        sha.update(b"\n")
    return sha.hexdigest()[:length]


def file_sha256(path: str | Path) -> str:
    """Return the sha256 hex digest of a file, read in blocks."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def remembered_sha256(path: str | Path) -> str:
    """Return the sha256 of a file; that of a large one is remembered as long as nobody writes it.

    What is remembered stands under path, size, inode and times of the last change, of the content
    and of the entry: whoever writes a file or puts another one in its place changes one of them. A
    file that changed in the last seconds is not remembered, as a clock may not tell two writes
    apart. Without what is remembered files are read again.
    """
    state = os.stat(path)
    if state.st_size <= _HASHED_BYTES:
        return file_sha256(path)
    times = [state.st_mtime_ns, state.st_ctime_ns]
    place = [os.path.realpath(path), state.st_size, state.st_ino, *times]
    memory = Path(layout.HASHES, digest(place, 32))
    try:
        known = memory.read_text(encoding="ascii")
    except OSError:
        known = ""
    if _SHA256.fullmatch(known):
        return known
    found = file_sha256(path)
    if time.time_ns() - max(times) > _SETTLED_NS:
        with suppress(OSError):  # a folder that cannot be written costs time, nothing else
            write_text(memory, found)
    return found


def fingerprint(path: str | Path) -> str:
    """Return what tells a file's content from any other, cheap enough to ask before every run.

    Up to 64 MB that is the sha256 of the content. Of a larger file it is the size and the time of
    the last change in nanoseconds, which also an older file that takes its place does not share.
    """
    state = os.stat(path)
    if state.st_size <= _HASHED_BYTES:
        return _sha256_once(path, (state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return f"{state.st_size} bytes of {state.st_mtime_ns}"


@cache
def _sha256_once(path: str | Path, state: tuple[int, int, int]) -> str:
    """Hash a file again only when it was written, or another one took its place."""
    return file_sha256(path)


def fingerprints(paths: Iterable[str | Path]) -> dict[str, str]:
    """Return the `fingerprint` of each file that is there, by its path."""
    return {str(path): fingerprint(path) for path in paths if os.path.isfile(path)}


def unit_interval(*parts: Any) -> float:
    """Map any values to a reproducible number in [0, 1), uniform over different inputs.

    The seeded draws of splits, samples and random buckets use it: a row's draw depends on the row
    alone, so adding rows moves no other row.
    """
    return int(digest(list(parts)), 16) / 16**16
