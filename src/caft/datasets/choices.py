"""Where the options of a question may stand, and which of them is the right one."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from caft.datasets.cells import parted
from caft.datasets.columns import (
    ANSWER,
    ANSWERS,
    CHOICES,
    LISTS,
    OPTIONS,
    OTHERS,
    PLACES,
    RIGHT,
    WRONG,
    is_below,
    kind,
    like,
    named,
    plain,
    share,
)
from caft.prompting.numbers import canonical_number
from caft.tables.selectors import Misfit

Options = tuple[str | list[str], str | None]
"""Where options are, one column or several; and the answer where it is one of these columns."""

_SHOWN = 30  # texts that are parted to see whether options stand in them
_MOST = 0.9  # share of rows that have to be of a kind
_NUMBERED = re.compile(
    r"(?P<stem>.*?)[\s_.(\[-]*(?P<mark>[A-Ja-j]|\d{1,2})[\s.:)\]]*(?:[\s_]?[Tt]ext)?"
)
_STEMS = {"", "op", "opt", "sol", "ending", "holding", "answer", "mcanswer", "antwort", *CHOICES}
_DIGITS = re.compile(r"\d+(?:\.0)?")
_NAMED = (  # an option by its letter and text, or by a word and its letter
    r"^\s*\(?([A-Ja-j])[).:]\s",
    r"^(?i:option|choice|answer|antwort)[\s_]*([A-Ja-j])$",
)


def likely_options(
    values: Mapping[str, list[Any]], question: str
) -> tuple[list[Options], list[Options]]:
    """Return where options are by their names or values, and where they may be all the same."""
    sure: list[Options] = []
    unsure: list[Options] = []
    for given, right in _options(values, question):
        known = isinstance(given, str) or right or _stem(given[0]) in _STEMS
        (sure if known else unsure).append((given, right))
    return sure, unsure


def scored(question: str, values: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield readings of objects whose keys are the options and whose numbers score them."""
    for one in (one for one in values if _are_truths(one, values[one])):
        columns = {"question": question, "options": one, "answer": one}  # as of BIG-bench
        yield {"columns": columns, "answer_format": "scores"}


def choices(
    question: str, values: Mapping[str, list[Any]], several: list[Options]
) -> Iterator[dict[str, Any]]:
    """Yield readings as multiple choice."""
    kinds = ("text", "number", "list", "labelled")
    called = dict.fromkeys([*named(values, ANSWER, *kinds), *like(values, ANSWERS, *kinds)])
    answers = [name for one in called for name in (f"{one}.name", one) if name in values]
    for given, right in several:
        for answer in [right] if right else answers:
            if not right and _is_inside(answer, given):
                continue
            columns = {"question": question, "options": given, "answer": answer}
            if right:
                yield {"columns": columns, "answer_format": "text"}
                continue
            if labels := _labels(given, answer, values):
                yield {"columns": {**columns, "labels": labels}}
            for form in _forms(answer, values[answer]):
                yield {"columns": columns, **({"answer_format": form} if form else {})}
            for pattern in _NAMED:
                if share(bool(re.search(pattern, str(one))) for one in values[answer]) > _MOST:
                    yield {"columns": columns, "answer_regex": pattern}


def _is_inside(answer: str, given: str | list[str]) -> bool:
    """Tell whether what is taken for an answer is one of the options: column A is option A."""
    if isinstance(given, list):
        return answer in given
    parent = given.rpartition(".")[0]
    return is_below(answer, given) or bool(parent and answer.startswith(f"{parent}["))


def _labels(given: Any, answer: str, values: Mapping[str, list[Any]]) -> str | None:
    """Return the column beside options that has their labels, if the answers are among them."""
    parent = given.rpartition(".")[0] if isinstance(given, str) else ""
    for one in values if parent else ():
        if one.rpartition(".")[0] != parent or one == given or plain(one) in ("label", "key"):
            continue
        rows = list(zip(values[one], values[given], values[answer], strict=True))
        if share(map(_is_label_of, *zip(*rows, strict=True))) > _MOST:
            return one
    return None


def _is_label_of(labels: Any, options: Any, answer: Any) -> bool:
    if not isinstance(labels, list) or not isinstance(options, list) or len(labels) != len(options):
        return False
    shown = [str(one).strip() for one in labels]
    return len(set(shown)) == len(shown) and str(answer).strip() in shown


