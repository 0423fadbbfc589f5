"""A question and the text that it is about, in columns of their own."""

import json

import pytest
from raw_rows import loaded

from caft.datasets import read_section
from caft.datasets.guessing import guess
from caft.datasets.ingest import ingest_as
from caft.errors import ItemError

SPLITS = {"train": 0.5, "validation": 0.2, "test": 0.3}


def written(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def made(path, question, **columns):
    columns = {"question": question, "answer": "answer", **columns}
    section = {"adapter": "file", "path": str(path), "columns": columns, "splits": SPLITS}
    settings = read_section({**section, "answer_kind": "numeric"})
    return ingest_as(settings, loaded(settings, 1, path.parent), 1, "about")


def test_columns_of_a_question_stand_one_below_the_other_and_empty_ones_are_left_out(tmp_path):
    rows = [
        {"passage": "Ann has 2 pears.", "question": "How many?", "answer": 2},
        {"passage": None, "question": "What is 1 + 1?", "answer": 2},
        {"passage": " ", "question": "What is 1 + 2?", "answer": 3},
        {"passage": "Bob has none.", "question": "", "answer": 0},
    ]
    found = made(written(tmp_path / "q.jsonl", rows), ["passage", "question"])
    questions = ["Ann has 2 pears.\n\nHow many?", "What is 1 + 1?", "What is 1 + 2?"]
    assert list(found.items["question"]) == questions
    assert found.report["rejected"] == {"empty_question": 1}


def test_questions_about_one_text_get_one_split_and_are_no_conflict(tmp_path):
    asked = range(4)
    rows = [
        {"passage": f"Text {n}.", "question": f"How many {m}?", "answer": m}
        for n in range(60)
        for m in asked
    ]
    found = made(written(tmp_path / "q.jsonl", rows), ["passage", "question"])
    text = found.items["question"].str.split("\n").str[0]
    assert (found.items["split"].groupby(text).nunique() == 1).all()
    assert found.items["split"].nunique() == 3
    assert found.report["conflicting_answers"] == found.report["question_groups_shared"] == 0


def test_a_split_of_the_source_moves_no_other_question_about_the_text(tmp_path):
    rows = [
        {"passage": "Text.", "question": f"How many {n}?", "answer": n, "split": split}
        for n, split in enumerate(["train", "test", "train", "validation"])
    ]
    path = written(tmp_path / "q.jsonl", rows)
    found = made(path, ["passage", "question"], split="split")
    assert list(found.items["split"]) == ["train", "test", "train", "validation"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["text", "question"], r"no column 'text' \(columns.question\[0\]\)"),
        (["about.body", "question"], r"no column 'about.body' \(columns.question\[0\]\)"),
    ],
)
def test_a_part_that_no_row_has_is_told(columns, message, tmp_path):
    rows = [{"about": {"title": "x"}, "question": f"How many {n}?", "answer": n} for n in range(9)]
    with pytest.raises(ItemError, match=message):
        made(written(tmp_path / "q.jsonl", rows), columns)


OPTIONS = {"options": ["one", "two"], "answer": "A"}
FILES = {
    "article": ({"article": "A {n}", "question": "Q {n}?", **OPTIONS}, "article question"),
    "context": ({"context": "A {n}", "query": "Q {n}?", **OPTIONS}, "context query"),
    "premise": ({"premise": "A {n}", "hypothesis": "Q {n}", **OPTIONS}, "premise hypothesis"),
    "two": ({"title": "T", "story": "A {n}", "question": "Q {n}?", **OPTIONS}, "story question"),
    "instruction": ({"instruction": "Do", "input": "Q {n}?", **OPTIONS}, "instruction input"),
}


@pytest.mark.parametrize(("row", "asked"), FILES.values(), ids=FILES)
def test_a_text_that_a_question_is_about_is_found_by_its_name(row, asked, tmp_path):
    rows = [
        {name: one.format(n=n) if isinstance(one, str) else one for name, one in row.items()}
        for n in range(20)
    ]
    found = guess(str(written(tmp_path / "q.jsonl", rows)))
    assert found.section["columns"]["question"] == asked.split()
    first, last = asked.split()
    assert found.made.items["question"][3] == f"{rows[3][first]}\n\n{rows[3][last]}"
    assert f"columns.question: {first} and {last} are one question, in this order." in found.notes


def test_an_instruction_that_is_always_there_stands_behind_an_input_that_is_not(tmp_path):
    rows = [
        {"instruction": f"Q {n}?", "input": f"A {n}" if n % 2 else "", **OPTIONS} for n in range(20)
    ]
    found = guess(str(written(tmp_path / "q.jsonl", rows)))
    assert list(found.made.items["question"][:2]) == ["Q 0?", "A 1\n\nQ 1?"]


def test_a_text_that_the_question_repeats_is_not_put_before_it(tmp_path):
    rows = [{"ctx": f"He {n}", "question": f"He {n} goes", **OPTIONS} for n in range(20)]
    found = guess(str(written(tmp_path / "q.jsonl", rows)))
    assert found.section["columns"]["question"] == "question"


def test_a_text_that_stands_in_the_first_row_of_several_alone_is_told(tmp_path):
    rows = "".join(f"{f'T {n}' if n % 3 == 0 else ''},Q {n}?,one,two,A\n" for n in range(18))
    path = tmp_path / "q.csv"
    path.write_text("passage,question,A,B,answer\n" + rows, encoding="utf-8")
    (warning,) = [one for one in guess(str(path)).made.report["warnings"] if "fill" in one]
    assert warning.startswith("6 questions without a text in passage stand right behind one")
