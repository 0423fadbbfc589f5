"""What a file of questions probably means, found by trying how it may be read."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from caft.datasets import read_section
from caft.datasets.candidates import doubts, readings, untold
from caft.datasets.columns import columns_of
from caft.datasets.ingest import Ingested, ingest
from caft.datasets.mapping import Mapper
from caft.datasets.parts import SPLITS, divided, guessed
from caft.datasets.sources import Source, Start, preferred, sheets_of, source_of, start_of
from caft.errors import ItemError
from caft.settings import NAME
from caft.tables.reading import Part, Reading, column_of
from caft.tables.rows import Limits, Unusable

_GOOD = 0.9  # share of rows that a reading has to make items of
_MOST_SPLITS = 10  # values of a column of splits
_MOST_WAYS = 30  # lists or sheets that are looked into
_PLACES = re.compile(
    r"\b(?:all|any|none|neither|both|either) of (?:the|these) (?:above|others?|options)\b"
    r"|\b(?:both|either|neither)? ?\(?[A-E]\)? (?:and|or|nor) \(?[A-E]\)?(?!\w)",
    re.IGNORECASE,
)
_SPLITS = {"train": 0.6, "validation": 0.1, "test": 0.3}
_NO_VALIDATION = {"train": 0.7, "validation": 0.0, "test": 0.3}


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
class _Way:
    """What may be read.

    Attributes:
        keys: of the section that name it.
        files: that it has, of one form.
        records: where the rows are in its file, if that is a part of one JSON object.
        leave: keys of `columns` that are not to be looked for.
        notes: on the keys.
    """

    keys: Mapping[str, Any]
    files: list[str]
    records: str | None
    leave: set[str]
    notes: list[str]


@dataclass
class _Read:
    """How the first rows are read best.

    Attributes:
        keys: of the section that say where and how rows stand.
        how: the files are read.
        files: all of them.
        start: how one of them begins.
        reading: keys that say what is in which column.
        split: the column that is called as one of splits, if there is one.
        made: items of the first rows.
        notes: on the keys.
    """

    keys: dict[str, Any]
    how: dict[str, Any]
    files: list[str]
    start: Start
    reading: dict[str, Any]
    split: str | None
    made: Ingested
    notes: list[str]

    def section(
        self, parts: Mapping[str, list[str]] | None = None, validation: bool = True
    ) -> dict[str, Any]:
        """Return the section; shares leave out validation where parts or a column have none."""
        shares = dict(_SPLITS if validation else _NO_VALIDATION)
        return {
            **self.keys,
            **({"parts": parts} if parts else {}),
            "splits": shares,
            **self.reading,
        }


def guess(path: str) -> Guess:
    """Look into a file, and find a section of the configuration that reads it.

    Args:
        path: a file, a folder or a pattern, as `path` of the adapter `file`.

    Raises:
        ItemError: if it cannot be read, or no reading makes items of most rows.
    """
    source = source_of(path)
    parts, notes = divided(source.names)
    if parts:
        read, section = _by_parts(path, source, parts, notes)
    else:
        read, section = _by_column(_likeliest(path, _ways(source)))
    made, notes = _tried(section, read.start), read.notes
    if isinstance(asked := section["columns"]["question"], list):
        notes.append(f"columns.question: {' and '.join(asked)} are one question, in this order.")
    one_place = any("`shuffle_options: true`" in one for one in made.report["warnings"])
    if one_place and _names_places(made.items):
        notes.append(
            "shuffle_options: stays off, as options speak of others by their places, such as "
            '"none of the above"; but the right option stands in one place nearly always.'
        )
    elif one_place:
        section["shuffle_options"] = True
        notes.append("shuffle_options: the right option stands in one place nearly always.")
        made = _tried(section, read.start)
    return Guess(section, made, [*notes, *made.report["warnings"]])


def _names_places(items: pd.DataFrame) -> bool:
    """Tell whether options of more than a few questions speak of others by their places."""
    several = items["options"].dropna()
    found = [any(map(_PLACES.search, options)) for options in several]
    return sum(found) > 0.02 * len(found)


def _by_parts(
    path: str, source: Source, parts: dict[str, list[str]], notes: list[str]
) -> tuple[_Read, dict[str, Any]]:
    """Return a section that maps parts, as far as their rows are like those of train.

    Raises:
        ItemError: if those of train cannot be read.
    """
    first = source.part(parts["train"][0])
    read = _best(path, _Way(source.keys, first.files, first.records, {"split", "id"}, []))
    others = [source.part(name) for name in source.names if name not in parts.get("leave_out", [])]
    unlike = [one.name or "" for one in others if one is not first and not _fits(read, one)]
    if unlike:
        told = f"not read, as less than {_GOOD:.0%} of the first rows become items"
        parts, notes = divided(name for name in source.names if name not in unlike)
        if not parts:
            note = f"{told}: {', '.join(unlike)}; splits are drawn from {first.name}."
            return _by_column(_best(path, _alone(source, first.name or "", note)))
        parts["leave_out"] = [*parts.get("leave_out", []), *unlike]
        notes.append(f"parts: {told}: {', '.join(unlike)}.")
    read.notes += notes
    return read, read.section(parts, "validation" in parts)


def _fits(read: _Read, part: Part) -> bool:
    """Tell whether rows of a part become items as others do; its encoding is noted as theirs."""
    columns = read.reading["columns"]
    always = ("question", "options", "labels", "answer")
    needed = {key: columns[key] for key in always if key in columns}
    given = {**read.how, **({"records": part.records} if part.records else {})}
    try:
        start = start_of(part.files[0], given)
        _tried({**read.section(), "columns": needed}, start)
    except ItemError:
        return False
    more = {key: value for key, value in start.how.items() if key not in given}
    if more.keys() <= {"encoding"}:
        read.keys |= more
        read.how |= more
        read.notes += start.notes
        return True
    return False


def _ways(source: Source) -> list[_Way]:
    """Return what may be read as one set, whose splits are drawn or in a column."""
    names = source.names
    known = guessed(names)
    untrained = "train" not in known and sum(map(len, known.values())) == len(names)
    if len(names) > 1 and (untrained or not source.together) and preferred(names) in source.alone:
        each = bool(source.parts[0].records) and not known
        picked = names[:_MOST_WAYS] if each else [preferred(names)]
        return [_alone(source, name, _only(name, names)) for name in picked]
    if not source.together:
        return [_alone(source, names[0])]
    files, keys = source.files, source.keys
    leave = _left(keys, files)
    sheets = sheets_of(files[0]) if len(files) == 1 else []
    if sheets:
        return [
            _Way({**keys, "sheet": one}, files, None, leave, [_only(one, sheets)])
            for one in sheets[:_MOST_WAYS]
        ]
    return [_Way(keys, files, None, leave, [])]


def _only(name: str, names: list[str]) -> str:
    return f"only {name} is read; not read: {', '.join(one for one in names if one != name)}."


def _alone(source: Source, name: str, *notes: str) -> _Way:
    """Return one part as what is read.

    Raises:
        ItemError: if no path means its files and no others.
    """
    if name not in source.alone:
        raise ItemError(
            f"{source.keys['path']}: its parts are {', '.join(source.names)}, and {name} alone can "
            "be read; give a pattern that means its files only."
        )
    keys, part = source.alone[name], source.part(name)
    return _Way(keys, part.files, part.records, _left(keys, part.files), list(notes))


def _left(keys: Mapping[str, Any], files: list[str]) -> set[str]:
    """Return what is not looked for; ids often begin anew in each file."""
    return ({"id"} if len(files) > 1 else set()) | ({"split"} if "id" in keys else set())


def _likeliest(path: str, ways: Iterable[_Way]) -> _Read:
    """Return what makes the most items.

    Raises:
        ItemError: if nothing makes items of nearly all rows.
    """
    best: _Read | None = None
    refused: list[ItemError] = []
    for way in ways:
        try:
            read = _best(path, way)
        except ItemError as error:
            refused.append(error)
            continue
        if best is None or len(read.made.items) > len(best.made.items):
            best = read
    if best is None:
        raise refused[0]
    return best


def _best(path: str, way: _Way) -> _Read:
    """Return the reading that makes items of most rows.

    Raises:
        ItemError: if none makes items of nearly all of them; with the notes on what was read.
    """
    given = {key: way.keys[key] for key in ("sheet", "records") if key in way.keys}
    given |= {"records": way.records} if way.records else {}
    start = start_of(way.files[0], given)
    notes = [*way.notes, *start.notes]
    keys = {**way.keys, **start.how}
    if way.records and "records" not in way.keys:
        del keys["records"]  # of a part
    try:
        values = columns_of(_records(path, start), start.classes)
        reading, split, made = _understood(path, keys, start, values, way.leave)
    except ItemError as error:
        raise ItemError(" ".join([str(error), *notes])) from error
    notes += doubts(values, reading["columns"])
    return _Read(keys, start.how, way.files, start, reading, split, made, notes)


def _understood(
    path: str,
    keys: Mapping[str, Any],
    start: Start,
    values: Mapping[str, list[Any]],
    leave: set[str],
) -> tuple[dict[str, Any], str | None, Ingested]:
    """Return what is in which column, that of splits beside it, and the items of the first rows.

    Raises:
        ItemError: if no reading makes items of nearly all rows.
    """
    best: tuple[dict[str, Any], str | None, Ingested] | None = None
    why = ""
    for reading in readings(values, leave):
        split = reading["columns"].pop("split", None)
        try:
            made = _tried({**keys, "splits": _SPLITS, **reading}, start)
        except ItemError as error:
            if reading.get("answer_format") != "scores":
                told = "; ".join(str(error).split("; ")[1:2])
                why = why or f" Read with {reading['columns']}: {told}."
            continue
        if best is None or len(made.items) > len(best[2].items):
            best = reading, split, made
        if not made.report["rejected"]:
            break
    if best is None:
        raise ItemError(f"{path}: {untold(values, _records(path, start)[0])}{why}")
    return best


def _records(path: str, start: Start) -> list[dict[str, Any]]:
    """Return the first rows that can be read.

    Raises:
        ItemError: if most cannot, or there are none.
    """
    rows = start.rows
    found = [row for _, row in rows if not isinstance(row, Unusable)]
    if len(found) < _GOOD * len(rows):
        number, bad = next((n, row) for n, row in rows if isinstance(row, Unusable))
        raise ItemError(
            f"{path}, row {number}: {bad.detail}, like {len(rows) - len(found)} of the first "
            f"{len(rows)} rows."
        )
    if not found:
        raise ItemError(f"{path}: the file has no rows.")
    return found


def _by_column(read: _Read) -> tuple[_Read, dict[str, Any]]:
    """Return a section that keeps the splits of a column, if they are train and another."""
    if read.split is None:
        return read, read.section()
    names = _splits_in(read.split, read.files, Reading(**read.how))
    parts, notes = divided(names)
    if not parts or "leave_out" in parts or len(names) > _MOST_SPLITS:
        read.notes.append(
            f"splits: are drawn, although there is a column {read.split!r}: it has "
            f"{', '.join(names[:_MOST_SPLITS])}, and not train with test or validation alone."
        )
        return read, read.section()
    read.notes += notes
    read.reading["columns"]["split"] = read.split
    ours = set(names) <= set(SPLITS) and "test" in names
    return read, read.section(None if ours else parts, "validation" in parts)


def _splits_in(column: str, files: list[str], how: Reading) -> list[str]:
    """Return what a column of all files holds, up to some more values than splits may have."""
    found: dict[str, None] = {}
    for file in files:
        for value in column_of(file, column, Limits(), how):
            if value not in (None, ""):
                found[str(value)[:60]] = None
            if len(found) > _MOST_SPLITS:
                return list(found)
    return list(found)


def name_of(path: str) -> str:
    """Return a name for a data set, from that of its file."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(path).name.split(".")[0]).strip("_-")
    return stem if re.fullmatch(NAME, stem) else "mine"


def _tried(section: dict[str, Any], start: Start) -> Ingested:
    """Return what the rows become.

    Raises:
        ItemError: if few of them become items.
    """
    settings: Any = read_section(section)
    name = section.get("path") or section["id"]
    mapper = Mapper(settings, name)
    return ingest(
        mapper.all(mapper.mapped(start.rows, name, "", start.classes)),
        settings.splits,
        1,
        "guess",
        1 - _GOOD,
        shuffle=bool(settings.shuffle_options),
    )
