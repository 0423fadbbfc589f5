"""What the log says of paid answers: tokens, money, retries, how many were good, and oddities."""

import logging
from collections import Counter
from collections.abc import Iterable

from caft.teacher import Answer, Request, Teacher
from caft.teacher.reading.ending import UNSAID, is_known
from caft.teacher.reading.reply import is_expected, is_same_model, model_in

log = logging.getLogger("caft")


class Tally:
    """Tokens, money, retries and good answers of what was asked for in this run."""

    def __init__(self, teacher: Teacher, good: str):
        """Start at nothing; `good` is what a good answer is called."""
        self.teacher, self.good = teacher, good
        self.tokens, self.uncounted, self.answers, self.count = 0, 0, 0, 0
        self.spent: float | None = 0.0

    def add(self, batch: list[Answer], good: list[bool]) -> str:
        """Add a batch, told which of its answers are good, and return the line."""
        for answer in batch:
            known = [answer.prompt_tokens, answer.completion_tokens]
            self.tokens += sum(tokens or 0 for tokens in known)
            self.uncounted += None in known
            if self.spent is None or answer.cost_usd is None:
                self.spent = None
            else:
                self.spent += answer.cost_usd
        self.answers += len(batch)
        self.count += sum(good)
        tokens = f"{self.tokens} tokens"
        tokens += f" and {self.uncounted} answers of unknown length" if self.uncounted else ""
        money = "cost unknown" if self.spent is None else f"${self.spent:.4f} so far"
        retries = getattr(self.teacher, "retries", 0)
        share = 100 * self.count // self.answers
        return f"{tokens}, {money}, {retries} retries, {share}% {self.good}"


def tell_oddities(answers: Iterable[tuple[Request, Answer]], told: set[str]) -> None:
    """Log which other models answered, and which words about an ending are not known.

    Args:
        answers: with what was asked.
        told: what the log has said already; it is added to.
    """
    for request, answer in answers:
        odd = []
        model = model_in(answer.raw)
        if model and not is_same_model(request.model_id, model):
            odd.append(
                f"{model} answered where {request.model_id} was asked; its answers are used "
                "(expect_model makes them errors)"
            )
        if answer.finish_reason == UNSAID:
            odd.append("the endpoint does not say how answers ended; such answers are not accepted")
        elif not is_known(answer.finish_reason):
            odd.append(
                f"{answer.finish_reason!r} is no known ending of an answer; answers that end so "
                "are not accepted"
            )
        for one in odd:
            if one not in told:
                told.add(one)
                log.warning("teacher: %s", one)


def tell_unexpected(stored: Iterable[Answer], expect: str | None) -> None:
    """Log which stored answers name another model than the one that has to answer now.

    Args:
        stored: answers that are used and not asked for.
        expect: its name or pattern; None for any.
    """
    if expect is None:
        return
    named = Counter(model for answer in stored if (model := model_in(answer.raw)))
    others = {model: count for model, count in named.items() if not is_expected(expect, model)}
    if others:
        log.warning(
            "teacher: %d stored answers are used that expect_model (%s) would not take: %s; "
            "`caft store drop` lets them be asked again",
            *(sum(others.values()), expect),
            ", ".join(f"{count} by {model}" for model, count in others.items()),
        )
