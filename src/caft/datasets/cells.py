"""What a row holds: values found below a column, taken as a text, as options, or as the answer."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from caft.tables.hashing import nfc
from caft.tables.rows import Unclear
from caft.tables.selectors import Misfit, parsed, select, steps

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARK = re.compile(r"\s*\(?([A-Za-z]|[0-9]{1,2})(?:\s?\)\s*|[.:]\s+)(?=\S)")
_BEFORE_MARK = re.compile(rf"(?:^|[\n|;,\t])\s*(?={_MARK.pattern})")
_GOES_ON = re.compile(r"(?:and|or|only|alone|but|nor|&|,)(?!\w)")  # "(a) only": statement (a)
_LABELS = ("label", "key")  # what stands beside the text of an option
_CONTAINERS = dict | list | tuple | bytes | bytearray | memoryview
_YES, _NO = ("true", "yes"), ("false", "no")


def classes_in(
    names: Mapping[str, list[str]], selectors: Mapping[str, list[str]]
) -> dict[str, tuple[str, list[str]]]:
    """Return the column and the names of its classes for each selector `column.name` that is used.

    Args:
        names: of the classes, by column, as Hugging Face's `datasets` describes them.
        selectors: all that will be looked for.
    """
    used = {name for several in selectors.values() for name in several}
    found = {f"{column}.name": (column, known) for column, known in names.items()}
    return {selector: found[selector] for selector in found.keys() & used}


def missing(records: Iterable[Mapping[str, Any]], selector: str) -> str | None:
    """Say what there is instead, if no row has anything where a selector looks."""
    rows = list(records)
    columns = dict.fromkeys(name for row in rows for name in row)
    path = [step for step in steps(selector) if isinstance(step, str)]
    if selector in columns:
        return None
    if not path or path[0] not in columns:
        return f"the file has: {', '.join(columns)}"
    try:
        if any(holds(select(row, selector)) for row in rows):
            return None
        parent = ".".join(path[:-1]) or path[0]
        keys = dict.fromkeys(key for row in rows for key in _keys(select(row, parent)))
    except Misfit:  # a row's own trouble, which is told with its number
        return None
    return f"below {parent!r} there is: {', '.join(keys) or 'nothing'}"


def holds(value: Any) -> bool:
    """Tell whether a value, or an entry of a list, is there."""
    return any(map(holds, value)) if isinstance(value, list | tuple) else value is not None


def _keys(value: Any) -> Iterator[str]:
    value = parsed(value) if isinstance(value, str) else value
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, Mapping):
            yield from map(str, one)


def as_text(value: Any) -> str | None:
    """Return a cell as text; null, NaN and the empty string are None."""
    if isinstance(value, str):
        return value or None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value)


def text(value: Any, what: str, selector: str) -> str | None:
    """Return a cell as text, if it is a text or a number.

    Args:
        value: of the cell.
        what: it is, for the message.
        selector: where it was found.

    Raises:
        Misfit: if it is an object, a list or raw bytes; the words name a selector below it.
    """
    if isinstance(value, str):
        return value or None
    if isinstance(value, Unclear | _CONTAINERS):
        described = _described(value, selector)
        if what == "answer" and isinstance(value, list | tuple) and len(value) > 1:
            described = (
                f"a list of {len(value)}, and an item has one answer; leave such rows out, or name "
                f"one entry, such as {selector}[0], if each of them is a whole answer"
            )
        raise Misfit("not_text", f"{what} is {described}")
    return as_text(value)


def _described(value: Any, selector: str) -> str:
    if isinstance(value, Unclear):
        return value.found
    if isinstance(value, dict):
        keys = [str(key) for key in value]
        shown = ", ".join(keys[:8]) or "none"
        below = f"; name one of them, such as {selector}.{keys[-1]}" if keys else ""
        return f"an object with the keys {shown}{below}"
    if isinstance(value, list | tuple):  # of a label and its text, the text
        return f"a list of {len(value)}; name one entry, such as {selector}[{len(value) - 1}]"
    return "raw bytes, no text"


def options(
    record: Mapping[str, Any], column: str | list[str], labels: str | None = None
) -> tuple[Any, list[str] | None]:
    """Return a row's options, and its own labels of them if it has any.

    Several columns hold one option each. Empty ones at the end, of lists too, are options that the
    question lacks.

    Args:
        record: the row.
        column: where the options are: a list, a text that holds one or has a mark before each, an
            object whose keys are labels, or a list of columns.
        labels: where the labels are; if None, a `label` or `key` beside the options is taken.

    Returns:
        A list of texts, None where there are no options, or a value that is no list as it is.

    Raises:
        Misfit: if an option or a label is no text.
    """
    if isinstance(column, list):
        values = _whole([select(record, name) for name in column])
        found = [text(one, "an option", name) for one, name in zip(values, column, strict=True)]
        while found and found[-1] is None:
            found.pop()
        return found, _labels(record, labels, found)
    value = select(record, column)
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, str) and (marked := parted(value)):
        return marked, _labels(record, labels, marked) or [mark_of(one) for one in marked]
    if isinstance(value, Mapping):
        there = {str(key): one for key, one in value.items() if one is not None}
        inner = next((one for one in there.values() if isinstance(one, Mapping)), None)
        if inner:
            each = ", ".join(f"{column}.{key}.{[*inner][-1]}" for key in there)
            raise Misfit("not_text", f"the options are objects in an object; list them: [{each}]")
        own = [text(one, f"option {key}", f"{column}.{key}") for key, one in there.items()]
        return own, _labels(record, labels, own) or list(there)
    if isinstance(value, list | tuple):
        found = [
            (one or None) if isinstance(one, str) else text(one, f"option {place}", f"{column}[]")
            for place, one in enumerate(value, start=1)
        ]
        while found and found[-1] is None:  # as in columns, which tables give every row
            found.pop()
        return found, _labels(record, labels or _beside(record, column), found)
    unclear = isinstance(value, bytes | Unclear)
    return text(value, "the options", column) if unclear else value, None


def _whole(values: list[Any]) -> list[Any]:
    """Return whole numbers as such beside others: a column that lacks one holds 3.0, not 3."""
    if not any(isinstance(one, int) for one in values):
        return values
    return [int(one) if isinstance(one, float) and one.is_integer() else one for one in values]


def unmarked(options: list[str]) -> list[str]:
    """Take marks such as `A) `, `(b) ` or `2. ` off options, if all have them in order."""
    found = []
    for option in options:
        if not (match := _MARK.match(option)):
            return options
        found.append(match)
    marks = [match[1] for match in found]
    if len({match[0].strip()[-1] for match in found}) > 1:
        return options
    numbers = [str(place) for place in range(1, len(options) + 1)]
    letters = list(_LETTERS[: len(options)])
    if marks not in (numbers, letters, [letter.lower() for letter in letters]):
        return options
    rest = [option[match.end() :] for option, match in zip(options, found, strict=True)]
    return options if any(map(_GOES_ON.match, rest)) else rest


def parted(text: str) -> list[str] | None:
    """Return the options that one text holds, with their marks: `A) x | B) y`, or one on a line.

    Returns:
        None if the text does not begin with a mark.

    Raises:
        Misfit: if the marks are not A, B, C and so on, or 1, 2, 3, two at least.
    """
    if not _MARK.match(text):
        return None
    cuts = [(match.start(), match.end()) for match in _BEFORE_MARK.finditer(text)]
    ends = [start for start, _ in cuts[1:]] + [len(text)]
    found = [text[start:end].strip() for (_, start), end in zip(cuts, ends, strict=True)]
    if len(found) < 2 or unmarked(found) == found:
        marks = ", ".join(mark_of(one) for one in found)[:60]
        raise Misfit(
            "bad_options",
            f"one text with the marks {marks}; options in one text begin with A, B, C and so on, "
            "two at least, and a new line, |, ; or a comma stands before each mark but the first",
        )
    return found


def mark_of(option: str) -> str:
    """Return the mark that an option begins with, without its signs."""
    match = _MARK.match(option)
    return match[1] if match else option[:2]


def scored(record: Mapping[str, Any], column: str) -> tuple[Any, list[str] | None]:
    """Return the options that an object scores, `{option: score}`, and as their labels the same.

    A key without a score is none: Parquet and Arrow give every row the keys of all rows.
    """
    value = select(record, column)
    value = parsed(value) if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        return value, None
    found = [str(key) for key, score in value.items() if score is not None]
    return found, found


def _beside(record: Mapping[str, Any], column: str) -> str | None:
    """Return the selector of labels that stand beside options below a column."""
    parent, _, _ = column.rpartition(".")
    if not parent:
        return None
    names = [f"{parent}.{label}" for label in _LABELS]
    return next((name for name in names if holds(select(record, name))), None)


def _labels(record: Mapping[str, Any], selector: str | None, options: list[Any]) -> Any:
    if selector is None:
        return None
    value = select(record, selector)
    value = parsed(value) if isinstance(value, str) else value
    while isinstance(value, list) and len(value) > len(options) and not value[-1]:
        value = value[:-1]
    if not isinstance(value, list | tuple) or len(value) != len(options):
        count = len(value) if isinstance(value, list | tuple) else "no"
        raise Misfit("bad_labels", f"{count} labels ({selector}) for {len(options)} options")
    found = [(text(one, "a label", selector) or "").strip() for one in value]
    if len(set(found)) < len(found):
        raise Misfit("bad_labels", f"labels ({selector}) are equal: {', '.join(found)[:60]}")
    return found


def labelled(answer: str | None, labels: list[str]) -> str | None:
    """Return the letter of the place at which a row's own label stands.

    Raises:
        Misfit: if the answer is none of the labels.
    """
    if answer is None:
        return None
    wanted, known = answer.strip("(). \t\n"), labels
    if wanted not in known:  # "a" names A, unless the row has both
        wanted, known = wanted.casefold(), [one.casefold() for one in labels]
    if known.count(wanted) != 1:
        shown = ", ".join(labels)[:60]
        raise Misfit(
            "answer_not_an_option", f"answer {answer[:60]!r} is none of the row's labels {shown}"
        )
    return _LETTERS[known.index(wanted)] if known.index(wanted) < len(_LETTERS) else answer


def best(
    record: Mapping[str, Any], column: str | list[str], options: Any, labels: list[str] | None
) -> str | None:
    """Return the place, from 0, of the largest of the scores that a row gives its options.

    Args:
        record: the row.
        column: where the scores are: a list, an object by label, or a column for each option.
        options: of the row.
        labels: of the row, or None.

    Raises:
        Misfit: if there is not one number per option, or the largest stands there twice.
    """
    if isinstance(column, list):
        scores: Any = [select(record, name) for name in column]
        there = len(options) if isinstance(options, list) else len(scores)
        if any(holds(one) and _score(one) > 0 for one in scores[there:]):
            raise Misfit("bad_scores", f"a score behind the last of {there} options")
        scores = scores[:there]
    else:
        scores = select(record, column)
    scores = parsed(scores) if isinstance(scores, str) else scores
    if isinstance(scores, Mapping):
        scores = [scores.get(label) for label in labels or scores]
    if scores is None:
        return None
    if not isinstance(scores, list | tuple):
        raise Misfit("bad_scores", f"the scores are no list: {str(scores)[:60]!a}")
    if not isinstance(options, list) or len(scores) != len(options):
        count = len(options) if isinstance(options, list) else "no"
        raise Misfit("bad_scores", f"{len(scores)} scores for {count} options")
    numbers = [_score(one) for one in scores]
    largest = max(numbers, default=math.nan)
    if math.isnan(largest) or numbers.count(largest) != 1:
        raise Misfit("bad_scores", f"no single largest score: {str(list(scores))[:60]}")
    return str(numbers.index(largest))


def _score(value: Any) -> float:
    if isinstance(value, str) and value.strip().casefold() in (*_YES, *_NO):
        return float(value.strip().casefold() in _YES)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Misfit("bad_scores", f"a score is no number: {str(value)[:60]!a}") from None


def chosen(value: bool, options: Any) -> str:
    """Return the option, of yes and no or true and false, that a truth value names."""
    words = _YES if value else _NO
    fits = [one for one in options if isinstance(one, str) and one.strip().casefold() in words]
    return nfc(fits[0]) if len(fits) == 1 else str(value)
