"""Rounds: strategies whose buckets a trained model draws are planned once that model is."""

from typing import Any

from caft.config.resolve import Config, chosen, metric_of, strategies_of_teacher, teachers_used
from caft.errors import ConfigError
from caft.mixtures.rows import divisions


def scored_by(config: Config, buckets: str) -> str | None:
    """Return the strategy whose stage scores a bucket definition; None for base and warm_up."""
    metric = config["buckets"][buckets]["metric"]
    strategy, _, stage = metric_of(config, metric)["scored_with"].partition(".")
    return strategy if stage else None


def round_of(config: Config, strategy: str, _above: tuple[str, ...] = ()) -> int:
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
    needed = {scored_by(config, name) for name in divisions(config["strategies"][strategy])}
    above = (*_above, strategy)
    return 1 + max((round_of(config, name, above) for name in needed if name), default=0)


def rounds_used(config: Config) -> list[int]:
    """Return the rounds of a run in order."""
    return sorted({round_of(config, name) for name in chosen(config)})


def strategies_of_round(config: Config, number: int) -> dict[str, dict[str, Any]]:
    """Return the strategies of this run that are planned in a round, by name."""
    return {
        name: strategy
        for name, strategy in chosen(config).items()
        if round_of(config, name) == number
    }


def rationale_tables(config: Config) -> list[str]:
    """Return `<round>/<teacher>` of all rationales tables that this run's strategies need."""
    return [
        f"{number}/{teacher}"
        for number in rounds_used(config)
        for teacher in teachers_used(config)
        if strategies_of_teacher(config, teacher).keys()
        & strategies_of_round(config, number).keys()
    ]
