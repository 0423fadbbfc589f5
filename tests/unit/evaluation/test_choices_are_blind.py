"""Epochs and thresholds are chosen without a look at the test split: no answer is flattered by it.

The experiments are those of `benchmarks/null`, with answers drawn at random in place of a model's.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from caft.config.modes import View
from caft.mixtures.plan import Plan, PlannedStrategy, Trained
from caft.tables.files import write_json

MODELS, EPOCHS, QUESTIONS, EXPERIMENTS = 4, 6, 500, 25


@pytest.fixture
def null(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks/null"))
    return pytest.importorskip("experiment"), pytest.importorskip("bank")


@pytest.fixture
def drawn(null, tmp_path, monkeypatch, planned_stage):
    """A bank whose models guess one of four letters, and are as unsure of each."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(1)
    ids = [f"q{number:03d}" for number in range(QUESTIONS)]
    seeds, answers = {}, {}
    for seed in range(1, MODELS + 1):
        model = f"m{seed}"
        seeds[seed] = Trained(model, 1, [planned_stage(model=model)])
        write_json(f"results/models/{model}/model.json", {"epochs": [*range(1, EPOCHS + 1)]})
        for epoch, (mode, tokens) in product(range(1, EPOCHS + 1), (("direct", 2), ("cot", 9))):
            table = pd.DataFrame(
                {
                    "correct": False,
                    "new_tokens": tokens,
                    "thought_tokens": 0,
                    "first_token_entropy": draw.random(QUESTIONS),
                },
                index=range(QUESTIONS),
            )
            letters = draw.choice(list("ABCD"), QUESTIONS)
            answers[model, epoch, mode] = null[1].Answers(table, letters)
    planned = PlannedStrategy("direct", "default", None, seeds)
    return null[1].Bank(pd.DataFrame({"item_id": ids}), Plan({null[1].STRATEGY: planned}), answers)


def flattery(null, bank, leak="none"):
    """Return by mode how much better chosen models are on the test split, in standard errors."""
    experiment = null[0]
    kind = experiment.Kind("shuffled", strategies=2, seeds=2, test=100, validation=100)
    config = experiment.config_of(kind)
    streams = np.random.SeedSequence(5).spawn(EXPERIMENTS)
    worlds = (experiment.draw(bank, kind, leak, np.random.default_rng(one)) for one in streams)
    rows = [row for world in worlds for row in experiment.experiment(config, world)]
    bias = pd.DataFrame(rows).groupby("mode")["bias"]
    return bias.mean() / bias.sem()


def test_no_chosen_model_is_better_on_the_test_split_than_elsewhere(null, drawn):
    assert flattery(null, drawn).abs().max() < 3


def test_an_epoch_that_was_chosen_on_the_test_split_would_be_seen(null, drawn):
    assert flattery(null, drawn, "epoch")["direct"] > 4


def test_a_threshold_that_was_chosen_on_the_reported_split_would_be_seen(null, drawn, monkeypatch):
    monkeypatch.setattr(View, "held_out", lambda view: view)
    assert flattery(null, drawn)["adaptive"] > 4
