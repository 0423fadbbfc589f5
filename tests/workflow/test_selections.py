"""Draws, a model that only scores, combined metrics, chosen rationales, a loss: a whole run."""

import copy

import pandas as pd
import pytest
from harness import Project
from scripted_server import ScriptedServer, addends, reply

from caft.mixtures.plan import read_plan
from caft.tables.files import read_json

DRAWN = ["proportional", "proportional_replay", "random_same_size_replay", "likely"]


@pytest.fixture(scope="module")
def server():
    """Solves `Add 3 and 4.` in another way each time."""
    with ScriptedServer() as server:

        def solve(request, times):
            one, other = addends(request)
            return reply(f"{'well ' * request['seed']}{one} + {other} [[{one + other}]]")

        server.answer = solve
        yield server


@pytest.fixture(scope="module")
def project(config, server, tmp_path_factory):
    config = copy.deepcopy(config)
    config["students"]["tiny"]["warm_up"] = None
    config["students"]["proxy"] = copy.deepcopy(config["students"]["tiny"])
    config["teachers"] = {}
    config["teachers"]["big"] = {
        "provider": "openai",
        "base_url": server.url,
        "model": "big",
        "temperature": 0.7,
        "seed": 0,
        "samples": 2,
        "keep": "all",
        "choose": "most_likely",
    }
    config["metrics"] = {
        "single_token_entropy": {},
        "small": {"metric": "single_token_entropy", "model": "proxy"},
        "both": {"combine": {"metrics": {"single_token_entropy": 1, "small": 1}}},
    }
    config["buckets"] = {"default": {"metric": "both"}}
    hard = {"buckets": ["hard"], "target": "rationale", "epochs": 1}
    config["strategies"] = {
        "likely": {
            "membership": {"draw": "proportional", "items": 6, "uniform": 0.5},
            "teacher": "big",
            "training": {"loss": "dft"},
            "stages": [hard],
        }
    }
    config["run"] |= {"strategies": DRAWN, "modes": ["direct"]}
    project = Project(tmp_path_factory.mktemp("selections") / "project", config)
    project.done = project.run("results/summary.csv")
    return project


def table_of(project, path):
    return pd.read_parquet(project.folder / "data" / path)


def rows_of(project, strategy, stage):
    plan = read_plan([project.folder / "data/mixtures/mine/tiny/1/plan.json"])
    return plan.strategies[strategy].first.stages[stage - 1]


def test_each_draw_trains_on_as_many_hard_items(project):
    hard = (table_of(project, "buckets/mine/tiny/default.parquet")["bucket"] == "hard").sum()
    assert hard > 0
    for name in ("proportional", "proportional_replay", "random_same_size_replay"):
        last = rows_of(project, name, 2)
        assert 0 < last.rationale_rows <= hard
        assert (last.answer_rows > 0) == name.endswith("replay")
    summary = pd.read_csv(project.folder / "results/summary.csv")
    assert set(summary["strategy"]) == set(DRAWN)
    assert (
        rows_of(project, "proportional", 1).model
        == rows_of(project, "proportional_replay", 1).model
    )


def test_a_model_that_is_no_student_of_the_run_scores_and_is_not_trained(project):
    assert project.done.rules["score_items"] == 2 and project.done.rules["prepare_student"] == 2
    both = table_of(project, "metrics/mine/tiny/both.parquet").set_index("item_id")["value"]
    small = table_of(project, "metrics/mine/tiny/small.parquet").set_index("item_id")["value"]
    own = table_of(project, "metrics/mine/tiny/single_token_entropy.parquet")
    assert small.to_dict() == own.set_index("item_id")["value"].to_dict()  # they are the same model
    assert both.rank().corr(small.rank()) > 0.99
    assert not (project.folder / "results/predictions/mine/proxy").exists()


def test_all_samples_are_bought_and_the_likely_one_is_trained_on_with_the_other_loss(
    project, server
):
    assert sum(server.asked.values()) == 12
    bought = table_of(project, "rationales/mine/tiny/1/big.parquet")
    assert len(bought) == 12 and bought["log_likelihood"].notna().all()
    best = bought.groupby("item_id")["log_likelihood"].idxmax()
    assert sorted(bought.index[bought["selected"]]) == sorted(best)
    stage = rows_of(project, "likely", 1)
    mixture = table_of(project, f"mixtures/rows/{stage.mixture}.parquet")
    trained = dict(zip(mixture["item_id"], mixture["completion"], strict=True))
    assert trained == bought.loc[best].set_index("item_id")["text"].to_dict()
    record = read_json(project.folder / f"data/mixtures/stages/{stage.model}.json")
    assert record["spec"]["recipe"]["loss"] == "dft"


def test_nothing_runs_again_and_nothing_is_asked_again(project, server):
    again = project.run("results/summary.csv")
    assert again.rules == {} and sum(server.asked.values()) == 12
