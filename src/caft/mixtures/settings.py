"""Sections `buckets.<name>` and `strategies.<name>`: who is in which bucket, who trains on what."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

from caft.mixtures.recipe import Recipe
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
Target = Literal["answer", "rationale", "reasoning"]
Fallback = Literal["drop", "train_on_answer", "keep"]
BOUGHT: frozenset[Target] = frozenset({"rationale", "reasoning"})
"""Targets that a teacher writes."""
_WHOLE = set(get_args(Bucket))
Teachers = str | Annotated[list[str], Field(min_length=1), Unique]
"""A teacher, or a cascade of them: the next one is asked for what those before it failed."""
DEFAULT = "default"
"""Stands for the teacher of the strategy where a stage or a part names its own."""
_WHO_WRITES = (
    "Who writes its rationales, if not the strategy's teacher: a name under `teachers`, or a list "
    "of them, of which the next is asked for what those before it failed. `default` is the "
    "strategy's teacher."
)


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
    target: Target = key(
        "What the model learns to write: the bare answer, the teacher's text, or the teacher's "
        "reasoning as a thought with its text behind it."
    )
    teacher: Teachers | None = optional(_WHO_WRITES)

    def teachers(self, common: str) -> list[str]:
        """Return who writes its rationales, in the order of asking; nobody for bare answers.

        Args:
            common: the strategy's teacher.
        """
        if self.target not in BOUGHT:
            return []
        named = [self.teacher] if isinstance(self.teacher, str) else self.teacher or [DEFAULT]
        return list(dict.fromkeys(common if name == DEFAULT else name for name in named))

    @property
    def before(self) -> list[str]:
        """Who is asked before the last of its teachers."""
        return self.teacher[:-1] if isinstance(self.teacher, list) else []


class StageRows(Section):
    """Who is in a stage, and what they train on: `buckets` and `target`, or `parts`."""

    buckets: Annotated[list[Bucket], Field(min_length=1), Unique] | None = optional(
        "Which buckets."
    )
    target: Target | None = optional(
        "What the model learns to write: `answer`, `rationale`, or `reasoning`, which is a "
        "rationale behind the teacher's own thoughts."
    )
    parts: Annotated[list[Part], Field(min_length=1)] | None = optional(
        "Several targets in one stage, shuffled: a list of `{buckets, target}`."
    )
    teacher: Teachers | None = optional(_WHO_WRITES)
    divided_by: str | None = optional(
        "Another bucket definition for this stage; the strategy's own if absent."
    )

    @property
    def parts_or_itself(self) -> list[Part]:
        """The parts; the short form `{buckets, target}` is one part."""
        itself = {"buckets": self.buckets, "target": self.target, "teacher": self.teacher}
        return self.parts or [Part.model_validate(itself)]

    def asked_of(self, teacher: str, common: str) -> "StageRows | None":
        """Return what of it is asked of a teacher, as of `Wanted.asked_of`; None for nothing."""
        orders = [(part, part.teachers(common)) for part in self.parts_or_itself]
        if all(order in ([], [teacher]) for _, order in orders):
            kept = set(StageRows.model_fields) - {"teacher"}
            unnamed = {"parts": {"__all__": {"teacher"}}}
            return StageRows.model_validate(self.model_dump(include=kept, exclude=unnamed))
        own = [
            part.model_copy(update={"teacher": order[: order.index(teacher) + 1]})
            for part, order in orders
            if teacher in order
        ]
        return StageRows(parts=own, divided_by=self.divided_by) if own else None

    @property
    def bought(self) -> set[Bucket]:
        """The buckets that train on what a teacher wrote."""
        parts = (part for part in self.parts_or_itself if part.target in BOUGHT)
        return {bucket for part in parts for bucket in part.buckets}


def _number_or_share(value: float) -> float:
    if value > 1 and value % 1:
        raise ValueError(f"{value} is neither a number of items nor a share below 1")
    return value


class Replay(Section):
    """Items of earlier stages, mixed into a later one against forgetting (arXiv 1811.11682)."""

    target: Literal["answer"] = key("What they train on here: the bare answer.", "answer")
    items: Annotated[PositiveAmount, AfterValidator(_number_or_share)] = key(
        "How many of the items that earlier stages train on, drawn at random, without those whose "
        "bare answer the stage trains on anyway: a number, or a share of them below 1. All of them "
        "where there are fewer."
    )

    def of(self, count: int) -> int:
        """Return how many of so many items are replayed."""
        wanted = self.items if self.items >= 1 else math.ceil(self.items * count)
        return min(int(wanted), count)


class Stage(StageRows):
    """A training stage: `buckets` and `target`, or `parts`."""

    epochs: PositiveAmount = key("Passes over the stage's rows.")
    replay: Replay | None = optional(
        "Bare answers of items of earlier stages, mixed into this one against forgetting: "
        "`{items: 256}`."
    )


class Match(Section):
    """Train as much as another strategy."""

    strategy: str = key("That strategy, one of `run.strategies`.")
    by: Literal["tokens", "steps", "items"] = key(
        "Target tokens, optimizer steps or rows, over all epochs."
    )


class Draw(Section):
    """Who is in which bucket, drawn anew: as many items as before, or a number of hard ones."""

    draw: Literal["top", "proportional", "random"] = key(
        "Who is hard: the most complex items, items drawn with weights that are their complexity, "
        "or any items."
    )
    items: Count | None = optional(
        "How many items are hard, all where there are fewer; as many as the bucket definition says "
        "if absent."
    )
    uniform: Share | None = optional("Share of the hard items that is drawn from all at random.")

    @property
    def keeps_buckets(self) -> bool:
        """Whether nothing is drawn: the most complex items are hard already."""
        return self.draw == "top" and not self.items and not self.uniform

    @property
    def by_chance(self) -> bool:
        """Whether every training seed draws others."""
        return self.draw != "top" or bool(self.uniform)


AS_DIVIDED = Draw(draw="top")
"""The draw that leaves every item in the bucket that the bucket definition says."""
_MEMBERSHIPS = {"complexity": AS_DIVIDED, "random": Draw(draw="random")}


class Wanted(Section):
    """What of a strategy decides which items train on what, and its teacher is asked for."""

    stages: Sequence[StageRows] = key("Training stages in order; none is the untuned student.")
    buckets: str = key("Which bucket definition.", "default")
    membership: Literal["complexity", "random"] | Draw = key(
        "`random` redraws who is in which bucket, with the same sizes; a section draws otherwise.",
        "complexity",
    )

    @property
    def drawn(self) -> Draw:
        """How its buckets are drawn; `complexity` and `random` are words for two of the draws."""
        named = self.membership
        return named if isinstance(named, Draw) else _MEMBERSHIPS[named]

    @property
    def is_random(self) -> bool:
        """Whether buckets are redrawn at random, whatever the complexity."""
        return self.drawn.draw == "random"

    @property
    def needs_rationales(self) -> bool:
        """Whether any stage trains on rationales."""
        return any(stage.bought for stage in self.stages)

    @property
    def needs_reasoning(self) -> bool:
        """Whether any stage trains on a teacher's reasoning."""
        parts = (part for stage in self.stages for part in stage.parts_or_itself)
        return any(part.target == "reasoning" for part in parts)

    @property
    def tells_buckets_apart(self) -> bool:
        """Whether complexity decides who trains on what, so that items must be scored."""
        parts = (part for stage in self.stages for part in stage.parts_or_itself)
        return not self.is_random and any(set(part.buckets) != _WHOLE for part in parts)

    def bought_by_rank(self) -> list[str]:
        """Return the bucket definitions whose metric chooses which rationales are bought.

        There are none where buckets are drawn at random, or where all items are bought anyway.
        """
        bought: dict[str, set[Bucket]] = {}
        for stage in self.stages:
            bought.setdefault(self.division_of(stage), set()).update(stage.bought)
        if self.is_random or _WHOLE in bought.values():
            return []
        return [name for name, buckets in bought.items() if buckets]

    def asked_of(self, teacher: str, common: str) -> "Wanted":
        """Return what of it a teacher is asked for.

        A list of teachers ends with this one there: those before it are asked first.

        Args:
            teacher: its name.
            common: the strategy's teacher.
        """
        stages = [stage.asked_of(teacher, common) for stage in self.stages]
        kept = {name: getattr(self, name) for name in Wanted.model_fields}
        return Wanted.model_validate({**kept, "stages": [stage for stage in stages if stage]})

    @property
    def trained_mode(self) -> Literal["direct", "cot"]:
        """The mode it was last trained to answer in; `direct` without any stage."""
        return "cot" if self.stages and self.stages[-1].bought else "direct"

    def divisions(self) -> list[str]:
        """Return the bucket definitions it uses: its own first, then those of its stages."""
        return list(dict.fromkeys([self.buckets, *map(self.division_of, self.stages)]))

    def division_of(self, stage: StageRows) -> str:
        """Return the bucket definition that a stage is cut by: its own, or else the strategy's."""
        return stage.divided_by or self.buckets


