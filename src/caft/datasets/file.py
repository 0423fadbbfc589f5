"""Questions from a Parquet, JSONL, CSV or TSV file."""

import ast
import json
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from caft.datasets import Adapter, RawRows
from caft.datasets.settings import Columns, Table, TableSettings
from caft.errors import ItemError
from caft.settings import Section, key, optional
from caft.tables.hashing import digest
from caft.tables.rows import FileFormat, Limits, Row, Unusable, read_rows

_FORMATS: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
}
_LIMITS = Limits()
_LONGEST_LIST = 100_000  # characters of a text that is read as a list in Python's words

Records = list[tuple[int, dict[str, Any]]]  # (row as an editor shows it, column -> value)


class RationaleFile(Section):
    """A second file with worked solutions, joined by id."""

    path: str = key("The file.")
    id: str = key("Column with the id that `columns.id` also holds.")
    text: str = key("Column with the text.")


class File(TableSettings):
    """A Parquet, JSONL, CSV or TSV file of your own."""

    reads_here: ClassVar = True

    adapter: Literal["file"]
    path: str = key("The file.")
    format: FileFormat | None = optional("Its format; by its ending if absent.")
    rationales: RationaleFile | None = optional(
        "A second file with worked solutions, joined by id."
    )

    def files(self) -> list[str]:
        """Return the file, and that of the worked solutions."""
        return list(self._files().values())

    def _files(self) -> dict[str, str]:
        more = {"rationales.path": self.rationales.path} if self.rationales else {}
        return {"path": self.path, **more}

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys, and files that are not there."""
        yield from super().problems()
        for name, file in self._files().items():
            if not Path(file).is_file():
                yield name, f"no file {file}; paths start in the folder of the run."
        if self.rationales and self.columns.id is None:
            yield "columns", "rationales are joined by id; name the id column."
        if self.answer_kind == "choice" and self.columns.options is None:
            yield "columns", "answer_kind is choice; name the options, or set the kind."

    @property
    def may_have_rationales(self) -> bool:
        """Whether a column or the second file holds worked solutions."""
        return super().may_have_rationales or self.rationales is not None


def read(settings: File, seed: int, downloads: Path) -> RawRows:
    """Read the questions of one file; the config key of every column is in `columns`.

    Raises:
        ItemError: if the file is missing, empty, not UTF-8, or lacks a mapped column.
    """
    records, rejected = read_records(settings.path, settings.format, settings.limits)
    raw = map_rows(records, settings.path, settings)
    raw.rejected += rejected
    if settings.rationales:
        _join_rationales(raw, settings.rationales, settings)
    return limited(raw, settings.limit)


def read_records(
    path: str, file_format: FileFormat | None = None, limits: Limits = _LIMITS
) -> tuple[Records, list[dict[str, Any]]]:
    """Read a file's rows as dicts, and the rows that are no rows as quarantine entries.

    Args:
        path: of the file.
        file_format: parquet, jsonl, csv or tsv; by the file's suffix where it is None. In csv and
            tsv every value is text and an empty field is None; nothing else is missing.
        limits: of its size.

    Raises:
        ItemError: if the file is missing, empty, too large, or cannot be read as that format.
    """
    file_format = file_format or _FORMATS.get(Path(path).suffix.lower())
    if not Path(path).is_file():
        raise ItemError(f"{path}: no such file; check `path` of this dataset in the config.")
    if file_format is None:
        raise ItemError(f"{path}: unknown suffix; set `format` to parquet, jsonl, csv or tsv.")
    records, rejected = sorted_out(path, read_rows(path, file_format, limits))
    if not records and not rejected:
        raise ItemError(f"{path}: the file has no rows.")
    return records, rejected


def sorted_out(file: str, rows: Iterable[Row]) -> tuple[Records, list[dict[str, Any]]]:
    """Part rows into those that can be used and quarantine entries."""
    records: Records = []
    rejected: list[dict[str, Any]] = []
    for number, row in rows:
        if isinstance(row, Unusable):
            rejected.append(_reject(file, number, None, row.reason, row.detail))
        else:
            records.append((number, row))
    return records, rejected


def map_rows(records: Records, file: str, table: Table, prefix: str = "") -> RawRows:
    """Turn records into raw rows by the names of their columns.

    Args:
        records: row number and column values.
        file: the name that messages and the quarantine show.
        table: what stands in which column; where `answer_regex` is set, its one group is the
            answer, and a rationale from the same column ends before the match.
        prefix: of the source ids made from row numbers, used where no id column is mapped.

    Raises:
        ItemError: if a mapped column is in no record.
    """
    columns, more = _named(table.columns), table.columns.more or {}
    _check_columns(records, file, columns)
    _check_columns(records, file, {f"more.{name}": column for name, column in more.items()})
    pattern = re.compile(table.answer_regex) if table.answer_regex else None
    raw = RawRows([], table.answer_kind, table.answer_format)
    for row, record in records:
        values = {
            name: _options(record, column) if name == "options" else as_text(record.get(column))
            for name, column in columns.items()
        }
        source_id = values.get("id") if "id" in columns else f"{prefix}{row}"
        answer, rationale = values["answer"], values.get("rationale")
        if pattern and answer is not None:
            match = pattern.search(answer)
            if not match:
                detail = f"answer_regex finds nothing in {answer[:60]!a}"
                raw.rejected.append(_reject(file, row, source_id, "missing_answer", detail))
                continue
            if columns.get("rationale") == columns["answer"]:
                rationale = answer[: match.start()].rstrip()
            answer = match.group(1)
        raw.rows.append(
            {
                "file": file,
                "row": row,
                "source_id": source_id,
                "question": values["question"],
                "options": values.get("options"),
                "answer": answer,
                "category": values.get("category"),
                "rationale": rationale,
                "split": values.get("split"),
            }
        )
        if more:
            kept = {name: as_text(record.get(column)) for name, column in more.items()}
            raw.rows[-1]["more"] = kept
    return raw


def _named(columns: Columns) -> dict[str, Any]:
    return {what: column for what, column in columns if column is not None and what != "more"}


def _check_columns(records: Records, file: str, columns: Mapping[str, Any]) -> None:
    known = dict.fromkeys(name for _, record in records for name in record)
    for what, column in columns.items():
        for name in column if isinstance(column, list) else [column]:
            if records and name not in known:
                there = ", ".join(known)
                raise ItemError(
                    f"{file}: no column {name!r} (columns.{what}); the file has: {there}."
                )


def as_text(value: Any) -> str | None:
    """Return a cell as text; null, NaN and the empty string are None."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, str) else str(value)


