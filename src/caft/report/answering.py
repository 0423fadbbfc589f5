"""Accuracy against the tokens that a model writes: a point per mode, and curves between them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from caft import layout
from caft.analysis.comparisons import gain_interval, mean_interval
from caft.analysis.intervals import UNKNOWN, Estimate
from caft.config.model import Configuration
from caft.config.modes import ADAPTIVE
from caft.evaluation import adaptive
from caft.report.summary import Asked, Results, seeds_of, ways_of_asking

_STEPS = 100  # of a curve, at most


@dataclass(frozen=True)
class Point:
    """Answers of all training seeds at one place of a curve.

    Attributes:
        line: `direct`, `cot` or `adaptive` for what a mode gave; `threshold`, `random` or `cap` for
            a place of a curve.
        at: threshold in nats, share that thinks, or cap in tokens; NaN for the other two modes.
        thinks: share of the items that are thought about.
        correct: booleans, shape (n_seeds, n_items).
        written: tokens, same shape.
        vs_random: what is gained over the same share drawn at random, model by model.
    """

    line: str
    at: float
    thinks: float
    correct: np.ndarray
    written: np.ndarray
    vs_random: Estimate = UNKNOWN

    def row(self) -> dict[str, Any]:
        """Return the columns of the table."""
        return {
            "line": self.line,
            "at": self.at,
            "thinks": self.thinks,
            "written_tokens": float(self.written.mean()) if self.written.size else float("nan"),
            **mean_interval(self.correct).named("accuracy"),
            **self.vs_random.named("vs_random"),
            "n": self.correct.shape[1],
            "n_seeds": len(self.correct),
        }


@dataclass(frozen=True)
class Pair:
    """The direct answers and the chains of one model, to the same items in the same order.

    Attributes:
        direct: predictions in mode `direct`, indexed by item_id.
        cot: predictions in mode `cot`.
        seed: of training, which the random control follows.
    """

    direct: pd.DataFrame
    cot: pd.DataFrame
    seed: int

    @cached_property
    def ranks(self) -> np.ndarray:
        """The place of each item in the order in which the random control thinks of them."""
        return adaptive.random_ranks(self.direct.index, self.seed)

    def correct(self, thinks: np.ndarray) -> np.ndarray:
        """Tell which answers are right, thinking of these items."""
        return np.where(thinks, self.cot["correct"], self.direct["correct"]).astype(bool)

    def written(self, thinks: np.ndarray) -> np.ndarray:
        """Return the tokens that are written, the direct try's everywhere."""
        chains = self.cot["new_tokens"].to_numpy(dtype=int)
        return self.direct["new_tokens"].to_numpy(dtype=int) + np.where(thinks, chains, 0)


def answering_table(config: Configuration, every: Iterable[Results]) -> pd.DataFrame:
    """Return accuracy against tokens written, for every strategy as it was asked.

    Args:
        config: the prepared configuration.
        every: the results of each student on each data set.

    Returns:
        The columns are described in docs/summary.md. A curve has at most 101 places.
    """
    rows = []
    for results in every:
        for asked in ways_of_asking(config, results.plan):
            where = {
                **results.names,
                "strategy": asked.strategy,
                "shots": asked.view.shots,
                "checkpoint": asked.checkpoint,
            }
            rows += [{**where, **point.row()} for point in _points(results, asked)]
    return pd.DataFrame(rows)


def _points(results: Results, asked: Asked) -> Iterator[Point]:
    """Yield what a way of asking gave, and the curves that belong to its mode."""
    planned = results.plan.strategies[asked.strategy]
    models = {
        seed: layout.weights_of(planned.seeds[seed].final, asked.checkpoint)
        for seed in seeds_of(planned)
    }
    view, found = asked.view, results.predictions
    if view.mode == ADAPTIVE:
        pairs = [
            Pair(found[model, view.of("direct")], found[model, view.of("cot")], seed)
            for seed, model in models.items()
        ]
        chosen = [results.thresholds[model, view.name] for model in models.values()]
        yield _routed(ADAPTIVE, pairs, chosen)[0]
        yield from adaptive_curve(pairs)
        return
    tables = [found[model, view.name] for model in models.values()]
    correct = np.array([table["correct"].to_numpy(dtype=bool) for table in tables])
    written = np.array([table["new_tokens"].to_numpy(dtype=int) for table in tables])
    yield Point(view.mode, float("nan"), float(view.mode == "cot"), correct, written)
    if view.mode == "cot":
        yield from cap_curve(tables)


def adaptive_curve(pairs: Sequence[Pair]) -> Iterator[Point]:
    """Yield accuracy from never to always thinking, each place with its random control.

    Every model has the threshold that gives it the share. Equal entropies, and items without one,
    leave some shares out.

    Args:
        pairs: of all training seeds.
    """
    count, last = len(pairs[0].direct), -1.0
    for step in _steps(count):
        thresholds = [adaptive.threshold_of_count(pair.direct, step) for pair in pairs]
        place, control = _routed("threshold", pairs, thresholds)
        if place.thinks > last:
            yield place
            yield control
            last = place.thinks


def _steps(most: int) -> list[int]:
    """Return whole numbers from 0 to the largest, evenly spaced."""
    return sorted({round(step) for step in np.linspace(0, most, min(most, _STEPS) + 1)})


def _routed(line: str, pairs: Sequence[Pair], thresholds: Sequence[float]) -> tuple[Point, Point]:
    """Return what thresholds give, and as many items drawn at random."""
    own = [
        adaptive.unsure(pair.direct, threshold)
        for pair, threshold in zip(pairs, thresholds, strict=True)
    ]
    drawn = [pair.ranks < thinks.sum() for pair, thinks in zip(pairs, own, strict=True)]
    share = float(np.mean(own)) if np.size(own) else float("nan")
    (right, written), (by_chance, spent) = (_answers(pairs, thinks) for thinks in (own, drawn))
    control = Point("random", share, share, by_chance, spent)
    gained = gain_interval(right, by_chance)
    return Point(line, float(np.mean(thresholds)), share, right, written, gained), control


def _answers(
    pairs: Sequence[Pair], thinking: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    asked = list(zip(pairs, thinking, strict=True))
    correct = np.array([pair.correct(thinks) for pair, thinks in asked])
    return correct, np.array([pair.written(thinks) for pair, thinks in asked])


def cap_curve(chains: Sequence[pd.DataFrame]) -> Iterator[Point]:
    """Yield accuracy if chains were cut at so many tokens, up to the longest one.

    Args:
        chains: predictions in mode `cot`, of all training seeds.
    """
    longest = max((int(table["new_tokens"].max()) for table in chains if len(table)), default=0)
    for cap in _steps(longest):
        capped = [adaptive.capped(table, cap) for table in chains]
        correct, written = (np.array(part) for part in zip(*capped, strict=True))
        yield Point("cap", cap, 1.0, correct, written)
