"""Rounds: strategies whose buckets a trained model draws are planned once that model is."""

from dataclasses import dataclass

from caft.analysis.ranking import Ranker
from caft.config.model import Configuration
from caft.config.resolve import (
    chosen,
    parts_of,
    rankers_of,
    strategies_of_teacher,
    teachers_of,
    teachers_used,
)
from caft.errors import ConfigError
from caft.mixtures.settings import Strategy, Wanted


def scored_by(config: Configuration, buckets: str) -> set[str]:
    """Return the strategies whose stages score a bucket definition; none for base and warm_up."""
    metrics = parts_of(config, config.buckets[buckets].metric)
    scorers = (strategy_of(config.metrics[name].scored_with) for name in metrics)
    return {strategy for strategy in scorers if strategy}


def sampled_by(config: Configuration, teacher: str) -> str | None:
    """Return the strategy whose stage a teacher is; None for all others."""
    return strategy_of(config.teachers[teacher].sampler or "")


def strategy_of(model: str) -> str | None:
    """Return the strategy of a model such as `sft.1`; None for `base` and `warm_up`."""
    strategy, _, stage = model.partition(".")
    return strategy if stage else None


def round_of(config: Configuration, strategy: str, _above: tuple[str, ...] = ()) -> int:
    """Return when a strategy is planned: 1, or a round after those whose models it depends on.

    Their models score its buckets, or write its rationales.

    Args:
        config: the prepared configuration.
        strategy: its name.

    Raises:
        ConfigError: if it depends on its own model, directly or over others.
    """
    if strategy in _above:
        chain = " -> ".join((*_above[_above.index(strategy) :], strategy))
        raise ConfigError(
            f"strategies.{strategy}: its buckets are scored, or its rationales written, with a "
            f"model that is trained on them ({chain}). Make the stages up to that model a strategy "
            "of their own, with teachers and `buckets` (such as strategies.NAME.buckets: OTHER) "
            "that do without the model, and name that one; equal stages share their model, so "
            "nothing is trained twice."
        )
    above = (*_above, strategy)
    return 1 + max(
        (round_of(config, name, above) for name in waits_for(config, strategy)), default=0
    )


def waits_for(config: Configuration, strategy: str) -> list[str]:
    """Return the strategies whose models score a strategy's buckets, or write its rationales."""
    own = config.strategies[strategy]
    needed = {name for division in own.divisions() for name in scored_by(config, division)}
    sampled = (sampled_by(config, name) for name in teachers_of(config, own))
    return sorted(needed.union(name for name in sampled if name))


def rounds_used(config: Configuration) -> list[int]:
    """Return the rounds of a run in order."""
    return sorted({round_of(config, name) for name in chosen(config)})


def strategies_of_round(config: Configuration, number: int) -> dict[str, Strategy]:
    """Return the strategies of this run that are planned in a round, by name."""
    return {
        name: strategy
        for name, strategy in chosen(config).items()
        if round_of(config, name) == number
    }


def demanded(
    config: Configuration, teacher: str, number: int, dataset: str, student: str
) -> dict[str, Ranker]:
    """Return who ranks what a teacher sells in a round, where it demands that they rank well."""
    if config.teachers[teacher].require_auc is None:
        return {}
    return rankers_of(config, dataset, student, asked_in_round(config, teacher, number).values())


def asked_in_round(config: Configuration, teacher: str, number: int) -> dict[str, Wanted]:
    """Return what the strategies of a round ask of a teacher, by name, if they ask it at all."""
    asked = strategies_of_teacher(config, teacher)
    return {name: asked[name] for name in strategies_of_round(config, number) if name in asked}


def teachers_of_round(config: Configuration, number: int) -> list[str]:
    """Return the teachers that the strategies of a round ask, in the order of their names."""
    strategies = strategies_of_round(config, number).values()
    return sorted({name for strategy in strategies for name in teachers_of(config, strategy)})


def asked_before(config: Configuration, teacher: str, number: int) -> list[str]:
    """Return the teachers whose answers decide what another is asked for in a round."""
    asked = asked_in_round(config, teacher, number).values()
    parts = (part for one in asked for stage in one.stages for part in stage.parts_or_itself)
    return sorted({name for part in parts for name in part.before})


def is_before_others(config: Configuration, teacher: str, number: int) -> bool:
    """Tell whether any teacher of a round gets what this one failed."""
    others = teachers_of_round(config, number)
    return any(teacher in asked_before(config, other, number) for other in others)


@dataclass(frozen=True)
class Taught:
    """What a teacher is asked for in a run.

    Attributes:
        teacher: its name.
        rounds: in which it is asked.
        buckets: the bucket definitions that say for which items.
    """

    teacher: str
    rounds: list[int]
    buckets: list[str]


def taught(config: Configuration) -> list[Taught]:
    """Return what each teacher of a run is asked for, in the order of their names."""
    found = []
    for teacher in teachers_used(config):
        strategies = strategies_of_teacher(config, teacher)
        rounds = sorted({round_of(config, name) for name in strategies})
        buckets = {name for strategy in strategies.values() for name in strategy.divisions()}
        found.append(Taught(teacher, rounds, sorted(buckets)))
    return found
