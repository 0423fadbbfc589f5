"""Questions from a file, or from several of one form: Parquet, Arrow, JSON, CSV, TSV or Excel."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from caft.datasets import Adapter, RawRows
from caft.datasets.cells import as_text
from caft.datasets.mapping import Mapper, Records, check_columns, limited, sorted_out
from caft.datasets.parts import divided, require_parts, shown, suggested
from caft.datasets.settings import Parts, TableSettings
from caft.errors import ItemError
from caft.settings import Section, key, optional
from caft.tables.containers import FileFormat, wrong_encoding
from caft.tables.reading import (
    Part,
    Reading,
    by_name,
    class_names,
    lists_in,
    parts_of,
    read_rows,
)
from caft.tables.rows import BLANK, Limits
from caft.tables.selectors import select

_LIMITS = Limits()
_READ_AT_ONCE = 1_000_000  # bytes


class RationaleFile(Section):
    """A second file with worked solutions, joined by id."""

    path: str = key("The file.")
    id: str = key("Column with the id that `columns.id` also holds.")
    text: str = key("Column with the text.")


class File(TableSettings):
    """Files of your own: Parquet, Arrow, JSON, CSV, TSV or Excel, packed by gz, bz2, xz or zst."""

    reads_here: ClassVar = True

    adapter: Literal["file"]
    path: str = key(
        "The file; or a folder of files of one form, a pattern such as `data/*.jsonl.gz`, or a "
        "folder that `datasets` has saved."
    )
    format: FileFormat | None = optional(
        "Its format; by its first bytes and its ending if absent. JSON may be lines or an array."
    )
    encoding: str | None = optional(
        "Encoding of a text file without a mark, such as cp1252 or utf-16-le. UTF-8 if absent."
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = optional(
        "What separates values. If absent: comma (or tab), unless only another sign can."
    )
    sheet: str | None = optional("The sheet of a workbook that has several.")
    records: str | None = optional(
        "Where the rows are in a file that is one JSON object: `data`, or `data[].questions[]`; "
        "`[]` if each entry of the object is a row."
    )
    parts: Parts | None = optional(
        "Which values of `columns.split`, which parts of a saved data set, which files of a folder "
        "or pattern (`train` is `train.csv`, and all `train-00000-of-00002.parquet`), or which "
        "lists of a file that is one JSON object are which split. Others are refused."
    )
    rationales: RationaleFile | None = optional(
        "A second file with worked solutions, joined by id."
    )

    @property
    def reading(self) -> Reading:
        """How the files are read."""
        return Reading(self.format, self.encoding, self.delimiter, self.sheet, self.records)

    def files(self) -> list[str]:
        """Return the files, and that of the worked solutions."""
        try:
            found = [file for part in parts_of(self.path) for file in part.files]
        except ItemError:  # told by `problems`
            found = []
        return [*(found or [self.path]), *([self.rationales.path] if self.rationales else [])]

    @property
    def reads_at_once(self) -> bool:
        """Whether the files are so small that reading them takes about a second."""
        return sum(Path(file).stat().st_size for file in self.files()) <= _READ_AT_ONCE

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys, and files that are not there."""
        yield from super().problems()
        yield from self._absent()
        if self.encoding and (problem := wrong_encoding(self.encoding)):
            yield "encoding", problem
        if self.parts and (name := self.parts.doubled()):
            yield "parts", f"{name!r} is named twice."
        if self.parts and self.parts.leave_out and self.columns.split:
            yield "parts", "leave_out names parts, and `columns.split` has rows; give each a split."
        if self.rationales and self.columns.id is None:
            yield "columns", "rationales are joined by id; name the id column."

    def _absent(self) -> Iterator[tuple[str, str]]:
        try:
            if not any(part.files for part in parts_of(self.path)):
                yield "path", absent(self.path)
        except ItemError as error:
            yield "path", str(error)
        if self.rationales and not Path(self.rationales.path).is_file():
            yield "rationales.path", absent(self.rationales.path)

    @property
    def may_have_validation(self) -> bool:
        """Whether there can be validation items, by a share or by splits of the set's own."""
        return super().may_have_validation or bool(self.parts and self.parts.validation)

    @property
    def may_have_rationales(self) -> bool:
        """Whether a column or the second file holds worked solutions."""
        return super().may_have_rationales or self.rationales is not None


def absent(path: str) -> str:
    """Say that a path means no file."""
    if Path(path).is_dir():
        return f"no file with a known ending in the folder {path}; name one by a pattern."
    return f"no file {path}; paths start in the folder of the run."


