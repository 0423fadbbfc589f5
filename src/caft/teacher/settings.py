"""What the sections `teachers.<name>` and `judges.<name>` of several providers share."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from caft.complexity.judge_questions import QUESTIONS
from caft.prompting.parsers import PARSERS
from caft.settings import (
    Count,
    NotNegative,
    Number,
    Positive,
    Section,
    Share,
    Unique,
    Whole,
    key,
    later,
    optional,
)

if TYPE_CHECKING:
    JudgeQuestion = str
    RationaleParser = str
else:
    JudgeQuestion = Literal[tuple(QUESTIONS)]
    RationaleParser = Literal[tuple(name for name in PARSERS if PARSERS[name].of_rationales)]


_MILLION = 1_000_000


class Prices(Section):
    """USD per million tokens."""

    prompt: NotNegative = key("Of the prompt.")
    cached: NotNegative | None = key(
        "Of prompt tokens that the endpoint had in its cache; null is the price of the others.",
        None,
    )
    completion: NotNegative = key("Of the answer, reasoning included.")
    entered: str | None = optional("The day on which the prices were looked up, YYYY-MM-DD.")
    batch_share: Share = key("Part of the price that the batch interface takes.", 0.5)

    def value(
        self, prompt: float | None, cached: float, completion: float | None, batch: bool = False
    ) -> float | None:
        """Return what tokens cost in USD; None where the count of any that cost is unknown.

        Args:
            prompt: prompt tokens, the cached ones included; None for unknown.
            cached: how many of them the provider had in its cache.
            completion: completion tokens; None for unknown.
            batch: whether they are asked through the batch interface.
        """
        per_cached = self.prompt if self.cached is None else self.cached
        if (prompt is None and self.prompt) or (completion is None and self.completion):
            return None
        online = ((prompt or 0) - cached) * self.prompt + cached * per_cached
        online += (completion or 0) * self.completion
        return online * (self.batch_share if batch else 1.0) / _MILLION


class Budget(Section):
    """What all answers of a model in the store may take together."""

    max_requests: NotNegative | None = key("Requests that were sent, attempts included.", None)
    max_tokens: NotNegative | None = key("Prompt and completion tokens.", None)
    max_cost_usd: NotNegative | None = key("USD; needs `prices`.", None)


STOP_AFTER_USELESS = 20
"""Enough to tell: of a teacher that solves one item in four, one such row in 300 is useless."""

_NOTHING = Prices(prompt=0.0, cached=0.0, completion=0.0)


@dataclass(frozen=True)
class Needs:
    """What a job takes that asks a model elsewhere."""

    threads: int = 1
    gpus: int = 0
    mem_mb: int = 2000


class Asked(Section):
    """What each provider says of the model that is asked: beside its keys, what asking it takes."""

    if TYPE_CHECKING:
        provider: str  # each provider declares it as the one name that it has

    runs_here: ClassVar[bool] = False
    """Whether the model runs in the job, which then takes the engine's threads, GPUs and memory."""
    needs: ClassVar[Needs] = Needs()
    """What a job takes where the model does not run in it."""
    free: ClassVar[bool] = False
    """Whether answers cost nothing where there are no prices; else their cost is unknown then."""
    own_solutions: ClassVar[bool] = False
    """Whether the answers are the data set's own worked solutions, and no model's."""
    is_student: ClassVar[bool] = False
    """Whether the student that is taught writes the answers itself."""

    def files(self) -> list[str]:
        """Return the files of a local model, so that a changed one is noticed."""
        return []

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys, or with a file: a key of the section, and what."""
        yield from ()

    def lacks(self) -> Iterator[tuple[str, str]]:
        """Yield what has to be there before a run, though not before its plan: a key, and what."""
        yield from ()

    @property
    def sampler(self) -> str | None:
        """Which model of the student that is taught answers; None where another model does."""
        return None

    @property
    def way(self) -> str | None:
        """Where questions go, and with which key; None where they stay in the job."""
        return None

    @property
    def rates(self) -> Prices | None:
        """What tokens cost; None where nobody knows."""
        return _NOTHING if self.free else None

    @property
    def in_batches(self) -> bool:
        """Whether the price of a batch interface counts."""
        return False

    @property
    def limits(self) -> dict[str, float]:
        """The limits of the budget that are set."""
        return {}

    @property
    def patience(self) -> int | None:
        """So many answers without a usable one end the job; None for no end."""
        return None

    @property
    def error_share(self) -> float:
        """Part of the items that may stay without an answer; all, where no fault can pass."""
        return 1.0

    @property
    def expected_model(self) -> str | None:
        """The model that has to answer, as a name or a pattern; None for any."""
        return None

    @property
    def longest(self) -> int:
        """Tokens of the longest answer; 0 where nothing is generated."""
        return 0

    @property
    def expected(self) -> float:
        """Tokens of an answer, before the store has seen any."""
        return self.longest / 2

    def minutes(self, requests: float, tokens: float, seconds: float | None) -> float | None:
        """Return how long so many answers take; None where unknown.

        Args:
            requests: how many.
            tokens: prompt and completion tokens of all.
            seconds: of one answer, as far as known.
        """
        return None if seconds is None else requests * seconds / 60


class TeacherKeys(Asked):
    """What every teacher has, whatever its provider."""

    prompt: str = key(
        "The prompt variant the teacher is asked with; its labels are upper-case letters.",
        "letters",
    )
    parser: RationaleParser = key("How the answer is read out of a rationale.", "any")
    fallback: Literal["drop", "train_on_answer", "keep"] = key(
        "What becomes of an item without an accepted rationale.", "drop"
    )
    max_tokens: Count = key("Longer rationales are not accepted.", 1024)
    samples: Count = key("Answers per item until one is accepted; with `keep: all` all of them.", 1)
    keep: Literal["first", "all"] = later(
        "Whether an item is asked for again once an answer is accepted: `all` asks for all "
        "`samples`.",
        "first",
    )
    choose: Literal["first", "shortest", "random", "most_likely"] = later(
        "Which accepted answer is trained on, with `keep: all`: the first, the one with the fewest "
        "of the student's tokens, a drawn one, or the one most likely per token under the untuned "
        "student.",
        "first",
    )
    require_auc: Share | None = optional(
        "Buy nothing by a metric unless its ROC AUC against the student's own errors is surely so "
        "good: the lower end of its interval; 0.5 is chance. docs/budget.md."
    )


class JudgeKeys(Asked):
    """What every judge has, whatever its provider."""

    max_new_tokens: Count = key("Longest answer.", 512)
    questions: Annotated[list[JudgeQuestion], Field(min_length=1), Unique] = key(
        "What is asked about each item; docs/judge.md has the levels.", list(QUESTIONS)
    )
    minimum_rating: Whole = key(
        "The judge's own rating of a level from which the level counts; below it there is no "
        "value.",
        9,
        ge=1,
        le=10,
    )


class Endpoint(Asked):
    """What every model behind an OpenAI-compatible address has."""

    model: str = key("The model's name at the endpoint; part of what makes an answer the same.")
    revision: str = key("A tag of your own for the model's version, part of the same.", "")
    expect_model: str | None = key(
        "Name, or pattern such as `gpt-4o-2024*`, of the model that has to answer; the answer of "
        "another one is an error. Null takes any, and the log names those that answered.",
        None,
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = key(
        "What the endpoint calls the limit of the answer.", "max_tokens"
    )
    max_new_tokens: Count = key("Longest answer.", 2048)
    temperature: NotNegative | None = key(
        "0 is greedy; null sends none, as some reasoning models want.", 0.0
    )
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = key(
        "Nucleus of the sampling; null sends none.", 1.0
    )
    stop: str | list[str] | None = key("Where the answer ends.", None)
    seed: Whole | None = key("Sent with the number of the sample added.", None)
    extra_body: dict[str, Any] = key(
        "Further fields of the request, as the endpoint defines them.", {}
    )
    concurrency: Count = key("Requests at once.", 32)
    requests_per_minute: Positive | None = key("Limit of requests.", None)
    tokens_per_minute: Positive | None = key(
        "Limit of tokens; a request counts with its prompt and `expected_completion_tokens`.",
        None,
    )
    timeout_s: Positive = key("Longest wait for one answer.", 300)
    max_reply_mb: Positive = key(
        "Largest reply, unpacked; of a larger one the beginning is stored, with the reason "
        "`unreadable`. 20 log-probabilities of 10,000 tokens take about 20 MB.",
        32,
    )
    attempts: Count = key("Tries per request, faults that may pass included.", 6)
    backoff_s: NotNegative = key("First wait before another try; it doubles, with jitter.", 2.0)
    max_wait_s: NotNegative = key("Longest such wait, also if the endpoint asks for more.", 60)
    breaker: Count = key("The run stops after so many lost requests in a row.", 10)
    stop_after_useless: Count | None = key(
        "The job stops if so many answers that it buys first hold nothing usable: no content, cut "
        "off, all wrong, no log-probabilities. Null never stops.",
        STOP_AFTER_USELESS,
    )
    max_error_share: Share = key(
        "Part of the items that may stay without an answer when all attempts are used up; with "
        "more the job fails at its end, and the next run asks exactly them.",
        0.0,
    )
    expected_completion_tokens: Count = key(
        "Tokens of an answer, for plans before the store has seen any.", 400
    )
    prices: Prices | None = key(
        "USD per million tokens. Null is an unknown price, unless the endpoint reports what an "
        "answer cost.",
        None,
    )
    budget: Budget = key(
        "What all answers of this model in the store may take together; the run stops there and "
        "can go on.",
        Budget(),
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys; none is repeated that could hold a secret."""
        for field in self.extra_body:
            if field in _SET_ELSEWHERE:
                yield f"extra_body.{field}", f"is set by the key {_SET_ELSEWHERE[field]}."
            elif field in ("stream", "n"):
                yield f"extra_body.{field}", "leave it out; a request has one whole answer."
        if self.prices and not _is_day(self.prices.entered or ""):
            yield "prices.entered", "say on which day they were looked up (YYYY-MM-DD)."
        if self.rates is None and "max_cost_usd" in self.limits:
            yield "budget.max_cost_usd", "needs prices, or nobody knows what is spent."

    @property
    def rates(self) -> Prices | None:
        """What tokens cost; None where nobody knows."""
        return self.prices or super().rates

    @property
    def limits(self) -> dict[str, float]:
        """The limits of the budget that are set."""
        return {name: limit for name, limit in self.budget if limit is not None}

    @property
    def patience(self) -> int | None:
        """So many answers without a usable one end the job; None for no end."""
        return self.stop_after_useless

    @property
    def error_share(self) -> float:
        """Part of the items that may stay without an answer."""
        return self.max_error_share

    @property
    def expected_model(self) -> str | None:
        """The model that has to answer, as a name or a pattern; None for any."""
        return self.expect_model

    @property
    def longest(self) -> int:
        """Tokens of the longest answer."""
        return self.max_new_tokens

    @property
    def expected(self) -> float:
        """Tokens of an answer, before the store has seen any."""
        return self.expected_completion_tokens

    def minutes(self, requests: float, tokens: float, seconds: float | None) -> float | None:
        """Return how long so many answers take, by the rates or else by stored latencies."""
        amounts = ((requests, self.requests_per_minute), (tokens, self.tokens_per_minute))
        at_rates = [amount / rate for amount, rate in amounts if rate]
        if at_rates:
            return max(at_rates)
        if seconds is None or self.in_batches:
            return None
        return requests * seconds / self.concurrency / 60


_SET_ELSEWHERE = {
    "model": "model",
    "messages": "prompt",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
}


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


class EndpointJudgeKeys(JudgeKeys):
    """What a judge behind an address has: its answers are short."""

    expected_completion_tokens: Count = key(
        "Tokens of an answer, for the budget before the store has seen any.", 80
    )
