"""The workflow with a teacher behind an endpoint: a bad key, a killed run, a moved threshold."""

import copy

import pandas as pd
import pytest
from asking import CANARY
from harness import Project
from scripted_server import ScriptedServer, addends, reply

from caft.store import Store


@pytest.fixture(scope="module")
def server():
    """Solves `Add 3 and 4.`, once it takes the key; every reply holds the key."""
    with ScriptedServer() as server:
        server.takes_the_key = False

        def solve(request, times):
            if not server.takes_the_key:
                return 401, {}, {"error": {"message": f"bad key {CANARY}"}}
            return {**reply(f"{CANARY} [[{sum(addends(request))}]]"), "echo": CANARY}

        server.answer, server.latency = solve, lambda question: 0.05
        yield server


@pytest.fixture(scope="module")
def project(config, server, tmp_path_factory):
    changed = copy.deepcopy(config)
    changed["students"]["tiny"]["warm_up"] = None
    changed["run"] |= {"strategies": ["complexity_aware"], "modes": ["cot"]}
    changed["teachers"] = {
        "big": {
            "provider": "openai",
            "base_url": server.url,
            "model": "big",
            "api_key_env": "CANARY_KEY",
            "concurrency": 2,
            "prices": {"prompt": 1.0, "completion": 2.0, "entered": "2026-11-01"},
            "budget": {"max_requests": 30},
        }
    }
    changed["strategies"] = {"complexity_aware": {"teacher": "big"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_KEY", CANARY)
        yield Project(tmp_path_factory.mktemp("paid") / "project", changed)


def bucket_sizes(project):
    table = pd.read_parquet(project.folder / "data/buckets/mine/tiny/default.parquet")
    return table[table["sampled"]]["bucket"].value_counts()


def test_a_refused_key_stops_the_run_with_what_to_check(project, server):
    refused = project.run("results/summary.csv", succeeds=False)
    assert "check the key in $CANARY_KEY" in refused.output
    assert project.stored_keys() == []
    assert sum(server.asked.values()) <= 2


def test_a_run_killed_while_it_buys_asks_for_the_rest_only(project, server):
    server.takes_the_key = True
    server.asked.clear()
    project.run_and_kill("data/store/teacher/journals/*.jsonl", written=True)
    bought = len(project.stored_keys())
    project.run("results/summary.csv")
    hard = bucket_sizes(project)["hard"]
    assert len(project.stored_keys()) == len(set(project.stored_keys())) == hard
    assert hard <= sum(server.asked.values()) <= hard + 2, "at most what was under way is repeated"
    assert bought >= 1
    (row,) = pd.read_csv(project.folder / "results/tables/teacher_spend.csv").to_dict("records")
    assert (row["items"], row["accepted"]) == (hard, hard)
    assert row["cost_usd"] == pytest.approx(hard * (7 * 1.0 + 3 * 2.0) / 1e6)


def test_a_lower_threshold_plans_and_buys_exactly_the_items_that_moved(project, server):
    before, asked = bucket_sizes(project)["hard"], sum(server.asked.values())
    changed = copy.deepcopy(project.config)
    changed["buckets"] = {"default": {"quantiles": [0.25, 0.6]}}
    project.write(changed)
    project.run("teacher_plan")
    moved = bucket_sizes(project)["hard"] - before
    plan = pd.read_csv(project.folder / "results/tables/teacher_plan.csv").set_index("strategy")
    assert moved > 0
    assert plan.loc["(all)", ["wanted", "owned", "to_buy"]].tolist() == [
        before + moved,
        before,
        moved,
    ]
    project.run("results/summary.csv")
    assert sum(server.asked.values()) == asked + moved


def test_nothing_is_asked_beyond_the_budget(project, server):
    asked = sum(server.asked.values())
    changed = copy.deepcopy(project.config)
    changed["teachers"]["big"]["budget"] = {"max_requests": len(project.stored_keys()) + 1}
    changed["buckets"] = {"default": {"quantiles": [0.0, 0.1]}}
    project.write(changed)
    refused = project.run("results/summary.csv", succeeds=False)
    assert "teachers.big.budget.max_requests" in refused.output
    assert sum(server.asked.values()) == asked


def test_the_key_is_nowhere(project):
    project.run("--report", "report.html")
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    answers = Store(project.folder / "data/store/teacher").get(project.stored_keys()).values()
    assert all(answer["text"].startswith("[redacted]") for answer in answers)


def test_items_without_an_answer_fail_the_job_and_the_next_run_asks_exactly_them(project, server):
    solve, stored = server.answer, len(project.stored_keys())
    changed = copy.deepcopy(project.config)
    changed["teachers"]["big"] |= {"attempts": 1, "budget": {}}
    changed["buckets"] = {"default": {"quantiles": [0.25, 0.3]}}
    project.write(changed)
    server.asked.clear()
    server.answer = lambda request, times: (
        (500, {}, {}) if sum(server.asked.values()) % 2 else solve(request, times)
    )
    failed = project.run("results/summary.csv", succeeds=False)
    server.answer = solve
    lost = sum(server.asked.values()) - (len(project.stored_keys()) - stored)
    assert lost > 0
    wanted = bucket_sizes(project)["hard"]
    assert f"teachers.big: {lost} of {wanted} have no answer" in failed.output
    server.asked.clear()
    project.run("results/summary.csv")
    assert sum(server.asked.values()) == lost
