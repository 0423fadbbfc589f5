"""What a file of questions probably means, found by trying how it may be read."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from caft.datasets import read_section
from caft.datasets.candidates import doubts, readings, untold
from caft.datasets.columns import columns_of
from caft.datasets.file import absent
from caft.datasets.ingest import Ingested, ingest
from caft.datasets.mapping import Mapper
from caft.datasets.parts import guessed
from caft.errors import ItemError
from caft.settings import NAME
from caft.tables.containers import format_of
from caft.tables.files import files_in
from caft.tables.reading import Reading, class_names, lists_in, parts_of, read_rows
from caft.tables.rows import Limits, Row, Unread, Unusable

_ROWS = 1000  # that are looked at
_SHOWN = 30  # folders in a message
_GOOD = 0.9  # share of rows that a reading has to make items of
_SPLITS = {"train": 0.6, "validation": 0.1, "test": 0.3}


@dataclass
class Guess:
    """How a file would be read, and what that gives.

    Attributes:
        section: of the configuration, in plain values.
        made: items of the first rows.
        notes: what was done beside the columns, and why.
    """

    section: dict[str, Any]
    made: Ingested
    notes: list[str]


@dataclass
class _Looked:
    """What a file shows before its columns are understood."""

    section: dict[str, Any]
    notes: list[str]
    rows: list[Row]
    classes: Mapping[str, list[str]]
    leave: set[str]  # keys of `columns` that are not to be looked for

    @property
    def records(self) -> list[dict[str, Any]]:
        return [row for _, row in self.rows if not isinstance(row, Unusable)]


def guess(path: str) -> Guess:
    """Look into a file, and find a section of the configuration that reads it.

    Args:
        path: a file, a folder or a pattern, as `path` of the adapter `file`.

    Raises:
        ItemError: if it cannot be read, or no reading makes items of most rows.
    """
    looked = _look_into(path)
    section, made = _best(path, looked)
    notes = looked.notes
    if isinstance(asked := section["columns"]["question"], list):
        notes.append(f"columns.question: {' and '.join(asked)} are one question, in this order.")
    if any("`shuffle_options: true`" in one for one in made.report["warnings"]):
        section["shuffle_options"] = True
        notes.append("shuffle_options: the right option stands in one place nearly always.")
        made = _tried(section, looked)
    return Guess(section, made, [*notes, *made.report["warnings"]])


def _look_into(path: str) -> _Looked:
    """Return the first rows of a file, and the keys that say where and how they stand.

    Raises:
        ItemError: if it is not there, or most of its first rows cannot be read.
    """
    of_hub = _files_of_hub(path)
    parts = [] if of_hub else parts_of(path)
    files = of_hub or [file for part in parts for file in part.files]
    if not files:
        raise ItemError(absent(path))
    how, notes, rows = _first_rows(files[0])
    section: dict[str, Any] = {"adapter": "file", "path": path, **how}
    alone = len(files) == 1 and how.keys() == {"records"}
    lists = lists_in(files[0], Limits(), Reading()) if alone else []
    if of_hub and not how:
        names = [Path(file).name for file in of_hub]
        section = {"adapter": "hub", "id": path, "parts": {one: one for one in guessed(names)}}
    elif names := [part.name for part in parts if part.name]:
        section["parts"], note = _mapped(names)
        notes += note
    elif _are_splits(lists):
        del section["records"]
        section["parts"], notes = _mapped(lists)
    # Ids often begin anew in each file, and only one is looked at.
    leave = ({"split"} if "parts" in section else set()) | ({"id"} if len(files) > 1 else set())
    classes = class_names(files[0], Limits(), Reading(**how))
    looked = _Looked({**section, "splits": _SPLITS}, notes, rows, classes, leave)
    _check_rows(path, rows, len(looked.records))
    return looked


def _check_rows(path: str, rows: list[Row], readable: int) -> None:
    if readable < _GOOD * len(rows):
        number, bad = next((n, row) for n, row in rows if isinstance(row, Unusable))
        raise ItemError(
            f"{path}, row {number}: {bad.detail}, like {len(rows) - readable} of the first "
            f"{len(rows)} rows."
        )
    if not readable:
        raise ItemError(f"{path}: the file has no rows.")


def _best(path: str, looked: _Looked) -> tuple[dict[str, Any], Ingested]:
    """Return the section that makes items of most rows, and these.

    Raises:
        ItemError: if none makes items of nearly all of them.
    """
    values = columns_of(looked.records, looked.classes)
    best: tuple[dict[str, Any], Ingested] | None = None
    why = ""
    for reading in readings(values, looked.leave):
        section = {**looked.section, **reading}
        try:
            made = _tried(section, looked)
        except ItemError as error:
            if section.get("answer_format") != "scores":
                told = "; ".join(str(error).split("; ")[1:2])
                why = why or f" Read with {section['columns']}: {told}."
            continue
        if best is None or len(made.items) > len(best[1].items):
            best = section, made
        if not made.report["rejected"]:
            break
    if best is None:
        raise ItemError(f"{path}: {untold(values, looked.records[0])}{why}")
    looked.notes.extend(doubts(values, best[0]["columns"]))
    return best


def _files_of_hub(path: str) -> list[str]:
    """Return the files of a local folder in the hub's form: each is named after its split."""
    folder = Path(path)
    if not folder.is_dir() or (folder / "dataset_dict.json").is_file():
        return []
    files = [file for file in files_in(path, "**") if format_of(file)]
    found = guessed(Path(file).name for file in files)
    whole = sum(map(len, found.values())) == len(files)
    places = Counter(str(Path(file).parent) for file in files)
    if whole and len(places) > 1 and _are_repeated(files):
        raise ItemError(
            f"{path}: has the same splits in several folders; name one of them: "
            f"{', '.join(list(places)[:_SHOWN])}."
        )
    return files if whole and {"train", "test"} <= found.keys() else []


