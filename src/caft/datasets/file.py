"""Questions from a Parquet, JSONL, CSV or TSV file."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from caft.datasets import Adapter, RawRows
from caft.datasets.cells import (
    Misfit,
    as_text,
    best,
    chosen,
    labelled,
    missing,
    name_classes,
    options,
    select,
    text,
)
from caft.datasets.settings import Table, TableSettings
from caft.errors import ItemError
from caft.settings import Section, key, optional
from caft.tables.hashing import digest
from caft.tables.rows import FileFormat, Limits, Row, Unusable, class_names, read_rows

_FORMATS: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
}
_LIMITS = Limits()

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
    names = class_names(settings.path, settings.format or format_of(settings.path))
    raw = map_rows(records, settings.path, settings, names=names)
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
    file_format = file_format or format_of(path)
    if not Path(path).is_file():
        raise ItemError(f"{path}: no such file; check `path` of this dataset in the config.")
    if file_format is None:
        raise ItemError(f"{path}: unknown suffix; set `format` to parquet, jsonl, csv or tsv.")
    records, rejected = sorted_out(path, read_rows(path, file_format, limits))
    if not records and not rejected:
        raise ItemError(f"{path}: the file has no rows.")
    return records, rejected


def format_of(path: str) -> FileFormat | None:
    """Return the format that a file's name ends in."""
    return _FORMATS.get(Path(path).suffix.lower())


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


def map_rows(
    records: Records,
    file: str,
    table: Table,
    prefix: str = "",
    names: Mapping[str, list[str]] | None = None,
) -> RawRows:
    """Turn records into raw rows by the names of their columns.

    Args:
        records: row number and column values.
        file: the name that messages and the quarantine show.
        table: what stands in which column; where `answer_regex` is set, its one group is the
            answer, and a rationale from the same column ends before the match.
        prefix: of the source ids made from row numbers, used where no id column is mapped.
        names: of the classes of columns that hold class labels, see `cells.name_classes`.

    Raises:
        ItemError: if a mapped column is in no record.
    """
    columns = {what: column for what, column in table.columns if column is not None}
    more = columns.pop("more", {})
    selectors = table.columns.selectors()
    name_classes(records, names or {}, selectors)
    _check_columns(records, file, selectors)
    pattern = re.compile(table.answer_regex) if table.answer_regex else None
    # Scores become the place of the largest.
    scored = table.answer_format == "scores"
    raw = RawRows([], table.answer_kind, "index0" if scored else table.answer_format)
    for row, record in records:
        source_id = None if "id" in columns else f"{prefix}{row}"
        try:
            values = _values(record, columns, table)
            kept = {name: text(select(record, one), name, one) for name, one in more.items()}
            source_id = values.get("id") if "id" in columns else source_id
            answer, rationale = values["answer"], values.get("rationale")
            if pattern and answer is not None:
                match = pattern.search(answer)
                if not match:
                    raise Misfit("missing_answer", f"answer_regex finds nothing in {answer[:60]!a}")
                if columns.get("rationale") == columns["answer"]:
                    rationale = answer[: match.start()].rstrip()
                answer = match.group(1)
            if values.get("labels") and table.answer_format == "letter":
                answer = labelled(answer, values["labels"])
        except Misfit as misfit:
            reason, detail = misfit.args
            raw.rejected.append(_reject(file, row, source_id, reason, detail))
            continue
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
            raw.rows[-1]["more"] = kept
    return raw


def _values(record: dict[str, Any], columns: dict[str, Any], table: Table) -> dict[str, Any]:
    """Return what a row has for each named thing; the options' labels are among it."""
    values: dict[str, Any] = {}
    for name, column in columns.items():
        if name == "options":
            values["options"], values["labels"] = options(record, column, columns.get("labels"))
        elif name not in ("labels", "answer"):
            values[name] = text(select(record, column), name, column)
    given, labels = values.get("options"), values.get("labels")
    answer = columns["answer"]
    if table.answer_format == "scores":
        values["answer"] = best(record, answer, given, labels)
        return values
    value = select(record, answer)
    if isinstance(value, bool) and table.answer_format == "text" and isinstance(given, list):
        values["answer"] = chosen(value, given)
    else:
        values["answer"] = text(value, "answer", answer)
    return values


def _check_columns(records: Records, file: str, selectors: Mapping[str, list[str]]) -> None:
    rows = [record for _, record in records]
    for what, names in selectors.items():
        for name in names:
            if rows and (there := missing(rows, name)):
                raise ItemError(f"{file}: no column {name!r} (columns.{what}); {there}.")


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
    _check_columns(records, source.path, {"id": [source.id], "text": [source.text]})
    texts: dict[str | None, str | None] = {}
    for _, record in records:
        name, solution = select(record, source.id), select(record, source.text)
        texts.setdefault(as_text(name), as_text(solution))
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
