"""The plan before paying, a threshold drawn by money, and what the teachers' tables tell."""

import copy
import json

import pandas as pd
import pytest
from harness import Project

PRICES = {"prompt": 1000.0, "completion": 10000.0, "entered": "2026-11-01"}
FREE = {
    "provider": "openai",
    "base_url": "http://127.0.0.1:9/v1",
    "model": "m",
    "prices": PRICES,
    "expected_completion_tokens": 20,
}


@pytest.fixture(scope="module")
def project(config, tmp_path_factory):
    changed = copy.deepcopy(config)
    changed["students"]["tiny"]["warm_up"] = None
    changed["run"]["strategies"] = ["distill", "complexity_aware"]
    return Project(tmp_path_factory.mktemp("plan") / "project", changed)


def plan(project):
    table = pd.read_csv(project.folder / "results/tables/teacher_plan.csv")
    return table.set_index("strategy")[["wanted", "owned", "to_buy"]].T.to_dict("list")


def test_the_plan_is_made_before_anything_is_asked_and_again_when_the_store_has_changed(project):
    first = project.run("teacher_plan")
    assert first.rules["plan_teacher"] == 1 and not first.rules["generate_rationales"]
    wanted = len(
        pd.read_parquet(project.folder / "data/items/mine.parquet").query("split=='train'")
    )
    assert plan(project)["(all)"] == plan(project)["distill"] == [wanted, 0, wanted]
    assert not (project.folder / "data/store").exists()
    assert not project.run("teacher_plan").rules["plan_teacher"]
    tables = project.run("results/tables/teacher_spend.csv")
    assert tables.rules["generate_rationales"] == tables.rules["tabulate_teacher"] == 1
    assert not tables.rules["train_stage"]
    again = project.run("teacher_plan")
    assert again.rules["plan_teacher"] == 1 and not again.rules["generate_rationales"]
    assert plan(project)["(all)"] == [wanted, wanted, 0]


def test_every_item_asked_for_is_accepted_or_rejected(project):
    (row,) = pd.read_csv(project.folder / "results/tables/teacher_spend.csv").to_dict("records")
    rejected = sum(value for name, value in row.items() if name.startswith("rejected_"))
    assert row["items"] == row["accepted"] + rejected == row["answers"]
    assert row["cost_usd"] == 0
    shares = pd.read_csv(project.folder / "results/tables/teacher_acceptance.csv")
    counts = shares.groupby("by")["items"].sum()
    assert counts.to_dict() == {
        "all": row["items"],
        "bucket": row["items"],
        "category": row["items"],
    }


def test_a_threshold_drawn_by_money_follows_the_price_and_nothing_else_of_the_teacher(project):
    changed = copy.deepcopy(project.config)
    changed["teachers"] = {"big": copy.deepcopy(FREE)}
    changed["buckets"] = {"default": {"hard": {"budget_usd": 1.0, "teacher": "big"}}}
    target = "data/buckets/mine/tiny/default.parquet"
    project.write(changed)
    assert project.run(target).rules["assign_buckets"] == 1
    report = json.loads((project.folder / "data/buckets/mine/tiny/default.report.json").read_text())
    hard = report["counts"]["train"]["hard"]
    assert hard >= 1 and report["hard_usd"] <= 1.0
    # 20 completion tokens are 0.2 USD, and every prompt has some tokens.
    assert hard <= 4
    changed["teachers"]["big"] |= {"concurrency": 3, "budget": {"max_cost_usd": 2}}
    project.write(changed)
    assert not project.run(target).rules["assign_buckets"]
    changed["teachers"]["big"]["prices"]["completion"] = 1.0
    project.write(changed)
    assert project.run(target).rules["assign_buckets"] == 1
