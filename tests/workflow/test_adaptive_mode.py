"""Mode adaptive, a strategy in one stage and one with replay, in the real workflow."""

import copy
from collections import Counter

import pandas as pd
import pytest
from explored import unpacked
from harness import Project

from caft.mixtures.plan import read_plan

MODES = ["direct", "cot", "adaptive"]


@pytest.fixture(scope="module")
def project(config, tmp_path_factory):
    """A run without the mode, then the same run with it."""
    config = copy.deepcopy(config)
    mixed = [
        {"buckets": ["easy", "medium"], "target": "answer"},
        {"buckets": ["hard"], "target": "rationale"},
    ]
    replay = {"target": "answer", "items": 0.5}
    config["strategies"] = {
        "complexity_mixed": {"stages": [{"epochs": 1, "parts": mixed}]},
        "replayed": {
            "stages": [{**mixed[0], "epochs": 1}, {**mixed[1], "epochs": 1, "replay": replay}]
        },
    }
    config["run"]["strategies"] = ["base", "complexity_mixed", "replayed"]
    config["datasets"]["mine"]["splits"] = {"train": 0.5, "validation": 0.2, "test": 0.3}
    config["students"]["tiny"]["warm_up"] = None
    # Jobs of a training are found to be of a student by the plan alone.
    own = {"students": {"tiny": {"mem_mb": 1000}}, "training": {"runtime": 9}}
    config["engine"]["resources"] = own
    project = Project(tmp_path_factory.mktemp("adaptive") / "project", config)
    project.first = project.run("results/summary.csv")
    project.before = answers_of(project)
    config["run"]["modes"] = MODES
    project.write(config)
    project.second = project.run()
    return project


def answers_of(project):
    folder = project.folder / "results/predictions/mine/tiny"
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def test_the_mode_asks_the_validation_split_and_generates_no_chain_again(project):
    assert project.first.rules["evaluate_model"] == 3 * 2
    assert project.second.rules["evaluate_model"] == 3 * 4 and "train_stage" not in (
        project.second.rules
    )
    before, after = project.before, answers_of(project)
    kinds = Counter(name.split(".")[1] for name in after)
    assert kinds == dict.fromkeys(["direct", "cot", "direct-validation", "cot-validation"], 3)
    assert all(after[name] == table for name, table in before.items() if ".cot." in name)
    assert "blocks are there from before" in project.second.output
    (direct,) = (project.folder / "results/predictions/mine/tiny").glob("base.direct.parquet")
    assert pd.read_parquet(direct)["first_token_entropy"].notna().all()


def test_it_has_rows_like_any_other_mode(project):
    results = project.folder / "results"
    summary = pd.read_csv(results / "summary.csv")
    assert summary.groupby("strategy", sort=False)["mode"].agg(list).tolist() == [MODES] * 3
    comparisons = pd.read_csv(results / "tables/comparisons.csv")
    assert comparisons.groupby("mode").size()["adaptive"] == 3
    answering = pd.read_csv(results / "tables/answering.csv")
    written = answering[answering["line"] == "adaptive"].set_index("strategy")["written_tokens"]
    rows = summary[summary["mode"] == "adaptive"].set_index("strategy")["written_tokens"]
    assert written.round(4).to_dict() == rows.round(4).to_dict()
    assert (results / "figures/answering.svg").is_file()
    page = (results / "overview.html").read_text()
    assert "Answering" in page and "adaptive" in page
    head = unpacked((results / "explorer.html").read_text())["part-0-head"]
    assert {way["mode"] for way in head["ways"]} == set(MODES)


def test_a_later_stage_replays_and_asks_no_teacher_for_it(project):
    plan = read_plan([project.folder / "data/mixtures/mine/tiny/1/plan.json"])
    first, second = plan.strategies["replayed"].first.stages
    assert second.answer_rows == -(-first.rows // 2) and second.rationale_rows > 0
    (mixed,) = plan.strategies["complexity_mixed"].first.stages
    assert (mixed.answer_rows, mixed.rationale_rows) == (first.rows, second.rationale_rows)
    bought = pd.read_parquet(
        project.folder / "data/rationales/mine/tiny/1/worked_solutions.parquet"
    )
    assert bought["item_id"].nunique() == second.rationale_rows + second.without_rationale
