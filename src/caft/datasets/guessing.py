"""What a file of questions probably means, by the names and the values of its columns."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from caft.datasets import read_section
from caft.datasets.cells import options, parted, text
from caft.datasets.file import absent
from caft.datasets.ingest import Ingested, ingest
from caft.datasets.mapping import Mapper
from caft.datasets.parts import guessed
from caft.errors import ItemError
from caft.prompting.numbers import canonical_number
from caft.settings import NAME
from caft.tables.containers import format_of
from caft.tables.files import files_in
from caft.tables.reading import Reading, class_names, lists_in, parts_of, read_rows
from caft.tables.rows import Limits, Row, Unread, Unusable
from caft.tables.selectors import Misfit, parsed, select

_ROWS = 1000  # that are looked at
_SHOWN = 30  # names in a message
_GOOD = 0.9  # share of rows that a reading has to make items of
_SPLITS = {"train": 0.6, "validation": 0.1, "test": 0.3}

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


def guess(path: str) -> Guess:
    """Look into a file, and find a section of the configuration that reads it.

    Args:
        path: a file, a folder or a pattern, as `path` of the adapter `file`.

    Raises:
        ItemError: if it cannot be read, or no reading makes items of most rows.
    """
    of_hub = _files_of_hub(path)
    parts = [] if of_hub else parts_of(path)
    files = of_hub or [file for part in parts for file in part.files]
    if not files:
        raise ItemError(absent(path))
    how, notes, rows = _first_rows(files[0])
    section: dict[str, Any] = {"adapter": "file", "path": path, **how}
    alone = len(files) == 1 and how.keys() == {"records"}
    lists = lists_in(files[0], Limits(), Reading()) if alone else []
    if of_hub and not how:
        names = [Path(file).name for file in of_hub]
        section = {"adapter": "hub", "id": path, "parts": {one: one for one in guessed(names)}}
    elif names := [part.name for part in parts if part.name]:
        section["parts"], note = _mapped(names)
        notes += note
    elif _are_splits(lists):
        del section["records"]
        section["parts"], notes = _mapped(lists)
    records = [row for _, row in rows if not isinstance(row, Unusable)]
    if len(records) < _GOOD * len(rows):
        number, bad = next((n, row) for n, row in rows if isinstance(row, Unusable))
        raise ItemError(
            f"{path}, row {number}: {bad.detail}, like {len(rows) - len(records)} of the first "
            f"{len(rows)} rows."
        )
    if not records:
        raise ItemError(f"{path}: the file has no rows.")
    classes = class_names(files[0], Limits(), Reading(**how))
    values = _columns(records, classes)
    rest = {what: _named(values, names) for what, names in _OTHERS.items()}
    if "parts" in section:
        del rest["split"]
    if len(files) > 1:  # ids often begin anew in each file, and only one is looked at
        del rest["id"]
    section["splits"] = _SPLITS
    best: tuple[int, dict[str, Any], Ingested] | None = None
    why = ""
    for candidate in _candidates(values):
        columns = {**candidate["columns"], **_others(rest, values, candidate["columns"])}
        columns["question"] = _with_text(values, columns)
        whole = {**section, **candidate, "columns": columns}
        whole.update(_own_splits(columns, values))
        try:
            made = _tried(whole, rows, classes)
        except ItemError as error:
            if whole.get("answer_format") != "scores":
                why = why or f" Read with {columns}: {'; '.join(str(error).split('; ')[1:2])}."
            continue
        if best is None or len(made.items) > best[0]:
            best = len(made.items), whole, made
        if not made.report["rejected"]:
            break
    if best is None:
        raise ItemError(f"{path}: {_untold(values, records[0])}{why}")
    whole, made = best[1], best[2]
    if isinstance(asked := whole["columns"]["question"], list):
        notes.append(f"columns.question: {' and '.join(asked)} are one question, in this order.")
    if any("`shuffle_options: true`" in one for one in made.report["warnings"]):
        whole["shuffle_options"] = True
        notes.append("shuffle_options: the right option stands in one place nearly always.")
        made = _tried(whole, rows, classes)
    return Guess(whole, made, [*notes, *made.report["warnings"]])


def _files_of_hub(path: str) -> list[str]:
    """Return the files of a local folder in the hub's form: each is named after its split."""
    folder = Path(path)
    if not folder.is_dir() or (folder / "dataset_dict.json").is_file():
        return []
    files = [file for file in files_in(path, "**") if format_of(file)]
    found = guessed(Path(file).name for file in files)
    whole = sum(map(len, found.values())) == len(files)
    places = Counter(str(Path(file).parent) for file in files)
    if whole and len(places) > 1 and _are_repeated(files):
        raise ItemError(
            f"{path}: has the same splits in several folders; name one of them: "
            f"{', '.join(list(places)[:_SHOWN])}."
        )
    return files if whole and {"train", "test"} <= found.keys() else []


