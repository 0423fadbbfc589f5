import pandas as pd
import pytest

from caft.datasets import RawRows
from caft.datasets.ingest import ingest, require_splits
from caft.datasets.settings import Splits
from caft.errors import ItemError
from caft.tables import parquet

SPLITS = Splits(train=0.6, validation=0.2, test=0.2)


def row(number=1, **changes):
    return {
        "file": "q.jsonl",
        "row": number,
        "source_id": str(number),
        "question": f"Question {number}?",
        "options": ["red", "green", "blue", "white"],
        "answer": "B",
        "category": None,
        "rationale": None,
        "split": None,
        **changes,
    }


def run(rows, kind="choice", answer_format="letter", share=1.0, seed=1, rejected=()):
    raw = RawRows(list(rows), kind, answer_format, list(rejected))
    result = ingest(raw, SPLITS, seed, "own", share)
    report = result.report
    rejected_rows = sum(report["rejected"].values())
    assert report["rows_read"] == report["items"] + report["duplicates"] + rejected_rows
    assert len(result.quarantine) == rejected_rows
    return result


BAD_ROWS = [
    ({"question": None}, "empty_question", "the question is empty"),
    ({"question": " \n"}, "empty_question", "the question is empty"),
    ({"options": None}, "bad_options", "there are no options"),
    ({"options": "red, green"}, "bad_options", "the options are no list: 'red, green'"),
    ({"options": ["red", " "]}, "bad_options", "an option is empty"),
    ({"options": ["red", None]}, "bad_options", "an option is empty"),
    ({"options": ["red"]}, "single_option", "1 option, at least 2 are needed"),
    (
        {"options": [str(n) for n in range(27)]},
        "too_many_options",
        "27 options, at most 26 have a letter",
    ),
    (
        {"options": ["red", "blue", "red "]},
        "duplicate_options",
        "options A and C are equal",
    ),
    (
        {"answer": "F"},
        "answer_not_an_option",
        "answer 'F' is not among the 4 options A-D",
    ),
    ({"answer": None}, "missing_answer", "the answer is empty"),
    ({"answer": " "}, "missing_answer", "the answer is empty"),
    ({"question": "a\0b"}, "not_text", "question holds a NUL or a lone surrogate"),
    ({"source_id": "a\ud800"}, "not_text", "source_id holds a NUL or a lone surrogate"),
    (
        {"options": ["red", "\udfff"]},
        "not_text",
        "an option holds a NUL or a lone surrogate",
    ),
    (
        {"split": "dev"},
        "bad_split",
        "split 'dev' is none of train, validation, test; map it by `parts`",
    ),
]


@pytest.mark.parametrize(("changes", "reason", "detail"), BAD_ROWS)
def test_a_bad_row_is_quarantined_with_its_reason(changes, reason, detail, tmp_path):
    result = run([row(1), row(2, **changes)])
    assert list(result.items["source_id"]) == ["1"]
    (bad,) = result.quarantine.to_dict("records")
    assert (bad["file"], bad["row"], bad["reason"], bad["detail"]) == ("q.jsonl", 2, reason, detail)
    parquet.write("quarantined_items", result.quarantine, tmp_path / "quarantine.parquet")


def test_rows_that_the_adapter_rejected_are_in_the_quarantine():
    rejected = {"file": "q.jsonl", "row": 2, "source_id": None, "reason": "bad_json", "detail": "x"}
    result = run([row(1), row(3, answer="F")], rejected=[rejected])
    assert list(result.quarantine["reason"]) == ["bad_json", "answer_not_an_option"]
    assert result.report["rejected"] == {"bad_json": 1, "answer_not_an_option": 1}


@pytest.mark.parametrize(
    ("answer", "answer_format", "letter"),
    [
        ("b", "letter", "B"),
        ("(B).", "letter", "B"),
        ("1", "index0", "B"),
        ("1.0", "index0", "B"),
        ("2", "index1", "B"),
        (" green ", "text", "B"),
    ],
)
def test_choice_answers_become_letters(answer, answer_format, letter):
    assert list(run([row(answer=answer)], answer_format=answer_format).items["answer"]) == [letter]


@pytest.mark.parametrize(
    ("answer", "answer_format"),
    [("4", "index0"), ("-1", "index0"), ("0", "index1"), ("Green", "text"), ("AB", "letter")],
)
def test_an_answer_that_is_no_option_is_never_guessed(answer, answer_format):
    good = {"index0": "0", "index1": "1", "text": "red", "letter": "A"}[answer_format]
    result = run([row(1, answer=good), row(2, answer=answer)], answer_format=answer_format)
    reason = "other_counting" if answer in ("4", "0") else "answer_not_an_option"
    assert list(result.quarantine["reason"]) == [reason]


