"""From rows to raw rows, by the names of columns and by paths below them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Any

from caft.datasets import RawRows
from caft.datasets.cells import (
    best,
    chosen,
    classes_in,
    holds,
    labelled,
    missing,
    options,
    scored,
    text,
)
from caft.datasets.settings import Parts, Table
from caft.errors import ItemError
from caft.tables.hashing import digest
from caft.tables.rows import BLANK, Row, Unusable
from caft.tables.selectors import Misfit, select

_SAMPLE = 1000  # rows that say what there is in the place of a column that is not there

Records = list[tuple[int, dict[str, Any]]]
"""Rows: their numbers as an editor shows them, and their values by column."""


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
    mapper = Mapper(table, file)
    raw = mapper.all(mapper.mapped(records, file, prefix, names or {}), required=False)
    raw.rows = list(raw.rows)
    return raw


class Mapper:
    """Turns rows into raw rows, file by file, while they are read; none is kept."""

    def __init__(self, table: Table, name: str):
        self._table, self._name = table, name
        self._columns: dict[str, Any] = table.columns.named()
        self._more = table.columns.more or {}
        self._asked = [what for what in self._columns if what.startswith("question")]
        self._selectors = table.columns.selectors()
        self._pattern = re.compile(table.answer_regex) if table.answer_regex else None
        self._below = any(
            "." in name or "[" in name for names in self._selectors.values() for name in names
        )
        self._known: dict[str, None] = {}  # columns that were seen
        self._held: set[str] = set()  # what had a value in some row
        self._sample: list[dict[str, Any]] = []
        self._had_text, self._bare = False, 0  # of the row before; rows without behind one with it
        # Scores become the place of the largest.
        place = "index0" if table.answer_format == "scores" else table.answer_format
        self._raw = RawRows((), table.answer_kind, place)
        parts = getattr(table, "parts", None)
        self._splits = parts.split_of() if isinstance(parts, Parts) else None

    def mapped(
        self,
        rows: Iterable[Row],
        file: str,
        prefix: str,
        names: Mapping[str, list[str]],
        split: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the raw rows of a file.

        Args:
            rows: numbers and values, or why a row is none.
            file: its name.
            prefix: of the source ids made from row numbers.
            names: of classes, by column.
            split: of all its rows; None if a column tells, or nothing.
        """
        classes = classes_in(names, self._selectors)
        for number, row in rows:
            if row is BLANK:
                self._raw.blank += 1
                continue
            source_id = None if "id" in self._columns else f"{prefix}{number}"
            try:
                if isinstance(row, Unusable):
                    source_id = None
                    raise Misfit(row.reason, row.detail)
                for selector, (column, known) in classes.items():
                    if isinstance(place := row.get(column), int) and 0 <= place < len(known):
                        row[selector] = known[place]
                self._note(row)
                values = self._values(row)
                if self._below:
                    self._held.update(what for what in values if holds(values[what]))
                source_id = values.get("id") if "id" in self._columns else source_id
                answer, rationale = self._parted(values)
                own = split or self._split(values.get("split"))
                more = {name: text(select(row, at), name, at) for name, at in self._more.items()}
                self._held.update(f"more.{name}" for name in more if more[name] is not None)
            except Misfit as misfit:
                reason, detail = misfit.args
                self._raw.rejected.append(_reject(file, number, source_id, reason, detail))
                continue
            yield {
                "file": file,
                "row": number,
                "source_id": source_id,
                **self._question(values),
                "options": values.get("options"),
                "answer": answer,
                "category": values.get("category"),
                "rationale": rationale,
                "split": own,
                **({"more": more} if more else {}),
            }

    def all(self, rows: Iterable[dict[str, Any]], required: bool = True) -> RawRows:
        """Return the raw rows of all files, which are read when somebody asks for them.

        Args:
            rows: from `mapped`. Behind the last one follows an ItemError if a mapped column was in
                no row, or if there was none.
            required: whether there have to be rows.
        """
        self._raw.rows = self._checked(rows, required)
        return self._raw

    def _checked(self, rows: Iterable[dict[str, Any]], required: bool) -> Iterator[dict[str, Any]]:
        yield from rows
        if self._bare and self._name.endswith((".xlsx", ".csv", ".tsv")):  # cells can be merged
            first = self._table.columns.question[0]
            self._raw.notes.append(
                f"{self._bare} questions without a text in {first} stand right behind one with it; "
                "if one cell is meant for several rows, fill it down."
            )
        if required and not self._sample and not self._raw.rejected:
            raise ItemError(f"{self._name}: the file has no rows.")
        looked_for = {
            what: [name for name in names if name not in self._known]
            for what, names in self._selectors.items()
            if what not in self._held
        }
        check_columns(self._sample, self._name, _named(looked_for))

    def _note(self, row: dict[str, Any]) -> None:
        if not row.keys() <= self._known.keys():
            self._known.update(dict.fromkeys(row))
            self._sample.append(row)
        elif len(self._sample) < _SAMPLE:
            self._sample.append(row)

    def _parted(self, values: dict[str, Any]) -> tuple[str | None, str | None]:
        """Return the answer and the rationale, which may stand in one column."""
        answer, rationale = values["answer"], values.get("rationale")
        if self._pattern and answer is not None:
            match = self._pattern.search(answer)
            if not match:
                raise Misfit("missing_answer", f"answer_regex finds nothing in {answer[:60]!a}")
            if self._columns.get("rationale") == self._columns["answer"]:
                rationale = answer[: match.start()].rstrip()
            answer = match.group(1)
        if values.get("labels") and self._table.answer_format == "letter":
            answer = labelled(answer, values["labels"])
        return answer, rationale

    def _question(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the question, and the text that it is about if that is another column."""
        *before, question = [values[what] for what in self._asked]
        if not before or not (question or "").strip():
            return {"question": question}
        texts = [text for text in before if (text or "").strip()]
        self._bare += self._had_text and not texts
        self._had_text = bool(texts)
        return {"question": "\n\n".join([*texts, question]), "about": texts[0] if texts else None}

    def _split(self, given: str | None) -> str | None:
        """Return the split of a row whose data set calls it so."""
        if given is None or self._splits is None:
            return given
        if given not in self._splits:
            shown = ", ".join(self._splits)
            raise Misfit("bad_split", f"`parts` names no split for {given[:60]!a}, but for {shown}")
        return self._splits[given]

    def _values(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what a row has for each named thing; the options' labels are among it."""
        values: dict[str, Any] = {}
        if self._table.shared_options:
            values["options"] = list(self._table.shared_options)
        for name, column in self._columns.items():
            if name == "options":
                values["options"], values["labels"] = self._options(row, column)
            elif name not in ("labels", "answer"):
                values[name] = text(select(row, column), name, column)
        given, labels = values.get("options"), values.get("labels")
        answer = self._columns["answer"]
        if self._table.answer_format == "scores":
            values["answer"] = best(row, answer, given, labels)
            return values
        value = select(row, answer)
        if (
            isinstance(value, bool)
            and self._table.answer_format == "text"
            and isinstance(given, list)
        ):
            values["answer"] = chosen(value, given)
        else:
            values["answer"] = text(value, "answer", answer)
        return values

    def _options(self, row: dict[str, Any], column: Any) -> tuple[Any, list[str] | None]:
        both = isinstance(column, str) and column == self._columns["answer"]
        if both and self._table.answer_format == "scores":
            return scored(row, column)
        return options(row, column, self._columns.get("labels"))


def check_columns(
    rows: Sequence[Mapping[str, Any]], file: str, selectors: Mapping[str, list[str]]
) -> None:
    """Check that each selector finds something in some row.

    Args:
        rows: the rows, or some of them.
        file: their file, for the message.
        selectors: by the key of the configuration that names them.

    Raises:
        ItemError: with what there is instead.
    """
    for what, names in selectors.items():
        for name in names:
            if rows and (there := missing(rows, name)):
                raise ItemError(f"{file}: no column {name!r} ({what}); {there}.")


def _named(selectors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {f"columns.{what}": names for what, names in selectors.items()}


def limited(raw: RawRows, limit: int | None) -> RawRows:
    """Keep the `limit` rows with the smallest content hash, in file order; None keeps all.

    The file's order plays no part, so a sorted file still gives a mixed sample.
    """
    if limit is not None:
        raw.rows = _smallest(raw.rows, limit)
    return raw


def _smallest(rows: Iterable[dict[str, Any]], limit: int) -> Iterator[dict[str, Any]]:
    def content(place: tuple[int, dict[str, Any]]) -> str:
        return digest([ascii(place[1][key]) for key in ("question", "options", "answer")])

    kept = nsmallest(limit, enumerate(rows), key=content)
    yield from (row for _, row in sorted(kept, key=lambda place: place[0]))


def _reject(file: str, row: int, source_id: str | None, reason: str, detail: str) -> dict[str, Any]:
    return {"file": file, "row": row, "source_id": source_id, "reason": reason, "detail": detail}
