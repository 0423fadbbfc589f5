"""What the sections `teachers.<name>` and `judges.<name>` of several providers share."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from caft.complexity.judge_questions import QUESTIONS
from caft.prompting.answers import PARSERS
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
    optional,
)

if TYPE_CHECKING:
    JudgeQuestion = str
    RationaleParser = str
else:
    JudgeQuestion = Literal[tuple(QUESTIONS)]
    # `leading` reads what a text begins with; a rationale ends in its answer.
    RationaleParser = Literal[tuple(name for name in PARSERS if name != "leading")]


class TeacherKeys(Section):
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
    samples: Count = key("Answers per item until one is accepted.", 1)


class JudgeKeys(Section):
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


class Budget(Section):
    """What all answers of a model in the store may take together."""

    max_requests: NotNegative | None = key("Answers.", None)
    max_tokens: NotNegative | None = key("Prompt and completion tokens.", None)
    max_cost_usd: NotNegative | None = key("USD; needs `prices`.", None)


class Endpoint(Section):
    """What every model behind an OpenAI-compatible address has."""

    model: str = key("The model's name at the endpoint; part of what makes an answer the same.")
    revision: str = key("A tag of your own for the model's version, part of the same.", "")
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
    attempts: Count = key("Tries per request, faults that may pass included.", 6)
    backoff_s: NotNegative = key("First wait before another try; it doubles, with jitter.", 2.0)
    max_wait_s: NotNegative = key("Longest such wait, also if the endpoint asks for more.", 60)
    breaker: Count = key("The run stops after so many lost requests in a row.", 10)
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


class EndpointJudgeKeys(JudgeKeys):
    """What a judge behind an address has: its answers are short."""

    expected_completion_tokens: Count = key(
        "Tokens of an answer, for the budget before the store has seen any.", 80
    )
