"""How often the intervals hold the truth, and how often a verdict is wrong, in simulated runs.

    python benchmarks/coverage/run.py --experiments 1000

Each experiment draws item difficulties (logit-normal, shared between strategies up to a
correlation), training seeds that shift a strategy, and right or wrong answers. The truth is the
accuracy over all items and seeds. Printed per number of seeds and items and deviation of the seeds,
in percent:

mean, difference  95% intervals that hold the truth, of one accuracy and of a difference of 0.05
items, pigeonhole the same for two percentile bootstraps of the difference: over items, and over
                  items and seeds at once (Owen 2007)
power             pairs that differ by 0.05 and are called better
family            families (an untuned student with one row and four equal strategies) in which any
                  of the ten verdicts is better or worse
pair              of two equal strategies, p < 0.05: the test used, then two permutation tests,
                  items swapped between the strategies, and seeds relabelled
"""

import argparse
import itertools
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from caft.analysis.comparisons import (
    compare_all,
    crossed_p,
    difference_interval,
    mcnemar,
    mean_interval,
)

_EFFECT = 0.05
_DRAWS = 500  # of bootstraps and permutations
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(100)


@dataclass(frozen=True)
class World:
    """What the simulated strategies and items are like."""

    accuracy: float
    correlation: float  # of an item's difficulty between two strategies
    spread: float  # standard deviation of the difficulties, logits
    deviation: float  # of a strategy's accuracy over its seeds, to first order

    def shift(self) -> float:
        """Return the deviation of the seeds in logits."""
        chances = expit(self._level(self.accuracy, self.spread) + self.spread * _NODES)
        return self.deviation / np.average(chances * (1 - chances), weights=_WEIGHTS)

    def draw(
        self, generator: np.random.Generator, accuracies: list[float], seeds: list[int], items: int
    ) -> list[np.ndarray]:
        """Return a matrix of answers per strategy; 0 seeds is one row of an untuned student."""
        shared = generator.normal(size=items) * np.sqrt(self.correlation)
        answers = []
        for accuracy, count in zip(accuracies, seeds, strict=True):
            shift = self.shift() if count else 0.0
            own = generator.normal(size=items) * np.sqrt(1 - self.correlation)
            level = self._level(accuracy, np.hypot(self.spread, shift))
            effects = shift * generator.normal(size=(max(count, 1), 1))
            chances = expit(level + self.spread * (shared + own) + effects)
            answers.append(generator.random(chances.shape) < chances)
        return answers

    @staticmethod
    @cache
    def _level(accuracy: float, spread: float) -> float:
        """Return the mean logit that gives an accuracy over all items and seeds."""
        return brentq(
            lambda level: np.average(expit(level + spread * _NODES), weights=_WEIGHTS) - accuracy,
            -20,
            20,
        )


def redrawn(generator: np.random.Generator, count: int) -> np.ndarray:
    """Return how often each of count things is drawn: shape (draws, count)."""
    drawn = generator.integers(0, count, (_DRAWS, count)) + count * np.arange(_DRAWS)[:, None]
    return np.bincount(drawn.ravel(), minlength=_DRAWS * count).reshape(_DRAWS, count)


