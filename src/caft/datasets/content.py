"""What one row says, checked: its options, its canonical answer and its id."""

import re
from typing import Any

from caft.datasets.cells import unmarked
from caft.datasets.parts import SPLITS
from caft.prompting.numbers import canonical_number
from caft.tables.hashing import item_id, nfc, unit_interval

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TEXTS = ("question", "answer", "category", "rationale", "source_id")
_OTHER_SPACES = ("  ", "\t", "\n", "\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x1f")
_DECIMAL_COMMA = re.compile(r"(?<![0-9.,])(?:0,[0-9]+|[0-9]+,(?:[0-9]{1,2}|[0-9]{4,}))(?![0-9.,])")


class BadRow(Exception):
    """A row that cannot be used; the arguments are its reason and a plain detail."""


def content_of(
    row: dict[str, Any], kind: str, answer_format: str, shuffle: bool, seed: int
) -> dict[str, Any]:
    """Return a row's checked options, canonical answer and item_id, and what was done to them.

    `draw` follows from the seed and the question in small letters and with single spaces, so that
    questions that are equal but for those share a split. `draw_of_text` follows in the same way
    from the text that the question is about, where it is about one.
    """
    _check_texts({key: row[key] for key in _TEXTS})
    _check_texts(row.get("more", {}))
    if not (row["question"] or "").strip():
        raise BadRow("empty_question", "the question is empty")
    given = _checked_options(row["options"]) if kind == "choice" else None
    options = unmarked(given) if given else None
    marked = options != given
    if marked and options:
        _checked_options(options)
    answer = (row["answer"] or "").strip()
    if not answer:
        raise BadRow("missing_answer", "the answer is empty")
    if options:
        by_mark = answer_format == "text" and _option_key(answer) not in map(_option_key, options)
        answer = _letter(answer, given if by_mark and given else options, answer_format)
    elif kind == "numeric":
        number = canonical_number(answer)
        if number is None:
            if _DECIMAL_COMMA.search(answer):
                told = f"answer {answer[:60]!r} has a decimal comma; write it with a point"
                raise BadRow("decimal_comma", told)
            raise BadRow("not_a_number", f"answer {answer[:60]!r} is not a number")
        answer = number
    if row["split"] not in (None, *SPLITS):
        told = f"split {row['split']!a} is none of train, validation, test; map it by `parts`"
        raise BadRow("bad_split", told)
    draw = _draw(seed, row["question"])
    order = None
    if options and shuffle:
        order = shuffled(row["question"], options)
        answer = _LETTERS[order.index(_LETTERS.index(answer))]
        options = [options[place] for place in order]
    return {
        "options": options,
        "answer": answer,
        "item_id": item_id(row["question"], options, answer),
        "draw": draw,
        "draw_of_text": _draw(seed, row["about"]) if row.get("about") else draw,
        "order": order,
        "marked": marked,
        "rationale": (row["rationale"] or "").strip() or None,
    }


def asked_and_gold(row: dict[str, Any]) -> tuple[tuple[Any, ...], str]:
    """Return what a checked row asks and the right answer's text, to be compared among rows.

    Spaces, the order of options and the case of questions and answers make no difference.
    """
    options, answer = row["options"], row["answer"]
    gold = options[_LETTERS.index(answer)] if options else answer
    asked = (row["draw"], *sorted(map(_option_key, options or [])))
    return asked, _single_spaced(nfc(gold.casefold()))


def _draw(seed: int, text: str) -> float:
    return unit_interval("split", seed, _single_spaced(nfc(text.casefold())))


def shuffled(question: str, options: list[str]) -> list[int]:
    """Return an order of options that their texts and the question give, and nothing else.

    So it is the same on every machine, in whatever order a source has them.

    Returns:
        For each new place the old one, from 0.
    """
    question, keys = nfc(question), [nfc(option) for option in options]
    return sorted(
        range(len(keys)), key=lambda place: unit_interval("option", question, keys[place])
    )


def _single_spaced(text: str) -> str:
    """Return a text with one space between words, and none around them."""
    if text.isascii() and not any(space in text for space in _OTHER_SPACES):
        return text.strip(" ")  # most texts; looking for spaces is faster than splitting by them
    return " ".join(text.split())


def _check_texts(texts: dict[str, str | None]) -> None:
    """Refuse what is no text; most rows are looked at in one go."""
    if not _is_text("".join(filter(None, texts.values()))):
        what = next(what for what, text in texts.items() if text and not _is_text(text))
        raise BadRow("not_text", f"{what} holds a NUL or a lone surrogate")


def _is_text(text: str) -> bool:
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked_options(options: Any) -> list[str]:
    if options is None:
        raise BadRow("bad_options", "there are no options")
    if not isinstance(options, list):
        raise BadRow("bad_options", f"the options are no list: {str(options)[:60]!a}")
    if not all((option or "").strip() for option in options):
        raise BadRow("bad_options", "an option is empty")
    _check_texts({"an option": "".join(options)})
    if len(options) < 2:
        raise BadRow("single_option", f"{len(options)} option, at least 2 are needed")
    if len(options) > len(_LETTERS):
        raise BadRow("too_many_options", f"{len(options)} options, at most 26 have a letter")
    keys = [_option_key(option) for option in options]
    if len(set(keys)) < len(keys):
        index = next(index for index, key in enumerate(keys) if key in keys[:index])
        first, second = _LETTERS[keys.index(keys[index])], _LETTERS[index]
        raise BadRow("duplicate_options", f"options {first} and {second} are equal")
    return options


def _letter(answer: str, options: list[str], answer_format: str) -> str:
    index: int | None
    if answer_format == "text":
        keys = [_option_key(option) for option in options]
        index = keys.index(_option_key(answer)) if _option_key(answer) in keys else None
    elif answer_format == "letter":
        letter = answer.strip("().").upper()
        index = _LETTERS.index(letter) if len(letter) == 1 and letter in _LETTERS else None
    else:
        number = canonical_number(answer)
        index = int(number) if number and number.lstrip("-").isdigit() else None
        if index is not None and answer_format == "index1":
            index -= 1
    if index is None or not 0 <= index < len(options):
        last = _LETTERS[len(options) - 1]
        detail = f"answer {answer[:60]!r} is not among the {len(options)} options A-{last}"
        if (answer_format, index) in (("index0", len(options)), ("index1", -1)):
            other = {"index0": "index1", "index1": "index0"}[answer_format]
            raise BadRow("other_counting", f"{detail}, unless `answer_format` is {other}")
        raise BadRow("answer_not_an_option", detail)
    return _LETTERS[index]


def _option_key(option: str) -> str:
    return nfc(option.strip())
