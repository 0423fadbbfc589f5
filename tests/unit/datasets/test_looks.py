"""What the ingest report sees: places of gold answers, marks, and questions in two splits."""

import pandas as pd
import pytest

from caft.datasets import RawRows
from caft.datasets.cells import unmarked
from caft.datasets.content import shuffled
from caft.datasets.ingest import ingest
from caft.datasets.looks import as_table
from caft.datasets.overlap import overlaps
from caft.datasets.settings import Splits
from caft.tables import parquet

SPLITS = Splits(train=0.5, test=0.5)
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


def row(number, **changes):
    return {
        "file": "q.csv",
        "row": number,
        "source_id": str(number),
        "question": f"Question {number}?",
        "options": [f"w{number}", f"x{number}", f"y{number}", f"r{number}"],
        "answer": "D",
        "category": None,
        "rationale": None,
        "split": None,
        **changes,
    }


def run(rows, answer_format="letter", **how):
    kind = "choice" if rows[0]["options"] else "text"
    return ingest(RawRows(rows, kind, answer_format), SPLITS, 1, "own", 0.9, **how)


def test_a_gold_answer_that_is_always_last_is_warned_of():
    made = run([row(number) for number in range(40)])
    assert made.report["gold_places"] == {"4": {"D": 40}}
    (warning,) = made.report["warnings"]
    assert warning.startswith("40 of 40 items with 4 options have the answer D")
    assert "`shuffle_options: true`" in warning


def test_places_are_counted_by_number_of_options():
    rows = [row(n, answer="ABCD"[n % 4]) for n in range(24)]
    rows += [row(n, options=["yes", "no"], answer="A") for n in range(24, 29)]
    report = run(rows).report
    assert report["gold_places"]["4"] == {"A": 6, "B": 6, "C": 6, "D": 6}
    assert report["gold_places"]["2"] == {"A": 5}
    assert report["warnings"] == []


def test_numbers_that_count_from_1_are_warned_of():
    rows = [row(n, answer=str(1 + n % 3)) for n in range(30)]
    (warning,) = run(rows, "index0").report["warnings"]
    assert "none of 30 items with 4 options has the first one" in warning
    assert "`answer_format: index1`" in warning
    assert run([row(n, answer=str(n % 4)) for n in range(30)], "index0").report["warnings"] == []


@pytest.mark.parametrize(
    ("given", "bad", "other"), [("index1", "0", "index0"), ("index0", "4", "index1")]
)
def test_an_answer_that_only_the_other_counting_knows_is_warned_of(given, bad, other):
    rows = [row(n, answer=str(1 + n % 3)) for n in range(19)]
    report = run([*rows, row(19, answer=bad)], given).report
    assert report["rejected"] == {"other_counting": 1}
    (warning,) = report["warnings"]
    assert f"set `answer_format: {other}`" in warning
    at_end = row(20, answer={"index0": "0", "index1": "4"}[given])
    assert run([*rows, row(19, answer=bad), at_end], given).report["warnings"] == []


def test_decimal_commas_are_warned_of_as_others_are_read_as_thousands():
    rows = [row(n, options=None, answer=one) for n, one in enumerate(["1,125", "0,5", "x"])]
    made = ingest(RawRows(rows, "numeric"), SPLITS, 1, "own", 0.9)
    assert made.report["rejected"] == {"decimal_comma": 1, "not_a_number": 1}
    (warning,) = made.report["warnings"]
    assert "write all with a decimal point" in warning


def test_questions_with_several_answers_are_warned_of_whatever_the_order_of_options():
    one = {"question": "Which?", "options": ["x", "y", "z"]}
    rows = [row(1, **one, answer="A"), row(2, question="which? ", options=["z", "y", "x"])]
    rows[1]["answer"] = "A"
    (warning,) = run(rows).report["warnings"]
    assert warning.startswith("1 questions stand there several times with the same options")
    rows[1]["answer"] = "C"
    rows.append(row(3, **{**one, "options": ["x", "y", "w"]}, answer="B"))
    assert run(rows).report["conflicting_answers"] == 0
    texts = [row(n, question="Which?", options=None, answer=a) for n, a in enumerate("xXy")]
    assert run(texts).report["conflicting_answers"] == 1


def test_shuffling_follows_from_the_content_alone(tmp_path):
    made = run([row(number) for number in range(40)], shuffle=True)
    places = made.report["gold_places"]["4"]
    assert set(places) == set("ABCD") and max(places.values()) < 20
    assert made.report["warnings"] == []
    for item in made.items.itertuples():
        assert item.options["ABCD".index(item.answer)] == f"r{item.source_id}"
        given = row(item.source_id)["options"]
        assert [given[place] for place in item.source_order] == item.options
    turned = [row(n, options=row(n)["options"][::-1], answer="A") for n in range(40)]
    assert list(run(turned, shuffle=True).items["item_id"]) == list(made.items["item_id"])
    parquet.write("items", made.items, tmp_path / "i.parquet")
    again = parquet.read("items", tmp_path / "i.parquet")
    assert list(again.columns)[-1] == "source_order"
    parquet.write("items", run([row(1)]).items, tmp_path / "old.parquet")
    assert "source_order" not in parquet.read("items", tmp_path / "old.parquet")


