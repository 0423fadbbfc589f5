"""Which models a run trains, counted before its mixtures are made: equal ones once."""

import math
from dataclasses import dataclass, replace
from typing import Any

from caft.config import resolve, rounds
from caft.mixtures.recipe import Recipe
from caft.mixtures.settings import (
    AS_DIVIDED,
    BOUGHT,
    Bucket,
    Draw,
    Match,
    ResolvedStrategy,
    Stage,
)
from caft.report.ahead import amounts
from caft.report.ahead.known import Bound, Count, Known, Lengths

WHOLE: frozenset[Bucket] = frozenset({"easy", "medium", "hard"})


@dataclass(frozen=True)
class PlannedTraining:
    """A stage to train: what it is called, its model's name here, its rows."""

    what: str
    model: Any
    recipe: Recipe
    epochs: float
    rows: Count
    tokens: Count
    updates: int | None


class Trainings:
    """The trainings of a data set and student.

    Attributes:
        strategies: the stages of each strategy by training seed.
    """

    def __init__(self, known: Known, dataset: str, student: str):
        self.known, self.config = known, known.config
        self.dataset, self.student = dataset, student
        self.strategies = self._strategies()

    def models(self) -> dict[Any, PlannedTraining]:
        """Return the stages to train, each once."""
        found: dict[Any, PlannedTraining] = {}
        for seeds in self.strategies.values():
            for stages in seeds.values():
                for stage in stages:
                    found.setdefault(stage.model, stage)
        return found

    def finals(self) -> dict[Any, PlannedTraining | None]:
        """Return the last stage of every strategy and seed, each model once; None is `base`."""
        found: dict[Any, PlannedTraining | None] = {}
        for seeds in self.strategies.values():
            for stages in seeds.values():
                last = stages[-1] if stages else None
                found.setdefault(last and last.model, last)
        return found

    def _strategies(self) -> dict[str, dict[int, list[PlannedTraining]]]:
        """Return the stages of every strategy by training seed; equal ones share a model."""
        found: dict[str, dict[int, list[PlannedTraining]]] = {}
        resolved = resolve.resolved_strategies(self.config)
        # One that matches another's amount follows it.
        for name, strategy in sorted(resolved.items(), key=lambda one: bool(one[1].match)):
            planned = self.known.trained(
                self.dataset, self.student, name, rounds.round_of(self.config, name)
            )
            found[name] = {}
            for seed in self.config.run.seeds:
                if seed in planned:
                    found[name][seed] = [
                        PlannedTraining(
                            f"{name}.{number}, seed {seed}", stage.model, strategy.recipe,
                            stage.epochs, Count(stage.rows), Count(stage.all_tokens),
                            stage.updates,
                        )
                        for number, stage in enumerate(planned[seed].stages, start=1)
                    ]  # fmt: skip
                    continue
                own = self._estimated(name, strategy, seed)
                if strategy.match:
                    own = _matched(own, found[strategy.match.strategy][seed], strategy.match)
                found[name][seed] = own
        return {name: found[name] for name in resolved}

    def _estimated(self, name: str, strategy: ResolvedStrategy, seed: int) -> list[PlannedTraining]:
        stages: list[PlannedTraining] = []
        parent: Any = strategy.start
        for number, stage in enumerate(strategy.stages, start=1):
            rows, tokens = self._mixture(strategy, number)
            key = self._key(strategy, stage, seed)
            parent = (parent, key)
            recipe = strategy.recipe
            stages.append(
                PlannedTraining(
                    f"{name}.{number}, seed {seed}", parent, recipe, stage.epochs, rows,
                    Count(amounts.times(tokens.number, stage.epochs), tokens.bound),
                    updates_of(recipe, rows.number, tokens.number, stage.epochs),
                )
            )  # fmt: skip
        return stages

    def _key(self, strategy: ResolvedStrategy, stage: Stage, seed: int) -> Any:
        """Return what tells a stage's model from others of the same parent, as far as known."""
        parts, division = stage.parts_or_itself, strategy.division_of(stage)
        takes_all = len(parts) == 1 and set(parts[0].buckets) == WHOLE
        if takes_all and not self.config.buckets[division].per_bucket:
            division, drawn = "", AS_DIVIDED
        else:
            drawn = strategy.drawn
        bought = any(part.target in BOUGHT for part in parts)
        return (
            division,
            repr(drawn),
            frozenset(
                (part.target, bucket, *part.teachers(strategy.teacher or ""))
                for part in parts
                for bucket in part.buckets
            ),
            (strategy.fallback, repr(strategy.fallbacks)) if bought else None,
            repr(strategy.recipe.of_the_model()),
            stage.epochs,
            repr(stage.replay),
            repr(strategy.match),
            seed,
        )

    def _mixture(self, strategy: ResolvedStrategy, number: int) -> tuple[Count, Count]:
        """Return rows and tokens of one pass over the mixture of a stage, counted from 1."""
        *earlier, stage = strategy.stages[:number]
        lengths, items = (
            self.known.lengths(self.dataset, self.student),
            self.known.rows(self.dataset, "train"),
        )
        division = strategy.division_of(stage)
        counts, tokens = [], []
        for part in stage.parts_or_itself:
            members = self.members(division, frozenset(part.buckets), strategy.drawn)
            counts.append(members)
            each = None
            if lengths is not None:
                each = self._row(lengths, part.teachers(strategy.teacher or ""))
            tokens.append(amounts.times(members.number, each))
        if stage.replay:
            parts = [part for one in earlier for part in one.parts_or_itself]
            seen = frozenset(bucket for part in parts for bucket in part.buckets)
            pool = self.members(strategy.buckets, seen, strategy.drawn).number
            replayed = None if pool is None else stage.replay.of(round(pool))
            counts.append(Count(replayed, "about"))
            each = None if lengths is None else self._row(lengths, [])
            tokens.append(amounts.times(replayed, each))
        bound = amounts.worst(one.bound for one in counts)
        if bound == "exact" and strategy.needs_rationales:
            bound = "at most"  # a rationale may be refused
        rows = Count(
            amounts.least(amounts.total(one.number for one in counts), items.number), bound
        )
        each_bound: Bound = "about" if bound in ("exact", "about") else bound
        return rows, Count(amounts.total(tokens), each_bound)

    def members(
        self,
        division: str,
        buckets: frozenset[Bucket],
        draw: Draw = AS_DIVIDED,
    ) -> Count:
        """Return how many training items are in any of some buckets."""
        items = self.known.rows(self.dataset, "train")
        if buckets == WHOLE and not self.config.buckets[division].per_bucket:
            return items
        sizes = self.known.bucket(self.dataset, self.student, division)
        if draw.items:
            sizes = _with_hard(sizes, draw.items)
        total = amounts.total(sizes[bucket].number for bucket in sorted(buckets))
        return Count(
            amounts.least(total, items.number), amounts.worst(sizes[one].bound for one in buckets)
        )

    def _row(self, lengths: Lengths, teachers: list[str]) -> float:
        if not teachers:
            return lengths.direct + lengths.answer
        asked = self.config.teachers[teachers[0]]
        return lengths.cot + (lengths.solution if asked.own_solutions else asked.expected)