class Strategy(Wanted):
    """A list of training stages."""

    stages: list[Stage] = key("Training stages in order; none is the untuned student.")
    teacher: str | None = key(
        "Which teacher writes the rationales; the top-level `teacher` if absent.", None
    )
    start: Literal["student", "warm_up"] = key(
        "What the first stage starts from; `warm_up` needs the warm-up's `method` and adapters.",
        "student",
    )
    match: Match | None = key(
        "Train as much as another strategy; the epochs of all stages are scaled by one factor.",
        None,
    )
    training: dict[str, Any] = key("Overrides of single keys of `training`.", {})

    @property
    def follows_seed(self) -> bool:
        """Whether the rows of its stages are drawn anew for every training seed."""
        return self.drawn.by_chance or any(stage.replay for stage in self.stages)


class ResolvedStrategy(Strategy):
    """A strategy with what follows for it from the rest of the configuration."""

    teacher: str | None = key("Which teacher writes the rationales; null if none does.")
    fallback: Fallback = key("What an item without an accepted rationale trains on.")
    fallbacks: dict[str, Fallback] | None = optional(
        "The same by teacher, of those that stages name; in a list the last one's counts."
    )
    recipe: Recipe = key("The common recipe with the strategy's own overrides.")

    def fallback_of(self, teacher: str) -> Fallback:
        """Return what an item trains on that this teacher, the last one asked, has not solved."""
        return (self.fallbacks or {}).get(teacher, self.fallback)
