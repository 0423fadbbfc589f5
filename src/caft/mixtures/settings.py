"""Sections `buckets.<name>` and `strategies.<name>`: who is in which bucket, who trains on what."""

from typing import Annotated, Any, Literal

from pydantic import Field

from caft.settings import (
    Count,
    Number,
    Positive,
    PositiveAmount,
    Section,
    Share,
    Unique,
    key,
    optional,
)

Bucket = Literal["easy", "medium", "hard"]
Target = Literal["answer", "rationale"]


class HardByMoney(Section):
    """Let money draw the upper threshold; the lower one stays."""

    budget_usd: Positive = key(
        "The hard bucket takes as many of the most complex training items as this pays for."
    )
    teacher: str | None = key(
        "At the prices of this teacher; the top-level `teacher` if absent.", None
    )


class Buckets(Section):
    """A bucket definition: a metric and two thresholds."""

    metric: str = key("The complexity metric, by its name under `metrics`.")
    quantiles: Annotated[list[Share], Field(min_length=2, max_length=2)] | None = optional(
        "Thresholds as quantiles of the training split."
    )
    thresholds: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = optional(
        "Absolute thresholds, in the metric's unit; they win over quantiles."
    )
    hard: HardByMoney | None = optional("Let money draw the upper threshold; the lower one stays.")
    on_missing: Bucket = key("Bucket of items without a score.", "medium")
    per_bucket: Count | None = key("Use at most this many training items of each bucket.", None)


class Part(Section):
    """A part of a stage: some buckets with one target."""

    buckets: Annotated[list[Bucket], Field(min_length=1), Unique] = key("Which buckets.")
    target: Target = key("What the model learns to write.")


class Stage(Section):
    """A training stage: `buckets` and `target`, or `parts`."""

    buckets: Annotated[list[Bucket], Field(min_length=1), Unique] | None = optional(
        "Which buckets."
    )
    target: Target | None = optional("What the model learns to write.")
    parts: Annotated[list[Part], Field(min_length=1)] | None = optional(
        "Several targets in one stage, shuffled: a list of `{buckets, target}`."
    )
    epochs: PositiveAmount = key("Passes over the stage's rows.")
    divided_by: str | None = optional(
        "Another bucket definition for this stage; the strategy's own if absent."
    )


class Match(Section):
    """Train as much as another strategy."""

    strategy: str = key("That strategy, one of `run.strategies`.")
    by: Literal["tokens", "steps", "items"] = key(
        "Target tokens, optimizer steps or rows, over all epochs."
    )


class Strategy(Section):
    """A list of training stages."""

    stages: list[Stage] = key("Training stages in order; none is the untuned student.")
    buckets: str = key("Which bucket definition.", "default")
    membership: Literal["complexity", "random"] = key(
        "`random` redraws who is in which bucket, with the same sizes.", "complexity"
    )
    teacher: str | None = key(
        "Which teacher writes the rationales; the top-level `teacher` if absent.", None
    )
    start: Literal["student", "warm_up"] = key("What the first stage starts from.", "student")
    match: Match | None = key(
        "Train as much as another strategy; the epochs of all stages are scaled by one factor.",
        None,
    )
    training: dict[str, Any] = key("Overrides of single keys of `training`.", {})
