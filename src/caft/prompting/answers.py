"""Answers as text: rendering them in the asked form, and reading them back with named parsers."""

import re
from functools import cache

from caft.prompting.numbers import canonical_number, unwrapped
from caft.prompting.parsers import PARSERS
from caft.prompting.parsers.stated import MARKED, unboxed
from caft.tables.hashing import nfc

INVALID = "[invalid]"
ABSTAINED = "[abstained]"
TOO_LONG = "[too_long]"  # never asked: prompt and answer do not fit into the model's context
LETTERS = [chr(code) for code in range(ord("A"), ord("Z") + 1)]

_FINISHED = re.compile(r"\[\[\s*+[^\[\]][^\[\]]*\]\]")
_TEXT_WRAP = re.compile(r"^(?:\*\*|\\text(?:bf|rm)?{)\s*([^*{}]*?)\s*(?:\*\*|})$")
_QUOTED = re.compile(r"^[\"\u201c\u201e]([^\"\u201c\u201d\u201e]*?)\.?[\"\u201c\u201d]$")
# Words that may stand before a named option, as in "the answer is option B".
_BEFORE = (
    r"(?:(?:the|correct|right|best|final|answer|is|option|choice|letter|either|both|between|also|else"
    r"|maybe|possibly|perhaps|probably|likely|most|clearly)\b)"
)
# What joins another option to the first makes a hedge, not an answer: "B or C", "B, C", "B (or C)".
_LINK = r"[,;:/&|+(\u2013\u2014-]|\b(?:and|or|nor|vs)\b"
_JOINT = (
    rf"(?=[^\w.,;:/&|+(\u2013\u2014-]*+(?:{_LINK}))"
    rf"(?:[^\w.]|(?:and|or|nor|vs)\b|{_BEFORE})*+"
)
# Every letter is read by one rule, though "A" and "I" are words too: what only they lost would be
# accuracy of the items whose answer they are. A letter names an option at the end, before a mark,
# and before words that follow neither an article nor a pronoun ("A because", "I is right"). Before
# any other word it names none: "A train leaves", "I do not know" and "C train leaves" alike.
_CLOSED = (
    r"\W*+$|[)\];*]|[.,:](?!\w)|[?!\"'\u2019\u201d](?!\w)|\ \(|\ [-\u2013\u2014]\ "
    r"|\ (?:because|since|as(?!\ an?\b)|is|due|given|so|but|which|where|when|while|if|with|from"
    r"|although|though|based|according|for\ (?:the|this|these|that|all))\b"
)


def mark(answer: str) -> str:
    """Render an answer in the form that ends every rationale, `[[answer]]`."""
    return f"[[{answer}]]"


def finish(text: str) -> int | None:
    """Return where the first complete marked answer ends, so that generation can stop; else None.

    A matrix, `[[1, 2], [3, 4]]`, and empty marks are none.
    """
    found = _FINISHED.search(text)
    return found.end() if found else None


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

    @cache
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
        return _choice(unboxed(span), n_options, style, abstain)
    if kind == "numeric":
        return canonical_number(span) or INVALID
    return _TEXT_WRAP.sub(r"\1", unboxed(span).strip()) or INVALID


def _choice(span: str, n_options: int, style: str, abstain: str | None) -> str:
    plain = " ".join(unwrapped(span).split())
    named, joined = _options("[0-9]+" if style == "number" else "[a-z]", abstain or "")
    found = named.match(plain)
    read = {_letter(found[1], n_options, style, abstain)} if found else {INVALID}
    while found and (found := joined.match(plain, found.end())):
        read.add(_letter(found[1], n_options, style, abstain))
    return read.pop() if len(read) == 1 else INVALID


@cache
def _options(label: str, abstain: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what finds the first named option of a text, and the next one joined to it."""
    one = rf"(?<!\w){label}" + (rf"|(?<!\w){re.escape(abstain)}" if abstain else "")
    # A sign or a point makes a number of a label: "-2", "1.5", "1,200", "2:15".
    one = rf"(?<![-+\u2212\u2013.$\u20ac\u00a3\u00a5])(?:{one})(?!\w)(?![.,:/\u2013-][0-9]|[+#])"
    if label == "[0-9]+":
        one += r"(?!\s?[%\u2030\u00b0$\u20ac\u00a3\u00a5])"
    # "I, II and III" names statements, no option: what is joined may be a Roman number.
    other = rf"(?:{one}|(?<!\w)[ivx]{{2,}}(?!\w))"
    closed = rf"(?={_CLOSED}|{_JOINT}{other}(?:{_CLOSED}|{_JOINT}))"
    # "B) C)" names two options, "B) x" and "2) 3" are an option and its text.
    return (
        re.compile(rf"(?:\W|{_BEFORE})*+({one}){closed}", re.IGNORECASE),
        re.compile(rf"(?:{_JOINT}(?={other}{closed})|\W*+(?={other}\)))({other})", re.IGNORECASE),
    )


def _letter(label: str, n_options: int, style: str, abstain: str | None) -> str:
    if abstain is not None and label == abstain:
        return ABSTAINED
    label = label.lower() if style == "lower" else label.upper()
    known = labels(style, n_options)
    return LETTERS[known.index(label)] if label in known else INVALID


def equal(parsed: str, gold: str, kind: str) -> bool:
    """Tell whether a parsed answer is the gold one.

    Numbers are equal by value, texts without case, spacing, quotes around them and a full stop.
    """
    if kind == "numeric":
        return canonical_number(parsed) == canonical_number(gold) is not None
    if kind == "text":
        return _plain(parsed) == _plain(gold)
    return parsed == gold


def _plain(text: str) -> str:
    return _QUOTED.sub(r"\1", " ".join(nfc(text).casefold().split()).rstrip(" ."))