def _are_repeated(files: list[str]) -> bool:
    """Tell whether several folders have a file of one name, as configurations have."""
    return len({Path(file).name for file in files}) < len(files)


def _are_splits(names: list[str]) -> bool:
    """Tell whether names are those of splits, train and another at least, and no other is there."""
    found = guessed(names)
    return {"train"} < found.keys() and sum(map(len, found.values())) == len(names)


def _mapped(names: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the split of each part, and a note where one that is no test has to be it."""
    found = guessed(names)
    if "test" in found or "validation" not in found:
        return found, []
    found["test"] = found.pop("validation")
    return found, [f"parts: there is no test; {', '.join(found['test'])} stands for it."]


def _untold(values: Mapping[str, list[Any]], record: Mapping[str, Any]) -> str:
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


def name_of(path: str) -> str:
    """Return a name for a data set, from that of its file."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(path).name.split(".")[0]).strip("_-")
    return stem if re.fullmatch(NAME, stem) else "mine"


def _first_rows(file: str) -> tuple[dict[str, Any], list[str], list[Row]]:
    """Return the keys that read a file, a note on each, and its first rows."""
    how: dict[str, Any] = {}
    notes: list[str] = []
    while True:
        try:
            rows = islice(read_rows(file, Limits(), Reading(**how)), _ROWS)
            return how, notes, list(rows)
        except Unread as error:
            if error.mend.keys() <= how.keys():
                raise
            how.update(error.mend)
            notes.append(str(error))


def _columns(
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


_OTHERS = {"id": _ID, "category": _CATEGORY, "rationale": _RATIONALE, "split": _SPLIT}


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
    if texts and sum("#### " in one for one in texts) > _GOOD * len(texts):
        yield {
            "columns": {**columns, "rationale": answer},
            "answer_kind": "numeric",
            "answer_regex": "#### (.+)",
        }
    elif texts and sum(canonical_number(one) is not None for one in texts) > _GOOD * len(texts):
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
    names = {str(one) for one in texts}
    known = all(guessed([name]) for name in names)
    return known and len(names) <= 10 and {"train", "test"} <= guessed(names).keys()


def _own_splits(columns: Mapping[str, Any], values: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the key `parts` if a column of splits has other names than ours."""
    if "split" not in columns:
        return {}
    names = dict.fromkeys(str(one) for one in values[columns["split"]] if one)
    return {} if set(names) <= set(_SPLITS) else {"parts": guessed(names)}


def _tried(
    section: dict[str, Any], rows: Iterable[Row], classes: Mapping[str, list[str]]
) -> Ingested:
    """Return what the rows become.

    Raises:
        ItemError: if few of them become items.
    """
    settings: Any = read_section(section)
    name = section.get("path") or section["id"]
    mapper = Mapper(settings, name)
    return ingest(
        mapper.all(mapper.mapped(rows, name, "", classes)),
        settings.splits,
        1,
        "guess",
        1 - _GOOD,
        shuffle=bool(settings.shuffle_options),
    )
