"""Where in a list of tokens the marked answer begins and sentences end, found in the decoded text.

Tokens and characters do not line up: a token can hold the end of one sentence and a line break, a
character can take several tokens. So positions are found in the text and then searched among the
lengths of decoded beginnings.
"""

import re
from bisect import bisect_left
from functools import cache
from typing import Any

from caft.prompting.parsers.stated import MARKED

# A stop before white space or the end (so not in 3.5), or the last visible character of a line.
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\S(?=\s*\n)")


def answer_and_sentences(
    tokenizer: Any, tokens: list[int], thought: int = 0
) -> tuple[int | None, list[int]]:
    """Find the first marked answer and the sentences of a generated text.

    A sentence ends at a `.`, `!` or `?` that white space or nothing follows, at the end of a line,
    and at the end of the text. Abbreviations are not known: "e.g. this" is two sentences.

    Args:
        tokenizer: that decodes the tokens.
        tokens: what was generated.
        thought: how many of them are thoughts: the answer stands behind them.

    Returns:
        The token in which the text of the first complete, not empty `[[...]]` begins, None if there
        is none; and the number of tokens up to the end of each sentence, ascending, the last one
        being the number of all tokens.
    """

    @cache
    def reach(count: int) -> int:
        # The beginning of a character that is not complete yet does not count.
        text = tokenizer.decode(tokens[:count], skip_special_tokens=True)
        return len(text) if count == len(tokens) else len(text.rstrip("\ufffd"))

    def tokens_to(character: int, after: int = 0) -> int:
        return after + bisect_left(range(after, len(tokens) + 1), character, key=reach)

    text = tokenizer.decode(tokens, skip_special_tokens=True)
    marked = MARKED.finditer(text, reach(thought))
    found = next((mark for mark in marked if mark[1].strip()), None)
    start = None
    if found:
        # The first visible character inside the brackets begins the answer.
        visible = found.end(1) - len(found[1].lstrip())
        before = tokens_to(visible)
        start = before if reach(before) == visible else before - 1
    ends: list[int] = []
    for match in _SENTENCE_END.finditer(text):
        if match.end() < len(text.rstrip()):  # the last one takes all that is left
            ends.append(tokens_to(match.end(), ends[-1] if ends else 0))
    return start, sorted({*ends, len(tokens)} - {0})
