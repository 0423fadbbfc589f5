"""What a path leads to: files, their parts, and the keys of the configuration that name them."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape
from itertools import islice
from pathlib import Path
from typing import Any

from caft.datasets.file import absent
from caft.datasets.parts import guessed
from caft.errors import ItemError
from caft.tables.containers import format_of, really
from caft.tables.files import files_in
from caft.tables.reading import (
    Part,
    Reading,
    by_name,
    class_names,
    lists_in,
    parts_of,
    read_rows,
    sheets_in,
)
from caft.tables.rows import Limits, Row, Unread

ROWS = 1000  # that are looked at
_SHOWN = 30  # folders in a message
_SHARD = re.compile(r"[^/]+-\d{5}-of-\d{5}[^/]*")  # a file that the hub's library calls so
_PRIORITY = ("test", "validation", "train")


@dataclass(frozen=True)
class Source:
    """What a path leads to.

    Attributes:
        keys: of a section of the configuration that name it.
        parts: of it; one without a name where there are none.
        alone: the keys that name one part, by its name.
        together: whether `keys` read all parts as one.
    """

    keys: Mapping[str, Any]
    parts: list[Part]
    alone: Mapping[str, Mapping[str, Any]]
    together: bool = False

    @property
    def names(self) -> list[str]:
        """The names of the parts."""
        return [part.name for part in self.parts if part.name]

    def part(self, name: str) -> Part:
        """Return the part of a name."""
        return next(part for part in self.parts if part.name == name)

    @property
    def files(self) -> list[str]:
        """All files."""
        return [file for part in self.parts for file in part.files]


@dataclass
class Start:
    """How a file begins.

    Attributes:
        how: the keys that read it.
        notes: on each of these keys.
        rows: its first ones.
        classes: names of the classes of columns that hold class labels.
    """

    how: dict[str, Any]
    notes: list[str]
    rows: list[Row]
    classes: Mapping[str, list[str]]


def source_of(path: str) -> Source:
    """Find what a path leads to.

    Raises:
        ItemError: if it leads to nothing, or to several data sets.
    """
    if files := _files_of_hub(path):
        return _of_hub(path, files)
    keys = {"adapter": "file", "path": path}
    parts = parts_of(path)
    if not any(part.files for part in parts):
        raise ItemError(absent(path))
    if parts[0].name:
        alone = {part.name or "": {**keys, "path": f"{path}/{part.name}"} for part in parts}
        return Source(keys, parts, alone)
    (whole,) = parts
    if len(whole.files) > 1:
        return _of_files(keys, whole.files)
    lists = _lists(whole.files[0])
    if not lists:
        return Source(keys, parts, {}, together=True)
    alone = {name: {**keys, "records": name} for name in lists}
    return Source(keys, [Part(whole.files, name, name) for name in lists], alone)


def start_of(file: str, given: Mapping[str, Any]) -> Start:
    """Read the first rows of a file.

    Args:
        file: its path.
        given: keys that read it, as far as they are known.

    Raises:
        ItemError: if no further key reads it.
    """
    how, notes = dict(given), list[str]()
    while True:
        try:
            rows = list(islice(read_rows(file, Limits(), Reading(**how)), ROWS))
            return Start(how, notes, rows, class_names(file, Limits(), Reading(**how)))
        except Unread as error:
            if error.mend.keys() <= how.keys():
                raise
            how.update(error.mend)
            notes.append(str(error))


def preferred(names: list[str]) -> str:
    """Return the part to read if one alone is read: test before validation, train and others."""
    found = guessed(names)
    return next((found[split][0] for split in _PRIORITY if split in found), names[0])


def sheets_of(file: str) -> list[str]:
    """Return the sheets of a workbook that has several."""
    sheets = sheets_in(file, Limits()) if _format(file) == "xlsx" else []
    return sheets if len(sheets) > 1 else []


def _format(file: str) -> str | None:
    """Return a file's format, if the file tells it."""
    try:
        return really(file, None)
    except Unread:
        return None


def _lists(file: str) -> list[str]:
    """Return the lists of a file that is one JSON object, and asks for one of them."""
    how: dict[str, Any] = {}
    while _format(file) == "json":
        try:
            next(read_rows(file, Limits(), Reading(**how)), None)
            break
        except Unread as error:
            if "records" in error.mend:
                return lists_in(file, Limits(), Reading(**how))
            if error.mend.keys() <= how.keys():
                break
            how.update(error.mend)
    return []


def _of_files(keys: dict[str, Any], files: list[str]) -> Source:
    parts = by_name(files)
    paths = {part.name or "": _path_of(part.files) for part in parts}
    alone = {name: {**keys, "path": path} for name, path in paths.items() if path}
    return Source(keys, parts, alone, together=True)


def _path_of(files: list[str]) -> str | None:
    """Return a path that means these files and no others, if there is one."""
    if len(files) == 1:
        return files[0]
    name = by_name(files)[0].name or ""
    pattern = f"{escape(str(Path(files[0]).parent / name))}-*-of-*"
    found = [file for part in parts_of(pattern) for file in part.files]
    return pattern if found == sorted(files) else None


def _files_of_hub(path: str) -> list[str]:
    """Return the files of a folder in the hub's form: below it, and named after their splits."""
    folder = Path(path)
    if not folder.is_dir() or (folder / "dataset_dict.json").is_file():
        return []
    files = [file for file in files_in(path, "**") if format_of(file)]
    found = guessed(Path(file).name for file in files)
    whole = bool(found) and sum(map(len, found.values())) == len(files)
    places = Counter(str(Path(file).parent) for file in files)
    if whole and len(places) > 1 and _are_repeated(files):
        raise ItemError(
            f"{path}: has the same splits in several folders; name one of them: "
            f"{', '.join(list(places)[:_SHOWN])}."
        )
    below = places.keys() != {str(folder)}
    return files if below and (whole or (found and _are_shards(path, files))) else []


def _are_shards(path: str, files: list[str]) -> bool:
    """Tell whether files are called so that the hub's library takes any name for a split."""
    folder = Path(path) / "data"
    return all(Path(file).parent == folder and _SHARD.fullmatch(Path(file).name) for file in files)


def _are_repeated(files: list[str]) -> bool:
    """Tell whether several folders have a file of one name, as configurations have."""
    return len({Path(file).name for file in files}) < len(files)


def _of_hub(path: str, files: list[str]) -> Source:
    """Return the parts of a folder in the hub's form.

    Only Parquet is read alike by the hub's library and by ours, and that library has names of its
    own for some splits; where they differ, the files are named.
    """
    sharded = _are_shards(path, files)
    own_names = not sharded and any("eval" in Path(file).name.casefold() for file in files)
    if own_names or {format_of(file) for file in files} != {"parquet"}:
        endings = {Path(file).suffix for file in files}
        pattern = f"{escape(path)}/**/*{endings.pop()}"
        if [file for part in parts_of(pattern) for file in part.files] == files:
            return _of_files({"adapter": "file", "path": pattern}, files)
    parts = by_name(files) if sharded else _by_split(files)
    names = [part.name for part in parts]
    keys = {"adapter": "hub", "id": path}
    alone = {name or "": {**keys, "parts": [name]} for name in names}
    return Source({**keys, "parts": names}, parts, alone, together=True)


def _by_split(files: list[str]) -> list[Part]:
    paths = {Path(file).name: file for file in files}
    return [Part([paths[name] for name in names], split) for split, names in guessed(paths).items()]
