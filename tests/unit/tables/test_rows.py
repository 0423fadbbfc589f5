"""Files that hold too much: a reason of the row, or an error that names the limit."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_rows import loaded

from caft.datasets.file import File
from caft.datasets.hub import Hub
from caft.datasets.ingest import ingest
from caft.errors import ItemError, StoreError
from caft.store.imports import _count
from caft.store.imports import read_rows as read_owned
from caft.tables.hashing import item_id, nfc
from caft.tables.reading import Reading, read_rows
from caft.tables.rows import Limits, Unusable, checked

COLUMNS = {"question": "q", "answer": "a"}
SPLITS = {"train": 0.5, "test": 0.5}
SMALL = Limits(max_cell_mb=0.01, max_file_mb=1)


def read(path, limits=SMALL):
    return list(read_rows(str(path), limits, Reading(path.suffix[1:])))


def reasons(rows):
    return [row.reason if isinstance(row, Unusable) else "ok" for _, row in rows]


def ingested(path, **changed):
    section = File(
        adapter="file",
        path=str(path),
        columns=COLUMNS,
        answer_kind="text",
        splits=SPLITS,
        **changed,
    )
    return ingest(loaded(section, 1, path.parent), section.splits, 1, "own", 0.9)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv", "parquet"])
def test_a_row_with_too_large_a_cell_goes_to_the_quarantine_with_its_reason(suffix, tmp_path):
    path = tmp_path / f"own.{suffix}"
    rows = [{"q": f"Question {number}?", "a": "yes"} for number in range(3)]
    rows[1]["q"] = "long " * 5000
    if suffix == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        mark = "," if suffix == "csv" else "\t"
        path.write_text("\n".join([mark.join("qa"), *(mark.join(row.values()) for row in rows)]))
    made = ingested(path, max_cell_mb=0.01)
    assert list(made.items["question"]) == ["Question 0?", "Question 2?"]
    (bad,) = made.quarantine.to_dict("records")
    assert bad["reason"] == "too_large" and "max_cell_mb (0.01)" in bad["detail"]
    assert made.report["rejected"] == {"too_large": 1}
    assert len(ingested(path).items) == 3  # within the default


@pytest.mark.parametrize("line", ['{"q": "' + "a" * 500_000 + '", "a": "x"}', "a" * 500_000])
def test_a_line_without_end_is_skipped_and_the_next_is_read(line, tmp_path):
    (tmp_path / "own.jsonl").write_text(f'{{"q": "1"}}\n{line}\n{{"q": "2"}}\n{line}')
    rows = read(tmp_path / "own.jsonl", Limits(max_cell_mb=0.01, max_file_mb=10))
    assert reasons(rows) == ["ok", "too_large", "ok", "too_large"]
    assert [number for number, _ in rows] == [1, 2, 3, 4]


@pytest.mark.parametrize("levels", [101, 800, 100_000])
@pytest.mark.parametrize("opens", ["[", '{"a":'])
def test_a_deeply_nested_row_is_no_row(opens, levels, tmp_path):
    closes = "]" if opens == "[" else "}"
    deep = opens * levels + "1" + closes * levels
    path = tmp_path / "own.jsonl"
    path.write_text(f'{{"q": "1?", "a": "x"}}\n{{"q": {deep}, "a": "x"}}\n{deep}')
    found = reasons(read(path, Limits()))
    assert found[0] == "ok" and set(found[1:]) <= {"too_deep", "bad_json"}
    assert ingested(path).report["items"] == 1


def test_lists_of_options_may_be_nested_a_little():
    assert checked({"o": [["a"], {"b": ["c"]}]}, Limits()) == {"o": [["a"], {"b": ["c"]}]}


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "NaN", "9" * 5000, "1" + "0" * 4000, "-Infinity", "1e-400"]
)
def test_a_number_that_is_none_costs_its_row_alone(number, tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(f'{{"q": "1?", "a": 2}}\n{{"q": "2?", "a": {number}}}\n')
    section = File(
        adapter="file", path=str(path), columns=COLUMNS, answer_kind="numeric", splits=SPLITS
    )
    made = ingest(loaded(section, 1, tmp_path), section.splits, 1, "own", 0.9)
    assert made.items["answer"][0] == "2" and made.report["rows_read"] == 2


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv", "parquet"])
def test_a_file_that_is_too_large_is_named_with_its_limit(suffix, tmp_path):
    path = tmp_path / f"own.{suffix}"
    path.write_bytes(b"\n" * 2_000_000)
    with pytest.raises(ItemError, match="holds 2 MB, more than max_file_mb .1.; give a smaller"):
        read(path)


@pytest.mark.parametrize("text", ["x" * 3_000_000, "x" * 900_000])
def test_a_parquet_file_that_unpacks_to_gigabytes_is_not_unpacked(text, tmp_path):
    repeated = pa.DictionaryArray.from_arrays(np.zeros(5000, dtype="int32"), pa.array([text]))
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"q": repeated, "a": list(range(5000))}), path)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ItemError, match="more than max_file_mb"):
        read(path, Limits(max_file_mb=30))


def test_a_row_of_a_parquet_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path):
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"q": [["z" * 900] * 2000, ["a"], ["b"]]}), path)
    assert reasons(read(path, Limits(max_cell_mb=0.1))) == ["too_large", "ok", "ok"]


def test_lists_that_lie_in_several_row_groups_are_read(tmp_path):
    options = [[f"option {place} of question {row}" for place in range(4)] for row in range(500)]
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"q": options}), path, row_group_size=300)
    rows = read(path)
    assert [number for number, _ in rows] == list(range(1, 501))
    assert [row["q"] for _, row in rows] == options


def test_bytes_and_moments_that_are_no_text_cost_their_row_alone(tmp_path):
    offsets = pa.array([0, 2, 4], pa.int32()).buffers()[1]
    texts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xff\xfeab")])
    moments = pa.array([1, 2**62], pa.timestamp("us"))
    for name, column in (("texts", texts), ("moments", moments)):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"q": column}), path)
        assert sorted(reasons(read(path))) == ["not_text", "ok"]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", b"\x00" * 64])
def test_what_is_no_parquet_file_is_said(content, tmp_path):
    (tmp_path / "own.parquet").write_bytes(content)
    with pytest.raises(ItemError, match="cannot be read as Parquet"):
        read(tmp_path / "own.parquet")


@pytest.mark.parametrize(
    "content",
    ['q,a\n"' + "x" * 200_000, "q,a\n" + "x\n" * 3 + "y" * 200_000, 'q,a\n"' + "x\n" * 90_000],
)
def test_a_cell_of_csv_without_end_is_an_error_that_names_the_limit(content, tmp_path):
    (tmp_path / "own.csv").write_text(content)
    with pytest.raises(ItemError, match=r"own.csv, line \d+: .*max_cell_mb .0.01. allows"):
        read(tmp_path / "own.csv")


def test_a_byte_that_is_no_text_is_found_in_any_line(tmp_path):
    for suffix in ("jsonl", "csv"):
        path = tmp_path / f"own.{suffix}"
        path.write_bytes(b"ab\n" * 4000 + b"a\xff\n")
        with pytest.raises(ItemError, match=r"line 4001 \(byte 12001\): not UTF-8"):
            read(path)


def test_a_local_folder_of_the_hub_has_the_same_limits(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [{"q": "1?", "a": "x"}, {"q": "y" * 20_000, "a": "x"}]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    section = {"adapter": "hub", "id": str(folder), "parts": ["train"], "columns": COLUMNS}
    section |= {"answer_kind": "text", "splits": SPLITS}
    raw = loaded(Hub(**section, max_cell_mb=0.01), 1, tmp_path)
    assert [row["question"] for row in raw.rows] == ["1?"]
    assert [row["reason"] for row in raw.rejected] == ["too_large"]
    with pytest.raises(ItemError, match="more than max_file_mb"):
        loaded(Hub(**section, max_file_mb=0.01), 1, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("own.jsonl", "[" * 100_000, "line 1: the line is nested too deeply"),
        ("own.jsonl", '{"id": ' + "9" * 5000 + "}", "line 1: the line is no JSON"),
        ("own.csv", b"id,text\n\xff,b\n", "line 2 .byte 8.: not UTF-8"),
        ("own.parquet", b"PAR1", "cannot be read as Parquet"),
    ],
)
def test_owned_answers_are_read_with_the_same_reader(name, content, told, tmp_path):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError, match=told):
        list(read_owned(path))


def test_counts_of_owned_answers_are_counts_or_unknown():
    odd = [10**400, float("inf"), float("nan"), -1, "many", None, "1e400", 0.5]
    assert [_count(one) for one in odd] == [None] * len(odd)
    assert [_count(one) for one in (7, "7", 7.0)] == [7, 7, 7]


def test_marks_without_end_are_left_in_their_order():
    marks = "\u0301\u0316" * 50_000
    assert nfc("a" + marks) == "a" + marks
    assert nfc("e\u0301") == "\u00e9"
    assert item_id("e\u0301", None, "1") == item_id("\u00e9", None, "1")
    assert item_id("a" + marks, None, "1") != item_id("a", None, "1")
