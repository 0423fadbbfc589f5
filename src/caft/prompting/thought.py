"""Where a model's thinking ends and its answer begins, in texts that hold both.

Servers that know a model keep its thinking in a channel of its own; others leave it in the text,
between marks. A thought opens at the beginning of a text or of a line. Where the prompt has opened
it already, the text has the closing mark alone. Marks in quotes or code, or inside a sentence, are
talk about marks.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Thought:
    """The marks around a model's thinking."""

    opens: str
    closes: str


_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think", "scratchpad")
KNOWN = (
    *(Thought(f"<{tag}>", f"</{tag}>") for tag in _TAGS),
    Thought("[THINK]", "[/THINK]"),
    Thought("◁think▷", "◁/think▷"),
    Thought("<|begin_of_thought|>", "<|end_of_thought|>"),
    Thought("<|START_THINKING|>", "<|END_THINKING|>"),
    Thought("<|inner_prefix|>", "<|inner_suffix|>"),
    Thought("<|channel>thought", "<channel|>"),
    Thought("<|channel|>analysis", "<|channel|>final<|message|>"),
    Thought("<|channel|>commentary", "<|channel|>final<|message|>"),
)
"""The marks of the models that are known; upper and lower case are the same."""

_LINE = 200  # characters before a mark that are looked at; white space at most
_QUOTES = "`'\""
_FENCE = "```"
# Of harmony, the format with channels; its marks end messages and name who speaks.
_SPEAKER = re.compile(r"<\|start\|>\s*\w+\s*$")
_ENDS = ("<|end|>", "<|return|>", "<|call|>")
_LEFT = re.compile(r"<\|(?:start\|>\s*assistant|message\|>|end\|>|return\|>|call\|>)")
# The same where the server has removed its special tokens.
_BARE = re.compile(r"\s*(?:analysis|commentary)(?=[A-Z\"']|.*?assistant\s?final)", re.DOTALL)
_BARE_FINAL = re.compile(r"assistant\s?final")


def split_thought(text: str, marks: Sequence[Thought] = KNOWN) -> tuple[str | None, str | None]:
    """Split a text into thinking and answer.

    Of several thoughts the last one that is closed ends the thinking: all before its end belongs to
    it.

    Args:
        text: what a model wrote.
        marks: around its thinking.

    Returns:
        The thinking, without its marks, None if there is none; and the answer. The answer is the
        whole text where there is no thought, and None where a thought is open at the end: no answer
        was begun then.
    """
    start = answer_start(text, marks)
    if start == 0:
        return None, text
    thinking = _without_marks(text if start is None else text[:start], marks)
    return thinking or None, None if start is None else _without_end(text[start:])


def answer_start(text: str, marks: Sequence[Thought] = KNOWN) -> int | None:
    """Return at which character the answer begins, white space behind a thought left out.

    Returns:
        0 for a text without a thought; None where a thought is open at the end.
    """
    if _BARE.match(text):
        finals = list(_BARE_FINAL.finditer(text))
        return _skip_space(text, finals[-1].end()) if finals else None
    opened: Thought | None = None
    end = 0
    used: set[Thought] = set()  # marks that a thought had
    talked_of: set[Thought] = set()
    fences = [fence.start() for fence in re.finditer(_FENCE, text)]

    def in_code(start: int) -> bool:
        return (bisect_right(fences, start - len(_FENCE)) - bisect_left(fences, end)) % 2 == 1

    for found in _pattern(tuple(marks)).finditer(text):
        said = found.group().casefold()
        opening = {mark for mark in marks if mark.opens.casefold() == said}
        closing = {mark for mark in marks if mark.closes.casefold() == said}
        if opened:
            if opened in closing and not _is_quoted(text, found):
                opened, end = None, found.end()
        elif (
            opening
            and _opens_here(text, found.start(), end, bool(opening & used))
            and not in_code(found.start())
        ):
            opened = next(iter(opening))
            used |= opening
        elif opening:
            talked_of |= opening
        elif closing - talked_of and not _is_quoted(text, found):
            end = found.end()
            used |= closing
    return None if opened else _skip_space(text, end) if end else 0


@cache
def _pattern(marks: tuple[Thought, ...]) -> re.Pattern[str]:
    texts = sorted({part for mark in marks for part in (mark.opens, mark.closes)}, key=len)
    return re.compile("|".join(map(re.escape, reversed(texts))), re.IGNORECASE)


def _opens_here(text: str, start: int, end: int, is_used: bool) -> bool:
    """Tell whether an opening mark opens a thought; one that was used is not talked about."""
    near = text[max(end, start - _LINE) : start]
    line = _SPEAKER.sub("", near).rstrip(" \t")
    is_quoted = near[-1:] in tuple(_QUOTES)
    return not is_quoted and (is_used or not line or line.endswith(("\n", "|>")))


def _is_quoted(text: str, found: re.Match[str]) -> bool:
    before = text[max(found.start() - 1, 0) : found.start()]
    return before in tuple(_QUOTES) and before == text[found.end() : found.end() + 1]


def _without_end(text: str) -> str:
    """Return a text without the mark of harmony that ends it, and the white space around that."""
    bare = text.rstrip()
    mark = next((mark for mark in _ENDS if bare.endswith(mark)), None)
    return bare.removesuffix(mark).rstrip() if mark else text


def _skip_space(text: str, start: int) -> int:
    return start + len(text[start:]) - len(text[start:].lstrip())


def _without_marks(text: str, marks: Sequence[Thought]) -> str:
    if _BARE.match(text):
        return _BARE_FINAL.sub("", text).strip().removeprefix("analysis").strip()
    return _LEFT.sub("", _pattern(tuple(marks)).sub("", text)).strip()
