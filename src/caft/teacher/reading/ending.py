"""How an answer ended: the words of many endpoints, as one word for each family.

Complete is only what is said in a word that is known to mean it. All other families are guessed
from parts of words, since no answer of theirs is accepted anyway.
"""

import re
from typing import Any

from caft.teacher import NOT_TAKEN

COMPLETE = "stop"
TRUNCATED = "length"
FILTERED = "content_filter"
REFUSED = "refusal"
BROKEN_OFF = "broken_off"
UNREADABLE = "unreadable"
ERROR = "error"
UNSAID = "(none)"
"""Nothing was said of how it ended."""

_OWN = {COMPLETE, TRUNCATED, FILTERED, REFUSED, BROKEN_OFF, UNREADABLE, ERROR, *NOT_TAKEN}

_COMPLETE = re.compile(
    "(stop|end|eos|eot|eod)(_(token|id|token_id))?|stopped|natural_stop|stop_(sequence|string|word)s?"
    "|end(_of)?_turn|end_of_(text|sequence|message)|completed?|finish(ed)?|done|success"
)
_CALLS = {"tool_calls", "tool_call", "tool_use", "function_call"}  # what was said before is whole
_FAMILIES = (  # the first that fits counts
    (REFUSED, re.compile("refus|declin")),
    (
        FILTERED,
        re.compile(
            "filter|safety|sensitive|recitation|block|prohibited|spii|toxic|moderat|policy|"
            "guardrail|violat|harm|censor|copyright"
        ),
    ),
    (
        BROKEN_OFF,
        re.compile(
            "abort|cancel|insufficient|interrupt|time_?out|timed_out|fail|disconnect|preempt|"
            "evict|unavailable|overload|rate_limit"
        ),
    ),
    (TRUNCATED, re.compile("length|token|context|truncat|limit|incomplete|budget")),
    (BROKEN_OFF, re.compile("error")),
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def family_of(word: Any) -> str:
    """Return the family of a word about an ending, or the word itself where it is not known.

    Args:
        word: as the endpoint says it, in any case, with or without a prefix or a detail behind it:
            `FinishReason.MAX_TOKENS`, `content_filter: PROHIBITED_CONTENT`.
    """
    if isinstance(word, dict):  # `{"type": "stop", "matched": 2}`
        word = word.get("type")
    if not isinstance(word, str) or not word.strip():
        return UNSAID
    plain = re.sub(r"[\W_]+", "_", _CAMEL.sub("_", word.strip())).strip("_").lower()
    plain = re.sub("^(finish|stop|done)_?reason_", "", plain)
    if _COMPLETE.fullmatch(plain):
        return COMPLETE
    if plain in _CALLS:
        return plain
    return next((family for family, parts in _FAMILIES if parts.search(plain)), word)


def ending_in(column: str | None) -> str:
    """Return the ending in a stored column: one of caft's own words, or what somebody brought."""
    return column if column in _OWN else family_of(column)


def is_known(family: str) -> bool:
    """Tell whether a word is that of a family."""
    return family in _OWN


def ending_of(words: list[Any], has_text: bool) -> str:
    """Return the family of an answer's ending by all words that were said of it.

    A router may say `stop` where its upstream said `MAX_TOKENS`: of two families the one that is
    not complete counts. An answer that ends in a call of a tool is complete if it has a text.
    """
    families = [family_of(word) for word in words]
    said = [family for family in families if family != UNSAID]
    if not said:
        return UNSAID
    bad = [family for family in said if is_known(family) and family != COMPLETE]
    found = bad[0] if bad else said[0]
    return COMPLETE if found in _CALLS and has_text else found