def _options(record: dict[str, Any], column: str | list[str]) -> Any:
    """Return the options as a list of texts, None where there are none, or the value as it is.

    Several columns hold one option each; empty ones at the end are options the question lacks.
    """
    if isinstance(column, list):
        options = [as_text(record.get(name)) for name in column]
        while options and options[-1] is None:
            options.pop()
        return options
    value = record.get(column)
    if isinstance(value, str):
        value = parse_list(value)
    return [as_text(option) for option in value] if isinstance(value, list | tuple) else value


def parse_list(text: str) -> Any:
    """Return what a text holds that is written as JSON, or in Python's words; else the text."""
    for parse in (json.loads, ast.literal_eval)[: 2 if len(text) <= _LONGEST_LIST else 1]:
        try:
            with warnings.catch_warnings(action="ignore"):
                return parse(text.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return text


def limited(raw: RawRows, limit: int | None) -> RawRows:
    """Keep the `limit` rows with the smallest content hash, in file order; None keeps all.

    The file's order plays no part, so a sorted file still gives a mixed sample.
    """
    if limit is None:
        return raw

    def content(index: int) -> str:
        return digest([ascii(raw.rows[index][key]) for key in ("question", "options", "answer")])

    kept = sorted(sorted(range(len(raw.rows)), key=content)[:limit])
    raw.rows = [raw.rows[index] for index in kept]
    return raw


def _join_rationales(raw: RawRows, source: RationaleFile, settings: File) -> None:
    records, _ = read_records(source.path, limits=settings.limits)
    _check_columns(records, source.path, {"id": source.id, "text": source.text})
    texts: dict[str | None, str | None] = {}
    for _, record in records:
        texts.setdefault(as_text(record.get(source.id)), as_text(record.get(source.text)))
    if not any(row["source_id"] in texts for row in raw.rows):
        raise ItemError(
            f"{source.path}: no value of {source.id!r} is an id in {settings.path}; check "
            "columns.id and rationales.id."
        )
    for row in raw.rows:
        row["rationale"] = texts.get(row["source_id"], row["rationale"])


def _reject(file: str, row: int, source_id: str | None, reason: str, detail: str) -> dict[str, Any]:
    return {"file": file, "row": row, "source_id": source_id, "reason": reason, "detail": detail}


ADAPTER = Adapter(File, read)
