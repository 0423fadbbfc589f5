"""Which rationales may be trained on, and why the others may not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from caft.prompting.answers import INVALID, equal, parse
from caft.prompting.tokens import TokenCounter
from caft.teacher import NOT_TAKEN, Answer
from caft.teacher.reading import ending
from caft.teacher.reference import option_count
from caft.teacher.settings import TeacherKeys

REASONS = (
    *("error", "refused", "truncated", "broken_off", "unreadable", "unknown_ending"),
    *("too_long", "unparsed", "wrong_answer"),
)
_BY_ENDING = {
    ending.ERROR: "error",
    **{reason: reason for reason in NOT_TAKEN},
    ending.REFUSED: "refused",
    ending.FILTERED: "refused",
    ending.TRUNCATED: "truncated",
    ending.BROKEN_OFF: "broken_off",
    ending.UNREADABLE: "unreadable",
    ending.COMPLETE: None,
}


@dataclass(frozen=True)
class Policy:
    """Which answers of a teacher are accepted, and what becomes of items without one.

    Attributes:
        parser: reads the answer out of the text: a key of `caft.prompting.parsers.PARSERS`.
        max_tokens: the most completion tokens that training takes; None for no limit.
        counter: of the student's tokens, for texts that the provider's count says too little of.
        samples: the most answers per item.
        fallback: for items without an accepted answer: `keep` selects the last from which an answer
            could be read, unless it is too long; `drop` and `train_on_answer` select none.
        thoughts: whether reasoning is trained on, so that answers without any are of no use and are
            selected only where no accepted one of the item shows any.
        keep_all: whether all samples are asked for, whatever is accepted.
        choose: which accepted one is selected, as the key `choose` of a teacher says it.
        seed: of a random choice.
    """

    parser: str
    max_tokens: int | None
    counter: TokenCounter | None = None
    samples: int = 1
    fallback: str = "drop"
    thoughts: bool = False
    keep_all: bool = False
    choose: str = "first"
    seed: int = 0


@dataclass(frozen=True)
class Verdict:
    """What was read in an answer, and what speaks against training on it.

    Attributes:
        parsed: the answer; `[invalid]` if none could be read.
        reason: the first of `REASONS` that applies, None if none does.
    """

    parsed: str
    reason: str | None

    @property
    def accepted(self) -> bool:
        """Whether the rationale may be trained on."""
        return self.reason is None


def policy_of(settings: TeacherKeys, context: int, counter: TokenCounter) -> Policy:
    """Return a teacher's policy for a student.

    Args:
        settings: the teacher's section of the config.
        context: of the student, tokens: nothing longer can be trained on.
        counter: of the student's tokens.
    """
    return Policy(
        parser=settings.parser,
        max_tokens=min(settings.max_tokens, context),
        counter=counter,
        samples=settings.samples,
        fallback=settings.fallback,
        keep_all=settings.keep == "all",
        choose=settings.choose,
    )


def review(answer: Answer, item: Mapping[str, Any], policy: Policy) -> Verdict:
    """Say whether an answer to an item may be trained on, and if not, why."""
    kind, longest = item["answer_kind"], policy.max_tokens
    parsed = parse(answer.text, policy.parser, kind, option_count(item))
    if reason := _BY_ENDING.get(answer.finish_reason, "unknown_ending"):
        return Verdict(parsed, reason)
    against = {
        "too_long": longest is not None and _length(answer, longest, policy.counter) > longest,
        "unparsed": parsed == INVALID,
        "wrong_answer": not equal(parsed, item["answer"], kind),
    }
    return Verdict(parsed, next((name for name, holds in against.items() if holds), None))


def _length(answer: Answer, max_tokens: int, counter: TokenCounter | None) -> int:
    # The provider's count holds the reasoning too, which is not trained on; an imported answer may
    # have none.
    tokens = answer.completion_tokens or 0
    if counter is None or 0 < tokens <= max_tokens:
        return tokens
    return counter.texts([answer.text])[0]


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