def _forms(name: str, values: list[Any]) -> list[str | None]:
    """Return the formats that answers may have; None is the usual one."""
    if kind(values) in ("list", "labelled"):
        return ["scores"]
    there = [one for one in values if one not in (None, "")]
    numbers = {canonical_number(str(one)) for one in there}
    places = ["index0", "index1"] if "0" in numbers else ["index1", "index0"]
    if kind(values) == "number":
        named_so = plain(name) in PLACES.split() or plain(name).endswith(("index", "idx"))
        return [*places, None, "text"] if named_so else [None, "text", *places]
    digits = share(bool(_DIGITS.fullmatch(str(one).strip())) for one in there) > _MOST
    return [None, "text", *(places[:1] if digits else [])]


def _options(
    values: Mapping[str, list[Any]], question: str
) -> Iterator[tuple[str | list[str], str | None]]:
    """Yield where options may be, and the answer where it is one of them."""
    lists = [
        one
        for one in [
            *named(values, OPTIONS, "list", "labelled"),
            *like(values, CHOICES, "list", "labelled"),
            *_with_answers(values),
        ]
        if not _are_scores(values[one]) and plain(one) not in WRONG.split()
        if plain(one) in LISTS.split() or not _are_aliases(values, one)
    ]
    yield from ((one, None) for one in dict.fromkeys(lists))
    yield from _right_and_wrong(values)
    for one in named(values, OPTIONS, "text"):
        if one != question and _are_parted(values[one]):
            yield one, None
    groups = sorted(
        numbered(values, question).items(), key=lambda group: _stem(group[1][0]) not in _STEMS
    )
    for stem, names in groups:
        right = named(values, RIGHT, "text")
        if plain(stem) in WRONG.split() and right:
            yield [*names, right[0]], right[0]
        elif len(names) > 1:
            yield names, None


def _with_answers(values: Mapping[str, list[Any]]) -> list[str]:
    """Return lists of texts that hold the answer's text in nearly every row, whatever their names.

    Where the answer is nearly always the first of them, they are other words for it.
    """
    found = []
    for one in (one for one in values if kind(values[one]) == "list"):
        for answer in named(values, ANSWER, "text"):
            rows = [
                (row, gold)
                for row, gold in zip(values[one], values[answer], strict=True)
                if isinstance(row, list | tuple) and isinstance(gold, str)
            ]
            there = [gold in row and len(row) > 1 for row, gold in rows]
            first = [row[:1] == [gold] for row, gold in rows]
            if share(there) > _MOST > share(first):
                found.append(one)
                break
    return found


def _are_aliases(values: Mapping[str, list[Any]], name: str) -> bool:
    """Tell whether a list has the answer first, then others with its words, as Paris City."""
    for answer in named(values, ANSWER, "text"):
        rows = [
            (row[0] == gold, any(gold.casefold() in str(one).casefold() for one in row[1:]))
            for row, gold in zip(values[name], values[answer], strict=True)
            if isinstance(row, list | tuple) and row and isinstance(gold, str)
        ]
        firsts, words = share(first for first, _ in rows), share(also for _, also in rows)
        if firsts > _MOST and words > 1 / 3:
            return True
    return False


def _right_and_wrong(
    values: Mapping[str, list[Any]],
) -> Iterator[tuple[list[str], str]]:
    """Yield the right answer and the entries of a list of wrong ones as options."""
    for wrong in named(values, WRONG, "list"):
        count = max(len(row) for row in values[wrong] if isinstance(row, list | tuple))
        entries = [f"{wrong}[{place}]" for place in range(count)]
        for right in named(values, RIGHT, "text")[:1]:
            yield [right, *entries], right


def numbered(values: Mapping[str, list[Any]], question: str) -> dict[str, list[str]]:
    """Return columns whose names differ by a letter or a number alone, by what they share."""
    groups: dict[str, list[str]] = {}
    for name, found in values.items():
        match = _NUMBERED.fullmatch(name)
        if match and name != question and kind(found) in ("text", "number"):
            groups.setdefault(match["stem"], []).append(name)
    return groups


def _stem(name: str) -> str:
    match = _NUMBERED.fullmatch(name)
    return plain(match["stem"]) if match else plain(name)


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


def _are_truths(name: str, values: list[Any]) -> bool:
    """Tell whether objects score the options that their keys are, as in BIG-bench; ids do not."""
    if kind(values) != "scores" or plain(name) in OTHERS["id"].split():
        return False
    largest = [max(filter(None, one.values()), default=0) for one in values if one]
    return share(0 < one <= 1 for one in largest) > _MOST
