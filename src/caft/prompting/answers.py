"""Answers as text: rendering them in the asked form, and reading them back with named parsers."""

import re
import unicodedata

from caft.prompting.numbers import canonical_number
from caft.prompting.parsers import PARSERS
from caft.prompting.parsers.stated import MARKED

INVALID = "[invalid]"
ABSTAINED = "[abstained]"
TOO_LONG = "[too_long]"  # never asked: prompt and answer do not fit into the model's context
LETTERS = [chr(code) for code in range(ord("A"), ord("Z") + 1)]

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")


def mark(answer: str) -> str:
    """Render an answer in the form that ends every rationale, `[[answer]]`."""
    return f"[[{answer}]]"


def is_finished(text: str) -> bool:
    """Tell whether a text already holds a complete marked answer, so that generation can stop."""
    return MARKED.search(text) is not None


def labels(style: str, count: int) -> list[str]:
    """Return the labels of `count` options: `upper` A B …, `lower` a b …, `number` 1 2 …."""
    if style == "number":
        return [str(position + 1) for position in range(count)]
    return [letter.lower() if style == "lower" else letter for letter in LETTERS[:count]]


def render(answer: str, kind: str, style: str = "upper") -> str:
    """Render a gold answer as the prompt variant asks for it: a letter becomes its label."""
    return labels(style, 26)[LETTERS.index(answer)] if kind == "choice" else answer


def with_mark(text: str, answer: str, kind: str, n_options: int, style: str = "upper") -> str:
    """Return a rationale that ends in its answer as a prompt variant asks for it, marked once.

    Marks that say the answer in another form (`[[$1,200]]`, the letter where numbers are asked
    for) get the asked one; where the last mark says something else, or there is none, it follows.

    Args:
        text: what a teacher wrote; options are named by their letters.
        answer: the answer as in the items table.
        kind: choice, numeric or text.
        n_options: number of options of a choice item.
        style: label style of the prompt variant.
    """
    asked = render(answer, kind, style)

    def says_it(held: str) -> bool:
        read = _read(held, kind, n_options, "upper", None)
        return held == asked or equal(read, answer, kind)

    held = MARKED.findall(text)
    text = MARKED.sub(lambda found: mark(asked) if says_it(found[1]) else found[0], text)
    return text if held and says_it(held[-1]) else f"{text.rstrip()} {mark(asked)}"


def parse(
    text: str,
    parser: str,
    kind: str,
    n_options: int,
    style: str = "upper",
    abstain: str | None = None,
) -> str:
    """Read the answer out of a model's text.

    Args:
        text: what the model wrote.
        parser: a key of `caft.prompting.parsers.PARSERS`.
        kind: choice, numeric or text.
        n_options: number of options of a choice item.
        style: label style of the prompt variant; a label is mapped back to its letter.
        abstain: the label that means "I do not know", where the variant offers one.

    Returns:
        A letter, a canonical number or a text; `[invalid]` if there is none; `[abstained]`.
    """
    for find in PARSERS[parser].places:
        span = find(text)
        if span is not None:
            read = _read(span, kind, n_options, style, abstain)
            if read != INVALID:
                return read
    return INVALID


def _read(span: str, kind: str, n_options: int, style: str, abstain: str | None) -> str:
    if kind == "choice":
        return _choice(span, n_options, style, abstain)
    if kind == "numeric":
        numbers = _NUMBER.findall(span)
        # Two numbers in the answer's place are an expression or a hedge, not an answer.
        return (canonical_number(numbers[0]) or INVALID) if len(numbers) == 1 else INVALID
    return span.strip() or INVALID


def _choice(span: str, n_options: int, style: str, abstain: str | None) -> str:
    # A label stands alone or before punctuation: "A train leaves", "I do not know" name none.
    found = re.match(r"\W*([A-Za-z]|\d+)(?=\W*$|[).:,;*\]]|(?<![AIai\d])\s)", span)
    if not found:
        return INVALID
    label = found.group(1)
    if abstain is not None and label == abstain:
        return ABSTAINED
    label = label if style == "number" else label.lower() if style == "lower" else label.upper()
    known = labels(style, n_options)
    return LETTERS[known.index(label)] if label in known else INVALID


def equal(parsed: str, gold: str, kind: str) -> bool:
    """Tell whether a parsed answer is the gold one: numbers by value, texts without case."""
    if kind == "numeric":
        return canonical_number(parsed) == canonical_number(gold) is not None
    if kind == "text":
        return _plain(parsed) == _plain(gold)
    return parsed == gold


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
