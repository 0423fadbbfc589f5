"""Several teachers in one run: the student after a stage of its own, and two that are paid."""

import copy
import re
from collections import Counter

import pandas as pd
import pytest
from harness import Project, write_questions
from scripted_server import ScriptedServer, reply

WHOLE = ["easy", "medium", "hard"]
PRICES = {"prompt": 1.0, "completion": 2.0, "entered": "2026-11-01"}


@pytest.fixture(scope="module")
def server():
    """`large` tells whether a number is odd; `cheap` gets every fourth number wrong."""
    with ScriptedServer() as server:

        def solve(request, times):
            number = int(re.search(r"Is (\d+) odd", request["messages"][-1]["content"])[1])
            wrong = request["model"] == "cheap" and number % 4 == 0
            return reply(f"[[{number % 2 if not wrong else 7}]]")

        server.answer, server.latency = solve, lambda question: 0.05
        yield server


def asked(server, model):
    """Return how often a model was asked about each number."""
    texts = [
        request["messages"][-1]["content"]
        for _, request in server.requests
        if request["model"] == model
    ]
    return Counter(int(re.search(r"Is (\d+) odd", text)[1]) for text in texts)


@pytest.fixture(scope="module")
def project(config, server, tmp_path_factory):
    """A student that has learned to write 0 or 1 is asked first where items are hard."""
    folder = tmp_path_factory.mktemp("turn")
    rows = [
        {"id": f"q{n}", "question": f"Is {n} odd?", "answer": str(n % 2), "why": f"[[{n % 2}]]"}
        for n in range(40)
    ]
    write_questions(folder / "odd.jsonl", rows)
    paid = {
        "provider": "openai", "base_url": server.url, "concurrency": 1, "prices": PRICES
    }  # fmt: skip
    changed = copy.deepcopy(config)
    changed["datasets"]["mine"]["path"] = str(folder / "odd.jsonl")
    changed["students"]["tiny"]["warm_up"] = None
    changed["run"] |= {"strategies": ["drill", "in_turn"], "modes": ["cot"]}
    changed["teachers"] = {
        "self": {"sampled_with": "drill.1", "samples": 1, "max_new_tokens": 16},
        "cheap": {**paid, "model": "cheap", "budget": {"max_requests": 20}},
        "large": {**paid, "model": "large", "budget": {"max_requests": 20}},
    }
    changed["strategies"] = {
        "drill": {"stages": [{"buckets": WHOLE, "target": "rationale", "epochs": 30}]},
        "in_turn": {
            "teacher": "large",
            "stages": [
                {"buckets": ["easy", "medium"], "target": "rationale", "teacher": "self",
                 "epochs": 1},
                {"buckets": ["hard"], "target": "rationale", "teacher": ["self", "cheap",
                 "default"], "epochs": 1},
            ],
        },
    }  # fmt: skip
    return Project(folder / "project", changed)


def rationales(project, teacher):
    return pd.read_parquet(project.folder / f"data/rationales/mine/tiny/2/{teacher}.parquet")


def numbers(project, ids):
    items = pd.read_parquet(project.folder / "data/items/mine.parquet").set_index("item_id")
    return {int(re.search(r"\d+", text)[0]) for text in items["question"].reindex(list(ids))}


def test_each_teacher_is_asked_exactly_for_what_those_before_it_failed(project, server):
    project.run_and_kill("data/rationales/mine/tiny/2/cheap.parquet")
    project.run("results/summary.csv")
    buckets = pd.read_parquet(project.folder / "data/buckets/mine/tiny/default.parquet")
    training = buckets[buckets["sampled"]].set_index("item_id")["bucket"]
    own = rationales(project, "self")
    assert set(own["item_id"]) == set(training.index)
    solved = set(own["item_id"][own["accepted"]])
    failed = set(training.index[training == "hard"]) - solved
    assert solved and failed
    assert asked(server, "cheap") == Counter(numbers(project, failed))
    left = {number for number in numbers(project, failed) if number % 4 == 0}
    assert set(asked(server, "large")) == left
    assert asked(server, "large").total() <= len(left) + 1, "what was on the wire at the kill"
    assert len(project.stored_keys()) == len(set(project.stored_keys()))


def test_every_item_is_trained_on_what_the_first_teacher_wrote_that_solved_it(project):
    (first, second) = project.models("in_turn", number=2)["stages"]
    own = rationales(project, "self")
    solved = own[own["accepted"]]
    rows = pd.read_parquet(project.folder / f"data/mixtures/rows/{first['mixture']}.parquet")
    assert (
        dict(zip(rows["item_id"], rows["completion"], strict=True)).items()
        <= dict(zip(solved["item_id"], solved["text"], strict=True)).items()
    )
    hard = pd.read_parquet(project.folder / f"data/mixtures/rows/{second['mixture']}.parquet")
    assert len(hard) == second["rationale_rows"] and second["without_rationale"] == 0


def test_what_each_teacher_took_is_told_apart(project, server):
    spend = pd.read_csv(project.folder / "results/tables/teacher_spend.csv").set_index("teacher")
    assert list(spend.index) == ["cheap", "large", "self", "worked_solutions"]
    assert spend.loc["cheap", "items"] == asked(server, "cheap").total()
    assert spend.loc["self", "cost_usd"] == 0 and spend.loc["self", "seconds"] > 0
    summary = pd.read_csv(project.folder / "results/summary.csv").set_index("strategy")
    row = summary.loc["in_turn"]
    # The worked solutions are those that `drill` was taught with, whose model writes as `self`.
    paid = spend.loc[["cheap", "large", "worked_solutions"]]
    assert row["teacher_requests"] == paid["answers"].sum()
    assert row["cost_usd"] == pytest.approx(paid["cost_usd"].sum())
    assert row["self_answers"] == spend.loc["self", "answers"]
    assert row["self_tokens"] == spend.loc["self", "completion_tokens"]
    assert summary.loc["drill", "self_answers"] == 0


def test_the_same_command_again_runs_nothing(project):
    assert "Nothing to be done" in project.run("results/summary.csv").output