def bootstraps(
    generator: np.random.Generator, one: np.ndarray, other: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Return percentile intervals of the difference: items redrawn, items and seeds redrawn."""
    items = redrawn(generator, one.shape[1])
    drawn = [items @ matrix.T.astype(float) / one.shape[1] for matrix in (one, other)]
    plain = [means.mean(axis=1) for means in drawn]
    crossed = [
        (means * redrawn(generator, means.shape[1])).sum(axis=1) / means.shape[1] for means in drawn
    ]
    found = {}
    for name, (first, second) in (("items", plain), ("pigeonhole", crossed)):
        low, high = np.quantile(first - second, [0.025, 0.975])
        found[name] = low, high
    return found


def swapped_p(generator: np.random.Generator, one: np.ndarray, other: np.ndarray) -> float:
    """Return the p value of swapping items between two strategies."""
    differences = one.mean(axis=0) - other.mean(axis=0)
    swaps = generator.integers(0, 2, size=(_DRAWS, len(differences)), dtype=np.int8)
    drawn = np.abs(differences.sum() - 2 * (swaps @ differences))
    return (1 + (drawn >= abs(differences.sum()) - 1e-9).sum()) / (1 + _DRAWS)


def relabelled_p(one: np.ndarray, other: np.ndarray) -> float:
    """Return the p value of all ways to deal the seeds out to two strategies."""
    accuracies = np.concatenate([one, other]).mean(axis=1)
    total, size = accuracies.sum(), len(one)
    groups = itertools.combinations(range(len(accuracies)), size)
    sums = np.array([accuracies[list(group)].sum() for group in groups])
    distances = np.abs(sums / size - (total - sums) / (len(accuracies) - size))
    return float((distances >= distances[0] - 1e-9).mean())


def different(
    world: World, generator: np.random.Generator, seeds: int, items: int
) -> dict[str, bool]:
    """Return what one experiment with a known effect shows."""
    high = world.accuracy + _EFFECT
    one, other = world.draw(generator, [high, world.accuracy], [seeds] * 2, items)
    mean, difference = mean_interval(one), difference_interval(one, other)
    found = compare_all({"one": one, "other": other}, _EFFECT)
    result = {
        "mean": mean.low <= high <= mean.high,
        "difference": difference.low <= _EFFECT <= difference.high,
        "power": found["verdict"][0] == "better",
    }
    for name, (low, upper) in bootstraps(generator, one, other).items():
        result[name] = bool(low <= _EFFECT <= upper)
    return result


def equal(world: World, generator: np.random.Generator, seeds: int, items: int) -> dict[str, bool]:
    """Return what one experiment without an effect shows."""
    drawn = world.draw(generator, [world.accuracy] * 5, [0] + [seeds] * 4, items)
    verdicts = compare_all(dict(zip("abcde", drawn, strict=True)))["verdict"]
    one, other = drawn[-2:]
    test = mcnemar if seeds == 1 else crossed_p
    return {
        "family": verdicts.isin(["better", "worse"]).any(),
        "pair": test(one, other) < 0.05,
        "swapped": swapped_p(generator, one, other) < 0.05,
        "relabelled": relabelled_p(one, other) < 0.05,
    }


_COLUMNS = ["mean", "difference", "items", "pigeonhole", "power"]
_COLUMNS += ["family", "pair", "swapped", "relabelled"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accuracy", type=float, default=0.55)
    parser.add_argument("--correlation", type=float, default=0.8)
    parser.add_argument("--spread", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--items", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--deviations", type=float, nargs="+", default=[0.0, 0.02])
    args = parser.parse_args()
    print(vars(args))
    print("| seeds | items | seed sd |", " | ".join(_COLUMNS), "| s |")
    print("|---" * (len(_COLUMNS) + 4) + "|")
    for cell in itertools.product(args.seeds, args.items, args.deviations):
        seeds, items, deviation = cell
        started = time.perf_counter()
        world = World(args.accuracy, args.correlation, args.spread, deviation)
        # A stream of its own per experiment, so that each can be drawn again alone.
        streams = np.random.SeedSequence([args.seed, seeds, items, round(1e4 * deviation)])
        rows = []
        for stream in streams.spawn(args.experiments):
            generator = np.random.default_rng(stream)
            shown = different(world, generator, seeds, items)
            rows.append({**shown, **equal(world, generator, seeds, items)})
        shares = [f"{100 * np.mean([row[name] for row in rows]):.1f}" for name in _COLUMNS]
        seconds = f"{time.perf_counter() - started:.0f}"
        print(
            "|",
            " | ".join([str(seeds), str(items), f"{deviation:.2f}", *shares, seconds]),
            "|",
            flush=True,
        )


if __name__ == "__main__":
    main()
