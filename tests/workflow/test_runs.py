"""The shipped workflow on a small config: what it makes, and that nothing runs twice."""

import copy
import json
import re
import shutil

import pandas as pd
import pytest
from harness import Project


@pytest.fixture(scope="module")
def project(config, tmp_path_factory):
    """A project after its first complete run; the tests below change it one after the other."""
    project = Project(tmp_path_factory.mktemp("run") / "project", config)
    first = project.run("results/summary.csv")
    assert first.rules["train_stage"] == 3, "sft, and two stages of complexity_aware"
    assert first.rules["evaluate_model"] == 6, "three models in two modes"
    return project


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


def test_rows_are_shown_by_the_mixtures_before_anything_is_trained(config, project, tmp_path):
    planned = Project(tmp_path / "project", config).run("-n", "mixtures").output
    assert re.search(r"show_mixtures +1\n", planned) and "train_stage" not in planned
    page = project.folder / "data/mixtures/mine/tiny/1/samples.html"
    project.run("mixtures")
    assert "complexity_aware, stage 2" in page.read_text() and "<mark>" in page.read_text()
    assert "Nothing to be done" in project.run("mixtures").output


def test_the_page_of_all_items_comes_with_the_whole_run_alone(project):
    page = project.folder / "results/explorer.html"
    assert not page.exists(), "results/summary.csv does not make it"
    assert re.search(r"explore_items +1\n", project.run("-n").output)
    assert project.run("results/explorer.html").rules == {"explore_items": 1}
    assert "Nothing to be done" in project.run("results/explorer.html").output
    ids = pd.read_parquet(project.folder / "data/items/mine.parquet")["item_id"]
    assert len(ids) == 40 and "default-src 'none'" in page.read_text()


def test_the_overview_is_made_of_tables_and_figures_and_again_when_one_of_them_is(project):
    first = project.run("summary")
    assert (first.rules["write_overview"], first.rules["summarize"]) == (1, 0)
    assert "All of it on one page: results/overview.html" in first.output
    page = (project.folder / "results/overview.html").read_text()
    assert page.count("<img ") == 7, "five of the results, complexity, and losses"
    assert "Nothing to be done" in project.run("summary").output
    (project.folder / "results/figures/cost.svg").unlink()
    again = project.run("summary").rules
    assert again == {"plot_cost": 1, "write_overview": 1, "summary": 1}


def test_no_data_set_waits_for_the_scores_of_another(config, tmp_path):
    changed = copy.deepcopy(config)
    changed["datasets"]["other"] = {**changed["datasets"]["mine"], "answer_kind": "text"}
    changed["run"]["datasets"] = ["mine", "other"]
    planned = Project(tmp_path / "project", changed).run("-n", "results/summary.csv").output
    assert re.search(r"score_items +2\n", planned)
    assert re.search(r"build_mixtures +2\n", planned)


def test_a_deleted_model_is_trained_again_once_it_is_asked_for(project):
    answers = project.stored_keys()
    shutil.rmtree(project.folder / f"results/models/{project.models('sft')['final']}")
    again = project.run("models")
    assert again.rules["train_stage"] == 1
    assert project.stored_keys() == answers
