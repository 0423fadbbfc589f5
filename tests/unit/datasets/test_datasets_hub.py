import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_rows import loaded

from caft.datasets.hub import Hub
from caft.datasets.settings import Splits
from caft.errors import ItemError

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
"""


@pytest.fixture
def folder(tmp_path):
    """A local dataset folder in hub format, with two rows in train and one in test."""
    data = tmp_path / "hub" / "data"
    data.mkdir(parents=True)
    (data.parent / "README.md").write_text(CARD)
    train = {"question": ["1?", "2?"], "options": [["x", "y"], ["p", "q"]], "gold": [0, 1]}
    test = {"question": ["3?"], "options": [["m", "n"]], "gold": [1]}
    pq.write_table(pa.table(train), data / "train-00000-of-00001.parquet")
    pq.write_table(pa.table(test), data / "test-00000-of-00001.parquet")
    return data.parent


def read(name, tmp_path, **spec):
    columns = {"question": "question", "options": "options", "answer": "gold"}
    spec = {
        "adapter": "hub",
        "id": str(name),
        "columns": columns,
        "answer_format": "index0",
        "parts": ["train", "test"],
        "splits": Splits(train=0.5, test=0.5),
        **spec,
    }
    return loaded(Hub(**spec), 1, tmp_path / "downloads")


def test_a_folder_in_hub_format_is_read_part_by_part(folder, tmp_path):
    raw = read(folder, tmp_path)
    assert [
        (row["source_id"], row["question"], row["options"], row["answer"]) for row in raw.rows
    ] == [
        ("train/1", "1?", ["x", "y"], "0"),
        ("train/2", "2?", ["p", "q"], "1"),
        ("test/1", "3?", ["m", "n"], "1"),
    ]
    assert [row["split"] for row in raw.rows] == [None, None, None]
    assert (raw.answer_kind, raw.answer_format) == ("choice", "index0")


def test_official_splits_are_kept_on_demand(folder, tmp_path):
    raw = read(folder, tmp_path, official_splits=True)
    assert [row["split"] for row in raw.rows] == ["train", "train", "test"]


def test_only_the_named_parts_are_read(folder, tmp_path):
    assert [row["question"] for row in read(folder, tmp_path, parts=["test"]).rows] == ["3?"]
    with pytest.raises(ItemError, match="no part 'dev'; the dataset has: train, test"):
        read(folder, tmp_path, parts=["dev"])


def test_a_hub_id_needs_a_revision(tmp_path):
    with pytest.raises(ItemError, match="someone/questions: .*give the `revision`"):
        read("someone/questions", tmp_path)


def test_a_folder_that_cannot_be_loaded_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ItemError, match="empty: cannot be loaded"):
        read(tmp_path / "empty", tmp_path)
