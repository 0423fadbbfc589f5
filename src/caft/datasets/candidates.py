"""How the columns of a file may be read as questions, by their names and values."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from caft.datasets.cells import options, text
from caft.datasets.choices import choices, likely_options, numbered, scored
from caft.datasets.columns import (
    ABOUT,
    ANSWER,
    ASKS,
    CHOICES,
    LISTS,
    OPTIONS,
    OTHERS,
    PLACES,
    QUESTION,
    is_below,
    kind,
    like,
    named,
    plain,
    share,
)
from caft.datasets.parts import guessed
from caft.prompting.numbers import canonical_number
from caft.tables.selectors import Misfit, select

_SHOWN = 30  # names in a message
_MOST = 0.9  # share of answers, or of rows, that have to be of a kind
_CLASSES = 6  # answers that many rows share, at most, to be options of every question
_OFTEN = 8  # rows per class, at least
_WORDS = {"yes", "no", "maybe", "true", "false", "ja", "nein", "wahr", "falsch"}
_NAME = re.compile(r"\s*(?!EUR|USD|CHF|GBP)[^\W\d_]{3,}(?!\s*[=:])\b")
_READ = ("text", "number", "list", "objects", "object", "labelled", "scores")
_CONTAINERS = {
    **dict.fromkeys(("list", "objects"), "a list"),
    **dict.fromkeys(("object", "labelled"), "an object"),
}
_BOXED = r"\\boxed\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"  # as the solutions of MATH end


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
    rest = {what: named(values, names) for what, names in OTHERS.items() if what not in leave}
    for candidate in _candidates(values):
        columns = {**candidate["columns"], **_others(rest, values, candidate["columns"])}
        columns["question"] = _with_text(values, columns)
        yield {**candidate, "columns": columns}


def doubts(values: Mapping[str, list[Any]], columns: Mapping[str, Any]) -> Iterator[str]:
    """Yield what somebody should look at before a reading is used."""
    asked = columns["question"]
    question = asked if isinstance(asked, str) else asked[-1]
    if not (named({question: []}, QUESTION) or like({question: []}, ASKS)):
        yield f"columns.question: {question} is the longest text; no name says what is asked."
    for one in values:
        taken = any(is_below(name, one) for name in _taken(columns))
        if _is_about(one) and not taken and (what := _CONTAINERS.get(kind(values[one]))):
            yield (
                f"{one} may hold what the questions are about. It is no text but {what}, so they "
                "stand without it; write such texts into a column, and name it in columns.question."
            )


def untold(values: Mapping[str, list[Any]], record: Mapping[str, Any]) -> str:
    """Say what there is where nothing was understood."""
    shown = [f"{name} ({kind(found)})" for name, found in islice(values.items(), _SHOWN)]
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    letters = [one for one in named(values, ANSWER, "text") if _are_letters(values[one])]
    lists: list[tuple[str, Any]] = [
        (one, options) for one in named(values, OPTIONS, "text", "object", "objects")
    ]
    for one, read in [*lists, *((one, _answer) for one in named(values, ANSWER, "list"))]:
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
    for question in _questions(values):
        if flag := _per_option(values, question):
            why = (
                f"{question!r} repeats, and {flag!r} says which of its rows is right, so each row "
                "is one option; bring the options of a question together in one row"
            )
    return f"{why}; write `columns` yourself from: {', '.join(shown)}{more}."


def _answer(record: Mapping[str, Any], selector: str) -> str | None:
    return text(select(record, selector), "answer", selector)


def _with_text(values: Mapping[str, list[Any]], columns: Mapping[str, Any]) -> str | list[str]:
    """Return the column of the question, with those of the text that it is about before it."""
    question, taken = columns["question"], _taken(columns)
    if plain(question) in ("input", "instruction"):
        both = named(values, "instruction input", "text")
        empty = [one for one in both if not all(values[one])]
        return [*empty, *(one for one in both if one not in empty)] if len(both) > 1 else question
    before = [
        one
        for one in values
        if _is_about(one) and kind(values[one]) == "text"
        if not any(is_below(name, one) for name in taken)
        if not all(map(_repeats, values[question], values[one]))
        if share(map(_holds, values[question], values[one])) < _MOST
    ]
    return [*before, question] if before else question


def _is_about(name: str) -> bool:
    """Tell whether a column is called as a text that questions are about."""
    return plain(name) in ABOUT.split() or plain(name).endswith(("passage", "context"))


def _repeats(question: Any, text: Any) -> bool:
    return str(text or "") in str(question or "")


def _holds(question: Any, text: Any) -> bool:
    """Tell whether a text has the question in it, as a whole prompt has."""
    return bool(question) and str(question) in str(text or "")


def _taken(columns: Mapping[str, Any]) -> set[str]:
    """Return the columns that are something already."""
    return {
        one for given in columns.values() for one in ([given] if isinstance(given, str) else given)
    }


def _questions(values: Mapping[str, list[Any]]) -> list[str]:
    """Return the column that asks, by its name, or the longest text that is nothing else."""
    texts = [one for one in values if kind(values[one]) == "text"]
    asks = [
        one for one in like(values, ASKS, "text") if not _is_about(one) and _differ(values[one])
    ]
    others = f"{OTHERS['rationale']} {OTHERS['id']} {ANSWER} {OPTIONS}"
    longest = sorted(
        (one for one in texts if plain(one) not in others.split() and not _is_about(one)),
        key=lambda one: -sum(len(str(text or "")) for text in values[one]),
    )
    several = {one for names in numbered(values, "").values() for one in names if len(names) > 1}
    free = [one for one in longest if one not in several]
    return [*named(values, QUESTION, "text"), *asks, *free, *longest, *texts][:1]


def _differ(values: list[Any]) -> bool:
    """Tell whether most values are there and differ, as questions do and kinds do not."""
    return len({str(one) for one in values if one}) > len(values) / 2


def _candidates(values: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield readings to try: columns, kind and format of the answer; the likely ones first."""
    for question in _questions(values):
        rest = {name: found for name, found in values.items() if name != question}
        sure, unsure = likely_options(values, question)
        yield from scored(question, rest)
        yield from choices(question, rest, sure)
        yield from choices(question, rest, unsure)
        unread = [
            *named(rest, LISTS, *_READ),
            *like(rest, CHOICES, "list", "objects", "object", "labelled"),
        ]
        if not sure and not unread and not _per_option(values, question):
            yield from _open(question, rest)


