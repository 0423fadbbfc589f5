"""The best epoch beside the last one, and few-shot beside zero-shot, in the real workflow."""

import copy
import json

import pandas as pd
import pytest
from harness import Project


@pytest.fixture(scope="module")
def changed(config):
    changed = copy.deepcopy(config)
    changed["run"] |= {
        "strategies": ["base", "sft"],
        "modes": ["direct"],
        "shots": [0, 1],
        "checkpoints": ["last", "best"],
    }
    changed["datasets"]["mine"]["splits"] = {"train": 0.4, "validation": 0.3, "test": 0.3}
    changed["students"]["tiny"]["warm_up"] = None
    changed["training"] = {**changed["training"], "keep_epochs": True}
    return changed


@pytest.fixture(scope="module")
def project(changed, tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("checkpoints") / "project", changed)
    project.first = project.run("results/summary.csv", "results/training/mine/tiny/losses.svg")
    return project


def test_every_model_has_a_row_per_number_of_examples_and_checkpoint(project):
    summary = pd.read_csv(project.folder / "results/summary.csv")
    assert summary[["strategy", "shots", "checkpoint"]].values.tolist() == [
        ["base", 0, "last"],
        ["base", 1, "last"],
        ["sft", 0, "last"],
        ["sft", 0, "best"],
        ["sft", 1, "last"],
        ["sft", 1, "best"],
    ]
    assert project.first.rules["evaluate_model"] == 6


def test_the_epoch_is_chosen_on_the_validation_split(project):
    items = pd.read_parquet(project.folder / "data/items/mine.parquet")
    (file,) = project.folder.glob("results/selection/mine/tiny/*.json")
    chosen = json.loads(file.read_text())
    assert [row["epoch"] for row in chosen["epochs"]] == [1, 2]
    assert {row["n"] for row in chosen["epochs"]} == {(items["split"] == "validation").sum()}
    best = max(row["correct"] for row in chosen["epochs"])
    assert chosen["epochs"][chosen["epoch"] - 1]["correct"] == best


def test_the_losses_have_a_validation_curve(project):
    losses = pd.read_csv(project.folder / "results/training/mine/tiny/losses.csv")
    assert losses["validation_loss"].notna().sum() == 2, "one per epoch"


def test_the_same_command_again_runs_nothing(project):
    targets = ("results/summary.csv", "results/training/mine/tiny/losses.svg")
    assert "Nothing to be done" in project.run(*targets).output


def test_a_data_set_may_be_called_best(changed, tmp_path):
    named = copy.deepcopy(changed)
    named["datasets"]["the-best"] = named["datasets"].pop("mine")
    named["run"] |= {"datasets": ["the-best"], "shots": None}
    project = Project(tmp_path / "project", named)
    project.run("results/summary.csv")
    assert len(pd.read_csv(project.folder / "results/summary.csv")) == 3
