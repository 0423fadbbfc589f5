"""The shipped workflow on a small config: what it makes, and what runs again after which change."""

import copy
import json
import shutil

import pandas as pd
import pytest
from harness import Project

PAID_OR_SLOW = {"train_stage", "evaluate_model", "warm_up_student", "score_items"}


@pytest.fixture(scope="module")
def project(config, tmp_path_factory):
    """A project after its first complete run; the tests below change it one after the other."""
    project = Project(tmp_path_factory.mktemp("run") / "project", config)
    first = project.run("results/summary.csv")
    assert first.rules["train_stage"] == 3, "sft, and two stages of complexity_aware"
    assert first.rules["evaluate_model"] == 6, "three models in two modes"
    return project


def complexities(project):
    buckets = pd.read_parquet(project.folder / "data/buckets/mine/tiny/default.parquet")
    return sorted(buckets.loc[buckets["split"] == "train", "complexity"])


def with_thresholds(config, low, high):
    changed = copy.deepcopy(config)
    changed["buckets"] = {"default": {"thresholds": [float(low), float(high)]}}
    return changed


def test_the_summary_has_a_row_per_strategy_and_mode(project):
    summary = pd.read_csv(project.folder / "results/summary.csv")
    assert list(zip(summary["strategy"], summary["mode"], strict=True)) == [
        (strategy, mode)
        for strategy in ("base", "sft", "complexity_aware")
        for mode in ("direct", "cot")
    ]
    assert summary["accuracy"].between(summary["accuracy_low"], summary["accuracy_high"]).all()
    test_items = summary["n"].iloc[0]
    assert (summary[["n_easy", "n_medium", "n_hard"]].sum(axis=1) == test_items).all()
    paid = summary.set_index("strategy")["teacher_requests"]
    assert paid["sft"].max() == 0 < paid["complexity_aware"].max() == len(project.stored_keys())


def test_provenance_names_config_and_versions(project):
    provenance = json.loads((project.folder / "results/provenance.json").read_text())
    assert provenance["config"]["students"]["tiny"]["warm_up"] == {"items": 6, "epochs": 1}
    assert provenance["libraries"]["torch"]
    assert provenance["datasets"]["mine"]["report"]["items"] == 40


def test_only_hard_items_are_paid_for_by_complexity_aware(project):
    buckets = pd.read_parquet(project.folder / "data/buckets/mine/tiny/default.parquet")
    hard = buckets[(buckets["bucket"] == "hard") & (buckets["split"] == "train")]
    (file,) = project.folder.glob("data/rationales/mine/tiny/1/*.parquet")
    assert set(pd.read_parquet(file)["item_id"]) == set(hard["item_id"])


def test_the_test_split_is_in_no_mixture(project):
    items = pd.read_parquet(project.folder / "data/items/mine.parquet")
    test = set(items.loc[items["split"] == "test", "item_id"])
    assert test
    for file in (project.folder / "data/mixtures/rows").glob("*.parquet"):
        assert not test & set(pd.read_parquet(file)["item_id"])


def test_the_same_command_again_runs_nothing(project):
    assert "Nothing to be done" in project.run("results/summary.csv").output


def test_a_threshold_that_moves_no_item_trains_and_asks_nothing(project, config):
    models, answers = set(project.folder.glob("results/models/*/*")), project.stored_keys()
    report = json.loads((project.folder / "data/buckets/mine/tiny/default.report.json").read_text())
    above = min(value for value in complexities(project) if value > report["upper"])
    between = (report["upper"] + above) / 2
    project.write(with_thresholds(config, report["lower"], between))
    again = project.run("results/summary.csv")
    assert again.rules["assign_buckets"] == 1
    assert not PAID_OR_SLOW & set(again.rules)
    assert set(project.folder.glob("results/models/*/*")) == models
    assert project.stored_keys() == answers


def test_a_threshold_that_moves_items_asks_only_for_these(project):
    before, values = project.stored_keys(), complexities(project)
    thresholds = project.config["buckets"]["default"]["thresholds"]
    lowered = sorted(value for value in values if value <= thresholds[1])[-3]
    project.write(with_thresholds(project.config, thresholds[0], lowered))
    moved = project.run("results/summary.csv")
    after = project.stored_keys()
    assert len(after) == len(set(after)) == len(before) + 2
    assert set(before) < set(after)
    assert moved.rules["train_stage"] == 2, "both stages of complexity_aware; sft stays"
    assert moved.rules["evaluate_model"] == 2
    assert not {"score_items", "warm_up_student"} & set(moved.rules)


def test_going_back_to_the_first_thresholds_trains_and_asks_nothing(project, config):
    answers = project.stored_keys()
    project.write(config)
    back = project.run("results/summary.csv")
    assert not PAID_OR_SLOW & set(back.rules)
    assert project.stored_keys() == answers


def test_a_deleted_model_is_trained_again_once_it_is_asked_for(project):
    answers = project.stored_keys()
    shutil.rmtree(project.folder / f"results/models/{project.models('sft')['final']}")
    again = project.run("models")
    assert again.rules["train_stage"] == 1
    assert project.stored_keys() == answers
