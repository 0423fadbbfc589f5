"""Columns of the source that items keep beside those that all items have."""

import json

import pyarrow.parquet as pq
import pytest

from caft.datasets import load
from caft.datasets.file import File
from caft.datasets.ingest import ingest
from caft.datasets.settings import Columns, Splits
from caft.errors import ItemError
from caft.tables import parquet
from caft.tables.items import ITEM_COLUMNS

SPLITS = Splits(train=0.5, test=0.5)
ROWS = [
    {"q": "Which?", "a": "1", "difficulty": 3},
    {"q": "What?", "a": "2"},
    {"q": "Who?", "a": "3", "difficulty": "a\0"},
]


def items(path, more):
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    columns = {"question": "q", "answer": "a", **({"more": more} if more else {})}
    section = {"path": str(path), "columns": columns, "splits": SPLITS, "answer_kind": "numeric"}
    raw = load(File(adapter="file", **section), 1, path.parent)
    return ingest(raw, SPLITS, 1, "own", 1.0)


def test_items_keep_further_columns_under_the_names_that_they_are_given(tmp_path):
    made = items(tmp_path / "q.jsonl", {"level": "difficulty"})
    assert [made.items["level"][0], made.items["level"].isna()[1]] == ["3", True]
    assert made.quarantine["detail"].tolist() == ["level holds a NUL or a lone surrogate"]
    parquet.write("items", made.items, tmp_path / "items.parquet")
    back = parquet.read("items", tmp_path / "items.parquet")
    assert back.set_index("question")["level"].fillna("(none)").to_dict() == {
        "Which?": "3",
        "What?": "(none)",
    }
    assert parquet.is_current("items", tmp_path / "items.parquet")


def test_without_further_columns_the_items_are_as_ever(tmp_path):
    parquet.write("items", items(tmp_path / "q.jsonl", None).items, tmp_path / "items.parquet")
    assert tuple(pq.read_schema(tmp_path / "items.parquet").names) == ITEM_COLUMNS


def test_a_further_column_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ItemError, match=r"no column 'lvl' \(columns\.more\.level\)"):
        items(tmp_path / "q.jsonl", {"level": "lvl"})


def test_a_further_column_cannot_take_the_name_of_another():
    with pytest.raises(ValueError, match="'answer' is a column that items have anyway"):
        Columns.model_validate({"question": "q", "answer": "a", "more": {"answer": "b"}})
