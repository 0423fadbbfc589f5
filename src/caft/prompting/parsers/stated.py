"""Answers that are marked, stated in words, or all that the first line holds."""

import re

from caft.prompting.parsers import Parser

# The innermost brackets: one pair that was never closed does not swallow a later answer.
MARKED = re.compile(r"\[\[((?:(?!\[\[).)*?)\]\]", re.DOTALL)
# "The answer is B", "**Answer:** B", "The correct option is B"; a heading, "**Final answer**"; what
# follows may begin as an item of a list.
_STATED = re.compile(
    r"(?:(?:answer|(?:correct|right|best) (?:option|choice))[*_]{0,3}(?: is|:)[*_]{0,3}[ \t]*:?"
    r"|^[#*_> \t]*(?:the )?(?:(?:final|correct) )?answer[*_. \t]*$)"
    r"\s*(?:(?<=\n)[-*+\u2022][ \t]+)?",
    re.IGNORECASE | re.MULTILINE,
)
# "I don't think the answer is B", "I am not sure that the answer is B".
_DENIED = re.compile(
    r"(?:n['\u2019]t|\bnot) (?:think|believe|say|mean|sure|certain|clear|true|possible|the case)"
    r"(?: that| if| whether)?(?: the| my)?(?: final| correct| right| best)? $",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^\n]+?(?=\.\s|\.?$|\n)", re.MULTILINE)
_HASHES = re.compile(r"####\s*([^\n]+)")
_BOXED = re.compile(r"\\(?:d?boxed|fbox)\s*{")
_BRACE = re.compile(r"\\?[{}]")
# Between two marks or boxes of one statement: "[[B]] or [[C]]".
_JOINT = re.compile(r"[\s$*]*(?:[,;/&]|(?:and|or)\b)(?:[\s$*]|(?:and|or)\b)*")
# What touches a box makes another number of the one inside: "-\boxed{5}", "\boxed{5} million".
_BEFORE_BOX = re.compile(
    r"(?:[^\s=:$]*[-+*/^\u2212\u2013\u00b1\u221a<>|]|=\s?[-\u2212\u2013]\s)\$?\Z"
)
_AFTER_BOX = re.compile(
    r"(?:[$ \t]|\\(?:text|mathrm){|\\[,;: ])*(?:\\(?:times|cdot)|[^\s$.,;:}\\]*)"
)


def marked(text: str) -> str | None:
    """Return what the last [[...]] of a text holds; "B or C" for "[[B]] or [[C]]"; None if none."""
    marks = _joined([found.span() for found in MARKED.finditer(text)], text)
    return " or ".join(dict.fromkeys(text[start + 2 : end - 2] for start, end in marks)) or None


def boxes(text: str) -> list[tuple[int, int]]:
    r"""Return where each closed \boxed{...} of a text begins and ends, in the text's order."""
    opened, closed = [], {}
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.end())
        elif brace[0] == "}" and opened:
            closed[opened.pop()] = brace.end()
    found = [box.span() for box in _BOXED.finditer(text)]
    return [(start, closed[inside]) for start, inside in found if inside in closed]


def unboxed(text: str) -> str:
    """Return what the outer boxes of a text hold, joined by "or"; the text where it has none.

    Of boxes that hold nothing but a box, the innermost counts.
    """
    ends, held, last = dict(boxes(text)), [], 0
    for start, end in ends.items():
        if start < last:
            continue  # inside the one before
        last, inside = end, text.index("{", start) + 1
        while ends.get(inside) == end - 1:
            end, inside = end - 1, text.index("{", inside) + 1
        held.append(text[inside : end - 1])
    return " or ".join(dict.fromkeys(held)) or text


def _joined(spans: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Return the last of some spans, and those before it that are joined to it."""
    kept = spans[-1:]
    for start, end in reversed(spans[:-1]):
        if not _JOINT.fullmatch(text, end, kept[0][0]):
            break
        kept.insert(0, (start, end))
    return kept


def _last_sentence(text: str) -> tuple[int, str] | None:
    stated = [
        found
        for found in _STATED.finditer(text)
        if not _DENIED.search(text[max(0, found.start() - 60) : found.start()])
    ]
    sentence = _SENTENCE.match(text, stated[-1].end()) if stated else None
    return (sentence.start(), sentence.group()) if sentence else None


def _last_box(text: str) -> tuple[int, str] | None:
    found = _joined(boxes(text), text)
    if not found:
        return None
    start, end = found[0][0], found[-1][1]
    before, after = (
        _BEFORE_BOX.search(text[max(0, start - 20) : start]),
        _AFTER_BOX.match(text, end),
    )
    return start, (before[0] if before else "") + text[start:end] + (after[0] if after else "")


def _last_hashes(text: str) -> tuple[int, str] | None:
    before, hashes, answer = text.rstrip().rpartition("####")
    return (
        (len(before), answer) if hashes and answer.strip() and "\n" not in answer.strip() else None
    )


def _stated(text: str) -> str | None:
    """Return what a text states last: in words, under a heading, in a box, behind ####."""
    found = [find(text) for find in (_last_sentence, _last_hashes, _last_box)]
    last = max((place for place in found if place), key=lambda place: place[0], default=None)
    if last:
        return last[1]
    hashes = _HASHES.findall(text)
    return hashes[-1] if hashes else None


def _after_marks(text: str) -> str | None:
    """Return what is stated behind the last [[...]]: that may have been a matrix, not an answer."""
    marks = list(MARKED.finditer(text))
    return _stated(text[marks[-1].end() :] if marks else text)


def _leading(text: str) -> str | None:
    first_line = text.strip().split("\n", 1)[0]
    return marked(first_line) or first_line or None


PARSERS = {
    "marked": Parser((marked,)),  # the last [[...]]
    # "The answer is (C)", "**Final answer** C", "\boxed{C}", "#### 42": what is stated last
    "answer_is": Parser((_stated,)),
    "any": Parser((marked, _after_marks)),  # marked, else stated later
    # The first line, for models asked for the answer only.
    "leading": Parser((_leading,), of_rationales=False),
}