def _are_repeated(files: list[str]) -> bool:
    """Tell whether several folders have a file of one name, as configurations have."""
    return len({Path(file).name for file in files}) < len(files)


def _are_splits(names: list[str]) -> bool:
    """Tell whether names are those of splits, train and another at least, and no other is there."""
    found = guessed(names)
    return {"train"} < found.keys() and sum(map(len, found.values())) == len(names)


def _mapped(names: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the split of each part, and a note where one that is no test has to be it."""
    found = guessed(names)
    if "test" in found or "validation" not in found:
        return found, []
    found["test"] = found.pop("validation")
    return found, [f"parts: there is no test; {', '.join(found['test'])} stands for it."]


def name_of(path: str) -> str:
    """Return a name for a data set, from that of its file."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(path).name.split(".")[0]).strip("_-")
    return stem if re.fullmatch(NAME, stem) else "mine"


def _first_rows(file: str) -> tuple[dict[str, Any], list[str], list[Row]]:
    """Return the keys that read a file, a note on each, and its first rows."""
    how: dict[str, Any] = {}
    notes: list[str] = []
    while True:
        try:
            rows = islice(read_rows(file, Limits(), Reading(**how)), _ROWS)
            return how, notes, list(rows)
        except Unread as error:
            if error.mend.keys() <= how.keys():
                raise
            how.update(error.mend)
            notes.append(str(error))


def _tried(section: dict[str, Any], looked: _Looked) -> Ingested:
    """Return what the rows become.

    Raises:
        ItemError: if few of them become items.
    """
    settings: Any = read_section(section)
    name = section.get("path") or section["id"]
    mapper = Mapper(settings, name)
    return ingest(
        mapper.all(mapper.mapped(looked.rows, name, "", looked.classes)),
        settings.splits,
        1,
        "guess",
        1 - _GOOD,
        shuffle=bool(settings.shuffle_options),
    )
