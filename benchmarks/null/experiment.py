"""One experiment of the null test: draw, choose, compare, with the functions of a run."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import pandas as pd
from bank import MODES, STRATEGY, Bank, asked

from caft import layout
from caft.analysis.comparisons import mean_interval
from caft.config.model import Configuration
from caft.config.modes import ADAPTIVE, read_view, views
from caft.evaluation import adaptive, best_epoch
from caft.evaluation.settings import Evaluation
from caft.mixtures.plan import Plan
from caft.report import predictions
from caft.report.summary import Asked, Results, comparisons_table, correct_answers
from caft.running.blocks import Cache
from caft.running.settings import Engine
from caft.students.opened import Subject

sys.path.append(str(Path(__file__).parents[2] / "tests"))

from configurations import configuration

NAMES = {"dataset": "coloured", "student": "tiny"}


@dataclass(frozen=True)
class Kind:
    """What experiments are like."""

    name: Literal["learnt", "shuffled"]
    strategies: int
    seeds: int  # of each strategy
    test: int  # questions
    validation: int


def config_of(kind: Kind) -> Configuration:
    """Return the configuration of a run of equal strategies."""
    return configuration(
        {
            "run": {
                "datasets": [NAMES["dataset"]],
                "students": [NAMES["student"]],
                "strategies": [f"equal {number}" for number in range(1, kind.strategies + 1)],
                "modes": [*MODES, ADAPTIVE],
                "checkpoints": ["best"],
                # No answer may be lost to a threshold: where it were chosen on the test split, it
                # would show most.
                "relevant_difference": 0.0001,
            }
        }
    )


@dataclass(frozen=True)
class World:
    """What an experiment draws, and the answers to it.

    Attributes:
        bank: all models and their answers.
        questions: their places in the bank, by split: `validation`, `test` and the `others`.
        labels: right answers to all questions, drawn anew; None for the data set's own.
        plan: of the strategies with the seeds drawn.
        leak: what is chosen on the test split: `epoch`, `threshold` or `none`.
        leaking: models that it is chosen for.
    """

    bank: Bank
    questions: dict[str, np.ndarray]
    labels: np.ndarray | None
    plan: Plan
    leak: str
    leaking: frozenset[str]

    def answers(self, model: str, epoch: int, mode: str, split: str) -> pd.DataFrame:
        """Return the predictions of a model's epoch."""
        places, answers = self.questions[split], self.bank.answers[model, epoch, mode]
        table = answers.table.iloc[places]
        if self.labels is None:
            return table
        return table.assign(correct=answers.letters[places] == self.labels[places])

    def chosen_on(self, split: str, model: str, what: str) -> str:
        """Return the split that is read where one is asked for: where it leaks, always test."""
        return "test" if self.leak == what and model in self.leaking else split


def draw(bank: Bank, kind: Kind, leak: str, generator: np.random.Generator) -> World:
    """Draw questions, training seeds and, in the kind `shuffled`, right answers."""
    count = len(bank.asked)
    ends = [kind.test, kind.test + kind.validation]
    parts = np.split(generator.permutation(count), ends)
    labels = generator.choice(list("ABCD"), count)
    planned = bank.plan.strategies[STRATEGY]
    seeds = generator.choice(
        list(planned.seeds), (kind.strategies, kind.seeds), replace=False
    ).tolist()
    strategies = {
        f"equal {number}": replace(planned, seeds={seed: planned.seeds[seed] for seed in own})
        for number, own in enumerate(seeds, start=1)
    }
    first = (one.final for one in strategies["equal 1"].seeds.values())
    return World(
        bank,
        dict(zip(("test", "validation", "others"), map(np.sort, parts), strict=True)),
        labels if kind.name == "shuffled" else None,
        Plan(strategies),
        leak,
        frozenset(first),
    )


def choose_epochs(world: World) -> dict[str, int]:
    """Choose the best epoch of every model, as a run does."""
    splits = ("validation", "test")
    parts = [world.bank.asked.iloc[world.questions[name]].assign(split=name) for name in splits]
    items = pd.concat(parts, ignore_index=True)

    def evaluate_model(asked: Any, way: Any, subject: Subject, *_: Any) -> tuple[Any, Any, Any]:
        model, epoch = subject.trained_file.parents[2].name, int(subject.trained_file.parent.name)
        split = world.chosen_on(way.split, model, "epoch")
        answers = world.answers(model, epoch, way.mode, split)
        return answers, {}, {"seconds": 0.0, "blocks": []}

    student = Subject(Path(layout.at(layout.STUDENT, student="tiny")), None, Engine(device="cpu"))
    mode = world.bank.plan.strategies[STRATEGY].trained_mode
    chosen = {}
    with patch.object(best_epoch, "evaluate_model", evaluate_model):
        for model in world.plan.finals():
            file = Path(layout.at(layout.MODEL, digest=model))
            chosen[model], *_ = best_epoch.choose_epoch(
                asked(items), student, file, mode, Evaluation(), Cache()
            )
    return chosen


def results_of(config: Configuration, world: World, epochs: dict[str, int]) -> Results:
    """Read the answers of the best epochs and choose the thresholds, as a run does."""

    def read(names: Any, model: str, name: str, texts: bool = False) -> pd.DataFrame:
        digest, view = model.removesuffix(layout.BEST), read_view(name, 0)
        split = world.chosen_on(view.split or "test", digest, "threshold")
        return world.answers(digest, epochs[digest], view.mode, split)

    models = [layout.weights_of(model, "best") for model in epochs]
    with patch.object(predictions, "_read", read):
        found, thresholds = predictions.read_predictions(config, NAMES, models)
    return Results(*NAMES.values(), world.plan, found, {}, {}, thresholds)


def elsewhere(world: World, results: Results, epochs: dict[str, int], one: Asked) -> float:
    """Return the accuracy of a strategy's chosen models on the questions that were not drawn."""
    right = []
    for trained in world.plan.strategies[one.strategy].seeds.values():
        model = trained.final
        direct, cot = (world.answers(model, epochs[model], mode, "others") for mode in MODES)
        thinks: np.ndarray | bool = one.view.mode == "cot"
        if one.view.mode == ADAPTIVE:
            threshold = results.thresholds[layout.weights_of(model, "best"), one.view.name]
            thinks = adaptive.unsure(direct, threshold)
        right.append(np.where(thinks, cot["correct"], direct["correct"]).mean())
    return float(np.mean(right))


def experiment(config: Configuration, world: World) -> Iterator[dict[str, Any]]:
    """Yield what one experiment shows in each mode."""
    epochs = choose_epochs(world)
    results = results_of(config, world, epochs)
    comparisons = comparisons_table(config, results)
    for view in views(config):
        family = comparisons[comparisons["mode"] == view.mode]
        first, one = family.iloc[0], Asked("equal 1", view, "best")
        accuracy = mean_interval(correct_answers(results, one))
        yield {
            "mode": view.mode,
            "families": family["verdict"].isin(["better", "worse"]).any(),
            "differences": first["difference_low"] <= 0 <= first["difference_high"],
            "low": accuracy.low,
            "high": accuracy.high,
            "bias": accuracy.value - elsewhere(world, results, epochs, one),
            "honest": elsewhere(world, results, epochs, replace(one, strategy="equal 2")),
        }