def test_numeric_answers_are_canonical_and_others_quarantined():
    rows = [
        row(1, answer=" +1,200.50 "),
        row(2, answer="twelve"),
        row(3, answer="\u2212$12"),
        row(4, answer="1/2"),
    ]
    result = run(rows, kind="numeric")
    assert list(result.items["answer"]) == ["1200.5", "-12"]
    assert list(result.items["options"]) == [None, None]
    assert list(result.quarantine["detail"]) == [
        "answer 'twelve' is not a number",
        "answer '1/2' is not a number",
    ]


def test_text_answers_keep_their_spelling():
    rows = [row(1, answer="NA"), row(2, answer="None"), row(3, answer="1e5")]
    assert list(run(rows, kind="text").items["answer"]) == ["NA", "None", "1e5"]


def test_special_tokens_in_a_question_stay_text():
    question = "What does <|im_end|>\n<|im_start|>assistant mean in {{ this }} \x1b[31mtext?"
    assert list(run([row(question=question)]).items["question"]) == [question]


def test_items_fit_their_table(tmp_path):
    rows = [row(1, category="colours", rationale=" Grass is green. "), row(2)]
    parquet.write("items", run(rows).items, tmp_path / "items.parquet")
    items = parquet.read("items", tmp_path / "items.parquet").set_index("source_id")
    assert list(items.loc["1", "options"]) == ["red", "green", "blue", "white"]
    assert items.loc["1", "reference_rationale"] == "Grass is green."
    assert set(items["source"]) == {"own"}


def test_equal_rows_collapse_to_the_first():
    rows = [row(1, question="Q?"), row(2), row(3, question="Q?", category="late")]
    result = run(rows)
    assert list(result.items["source_id"]) == ["1", "2"]
    assert result.report["duplicates"] == 1


def test_unicode_spellings_of_one_question_are_equal():
    assert run([row(1, question="Café?"), row(2, question="Cafe\u0301?")]).report["duplicates"] == 1


def test_the_same_id_with_other_content_names_both_rows():
    rows = [row(1, source_id="x"), row(2, source_id="x")]
    with pytest.raises(ItemError, match=r"q\.jsonl, row 1 and q\.jsonl, row 2: the same id 'x'"):
        run(rows)


def test_the_same_id_with_the_same_content_is_a_duplicate():
    rows = [row(1, source_id="x"), row(2, source_id="x", question="Question 1?")]
    assert run(rows).report["duplicates"] == 1


def test_a_hash_collision_is_an_error(monkeypatch):
    monkeypatch.setattr("caft.datasets.content.item_id", lambda *content: "0" * 16)
    with pytest.raises(ItemError, match="row 1 and q.jsonl, row 2: different questions share"):
        run([row(1), row(2)])


def split_by_id(result):
    return dict(zip(result.items["source_id"], result.items["split"], strict=True))


def test_rows_that_are_checked_in_portions_give_the_same_tables(monkeypatch):
    rows = [
        row(n, question=f"Question {n % 7}?", category=None if n % 2 else "x") for n in range(9)
    ]
    rows = [one | {"source_id": None} for one in rows] + [row(9, answer="E"), row(10)]
    rows[8]["more"] = {"level": "3"}
    whole = run(rows)
    monkeypatch.setattr("caft.datasets.ingest._ROWS", 2)
    portions = run(rows)
    pd.testing.assert_frame_equal(portions.items, whole.items)
    pd.testing.assert_frame_equal(portions.quarantine, whole.quarantine)
    assert portions.report == whole.report
    assert (portions.report["items"], portions.report["duplicates"]) == (8, 2)


@pytest.mark.parametrize("space", ["  ", "\t", "\x1c", "\x85", "\xa0", "\u2003"])
def test_questions_that_differ_in_spaces_share_a_split(space):
    questions = ["Which one is it?", f"{space}Which{space}one is it? "]
    made = run([row(n, question=question) for n, question in enumerate(questions)])
    assert (made.report["items"], made.report["question_groups_shared"]) == (2, 1)


def test_new_rows_move_no_old_row():
    old = split_by_id(run(row(n) for n in range(200)))
    new = split_by_id(run([row(n) for n in range(150, 400)] + [row(n) for n in range(150)]))
    assert {key: new[key] for key in old} == old


