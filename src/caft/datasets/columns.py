"""What the columns of a file are called, and what kind of values they hold."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from caft.tables.selectors import Misfit, parsed, select

# Names in the order of preference, in lower case and without signs between words.
QUESTION = (
    "question problem stem query frage aufgabe prompt input instruction hypothesis ctx goal text q"
)
ABOUT = (
    "passage context ctx article premise paragraph para story narrative background dialogue "
    "conversation body document vignette scenario situation hint text kontext fallbeschreibung"
)
LISTS = "options choices endings candidates alternatives antworten auswahl"  # never by chance
OPTIONS = f"{LISTS} text value answers answertext optiontext choicetext content"
PLACES = (
    "label labels answeridx answerindex cop correctoption correctindex correctanswerindex "
    "correctlabel correctchoice iscorrect"
)
ANSWER = (
    "answer answerkey gold correctanswer correct label labels answeridx answerindex cop target key "
    "correctoption correctindex correctanswerindex correctlabel correctchoice iscorrect "
    "finalanswer finaldecision bestanswer groundtruth right richtig richtigeantwort antwort lösung "
    "loesung solution response completion output a"
)
OTHERS = {
    "id": "id questionid qid uid uuid idx index nr nummer",
    "category": "category subject subjectname topic domain field kategorie fach thema",
    "rationale": (
        "rationale explanation exp cotcontent solution support reasoning erklärung erläuterung "
        "begründung"
    ),
    "split": "split set part fold",
}
RIGHT = "correctanswer correct right richtig richtigeantwort answer"
WRONG = (
    "distractor distractors incorrectanswer incorrectanswers incorrect wrong wronganswer "
    "wronganswers falsch"
)
# Words of longer names.
ASKS = ("question", "frage", "stem", "problem", "aufgabe")
ANSWERS = ("answer", "gold", "correct", "label", "target", "expected", "decision", "antwort")
CHOICES = ("options", "option", "choices", "choice", "candidates", "alternatives", "auswahl")
_BESIDE = {"id", "type", "kind", "number", "num", "nr", "count", "source", "topic", "level"}
_WORD = re.compile(r"[A-ZÄÖÜ]?[a-zäöüß]+|[A-ZÄÖÜ]+(?![a-zäöüß])|\d+")


def columns_of(
    records: list[dict[str, Any]], classes: Mapping[str, list[str]]
) -> dict[str, list[Any]]:
    """Return the values that each selector finds, of all selectors that rows offer."""
    names = dict.fromkeys(chain.from_iterable(_selectors(row) for row in records[:100]))
    found = {name: [_selected(row, name) for row in records] for name in names}
    for name in [one for one in found if "." not in one and _are_single(found[one])]:
        found[f"{name}[0]"] = [row[0] if row else None for row in found[name]]
    for column, known in classes.items():
        found[f"{column}.name"] = [
            known[place] if isinstance(place, int) and 0 <= place < len(known) else None
            for place in found.get(column, [])
        ]
    return found


def _are_single(values: list[Any]) -> bool:
    """Tell whether a column holds lists of one text or number, as `gold: [2]`."""
    there = [one for one in values if one]
    return bool(there) and all(
        isinstance(one, list | tuple) and len(one) == 1 and isinstance(one[0], str | int | float)
        for one in there
    )


def _selected(row: dict[str, Any], selector: str) -> Any:
    try:
        value = select(row, selector)
        return parsed(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
    except Misfit:
        return row.get(selector)


def _selectors(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, str) and path and value[:1] in ("[", "{"):
        try:
            value = parsed(value)
        except Misfit:
            value = None
    if path:
        yield path
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str) and key:
                yield from _selectors(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        yield from (f"{path}[].{key}" for key in value[0] if isinstance(key, str) and key)


def kind(values: Iterable[Any]) -> str:
    """Say what most values are: text, number, list, objects, labelled, scores, object, nothing."""
    first = next((one for one in values if one not in (None, "", [])), None)
    if isinstance(first, bool | int | float):
        return "number"
    if isinstance(first, str):
        return "text"
    if isinstance(first, list | tuple):
        flat = all(one is None or isinstance(one, str | int | float) for one in first)
        return "list" if flat else "objects"
    if isinstance(first, Mapping):
        entries = [one for one in first.values() if one is not None]
        if len(entries) > 1 and all(isinstance(one, bool | int | float) for one in entries):
            return "scores"
        flat = len(first) > 1 and all(isinstance(one, str | None) for one in first.values())
        return "labelled" if flat else "object"
    return "nothing"


def plain(name: str) -> str:
    """Return a name to compare: of a path its last part, in lower case, without signs."""
    return re.sub(r"[\W_]+", "", _last(name).casefold())


def named(values: Mapping[str, list[Any]], names: str, *kinds: str) -> list[str]:
    """Return the selectors with one of the names, in the order of the names."""
    order = names.split()
    found = [one for one in values if plain(one) in order]
    return sorted(_of_kind(values, found, kinds), key=lambda one: order.index(plain(one)))


def like(values: Mapping[str, list[Any]], words: Iterable[str], *kinds: str) -> list[str]:
    """Return the selectors in whose longer names one of the words stands, beside no other thing.

    `question_text` and `Fragestellung` are like `question` and `frage`; `question_id` is not.
    """
    found = []
    for one in values:
        parts = [part.casefold() for part in _WORD.findall(_last(one))]
        if not _BESIDE & set(parts) and any(word in part for word in words for part in parts):
            found.append(one)
    return _of_kind(values, found, kinds)


def is_below(name: str, column: str) -> bool:
    """Tell whether a selector leads to a column, or to what lies below it."""
    return name == column or name.startswith((f"{column}.", f"{column}["))


def _last(name: str) -> str:
    return re.split(r"[.\]](?=.)", name.removesuffix("[0]"))[-1]


def _of_kind(
    values: Mapping[str, list[Any]], names: list[str], kinds: tuple[str, ...]
) -> list[str]:
    return [one for one in names if not kinds or kind(values[one]) in kinds]


def share(found: Iterable[bool]) -> float:
    """Return the share of what is true; 0 of nothing."""
    several = list(found)
    return sum(several) / max(1, len(several))
