"""Rows of an Excel workbook, by openpyxl if it is there."""

import datetime
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO, Any

from caft.errors import ItemError
from caft.tables.rows import BLANK, Limits, Row, Unclear, Unread, require_size


def rows(path: str, file: IO[bytes], sheet: str | None, limits: Limits) -> Iterator[Row]:
    """Read a sheet; rows have the numbers of the sheet, its first row with a value is the header.

    Raises:
        ItemError: if openpyxl is not installed, there are several sheets, or two equal headers.
    """
    book = _opened(path, file, limits)
    try:
        header: list[str | None] = []
        for number, cells in enumerate(_sheet(path, book, sheet).iter_rows(), start=1):
            values = [_value(cell) for cell in cells]
            if not any(value is not None for value in values):
                if header:
                    yield number, BLANK
            elif not header:
                header = [None if value is None else str(value).strip() for value in values]
                require_header(f"{path}, row {number}", header)
                if len(header) - header.count(None) == 1:
                    raise ItemError(
                        f"{path}, row {number}: has one value and names no columns; delete what "
                        "stands above the row with their names."
                    )
            else:
                found = zip(header, values, strict=False)
                yield number, {name: value for name, value in found if name}
    finally:
        book.close()


def sheets(path: str, file: IO[bytes], limits: Limits) -> list[str]:
    """Return the names of the sheets of a workbook.

    Raises:
        ItemError: as of `rows`.
    """
    book = _opened(path, file, limits)
    try:
        return [sheet.title for sheet in book.worksheets]
    finally:
        book.close()


def _opened(path: str, file: IO[bytes], limits: Limits) -> Any:
    try:
        import openpyxl
    except ImportError:
        raise ItemError(
            f"{path}: is an Excel workbook, which needs openpyxl (pip install openpyxl); or save "
            "the sheet as `CSV UTF-8` and name that file."
        ) from None
    try:
        size = sum(part.file_size for part in zipfile.ZipFile(file).infolist())
        require_size(path, size, limits)
        return openpyxl.load_workbook(file, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise ItemError(f"{path}: is a damaged workbook ({str(error)[:200]}).") from error


def require_header(place: str, names: Sequence[str | None]) -> None:
    """Refuse a header in which two columns have one name.

    Raises:
        ItemError: naming them.
    """
    (name, count), *_ = Counter(filter(None, names)).most_common(1) or [("", 0)]
    if count > 1:
        places = " and ".join(str(n) for n, one in enumerate(names, start=1) if one == name)
        raise ItemError(f"{place}: columns {places} are called {name!r}; rename all but one.")


def _sheet(path: str, book: Any, name: str | None) -> Any:
    sheets = {one.title: one for one in book.worksheets}
    if name is None and len(sheets) == 1:
        return next(iter(sheets.values()))
    if name in sheets:
        return sheets[name]
    if name is None:
        first = next(iter(sheets))
        raise Unread(
            f"{path}: has the sheets {', '.join(sheets)}; set `sheet` to one of them, such as "
            f"`sheet: {first}`.",
            sheet=first,
        )
    raise ItemError(f"{path}: has no sheet {name!r}; set `sheet` to one of: {', '.join(sheets)}.")


def _value(cell: Any) -> Any:
    value = cell.value
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return Unclear(
            f"a date ({value}), which a spreadsheet makes of texts such as 1/2; type it again in a "
            "cell that is formatted as text"
        )
    if cell.data_type == "e":
        return Unclear(f"an error of the spreadsheet ({value})")
    if isinstance(value, float):
        value = float(f"{value:.15g}")  # all that a spreadsheet shows
    if isinstance(value, float | int) and not isinstance(value, bool) and _is_percent(cell):
        return f"{value * 100:.15g}%"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _is_percent(cell: Any) -> bool:
    """Tell whether a cell shows its number as a percentage; a quoted sign is only written."""
    return "%" in re.sub(r'"[^"]*"|\\.', "", cell.number_format or "")