def _per_option(values: Mapping[str, list[Any]], question: str) -> str | None:
    """Return the column that says which of a question's rows is right, if each row is an option."""
    asked = [one for one in values[question] if one]
    if len(set(map(str, asked))) > len(asked) / 1.5:
        return None
    flags = named(values, "label iscorrect correct right score", "number", "text")
    for flag in flags:
        found = {str(one).strip().casefold() for one in values[flag] if one not in (None, "")}
        if found in ({"0", "1"}, {"true", "false"}, {"0.0", "1.0"}, {"yes", "no"}):
            several = named(values, f"{OPTIONS} answer candidate option choice response", "text")
            if any(one not in (question, flag) for one in several):
                return flag
    return None


def _shared(values: list[Any]) -> list[str]:
    """Return options that all questions share: words such as yes and no, or a few classes."""
    found = [one for one in values if one not in (None, "")]
    if found and all(isinstance(one, bool) for one in found):
        return ["yes", "no"]
    if not all(isinstance(one, str) for one in found):
        return []
    counts = Counter(one.strip() for one in found)
    words = {one.casefold() for one in counts}
    few = len(counts) <= _CLASSES and min(counts.values(), default=0) >= _OFTEN
    numbers = any(canonical_number(one) is not None for one in counts)
    if len(words) < 2 or len(words) < len(counts) or not (words <= _WORDS or (few and not numbers)):
        return []
    return sorted(counts)


def _are_letters(values: list[Any]) -> bool:
    """Tell whether answers name options, which then have to be somewhere."""
    return all(re.fullmatch(r"\(?[A-Ja-j][).]?", str(one).strip()) for one in values if one)


def _are_places(name: str, values: list[Any]) -> bool:
    """Tell whether numbers are places of options or numbers of classes, by the column's name."""
    return kind(values) == "number" and plain(name) in PLACES.split()


def _open(question: str, values: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield readings as questions without options of their own."""
    answers = [one for one in named(values, ANSWER, "text", "number", "list", "labelled")]
    if len(answers) > 1:  # beside another answer these are an id, or option A
        below = {one for one in answers if plain(one) == "key" and _differ(values[one])}
        answers = [one for one in answers if one not in below]
    for answer in answers:
        if plain(answer) == "a" and (answer.casefold() != "a" or named(values, "b c")):
            continue
        classes = f"{answer}.name"
        for one in [classes, answer] if classes in values else [answer]:
            if not _are_letters(values[one]) and (shared := _shared(values[one])):
                both = {"question": question, "answer": one}
                yield {"columns": both, "shared_options": shared, "answer_format": "text"}
        if not _are_letters(values[answer]) and not _are_places(answer, values[answer]):
            yield from _written(question, answer, values[answer])


def _written(question: str, answer: str, values: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield readings of answers that are written out: numbers, texts, or at the end of a chain."""
    columns = {"question": question, "answer": answer}
    texts = [str(one) for one in values if one not in (None, "")]
    if not texts:
        return
    for pattern in ("#### (.+)", _BOXED):
        found = [match[1] for one in texts if (match := re.search(pattern, one))]
        if len(found) > _MOST * len(texts):
            yield {
                "columns": {**columns, "rationale": answer},
                "answer_kind": "numeric" if _are_numbers(found) else "text",
                "answer_regex": pattern,
            }
    yield {"columns": columns, "answer_kind": "numeric" if _are_numbers(texts) else "text"}


def _are_numbers(texts: list[str]) -> bool:
    """Tell whether texts are numbers, with a unit or not; "Apollo 11" is a name."""
    return (
        share(canonical_number(one) is not None and not _NAME.match(one) for one in texts) > _MOST
    )


def _others(
    offered: Mapping[str, list[str]], values: Mapping[str, list[Any]], used: Mapping[str, Any]
) -> dict[str, str]:
    taken = _taken(used)
    found = {}
    for what, names in offered.items():
        for name in names:
            texts = [one for one in values[name] if one not in (None, "")]
            single = kind(values[name]) in ("text", "number")
            unique = len({str(one) for one in texts}) == len(values[name])
            if what in used or name in taken or not single or (what == "id" and not unique):
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
