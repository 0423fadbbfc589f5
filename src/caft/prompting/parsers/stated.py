"""Answers that are marked, stated in words, or all that the first line holds."""

import re

from caft.prompting.parsers import Parser

MARKED = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
_STATED = re.compile(r"answer(?: is|:)\s*:?\s*", re.I)
_SENTENCE = re.compile(r"[^\n]+?(?=\.\s|\.?$|\n)", re.M)
_HASHES = re.compile(r"####\s*([^\n]+)")


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return found[-1] if found else None


def marked(text: str) -> str | None:
    """Return what the last [[...]] of a text holds; None if it has none."""
    return _last(MARKED, text)


def _answer_is(text: str) -> str | None:
    stated = list(_STATED.finditer(text))
    sentence = _SENTENCE.match(text, stated[-1].end()) if stated else None
    return sentence.group() if sentence else _last(_HASHES, text)


def _after_marks(text: str) -> str | None:
    """Return what is stated behind the last [[...]]: that may have been a matrix, not an answer."""
    marks = list(MARKED.finditer(text))
    return _answer_is(text[marks[-1].end() :] if marks else text)


def _leading(text: str) -> str | None:
    first_line = text.strip().split("\n", 1)[0]
    return marked(first_line) or first_line or None


PARSERS = {
    "marked": Parser((marked,)),  # the last [[...]]
    "answer_is": Parser((_answer_is,)),  # "The answer is (C)", "#### 42"
    "any": Parser((marked, _after_marks)),  # marked, else stated later
    # The first line, for models asked for the answer only.
    "leading": Parser((_leading,), of_rationales=False),
}
