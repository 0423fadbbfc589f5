"""Buckets from a trained model, and several training seeds, in the real workflow."""

import json

import pandas as pd
import pytest
from harness import Project


@pytest.fixture(scope="module")
def project(config, tmp_path_factory):
    """A project that divides again after the first stage of complexity_aware."""
    stages = [
        {"buckets": ["easy", "medium"], "target": "answer", "epochs": 2},
        {"buckets": ["hard"], "target": "rationale", "epochs": 4},
    ]
    changed = {
        **config,
        "run": {**config["run"], "strategies": ["base", "complexity_aware", "again"]},
        "metrics": {"after": {"metric": "margin", "scored_with": "complexity_aware.1"}},
        "buckets": {"after": {"metric": "after", "quantiles": [0.25, 0.75]}},
        "strategies": {"again": {"stages": [stages[0], {**stages[1], "divided_by": "after"}]}},
        "analysis": {"split": "test"},
    }
    project = Project(tmp_path_factory.mktemp("rounds") / "project", changed)
    project.first = project.run("results/summary.csv")
    return project


def test_the_second_round_shares_the_first_stage_and_trains_one_more(project):
    assert project.first.rules["build_mixtures"] == project.first.rules["generate_rationales"] == 2
    assert project.first.rules["score_items"] == 2, "warmed up, and after the first stage"
    assert project.first.rules["train_stage"] == 3
    first, second = project.models("again", number=2)["stages"]
    assert first == project.models("complexity_aware")["stages"][0]
    assert second["parent"] == first["model"]


def test_the_hard_items_of_the_second_round_are_those_of_the_trained_model(project):
    buckets = pd.read_parquet(project.folder / "data/buckets/mine/tiny/after.parquet")
    hard = set(buckets.query("bucket == 'hard' and split == 'train'")["item_id"])
    (asked,) = project.folder.glob("data/rationales/mine/tiny/2/*.parquet")
    assert set(pd.read_parquet(asked)["item_id"]) == hard
    metric = json.loads((project.folder / "data/metrics/mine/tiny/after.report.json").read_text())
    assert metric == {"items": 40, "reasons": {}}


def test_all_rounds_are_in_the_summary(project):
    summary = pd.read_csv(project.folder / "results/summary.csv")
    assert list(summary["strategy"].unique()) == ["base", "complexity_aware", "again"]
    index = pd.read_csv(project.folder / "results/models/index.csv")
    assert index["strategy"].tolist() == ["complexity_aware"] * 2 + ["again"] * 2


def test_the_same_command_again_runs_nothing(project):
    assert "Nothing to be done" in project.run("results/summary.csv").output


def test_a_further_seed_trains_its_own_models_and_asks_nothing(project):
    before = project.stored_keys()
    config = {**project.config, "run": {**project.config["run"], "seeds": [1, 2]}}
    project.write(config)
    again = project.run("results/summary.csv")
    assert project.stored_keys() == before
    assert again.rules["train_stage"] == 3
    assert again.rules["evaluate_model"] == 4, "two strategies, two modes; base has no seed"
    assert not {"score_items", "warm_up_student", "generate_rationales"} & set(again.rules)
    runs = pd.read_csv(project.folder / "results/tables/runs.csv")
    assert runs.groupby("strategy")["seed"].nunique().to_dict() == {
        "again": 2,
        "base": 0,
        "complexity_aware": 2,
    }
    assert project.models("again", seed=1, number=2) != project.models("again", seed=2, number=2)
