"""What a file really is, by its first bytes, and how it is opened: unpacked, and as text."""

import bz2
import codecs
import gzip
import io
import lzma
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from caft.errors import ItemError
from caft.tables.rows import Limits, Unread, require_size

FileFormat = Literal["parquet", "arrow", "jsonl", "json", "csv", "tsv", "xlsx"]

_FORMATS: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
_RECORDS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # of hub
_PACKED = (".gz", ".bz2", ".xz", ".zst")


def _zstd(path: str) -> Any:
    import pyarrow as pa

    return pa.input_stream(path, compression="zstd")


_UNPACK: dict[bytes, Callable[[str], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstd,
}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it starts with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BINARY: dict[bytes, FileFormat] = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow",
}
_SQUARE = "save it as a workbook (.xlsx) or as CSV and name that file"
_OTHER = {
    b"\xd0\xcf\x11\xe0": f"is an Excel file of before 2007 (.xls); {_SQUARE}",
    b"SQLite format 3": "is an SQLite database; export the table as CSV or Parquet",
    b"%PDF": "is a PDF; give a table of questions",
    b"\x89HDF": "is an HDF5 file; write the table as Parquet",
    b"\x80\x04": "is a pickle, which may run code and is never opened; write it as Parquet",
    b"\x80\x05": "is a pickle, which may run code and is never opened; write it as Parquet",
    b"Rar!": "is a RAR archive; unpack it",
    b"7z\xbc\xaf": "is a 7z archive; unpack it",
    b"\x04\x22\x4d\x18": "is packed by lz4; pack it by gz or zst, or unpack it",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file; get it by `git lfs pull`",
    b"<!DOCTYPE html": "is a web page; download the file itself",
    b"<!doctype html": "is a web page; download the file itself",
    b"<html": "is a web page; download the file itself",
}
_HEAD = 1 << 16
_WESTERN = ("cp1252", "iso8859-1", "iso8859-15")  # in which UTF-8 is read as other letters


def format_of(path: str | Path) -> FileFormat | None:
    """Return the format that a file's name ends in; an ending such as .gz says nothing of it."""
    path = Path(path)
    if path.name in _RECORDS:
        return None
    if path.suffix.lower() in _PACKED:
        path = path.with_suffix("")
    return _FORMATS.get(path.suffix.lower())


@contextmanager
def opened(path: str, limits: Limits) -> Iterator[IO[bytes]]:
    """Open a file, unpacked if it is packed by gz, bz2, xz or zst, whatever its name says.

    Raises:
        ItemError: if it is damaged, or holds more than a file may.
    """
    with _stream(path) as stream:
        if not _unpacker(path):
            yield stream
            return
        with tempfile.TemporaryDirectory() as folder, (Path(folder) / "whole").open("w+b") as whole:
            size = 0
            try:
                while block := stream.read(_HEAD):
                    size += len(block)
                    require_size(path, size, limits)
                    whole.write(block)
            except (EOFError, OSError, lzma.LZMAError) as error:
                raise ItemError(f"{path}: cannot be unpacked ({str(error)[:200]}).") from error
            whole.seek(0)
            yield whole


def _unpacker(path: str) -> Callable[[str], Any] | None:
    with open(path, "rb") as file:
        head = file.read(8)
    return next((unpack for mark, unpack in _UNPACK.items() if head.startswith(mark)), None)


def _stream(path: str) -> Any:
    unpack = _unpacker(path)
    return unpack(path) if unpack else open(path, "rb")


def head_of(path: str) -> bytes:
    """Return the first bytes of a file's content.

    Raises:
        ItemError: if it cannot be unpacked.
    """
    try:
        with _stream(path) as stream:
            head: bytes = stream.read(_HEAD)
            return head
    except (EOFError, OSError, lzma.LZMAError) as error:
        raise ItemError(f"{path}: cannot be unpacked ({str(error)[:200]}).") from error


