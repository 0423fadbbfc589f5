"""What `snakemake plan` says of a run that has not begun is what the run then does."""

import json

import pandas as pd
import pytest
from harness import Project

REPORT = {
    *("summarize", "tabulate_summary", "tabulate_teacher", "report_training"),
    *("write_overview", "explore_items", "show_mixtures"),
}


@pytest.fixture(scope="module")
def runs(config, tmp_path_factory):
    """A project, its plan before the run, what the run did, and the plan behind it."""
    project = Project(tmp_path_factory.mktemp("planned") / "project", config)
    project.run("plan")
    assert not (project.folder / "data/items").exists(), "a plan makes nothing of the run"
    before = pd.read_csv(project.folder / "results/tables/plan.csv")
    run = project.run("all")
    project.run("plan")
    return project, before, run, pd.read_csv(project.folder / "results/tables/plan.csv")


def per_rule(run):
    done = {rule: count for rule, count in run.rules.items() if rule != "all"}
    drawn = [rule for rule in done if rule in REPORT or rule.startswith("plot_")]
    report = sum(done.pop(rule) for rule in drawn)
    return {**done, "report": report}


def test_every_job_was_planned(runs):
    _, before, run, _ = runs
    assert before.groupby("step")["jobs"].sum().to_dict() == per_rule(run)
    assert before["left"].tolist() == before["jobs"].tolist()


def near(planned, made):
    return 0.7 * made <= planned <= 1.3 * made


def test_rows_updates_and_tokens_are_near_those_of_the_training(runs):
    project, before, _, _ = runs
    records = [
        json.loads(path.read_text()) for path in project.folder.glob("results/models/*/model.json")
    ]
    planned = before[before["step"] == "train_stage"]
    for column, name in (("rows", "rows"), ("updates", "steps"), ("tokens", "all_tokens")):
        assert near(planned[column].sum(), sum(record[name] for record in records)), column


def test_behind_the_run_the_plan_is_exact_and_measured_and_nothing_is_left(runs):
    project, _, _, after = runs
    records = [
        json.loads(path.read_text()) for path in project.folder.glob("results/models/*/model.json")
    ]
    trained = after[after["step"] == "train_stage"]
    assert trained["tokens"].sum() == sum(record["all_tokens"] for record in records)
    assert set(trained["bound"]) == {"exact"}
    assert after["basis"].dropna().str.startswith(("measured here", "size of its files")).all()
    assert after["left"].sum() == 0
    seconds = sum(record["seconds"] for record in records)
    for path in project.folder.glob("data/warm_up/*/*/*/model.json"):
        seconds += json.loads(path.read_text())["seconds"]
    hours = after[after["step"].isin(["train_stage", "warm_up_student"])]["hours"].sum()
    assert near(hours, seconds / 3600)


def test_the_disk_is_near_what_was_planned(runs):
    project, _, _, after = runs
    files = [
        *project.folder.glob("results/models/*/*"),
        *project.folder.glob("data/warm_up/*/*/*/*"),
    ]
    made = sum(path.stat().st_size for path in files if path.suffix == ".safetensors")
    assert near(after["disk_mb"].sum(), made / 1e6)


def test_a_dry_run_prints_the_last_line(runs):
    project, *_ = runs
    line = (project.folder / "results/tables/plan.txt").read_text().splitlines()[-1]
    assert line.startswith("plan: 0 of ")
    assert line in project.run("-n").output
