import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from caft.config.rounds import Taught
from caft.report.purchases import PLAN
from caft.report.spend import ACCEPTANCE, SPEND, acceptance, acceptance_table, spend, spend_table
from caft.tables import parquet


def rationales(*rows):
    names = ["item_id", "sample", "key", "reason", "cost_usd", "imported"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(
        accepted=table["reason"].isna(),
        finish_reason=["error" if reason == "error" else "stop" for reason in table["reason"]],
        prompt_tokens=100,
        completion_tokens=10,
        seconds=2.0,
        answered_by=table["key"].map({"k1": "big-2", "k2": "big-1", "k5": "big-1"}),
    )


TABLE = [
    ("a", 0, "k0", "wrong_answer", 0.1, False),
    ("a", 1, "k1", None, 0.1, False),
    ("b", 0, "k2", "unparsed", 0.1, False),
    ("b", 1, "k3", "truncated", 0.1, False),
    ("c", 0, "k4", "error", 0.0, False),
    ("d", 0, "k5", None, 0.0, True),
    ("e", 0, "k5", "wrong_answer", 0.0, True),
]


def test_items_are_accepted_or_rejected_by_their_last_reason():
    row = spend(rationales(*TABLE))
    assert {name: row[name] for name in row if name[:8] in ("items", "accepted", "rejected")} == {
        "items": 5,
        "accepted": 2,
        "rejected_error": 1,
        "rejected_refused": 0,
        "rejected_truncated": 1,
        "rejected_broken_off": 0,
        "rejected_unreadable": 0,
        "rejected_unknown_ending": 0,
        "rejected_too_long": 0,
        "rejected_unparsed": 0,
        "rejected_wrong_answer": 1,
    }


def test_an_answer_counts_once_and_an_error_not_at_all():
    row = spend(rationales(*TABLE))
    assert (row["samples"], row["answers"], row["imported"]) == (7, 5, 1)
    assert (row["prompt_tokens"], row["completion_tokens"], row["seconds"]) == (500, 50, 10.0)
    assert row["cost_usd"] == pytest.approx(0.4)


def test_the_models_that_answered_are_named():
    assert spend(rationales(*TABLE))["answered_by"] == "big-1, big-2"
    assert spend(rationales(*TABLE).assign(answered_by=None))["answered_by"] is None


def test_one_unknown_count_makes_the_sum_of_tokens_unknown():
    table = rationales(*TABLE)
    table.loc[table["key"] == "k2", "completion_tokens"] = None
    row = spend(table)
    assert row["prompt_tokens"] == 500
    assert np.isnan(row["completion_tokens"])


def test_one_unknown_cost_makes_the_sum_unknown():
    unknown = [(*row[:4], None if row[2] == "k2" else row[4], row[5]) for row in TABLE]
    assert np.isnan(spend(rationales(*unknown))["cost_usd"])


def test_acceptance_is_told_for_all_by_bucket_and_by_category():
    category = pd.Series({"a": "law", "b": "law", "c": "art", "d": "art", "e": "art", "z": "no"})
    bucket = pd.Series({"a": "hard", "b": "hard", "c": "easy", "d": "hard", "e": "easy"})
    rows = list(acceptance(rationales(*TABLE), category, {"default": bucket}))
    counts = [
        (row["by"], row["buckets"], row["group"], row["items"], row["accepted"]) for row in rows
    ]
    assert counts == [
        ("all", None, None, 5, 2),
        ("bucket", "default", "easy", 2, 0),
        ("bucket", "default", "medium", 0, 0),
        ("bucket", "default", "hard", 3, 2),
        ("category", None, "art", 3, 1),
        ("category", None, "law", 2, 1),
    ]
    whole = rows[0]
    # Wilson (1927) for 2 of 5.
    assert (whole["share"], whole["share_low"], whole["share_high"]) == pytest.approx(
        (0.4, 0.117621, 0.769276), abs=1e-6
    )
    assert np.isnan(rows[2]["share"])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The tables of two data sets whose only teacher was asked, and the configuration."""
    monkeypatch.chdir(tmp_path)
    for dataset in ("one", "two"):
        items = pd.DataFrame({"item_id": list("abcde"), "category": ["law", None, *["art"] * 3]})
        parquet.write("items", items, f"data/items/{dataset}.parquet")
        buckets = pd.DataFrame({"item_id": list("abcde"), "bucket": ["hard"] * 4 + ["easy"]})
        parquet.write("buckets", buckets, f"data/buckets/{dataset}/tiny/default.parquet")
        asked = rationales(*TABLE)
        parquet.write("rationales", asked, f"data/rationales/{dataset}/tiny/1/big.parquet")
    return [("one", "tiny"), ("two", "tiny")], [Taught("big", [1], ["default"])]


def test_each_data_set_student_and_teacher_has_a_row_of_spending(run):
    table = spend_table(*run)
    assert list(table.columns) == SPEND
    assert table[["dataset", "student", "teacher", "items"]].values.tolist() == [
        ["one", "tiny", "big", 5],
        ["two", "tiny", "big", 5],
    ]
    rejected = table[[name for name in table if name.startswith("rejected_")]].sum(axis=1)
    assert (table["items"] == table["accepted"] + rejected).all()


def test_the_acceptance_table_names_where_each_row_is_from(run):
    table = acceptance_table(*run)
    assert list(table.columns) == ACCEPTANCE
    one = table[table["dataset"] == "one"]
    assert list(one["by"]) == ["all", *["bucket"] * 3, *["category"] * 3]
    assert list(one["group"].dropna()) == ["easy", "medium", "hard", "(none)", "art", "law"]


def described(heading):
    page = (Path(__file__).parents[3] / "docs/budget.md").read_text(encoding="utf-8")
    section = page.partition(f"## {heading}\n")[2].partition("\n#")[0]
    section = section[section.index("\n| column") :].partition("\n\n")[0]
    cells = re.findall(r"^\| (`.+?`) \|", section, flags=re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        ("Plan before paying", PLAN[: PLAN.index("metric")]),
        ("Can the student rank?", PLAN[PLAN.index("metric") :]),
        ("`results/tables/teacher_spend.csv`", SPEND),
        ("`results/tables/teacher_acceptance.csv`", ACCEPTANCE),
    ],
)
def test_every_column_is_described_in_order(heading, columns):
    assert described(heading) == columns


def test_a_run_without_a_teacher_has_empty_tables_with_their_columns(run):
    pairs, _ = run
    assert spend_table(pairs, []).empty and list(spend_table(pairs, []).columns) == SPEND
    empty = acceptance_table(pairs, [])
    assert empty.empty and list(empty.columns) == ACCEPTANCE