def really(path: str, given: FileFormat | None) -> FileFormat:
    """Return the format of a file: as given, else by its first bytes, else by its name.

    Raises:
        ItemError: if it is nothing that holds rows, or something else than was given, or nothing
            tells what it is; saying what it is, and the key that reads it.
    """
    head = head_of(path)
    for mark, words in _OTHER.items():
        if head.lstrip().startswith(mark):
            raise ItemError(f"{path}: {words}.")
    found = next((kind for mark, kind in _BINARY.items() if head.startswith(mark)), None)
    if head[257:262] == b"ustar":
        raise ItemError(f"{path}: is a tar archive; unpack it and name a file of it.")
    if head.startswith(b"PK\x03\x04"):
        found = _zip(path)
    if found and given and given != found:
        raise ItemError(f"{path}: is a file of the format {found}; set `format: {found}`.")
    kind = given or found or format_of(path)
    if kind in ("csv", "tsv") and not given and _looks(head) == "json":
        told = f"{path}: begins like JSON, whatever its name says; set `format: jsonl`, or {kind}."
        raise Unread(told, format="jsonl")
    if kind is None:
        looks = _looks(head)
        raise Unread(
            f"{path}: its name does not tell what it is; set `format` to parquet, arrow, jsonl, "
            f"json, csv, tsv or xlsx. It looks like `format: {looks}`.",
            format=looks,
        )
    return kind


def _zip(path: str) -> FileFormat:
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, OSError):
        names = []
    if any(name.startswith("xl/") for name in names):
        return "xlsx"
    if "content.xml" in names:
        raise ItemError(f"{path}: is an OpenDocument file; {_SQUARE}.")
    shown = ", ".join(names[:3])
    raise ItemError(f"{path}: is a zip archive ({shown}); unpack it and name a file of it.")


def _looks(head: bytes) -> str:
    line = head.decode(_marked(head) or "utf-8", "replace").lstrip().split("\n")[0]
    if line[:1] in ("[", "{"):
        return "json"
    return "tsv" if "\t" in line else "csv"


def _marked(head: bytes) -> str | None:
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)


@contextmanager
def text_of(
    path: str, encoding: str | None, newline: str, limits: Limits
) -> Iterator[io.TextIOWrapper]:
    """Open a text file: in the encoding of its mark, else as given, else in UTF-8.

    Raises:
        ItemError: if it is in another encoding; naming the place, and the key.
    """
    with opened(path, limits) as file:
        head = file.read(_HEAD)
        file.seek(0)
        name = _marked(head) or encoding or "utf-8"
        if name == "utf-8" and (kind := _unmarked(head)):
            message = f"{path}: is text in UTF-16 without a mark; set `encoding: {kind}`."
            raise Unread(message, encoding=kind)
        if codecs.lookup(name).name in _WESTERN and _is_utf8(head):
            raise Unread(f"{path}: is text in UTF-8; set `encoding: utf-8`.", encoding="utf-8")
        try:
            with io.TextIOWrapper(file, encoding=name, newline=newline) as text:
                yield text
        except UnicodeError:
            raise _undecoded(path, name, limits) from None


def _is_utf8(head: bytes) -> bool:
    """Tell whether bytes, which may end in the midst of a letter, are UTF-8 and not ASCII alone."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not head.isascii()


def _unmarked(head: bytes) -> str | None:
    """Return the kind of UTF-16 that text is in, of which every second byte is often 0."""
    for kind, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        half = head[first::2]
        if half.count(0) > len(half) / 4:
            return kind
    return None


def _undecoded(path: str, name: str, limits: Limits) -> ItemError:
    """Say where a file is not in an encoding, and which key would read it."""
    shown = "UTF-8" if name.startswith("utf-8") else name
    before = 0
    with opened(path, limits) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(name)
            except UnicodeDecodeError as error:
                place = f"{path}, line {number} (byte {before + error.start})"
                told = f"{place}: not {shown}; {_guess(line, error.start, shown)}"
                return Unread(told, encoding="cp1252") if shown == "UTF-8" else ItemError(told)
            before += len(line)
    return ItemError(f"{path}: not {shown}; set `encoding` to that in which it was saved.")


def _guess(line: bytes, start: int, shown: str) -> str:
    part = line[max(0, start - 12) : start + 12]
    if shown != "UTF-8":
        return "set `encoding` to the one in which it was saved."
    return (
        f"set `encoding: cp1252` if this is right in it: {part.decode('cp1252', 'replace')!r}, "
        "else `encoding` to the one in which it was saved."
    )


def wrong_encoding(name: str) -> str | None:
    """Say what is wrong with the name of an encoding; None if nothing is."""
    try:
        b"".decode(name)
    except LookupError:
        return f"no encoding {name!r}; such as utf-8, utf-16-le, cp1252, latin-1, shift_jis."
    return None
