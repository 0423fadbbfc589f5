"""Rows of text files: JSON in lines, in an array or in an object, and separated values."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import IO, Any

from caft.errors import ItemError
from caft.tables.rows import BLANK, Limits, Row, Unclear, Unread, Unusable, once
from caft.tables.selectors import select
from caft.tables.workbook import require_header

_SEPARATORS = (",", ";", "\t", "|")
_LOOKED_AT = 1 << 16  # characters, to tell what separates values
_SPACE = re.compile(r"[\s,]*")


def json_rows(
    path: str, file: IO[str], below: str | None, lines: bool, limits: Limits
) -> Iterator[Row]:
    """Read objects: one per line, the entries of an array, or those of a list in an object.

    Args:
        path: for messages.
        file: the text, whose lines end at a line feed alone: strings may hold U+2028 and its like.
        below: the selector of the list in the one object that the file is.
        lines: whether one object on one line is a row; else it is the file.
        limits: of a row.

    Raises:
        ItemError: if the file is one object, and `below` leads to no list of objects in it.
    """
    first = ""
    for first in iter(lambda: file.readline(limits.row + 1), ""):
        if first.strip():
            break
    start = first.lstrip()
    alone = not lines and start.startswith("{") and not any(line.strip() for line in file)
    whole = below is not None or start.startswith("[") or alone or _is_open(start)
    file.seek(0)
    if not whole:
        yield from _lines(file, limits)
        return
    text = file.read()
    document = parsed_whole(text)
    if document is None and below is None:
        document = _entries(text)
    if document is None:
        file.seek(0)
        yield from _lines(file, limits)
    elif isinstance(document, list) and below is None:
        yield from enumerate(map(_object, document), start=1)
    else:
        yield from enumerate(_below(path, document, below), start=1)


def _is_open(line: str) -> bool:
    """Tell whether a line begins an object that goes on in the next one."""
    return line.startswith("{") and parsed_whole(line) is None


def parsed_whole(text: str) -> Any:
    """Return what a text holds in JSON; None if it is no JSON."""
    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None


def _entries(text: str) -> list[Any] | None:
    """Return the entries of an array, or objects that follow each other without one.

    Of an array these are the ones up to that which is damaged, and that as an unusable row.
    """
    decoder = json.JSONDecoder(object_pairs_hook=once)
    found: list[Any] = []
    is_array = text.lstrip().startswith("[")
    place = text.index("[") + 1 if is_array else 0
    while True:
        place = _SPACE.match(text, place).end()  # type: ignore[union-attr]
        if is_array and text[place : place + 1] == "]":
            return found if not text[place + 1 :].strip() else None
        if found and place == len(text) and not is_array:
            return found
        try:
            entry, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            if not found or not is_array:
                return None
            return [*found, Unusable("bad_json", f"the array ends here: {error}")]
        found.append(entry)


def _object(entry: Any) -> dict[str, Any] | Unusable:
    if isinstance(entry, dict | Unusable):
        return entry
    told = f"the entry is {entry}" if isinstance(entry, Unclear) else "the entry is no JSON object"
    return Unusable("bad_json", told)


def _below(path: str, document: Any, selector: str | None) -> list[dict[str, Any] | Unusable]:
    keys = list(document) if isinstance(document, dict) else []
    if isinstance(document, Unclear):
        raise ItemError(f"{path}: is {document}; give each key another name.")
    if selector is None:
        lists = lists_in(document)
        if lists:
            either = f"`parts` to the split of each of {', '.join(lists)}, or " if lists[1:] else ""
            raise Unread(
                f"{path}: is one JSON object; set {either}`records: {lists[0]}` for the rows in "
                f"{' or '.join(lists)}.",
                records=lists[0],
            )
        if keys and all(isinstance(document[key], dict) for key in keys):
            inner = list(document[keys[0]])
            if not all(str(key).isdigit() for key in inner):
                raise Unread(
                    f"{path}: is one JSON object of objects; set `records: '[]'` if each is a row.",
                    records="[]",
                )
        shown = ", ".join(map(str, keys[:8]))
        raise ItemError(
            f"{path}: is one JSON object with the keys {shown}; write one object per row (pandas: "
            "to_json(path, orient='records', lines=True)), or set `format: jsonl` if it is a row."
        )
    found = select(document, selector) if isinstance(document, dict) else None
    found = list(found.values()) if isinstance(found, Mapping) else found
    while isinstance(found, list) and any(isinstance(one, list) for one in found):
        found = [row for one in found for row in (one if isinstance(one, list) else [one])]
    if not isinstance(found, list) or not _are_objects(found):
        shown = ", ".join(map(str, keys[:8]))
        raise ItemError(
            f"{path}: `records: {selector}` leads to no list of objects; its keys are: {shown}."
        )
    return [_object(one) for one in found]


def lists_in(document: Any) -> list[str]:
    """Return where a JSON object holds rows: at its keys, else one level below, as `data.train`.

    Rows are a list of objects, or an object of several objects with the same keys.
    """
    if not isinstance(document, dict):
        return []
    found = [key for key in document if _are_rows(document[key])]
    if found or _are_alike(document):  # then each entry is a row itself
        return found
    inner = {key: value for key, value in document.items() if isinstance(value, dict)}
    return [f"{key}.{one}" for key in inner for one in inner[key] if _are_rows(inner[key][one])]


def _are_rows(value: Any) -> bool:
    return _are_objects(value) or _are_alike(value)


def _are_alike(value: Any) -> bool:
    """Tell whether a value is an object of several objects with the same keys."""
    entries = list(value.values()) if isinstance(value, dict) else []
    return (
        len(entries) > 1
        and all(isinstance(one, dict) for one in entries)
        and len({frozenset(one) for one in entries}) == 1
    )


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _lines(file: IO[str], limits: Limits) -> Iterator[Row]:
    most, number = limits.row, 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            while not line.endswith("\n") and (line := file.readline(most)):
                pass
            yield number, Unusable("too_large", limits.told("the line"))
        elif line.strip():
            yield number, _json_row(line)


def _json_row(line: str) -> dict[str, Any] | Unusable:
    try:
        row = json.loads(line, object_pairs_hook=once)
    except RecursionError:
        return Unusable("too_deep", "the line is nested too deeply")
    except ValueError as error:
        return Unusable("bad_json", f"the line is no JSON: {error}")
    if isinstance(row, dict):
        return row
    told = f"the line is {row}" if isinstance(row, Unclear) else "the line is no JSON object"
    return Unusable("bad_json", told)


def separated_rows(path: str, file: IO[str], delimiter: str, limits: Limits) -> Iterator[Row]:
    """Read separated values: every value is a text, and an empty field is None.

    Args:
        path: for messages.
        file: the text, with its line ends as they are.
        delimiter: what separates values.
        limits: of a cell.

    Raises:
        ItemError: if it is no such file, or two columns have one name.
    """
    csv.field_size_limit(limits.row)

    def lines() -> Iterator[str]:
        while line := file.readline(limits.row + 1):
            if len(line) > limits.row:
                raise csv.Error(limits.told("a cell"))
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if header[:1] == ["sep="]:
            header = next(reader, [])
        require_header(f"{path}, line {reader.line_num}", header)
        row = reader.line_num + 1
        for fields in reader:
            if len(fields) > 1 and not any(fields):
                yield row, BLANK
            elif len(fields) == len(header):
                values = (value or None for value in fields)
                yield row, dict(zip(header, values, strict=True))
            elif fields:
                detail = f"{len(fields)} fields, the header has {len(header)}"
                yield row, Unusable("bad_csv", detail)
            row = reader.line_num + 1
    except csv.Error as error:
        why = limits.told("a cell") if "field limit" in str(error) else str(error)
        line = reader.line_num + 1 if "max_cell_mb" in why else reader.line_num
        raise ItemError(
            f"{path}, line {line}: not valid CSV ({why}); a value that begins with a quote ends "
            "with one, and has those inside twice."
        ) from error


def separator(file: IO[str], usual: str) -> str:
    """Return what separates the values of a file: the usual sign, unless only another one does.

    A sign separates them if the rows at the beginning have as many values, two at least, as the
    header, and of several signs that which parts most; a line `sep=;` of its own, as
    spreadsheets write it, says so.

    Args:
        file: the text, which is at its beginning afterwards.
        usual: comma or tab, by the format.
    """
    text = file.read(_LOOKED_AT)
    file.seek(0)
    if text[:4] == "sep=":
        return text[4:5]
    whole = len(text) < _LOOKED_AT
    found = {}
    for sign in sorted(_SEPARATORS, key=lambda sign: sign != usual):
        counts = _counts(text, sign, whole)
        if counts and counts[0] > 1 and len(set(counts)) == 1:
            found[sign] = counts[0]
    if found:
        return max(found, key=lambda sign: found[sign])
    header = text.splitlines()[:1] or [""]
    if usual in header[0]:
        return usual
    most, count = Counter({sign: header[0].count(sign) for sign in _SEPARATORS}).most_common(1)[0]
    return most if count else usual


def _counts(text: str, sign: str, whole: bool) -> list[int]:
    """Return the number of values of each row; the last row may be cut."""
    try:
        counts = [
            len(one) for one in csv.reader(io.StringIO(text, newline=""), delimiter=sign) if one
        ]
    except csv.Error:
        return []
    return counts if whole or len(counts) < 3 else counts[:-1]