def test_the_order_is_the_same_on_every_machine():
    assert shuffled("Which?", ["red", "green", "blue", "white"]) == [0, 1, 3, 2]


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (["A) 12", "B) 13"], ["12", "13"]),
        (["A)12", "B)13", "C)14"], ["12", "13", "14"]),
        (["(a) x", "(b) y"], ["x", "y"]),
        (["A. x", "B. y"], ["x", "y"]),
        (["1. x", "2. y"], ["x", "y"]),
        (["A: x", "B: y"], ["x", "y"]),
        (["1.5", "2.5"], ["1.5", "2.5"]),
        (["A. thaliana", "C. elegans"], ["A. thaliana", "C. elegans"]),
        (["A) x", "y"], ["A) x", "y"]),
        (["B) x", "A) y"], ["B) x", "A) y"]),
        (["A) ", "B) "], ["A) ", "B) "]),
        (["A", "B"], ["A", "B"]),
        (["a man", "b man"], ["a man", "b man"]),
        (["(a) only", "(b) and (c)"], ["(a) only", "(b) and (c)"]),
    ],
)
def test_marks_are_taken_off_options_that_all_have_them(given, plain):
    assert unmarked(given) == plain


@pytest.mark.parametrize("answer", ["B) 13", "13"])
def test_a_marked_option_is_an_answer_with_and_without_its_mark(answer):
    made = run([row(1, options=["A) 12", "B) 13"], answer=answer)], "text")
    assert (list(made.items["options"][0]), made.items["answer"][0]) == (["12", "13"], "B")
    assert made.report["label_marks_removed"] == 1


def shares(*questions):
    texts = pd.Series([text for text, _ in questions])
    found = overlaps(texts, pd.Series([split for _, split in questions]))
    return list(zip(found["equal"], found["share"].round(2), strict=True))


def test_questions_of_two_splits_are_compared_by_words_and_runs_of_words():
    assert shares(
        ("What is 7 + 5?", "test"),
        ("what is  7 + 5", "train"),
        ("What is 7 - 5?", "train"),
        (LONG, "test"),
        (f"{LONG} sixteen seventeen", "train"),
        (f"{LONG}.", "validation"),
        (LONG.replace("two", "2"), "train"),
        ("?", "train"),
    ) == [
        (False, 0.0),
        (True, 1.0),
        (False, 0.0),
        (False, 0.0),
        (False, 0.6),
        (True, 1.0),
        (False, 0.33),
        (False, 0.0),
    ]


def test_nothing_is_compared_without_test_items_or_items():
    assert shares((LONG, "train"), (LONG, "train")) == [(False, 0.0)] * 2
    assert shares() == []


def test_overlap_is_reported_and_above_max_overlap_left_out():
    rows = [
        row(1, question=LONG, split="test"),
        row(2, question=f"{LONG} sixteen", split="train"),
        row(3, question="Another?", split="train"),
        row(4, question=f"{LONG}?", split="validation"),
    ]
    report = run(rows).report
    assert report["overlapping_test"] == {"train": 1, "validation": 1}
    assert report["near_equal_to_test"] == {"validation": 1}
    assert "1 items of validation share more than half" in report["warnings"][1]
    made = run(rows, max_overlap=0.7)
    assert list(made.items["source_id"]) == ["1", "3"]
    assert made.report["rejected"] == {"overlaps_test": 2}
    assert list(made.quarantine["detail"]) == [
        "75% of its runs of 13 words are in test questions",
        "100% of its runs of 13 words are in test questions",
    ]
    assert made.report["rows_read"] == made.report["items"] + 2


def test_rows_without_a_split_beside_others_that_have_one_are_counted():
    report = run([row(1, split="train"), row(2), row(3, split="test")]).report
    assert report["drawn_beside_own_splits"] == 1
    assert "1 items have no split of the data set's own" in report["warnings"][0]
    assert run([row(1), row(2)]).report["drawn_beside_own_splits"] == 0


def test_the_report_is_a_table_too():
    table = as_table(run([row(number) for number in range(40)]).report)
    rows = list(table.itertuples(index=False, name=None))
    assert ("rows_read", "", 40) in rows
    assert ("gold_places", "4, D", 40) in rows
    assert ("question_characters", "median", 12) in rows
    assert any(measure == "warnings" and "shuffle_options" in value for measure, _, value in rows)