def read(settings: File, seed: int, downloads: Path) -> RawRows:
    """Read the questions of the files; the config key of every column is in `columns`.

    Raises:
        ItemError: if there is no file; and while rows are read, if one is empty, is not what its
            keys say, or lacks a mapped column.
    """
    parts = _parts(settings)
    if not any(part.files for part in parts):
        raise ItemError(
            f"{settings.path}: no such file; check `path` of this dataset in the config."
        )
    _check_parts(settings, parts)
    left = settings.parts.left_out() if settings.parts else []
    files = [(file, part) for part in parts if part.name not in left for file in part.files]
    mapper = Mapper(settings, settings.path)
    raw = mapper.all(_mapped(settings, files, mapper))
    raw.notes += _own_names(settings, [file for file, _ in files])
    if settings.rationales:
        raw.rows = _with_rationales(raw.rows, settings.rationales, settings)
    return limited(raw, settings.limit)


def _mapped(
    settings: File, files: list[tuple[str, Part]], mapper: Mapper
) -> Iterator[dict[str, Any]]:
    for file, part in files:
        how = replace(settings.reading, records=part.records or settings.records)
        rows = read_rows(file, settings.limits, how)
        names = class_names(file, settings.limits, how)
        split = settings.parts.split_of()[part.name] if settings.parts and part.name else None
        prefix = "".join(f"{name}/" for name in (part.name, _shard(file, part)) if name)
        shown = f"{file}, {part.records}" if part.records else file
        yield from mapper.mapped(rows, shown, prefix, names, split)


def _parts(settings: File) -> list[Part]:
    """Return the parts: of one JSON object its lists, of several files those of one name.

    Raises:
        ItemError: if `parts` is given, and neither a column nor the files have any.
    """
    parts = parts_of(settings.path)
    if not parts or parts[0].name or settings.columns.split or not settings.parts:
        return parts
    (whole,) = parts
    if len(whole.files) > 1:
        return by_name(whole.files)
    (file,) = whole.files
    lists = [Part([file], n, n) for n in lists_in(file, settings.limits, settings.reading)]
    if not lists or settings.records:
        raise ItemError(
            f"{settings.path}: has no parts of its own, as several files or one JSON object of "
            "lists have; name the column of splits as `columns.split`, or leave "
            "out `parts`."
        )
    return lists


def _own_names(settings: File, files: list[str]) -> Iterator[str]:
    """Warn of files that are called as splits, where all of them are read as one."""
    if settings.parts or settings.columns.split:
        return
    parts, _ = divided(part.name or "" for part in by_name(files))
    if parts:
        yield (
            f"{parts['train'][0]} and {parts['test'][0]} are read as one set, whose splits are "
            f"drawn; to keep theirs, set {shown(parts)}."
        )


def _shard(file: str, part: Part) -> str | None:
    """Return what tells a file from the others of its part, whose rows have the same numbers."""
    if len(part.files) == 1:
        return None
    name = Path(file).name
    if [Path(one).name for one in part.files].count(name) == 1:
        return name
    return Path(os.path.relpath(file, os.path.commonpath(part.files))).as_posix()


def _check_parts(settings: File, parts: list[Part]) -> None:
    names = [part.name for part in parts if part.name]
    if not names:
        return
    if not settings.parts:
        raise ItemError(
            f"{settings.path}: has the parts {', '.join(names)}; set `path` to one of them, such "
            f"as {settings.path}/{names[0]}, or map them: {suggested(names)}."
        )
    require_parts(settings.path, names, settings.parts)


def read_records(
    path: str, file_format: FileFormat | None = None, limits: Limits = _LIMITS
) -> tuple[Records, list[dict[str, Any]]]:
    """Read a file's rows as dicts, and the rows that are no rows as quarantine entries.

    Args:
        path: of the file.
        file_format: its format; told by the file where it is None. In csv and tsv every value is
            text and an empty field is None; nothing else is missing.
        limits: of its size.

    Raises:
        ItemError: if the file is missing, empty, too large, or cannot be read as that format.
    """
    if not Path(path).is_file():
        raise ItemError(f"{path}: no such file; check `path` of this dataset in the config.")
    rows = read_rows(path, limits, Reading(file_format))
    records, rejected = sorted_out(path, (row for row in rows if row[1] is not BLANK))
    if not records and not rejected:
        raise ItemError(f"{path}: the file has no rows.")
    return records, rejected


def _with_rationales(
    rows: Iterable[dict[str, Any]], source: RationaleFile, settings: File
) -> Iterator[dict[str, Any]]:
    records, _ = read_records(source.path, limits=settings.limits)
    check_columns(
        [record for _, record in records],
        source.path,
        {"rationales.id": [source.id], "rationales.text": [source.text]},
    )
    texts: dict[str | None, str | None] = {}
    for _, record in records:
        name, solution = select(record, source.id), select(record, source.text)
        texts.setdefault(as_text(name), as_text(solution))
    found = False
    for row in rows:
        found = found or row["source_id"] in texts
        row["rationale"] = texts.get(row["source_id"], row["rationale"])
        yield row
    if not found:
        raise ItemError(
            f"{source.path}: no value of {source.id!r} is an id in {settings.path}; check "
            "columns.id and rationales.id."
        )


ADAPTER = Adapter(File, read)
