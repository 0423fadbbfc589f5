"""How the columns of a file may be read as questions, by their names and values."""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from caft.datasets.cells import options, parted, text
from caft.datasets.parts import guessed
from caft.prompting.numbers import canonical_number
from caft.tables.selectors import Misfit, parsed, select

_SHOWN = 30  # names in a message, and texts that are parted to see whether options stand in them
_MOST = 0.9  # share of answers that have to be of a kind
# Names in the order of preference, in lower case and without signs between words.
_QUESTION = (
    "question problem stem query frage aufgabe prompt input instruction hypothesis ctx goal text q"
)
_ABOUT = "passage context ctx article premise paragraph story narrative background dialogue"
_LISTS = "options choices endings candidates alternatives antworten auswahl"  # never by chance
_OPTIONS = f"{_LISTS} text value answers answertext optiontext choicetext content"
_PLACES = (
    "label labels answeridx answerindex cop correctoption correctindex correctanswerindex "
    "correctlabel correctchoice iscorrect"
)
_ANSWER = (
    "answer answerkey gold correctanswer correct label labels answeridx answerindex cop target key "
    "correctoption correctindex correctanswerindex correctlabel correctchoice iscorrect "
    "solution finalanswer groundtruth right richtig richtigeantwort antwort lösung loesung a"
)
_CATEGORY = "category subject subjectname topic domain field kategorie fach thema"
_ID = "id questionid qid uid uuid idx index nr nummer"
_RATIONALE = "rationale explanation exp cotcontent solution support reasoning erklärung begründung"
_SPLIT = "split set part fold"
_WRONG = ("distractor", "incorrectanswer", "incorrect", "wrong", "wronganswer", "falsch")
_WORDS = {"yes", "no", "maybe", "true", "false", "ja", "nein", "wahr", "falsch"}
_NUMBERED = re.compile(r"(?P<stem>.*?)[\s_.-]*(?P<mark>[A-Ja-j]|\d{1,2})$")
_OTHERS = {"id": _ID, "category": _CATEGORY, "rationale": _RATIONALE, "split": _SPLIT}


def columns_of(
    records: list[dict[str, Any]], classes: Mapping[str, list[str]]
) -> dict[str, list[Any]]:
    """Return the values that each selector finds, of all selectors that rows offer."""
    names = dict.fromkeys(chain.from_iterable(_selectors(row) for row in records[:100]))
    found = {name: [_selected(row, name) for row in records] for name in names}
    for column, known in classes.items():
        found[f"{column}.name"] = [
            known[place] if isinstance(place, int) and 0 <= place < len(known) else None
            for place in found.get(column, [])
        ]
    return found


