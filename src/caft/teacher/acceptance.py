"""Which rationales may be trained on, and why the others may not."""

from caft.answers import INVALID, equal, parse
from caft.teacher import Answer

REASONS = ("error", "refused", "truncated", "too_long", "unparsed", "wrong_answer")
_REFUSALS = ("content_filter", "refusal")


def judge(
    answer: Answer, gold: str, kind: str, n_options: int, parser: str, max_tokens: int | None
) -> tuple[str, bool, str | None]:
    """Judge one answer of a teacher.

    Args:
        answer: what the teacher wrote.
        gold: the item's answer.
        kind: choice, numeric or text.
        n_options: number of options of a choice item.
        parser: a key of `caft.answers.PARSERS`.
        max_tokens: the most completion tokens that training takes; None for no limit.

    Returns:
        The parsed answer (`[invalid]` if there is none), whether the rationale is accepted, and the
        first of `REASONS` that speaks against it, None if none does.
    """
    parsed = parse(answer.text, parser, kind, n_options)
    against = {
        "error": answer.finish_reason == "error",
        "refused": answer.finish_reason in _REFUSALS,
        "truncated": answer.finish_reason == "length",
        "too_long": max_tokens is not None and answer.completion_tokens > max_tokens,
        "unparsed": parsed == INVALID,
        "wrong_answer": not equal(parsed, gold, kind),
    }
    reason = next((name for name in REASONS if against[name]), None)
    return parsed, reason is None, reason