def _matched(
    own: list[PlannedTraining], others: list[PlannedTraining], match: Match
) -> list[PlannedTraining]:
    """Scale the epochs of stages, so that they train as much as others."""

    def amount(stages: list[PlannedTraining]) -> float | None:
        values = {
            "tokens": [stage.tokens.number for stage in stages],
            "steps": [stage.updates for stage in stages],
            "items": [amounts.times(stage.rows.number, stage.epochs) for stage in stages],
        }[match.by]
        return amounts.total(values)

    mine, theirs = amount(own), amount(others)
    factor = theirs / mine if mine and theirs is not None else None
    return [
        replace(
            stage,
            epochs=stage.epochs * (factor or 1),
            tokens=Count(amounts.times(stage.tokens.number, factor), "about"),
            updates=None if factor is None else amounts.whole(amounts.times(stage.updates, factor)),
        )
        for stage in own
    ]


def updates_of(
    recipe: Recipe, rows: float | None, tokens: float | None, epochs: float
) -> int | None:
    """Return the updates of a training on so many rows, of so many tokens in one pass."""
    if rows is None:
        return None
    if recipe.packing == "packed":
        if tokens is None:
            return None
        rows = math.ceil(tokens / recipe.max_length)
    return math.ceil(epochs * math.ceil(rows / recipe.rows_per_update))


def _with_hard(sizes: dict[Bucket, Count], hard: int) -> dict[Bucket, Count]:
    """Return the sizes of buckets where so many items are hard, whatever else they are."""
    total, easy = amounts.total(one.number for one in sizes.values()), sizes["easy"].number
    if total is None or easy is None:
        return {**sizes, "hard": Count(hard, "at most")}
    number = min(hard, total)
    easy = min(easy, total - number)
    numbers: dict[Bucket, float] = {"easy": easy, "medium": total - number - easy, "hard": number}
    return {name: Count(numbers[name], sizes[name].bound) for name in sizes}