def readings(
    values: Mapping[str, list[Any]], leave: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield sections of the configuration to try, the likely ones first.

    Args:
        values: of each selector, as `columns_of` returns them.
        leave: keys of `columns` that are not to be looked for.

    Yields:
        `columns`, and what else tells how answers and options are written.
    """
    rest = {what: _named(values, names) for what, names in _OTHERS.items() if what not in leave}
    for candidate in _candidates(values):
        columns = {**candidate["columns"], **_others(rest, values, candidate["columns"])}
        columns["question"] = _with_text(values, columns)
        yield {**candidate, "columns": columns}


def untold(values: Mapping[str, list[Any]], record: Mapping[str, Any]) -> str:
    """Say what there is where nothing was understood."""
    shown = [f"{name} ({_kind(found)})" for name, found in islice(values.items(), _SHOWN)]
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    letters = [one for one in _named(values, _ANSWER, "text") if _are_letters(values[one])]
    lists: list[tuple[str, Any]] = [
        (one, options) for one in _named(values, _OPTIONS, "text", "object", "objects")
    ]
    for one, read in [*lists, *((one, _answer) for one in _named(values, _ANSWER, "list"))]:
        try:
            read(record, one)
        except Misfit as misfit:
            return f"{one!r}: {misfit.args[1]}."
    why = (
        f"{letters[0]!r} names options by letters, and no column has them as a list, nor each in "
        "a column of its own"
        if letters
        else "no names or values tell question and answer"
    )
    return f"{why}; write `columns` yourself from: {', '.join(shown)}{more}."


def _answer(record: Mapping[str, Any], selector: str) -> str | None:
    return text(select(record, selector), "answer", selector)


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


def _kind(values: list[Any]) -> str:
    """Say what most values are: text, number, list, labelled, scores, nothing."""
    first = next((one for one in values if one not in (None, "", [])), None)
    if isinstance(first, bool | int | float):
        return "number"
    if isinstance(first, str):
        return "text"
    if isinstance(first, list | tuple):
        plain = all(one is None or isinstance(one, str | int | float) for one in first)
        return "list" if plain else "objects"
    if isinstance(first, Mapping):
        entries = [one for one in first.values() if one is not None]
        if len(entries) > 1 and all(isinstance(one, bool | int | float) for one in entries):
            return "scores"
        plain = len(first) > 1 and all(isinstance(one, str | None) for one in first.values())
        return "labelled" if plain else "object"
    return "nothing"


def _plain(name: str) -> str:
    """Return a name to compare: of a path its last part, in lower case, without signs."""
    return re.sub(r"[\W_]+", "", re.split(r"[.\]]", name)[-1].casefold())


def _named(values: Mapping[str, list[Any]], names: str, *kinds: str) -> list[str]:
    """Return the selectors with one of the names, in the order of the names."""
    order = names.split()
    found = [one for one in values if _plain(one) in order]
    if kinds:
        found = [one for one in found if _kind(values[one]) in kinds]
    return sorted(found, key=lambda one: order.index(_plain(one)))


def _with_text(values: Mapping[str, list[Any]], columns: Mapping[str, Any]) -> str | list[str]:
    """Return the column of the question, with those of the text that it is about before it."""
    question, taken = columns["question"], _taken(columns)
    if _plain(question) in ("input", "instruction"):
        both = _named(values, "instruction input", "text")
        empty = [one for one in both if not all(values[one])]
        return [*empty, *(one for one in both if one not in empty)] if len(both) > 1 else question
    before = [
        one
        for one in values
        if _plain(one) in _ABOUT.split() and _kind(values[one]) == "text" and one not in taken
        if not all(map(_repeats, values[question], values[one]))
    ]
    return [*before, question] if before else question


def _repeats(question: Any, text: Any) -> bool:
    return str(text or "") in str(question or "")


def _taken(columns: Mapping[str, Any]) -> set[str]:
    """Return the columns that are something already."""
    return {
        one for given in columns.values() for one in ([given] if isinstance(given, str) else given)
    }


def _candidates(values: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield readings to try: columns, kind and format of the answer; the likely ones first."""
    texts = [one for one in values if _kind(values[one]) == "text"]
    longest = sorted(texts, key=lambda one: -sum(len(str(text or "")) for text in values[one]))
    questions = [*_named(values, _QUESTION, "text"), *longest][:1]
    answers = _named(values, _ANSWER, "text", "number", "list", "labelled")
    for question in questions:
        answers = [one for one in answers if one != question]
        for one in (one for one in values if _kind(values[one]) == "scores"):
            scored = {"question": question, "options": one, "answer": one}  # as of BIG-bench
            yield {"columns": scored, "answer_format": "scores"}
        several = list(_options(values, question))
        for given, right in several:
            for answer in [right] if right else answers:
                if answer == given or (answer in given and not right):  # "A" is that of an option
                    continue
                columns = {"question": question, "options": given, "answer": answer}
                for form in ["text"] if right else _forms(values[answer]):
                    yield {"columns": columns, **({"answer_format": form} if form else {})}
        unread = [one for one in _named(values, _LISTS) if _kind(values[one]) != "nothing"]
        for answer in answers if not several and not unread else []:
            if shared := _shared(values[answer]):
                both = {"question": question, "answer": answer}
                yield {"columns": both, "shared_options": shared, "answer_format": "text"}
            if not _are_letters(values[answer]) and not _are_places(answer, values[answer]):
                yield from _open(question, answer, values[answer])


def _options(
    values: Mapping[str, list[Any]], question: str
) -> Iterator[tuple[str | list[str], str | None]]:
    """Yield where options may be, and the answer where it is one of them."""
    for one in _named(values, _OPTIONS, "list", "labelled"):
        if not _are_scores(values[one]):
            yield one, None
    for one in _named(values, _OPTIONS, "text"):
        if _are_parted(values[one]):
            yield one, None
    groups: dict[str, list[str]] = {}
    for name, found in values.items():
        match = _NUMBERED.fullmatch(name)
        if match and name != question and _kind(found) in ("text", "number"):
            groups.setdefault(match["stem"], []).append(name)
    for stem, names in groups.items():
        plain = _plain(stem)
        right = _named(values, "correctanswer correct right richtig richtigeantwort answer", "text")
        if plain in _WRONG and right:
            yield [*names, right[0]], right[0]
        elif len(names) > 1:
            yield names, None


def _shared(values: list[Any]) -> list[str]:
    """Return options that all questions share, if the answers are words such as yes and no."""
    found = [one for one in values if one not in (None, "")]
    if found and all(isinstance(one, bool) for one in found):
        return ["yes", "no"]
    if not all(isinstance(one, str) for one in found):
        return []
    words = {one.strip() for one in found}
    return sorted(words) if len(words) > 1 and {one.casefold() for one in words} <= _WORDS else []


def _are_letters(values: list[Any]) -> bool:
    """Tell whether answers name options, which then have to be somewhere."""
    return all(re.fullmatch(r"\(?[A-Ja-j][).]?", str(one).strip()) for one in values if one)


def _are_parted(values: list[Any]) -> bool:
    """Tell whether the texts hold several options each."""
    try:
        return all(parted(one) for one in values[:_SHOWN] if isinstance(one, str))
    except Misfit:
        return False


def _are_scores(values: list[Any]) -> bool:
    """Tell whether lists hold scores of options; numbers that all differ are options themselves."""
    lists = [one for one in values if isinstance(one, list | tuple) and one]
    numbers = bool(lists) and all(isinstance(one, bool | int | float) for one in lists[0])
    return numbers and any(len(set(one)) < len(one) or set(one) <= {0, 1} for one in lists)


def _are_places(name: str, values: list[Any]) -> bool:
    """Tell whether numbers are places of options or numbers of classes, by the column's name."""
    return _kind(values) == "number" and _plain(name) in _PLACES.split()


def _forms(values: list[Any]) -> list[str | None]:
    """Return the formats that answers may have; None is the usual one."""
    if _kind(values) in ("list", "labelled"):
        return ["scores"]
    if _kind(values) == "number":
        texts = {canonical_number(str(one)) for one in values if one is not None}
        return [None, "text", *(["index0", "index1"] if "0" in texts else ["index1", "index0"])]
    numbers = {canonical_number(one) for one in values if isinstance(one, str)}
    return [None, "text", *(["index0"] if "0" in numbers else ["index1"])]


def _open(question: str, answer: str, values: list[Any]) -> Iterator[dict[str, Any]]:
    columns = {"question": question, "answer": answer}
    texts = [str(one) for one in values if one not in (None, "")]
    if texts and sum("#### " in one for one in texts) > _MOST * len(texts):
        yield {
            "columns": {**columns, "rationale": answer},
            "answer_kind": "numeric",
            "answer_regex": "#### (.+)",
        }
    elif texts and sum(canonical_number(one) is not None for one in texts) > _MOST * len(texts):
        yield {"columns": columns, "answer_kind": "numeric"}
    else:
        yield {"columns": columns, "answer_kind": "text"}


def _others(
    named: Mapping[str, list[str]], values: Mapping[str, list[Any]], used: Mapping[str, Any]
) -> dict[str, str]:
    taken = _taken(used)
    found = {}
    for what, names in named.items():
        for name in names:
            texts = [one for one in values[name] if one not in (None, "")]
            plain = _kind(values[name]) in ("text", "number")
            unique = len({str(one) for one in texts}) == len(values[name])
            if what in used or name in taken or not plain or (what == "id" and not unique):
                continue
            if what == "split" and not _is_split(texts):
                continue
            found[what] = name
            break
    return found


def _is_split(texts: list[Any]) -> bool:
    """Tell whether some value names a split; whether all rows have one is not seen here."""
    names = {str(one) for one in texts}
    return len(names) <= 10 and bool(guessed(names))
