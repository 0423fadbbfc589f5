"""Rows of files that somebody gives, whatever their format, packing and encoding."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from caft.errors import ItemError
from caft.tables import columnar, texts, workbook
from caft.tables.containers import FileFormat, format_of, opened, really, text_of
from caft.tables.files import read_json
from caft.tables.rows import Limits, Row, Unusable, checked, require_size
from caft.tables.selectors import Misfit, select

_PACKED = re.compile(r"\.(gz|bz2|xz|zst)$", re.IGNORECASE)
_SHARD = re.compile(r"[-_.]\d+-of-\d+$")


@dataclass(frozen=True)
class Reading:
    """How a file is read; what is None is told by the file itself.

    Attributes:
        format: its format.
        encoding: of a text file without a mark; UTF-8 if None.
        delimiter: what separates values.
        sheet: of a workbook.
        records: the selector of the list of rows in a file that is one JSON object.
    """

    format: FileFormat | None = None
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    records: str | None = None


def read_rows(path: str, limits: Limits, how: Reading = Reading()) -> Iterator[Row]:
    """Read a file row by row; in CSV and TSV every value is text, and an empty field is None.

    Raises:
        ItemError: if the file is too large, or cannot be read; saying what it is, and the key that
            reads it.
    """
    require_size(path, Path(path).stat().st_size, limits)
    kind = really(path, how.format)
    for number, row in _rows(path, kind, limits, how):
        yield number, row if isinstance(row, Unusable) else checked(row, limits)


def _rows(path: str, kind: FileFormat, limits: Limits, how: Reading) -> Iterator[Row]:
    if kind in ("parquet", "arrow", "xlsx"):
        with opened(path, limits) as file:
            if kind == "parquet":
                yield from columnar.parquet_rows(path, file, limits)
            elif kind == "arrow":
                yield from columnar.arrow_rows(path, file, limits)
            else:
                yield from workbook.rows(path, file, how.sheet, limits)
    elif kind in ("jsonl", "json"):
        with text_of(path, how.encoding, "\n", limits) as text:
            yield from texts.json_rows(path, text, how.records, kind == "jsonl", limits)
    else:
        with text_of(path, how.encoding, "", limits) as text:
            usual = "," if kind == "csv" else "\t"
            sign = how.delimiter or texts.separator(text, usual)
            yield from texts.separated_rows(path, text, sign, limits)


def class_names(path: str, limits: Limits, how: Reading) -> dict[str, list[str]]:
    """Return the names of the classes of columns that hold class labels, in Parquet and Arrow."""
    kind = really(path, how.format)
    if kind not in ("parquet", "arrow"):
        return {}
    with opened(path, limits) as file:
        try:
            return columnar.class_names(columnar.schema_of(file, kind))
        except (OSError, ValueError):  # told when its rows are read
            return {}


def lists_in(path: str, limits: Limits, how: Reading) -> list[str]:
    """Return where rows are in a file that is one JSON object, else nothing; see `texts`."""
    if really(path, how.format) != "json":
        return []
    with text_of(path, how.encoding, "\n", limits) as text:
        require_size(path, Path(path).stat().st_size, limits)
        return texts.lists_in(texts.parsed_whole(text.read()))


def sheets_in(path: str, limits: Limits) -> list[str]:
    """Return the names of the sheets of a workbook."""
    with opened(path, limits) as file:
        return workbook.sheets(path, file, limits)


def column_of(path: str, selector: str, limits: Limits, how: Reading) -> Iterator[Any]:
    """Yield what a selector finds, row by row; of Parquet only that column is read.

    Of a column of Parquet each value comes once for some rows.
    """
    if really(path, how.format) == "parquet":
        with opened(path, limits) as file:
            if selector in columnar.schema_of(file, "parquet").names:
                yield from columnar.values_of(path, file, selector, limits)
                return
    for _, row in read_rows(path, limits, how):
        if not isinstance(row, Unusable):
            with suppress(Misfit):
                yield select(row, selector)


@dataclass(frozen=True)
class Part:
    """What belongs together, and the name of the part that it is.

    Attributes:
        files: of the part.
        name: of the part; None where there are no parts.
        records: the key of its rows, where one file holds all parts.
    """

    files: list[str]
    name: str | None = None
    records: str | None = None


def parts_of(path: str) -> list[Part]:
    """Return the files that a path means: itself, those of a folder, or those of a pattern.

    Of a folder that `datasets` has saved these are the files of its record, part by part; else all
    whose names end in a format that is known. A path that means none is an empty list.

    Raises:
        ItemError: if a folder holds files of several formats, or a damaged record.
    """
    folder = Path(path)
    if folder.is_file():
        return [Part([path])]
    if not folder.is_dir():
        found = sorted(one for one in glob(path, recursive=True) if Path(one).is_file())
        return [Part(found)] if found else []
    if (record := folder / "dataset_dict.json").is_file():
        return [Part(_saved(folder / name), name) for name in _listed(record, "splits")]
    if (folder / "state.json").is_file():
        return [Part(_saved(folder))]
    formats: dict[str, list[str]] = {}
    for one in sorted(folder.iterdir()):
        if one.is_file() and not one.name.startswith((".", "_")) and (kind := format_of(one)):
            formats.setdefault(kind, []).append(str(one))
    if len(formats) > 1:
        patterns = [str(folder / f"*{Path(files[0]).suffix}") for files in formats.values()]
        raise ItemError(
            f"{path}: has files of several formats; set `path` to {' or '.join(patterns)}."
        )
    return [Part(files) for files in formats.values()]


def by_name(files: Iterable[str]) -> list[Part]:
    """Return files as parts, which their names tell without endings and the number of a shard.

    Files of one name, such as `train-00000-of-00002.parquet` and the next one, are one part.
    """
    found: dict[str, list[str]] = {}
    for file in files:
        found.setdefault(_named(Path(file).name), []).append(file)
    return [Part(of_name, name) for name, of_name in found.items()]


def _named(name: str) -> str:
    name = _PACKED.sub("", name)
    known = format_of(name) or name.lower().endswith(".txt")
    return _SHARD.sub("", name[: -len(Path(name).suffix)] if known else name)


def _saved(folder: Path) -> list[str]:
    return [str(folder / name) for name in _listed(folder / "state.json", "_data_files")]


def _listed(record: Path, key: str) -> list[str]:
    """Return the names that a record of `datasets` lists; none leads out of its folder."""
    try:
        listed = read_json(record)[key]
        names = [one["filename"] if isinstance(one, dict) else one for one in listed]
        if all(Path(name).name == name for name in names):
            return names
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ItemError(f"{record}: is damaged ({str(error)[:200]}).") from error
    raise ItemError(f"{record}: names what is not in its folder.")