def test_splits_have_about_the_asked_sizes():
    by_split = run(row(n) for n in range(2000)).report["by_split"]
    assert by_split == {
        "train": pytest.approx(1200, abs=80),
        "validation": pytest.approx(400, abs=60),
        "test": pytest.approx(400, abs=60),
    }


def test_another_seed_draws_another_test_split():
    rows = [row(n) for n in range(200)]
    assert split_by_id(run(rows, seed=1)) != split_by_id(run(rows, seed=2))


def test_items_with_the_same_question_text_share_a_split():
    spellings = ["Which is  true?", "which is true?", " WHICH IS\nTRUE? "]
    rows = [
        row(n, question=spellings[n % 3], options=[f"{n}", f"{n}a", f"{n}b"]) for n in range(30)
    ]
    result = run(rows)
    assert result.items["split"].nunique() == 1
    assert result.report["question_groups_shared"] == 1


def test_an_official_split_wins_for_the_whole_question_group():
    rows = [
        row(1, question="Q?", split="train"),
        row(2, question="q?", split="validation", answer="A"),
        row(3, question="Q? ", split=None, answer="C"),
        row(4, split="train"),
    ]
    assert split_by_id(run(rows)) == {"1": "validation", "2": "validation", "3": "validation"} | {
        "4": "train"
    }


@pytest.mark.parametrize(
    ("given", "split"),
    [
        (["train", "validation", "test"], "test"),
        (["validation", "train"], "validation"),
        ([None, "train"], "train"),
    ],
)
def test_of_several_official_splits_test_wins_then_validation(given, split):
    rows = [row(n, question="Q?", answer="ABC"[n], split=name) for n, name in enumerate(given)]
    assert set(split_by_id(run(rows)).values()) == {split}


def test_a_duplicate_in_the_official_test_split_moves_the_item_there():
    rows = [row(1, question="Q?", split="train"), row(2, question="Q?", split="test")]
    assert split_by_id(run(rows)) == {"1": "test"}


def test_no_usable_row_is_an_error_with_the_first_three_reasons():
    rows = [row(n, answer="F") for n in range(1, 6)]
    with pytest.raises(ItemError) as caught:
        run(rows)
    assert str(caught.value).startswith(
        "dataset own: none of 5 rows can be used; "
        "q.jsonl, row 1: answer 'F' is not among the 4 options A-D; q.jsonl, row 2: "
    )
    assert "row 4" not in str(caught.value)


def test_more_bad_rows_than_allowed_are_an_error():
    rows = [row(n, **({"answer": "F"} if n < 4 else {})) for n in range(1, 21)]
    with pytest.raises(ItemError) as caught:
        run(rows, share=0.1)
    assert "3 of 20 rows (15.0%)" in str(caught.value)
    assert "datasets.own.max_bad_share (0.1)" in str(caught.value)
    assert "q.jsonl, row 3: answer 'F' is not among the 4 options A-D" in str(caught.value)


def test_one_bad_row_is_always_allowed():
    assert run([row(1), row(2, answer="F")], share=0.0).report["items"] == 1


def test_the_report_counts_everything():
    rows = [row(1, rationale="r"), row(2, options=["1", "2"], answer="A"), row(3, answer="F")]
    report = run([*rows, row(4, question="Question 1?")]).report
    assert report.pop("by_split").keys() == {"train", "validation", "test"}
    assert report.pop("question_characters") == {"median": 11, "95%": 11, "most": 11}
    assert report.pop("option_characters") == {"median": 3, "95%": 5, "most": 5}
    assert report == {
        "rows_read": 4,
        "blank_rows": 0,
        "rejected": {"answer_not_an_option": 1},
        "duplicates": 1,
        "items": 2,
        "by_answer_kind": {"choice": 2},
        "options_min": 2,
        "options_max": 4,
        "with_rationale": 1,
        "question_groups_shared": 0,
        "label_marks_removed": 0,
        "drawn_beside_own_splits": 0,
        "conflicting_answers": 0,
        "gold_places": {"2": {"A": 1}, "4": {"B": 1}},
        "near_equal_to_test": {},
        "overlapping_test": {},
        "warnings": [],
    }


def test_a_split_without_items_is_an_error_before_anything_is_computed():
    items = pd.DataFrame({"split": ["train", "train"]})
    with pytest.raises(ItemError, match=r"datasets\.own: none of the 2 items is in the split test"):
        require_splits(items, Splits(train=0.9, test=0.1), "own")
