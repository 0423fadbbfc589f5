"""Rounds: strategies whose buckets a trained model draws are planned once that model is."""

from dataclasses import dataclass

from caft.analysis.ranking import Ranker
from caft.config.model import Configuration
from caft.config.resolve import (
    chosen,
    parts_of,
    rankers_of,
    strategies_of_teacher,
    teachers_used,
)
from caft.errors import ConfigError
from caft.mixtures.settings import Strategy


def scored_by(config: Configuration, buckets: str) -> set[str]:
    """Return the strategies whose stages score a bucket definition; none for base and warm_up."""
    metrics = parts_of(config, config.buckets[buckets].metric)
    scorers = (config.metrics[name].scored_with.partition(".") for name in metrics)
    return {strategy for strategy, _, stage in scorers if stage}


def round_of(config: Configuration, strategy: str, _above: tuple[str, ...] = ()) -> int:
    """Return when a strategy is planned: 1, or one round after those that its buckets come from.

    Args:
        config: the prepared configuration.
        strategy: its name.

    Raises:
        ConfigError: if its buckets come from its own model, directly or over others.
    """
    if strategy in _above:
        chain = " -> ".join((*_above[_above.index(strategy) :], strategy))
        raise ConfigError(
            f"strategies.{strategy}: its buckets are scored with a model that is trained on them "
            f"({chain}). Make the stages up to that model a strategy of their own and score with "
            "it; equal stages share their model, so nothing is trained twice."
        )
    needed = {
        name
        for division in config.strategies[strategy].divisions()
        for name in scored_by(config, division)
    }
    above = (*_above, strategy)
    return 1 + max((round_of(config, name, above) for name in sorted(needed)), default=0)


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
    planned = strategies_of_round(config, number)
    strategies = strategies_of_teacher(config, teacher)
    return rankers_of(
        config, dataset, student, [strategies[name] for name in strategies if name in planned]
    )


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
