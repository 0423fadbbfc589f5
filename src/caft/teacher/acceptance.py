"""Which rationales may be trained on, and why the others may not."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from caft.prompting.answers import INVALID, equal, parse
from caft.prompting.tokens import TokenCounter
from caft.teacher import Answer
from caft.teacher.reference import option_count

Verdict = tuple[str, bool, str | None]

REASONS = ("error", "refused", "truncated", "too_long", "unparsed", "wrong_answer")
_REFUSALS = ("content_filter", "refusal")


def judge(
    answer: Answer,
    gold: str,
    kind: str,
    n_options: int,
    parser: str,
    max_tokens: int | None,
    counter: TokenCounter | None = None,
) -> Verdict:
    """Judge one answer of a teacher.

    Args:
        answer: what the teacher wrote.
        gold: the item's answer.
        kind: choice, numeric or text.
        n_options: number of options of a choice item.
        parser: a key of `caft.prompting.answers.PARSERS`.
        max_tokens: the most completion tokens that training takes; None for no limit.
        counter: of the student's tokens, for texts that the provider's count says too little of.

    Returns:
        The parsed answer (`[invalid]` if there is none), whether the rationale is accepted, and the
        first of `REASONS` that speaks against it, None if none does.
    """
    parsed = parse(answer.text, parser, kind, n_options)
    against = {
        "error": answer.finish_reason == "error",
        "refused": answer.finish_reason in _REFUSALS,
        "truncated": answer.finish_reason == "length",
        "too_long": max_tokens is not None and _length(answer, max_tokens, counter) > max_tokens,
        "unparsed": parsed == INVALID,
        "wrong_answer": not equal(parsed, gold, kind),
    }
    reason = next((name for name in REASONS if against[name]), None)
    return parsed, reason is None, reason


def _length(answer: Answer, max_tokens: int, counter: TokenCounter | None) -> int:
    # The provider's count holds the reasoning too, which is not trained on; an imported answer may
    # have none.
    if counter is None or 0 < answer.completion_tokens <= max_tokens:
        return answer.completion_tokens
    return counter.texts([answer.text])[0]


def judge_with(
    parser: str, max_tokens: int | None, counter: TokenCounter | None = None
) -> Callable[[Answer, Mapping[str, Any]], Verdict]:
    """Return `judge` for an answer and its item under one teacher's policy."""

    def verdict(answer: Answer, item: Mapping[str, Any]) -> Verdict:
        gold, kind = item["answer"], item["answer_kind"]
        return judge(answer, gold, kind, option_count(item), parser, max_tokens, counter)

    return verdict


def item_status(rationales: pd.DataFrame) -> pd.DataFrame:
    """Return what became of each item that a teacher was asked for.

    Args:
        rationales: a rationales table.

    Returns:
        Indexed by item_id: `accepted`, and for the other items the `reason` of the last sample.
    """
    ordered = rationales.sort_values(["item_id", "sample"], kind="stable")
    last = ordered.groupby("item_id").agg(accepted=("accepted", "any"), reason=("reason", "last"))
    return last.assign(reason=last["reason"].mask(last["accepted"].astype(bool)))


def quarantine(rationales: pd.DataFrame) -> pd.DataFrame:
    """Return the answers that were not accepted.

    `item_accepted` tells whether another answer of the item was; all others are items without one.
    """
    rejected = rationales[~rationales["accepted"].astype(bool)]
    accepted = rejected["item_id"].map(item_status(rationales)["accepted"])
    return rejected.assign(item_accepted=accepted)
