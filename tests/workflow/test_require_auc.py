"""A teacher that demands a good ranking: refused before the first request, told in the plan."""

import copy
import re

import pandas as pd
import pytest
from harness import Project
from scripted_server import ScriptedServer, addends, reply


@pytest.fixture(scope="module")
def server():
    """Solves `Add 3 and 4.`"""
    with ScriptedServer() as server:

        def solve(request, times):
            return reply(f"[[{sum(addends(request))}]]")

        server.answer = solve
        yield server


@pytest.fixture(scope="module")
def project(config, server, tmp_path_factory):
    """A random student without a warm-up, which gets everything wrong."""
    changed = copy.deepcopy(config)
    changed["students"]["tiny"]["warm_up"] = None
    changed["run"] |= {"strategies": ["complexity_aware"]}
    big = {"provider": "openai", "base_url": server.url, "model": "big", "require_auc": 0.55}
    changed["teachers"] = {"big": big}
    changed["strategies"] = {"complexity_aware": {"teacher": "big"}}
    return Project(tmp_path_factory.mktemp("ranked") / "project", changed)


def demand(project, value):
    project.config["teachers"]["big"]["require_auc"] = value
    project.write(project.config)


def plan(project):
    table = pd.read_csv(project.folder / "results/tables/teacher_plan.csv")
    return table.set_index("strategy").loc["complexity_aware"]


def test_a_student_that_cannot_rank_is_told_so_when_it_has_scored(project):
    log = project.run("scores").output
    assert "tiny: accuracy 0.00" in log
    assert re.search("WARNING.*tiny may not be able to rank mine: its accuracy of 0.00", log)
    assert "students.tiny.warm_up" in log


def test_the_plan_tells_that_the_purchase_will_be_refused(project):
    log = project.run("teacher_plan").output
    assert plan(project)["ranking"] == "refused"
    assert "teachers.big.require_auc" in plan(project)["warning"]
    assert re.search("WARNING.*teachers.big.require_auc.*students.tiny.warm_up", log)


def test_nothing_is_asked_and_the_error_names_the_number_and_the_mend(project, server):
    refused = project.run("rationales", succeeds=False)
    assert "RankingError: teachers.big.require_auc: strategies.complexity_aware" in refused.output
    assert "all of the 40 answers are wrong" in refused.output
    assert "students.tiny.warm_up" in refused.output
    assert sum(server.asked.values()) == 0
    assert project.stored_keys() == []


def test_a_metric_of_a_file_is_judged_by_scores_that_are_made_before_anything_is_asked(
    project, server
):
    items = pd.read_parquet(project.folder / "data/items/mine.parquet")
    values = items[["item_id"]].assign(value=range(len(items)))
    values.to_csv(project.folder / "values.csv", index=False)
    before = copy.deepcopy(project.config)
    project.config["metrics"] = {
        "mine": {
            "metric": "imported",
            "path": "values.csv",
            "column": "value",
            "join": "item_id",
        }
    }
    project.config["buckets"] = {"default": {"metric": "mine"}}
    for file in (project.folder / "data/scores").rglob("*.parquet"):
        file.unlink()
    project.write(project.config)
    refused = project.run("rationales", succeeds=False)
    assert refused.rules["score_items"] == 1
    assert "RankingError" in refused.output and "(buckets.default.metric)" in refused.output
    assert sum(server.asked.values()) == 0
    project.write(before)


def test_without_the_demand_it_is_bought_and_with_it_what_is_there_is_used(project, server):
    demand(project, None)
    project.run("rationales")
    bought = len(project.stored_keys())
    assert bought == sum(server.asked.values()) > 0
    demand(project, 0.9)
    assert project.run("rationales").rules["generate_rationales"] == 1
    assert sum(server.asked.values()) == bought
