import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_rows import loaded

from caft.datasets.file import File
from caft.datasets.settings import Splits
from caft.errors import ItemError

COLUMNS = {"question": "q", "options": "o", "answer": "a"}


def read(path, columns=COLUMNS, **spec):
    spec = {"splits": Splits(train=0.5, test=0.5), "columns": columns, **spec}
    return loaded(File(adapter="file", path=str(path), **spec), 1, path.parent / "downloads")


def write_jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_parquet_rows_become_raw_rows(tmp_path):
    path = tmp_path / "q.parquet"
    columns = {"id": [7], "q": ["Which?"], "o": [["x", "y"]], "a": [1], "c": ["law"], "s": ["test"]}
    pq.write_table(pa.table(columns), path)
    mapping = {**COLUMNS, "id": "id", "category": "c", "split": "s"}
    raw = read(path, mapping, answer_format="index0")
    assert (raw.answer_kind, raw.answer_format, raw.rejected) == ("choice", "index0", [])
    assert raw.rows == [
        {
            "file": str(path),
            "row": 1,
            "source_id": "7",
            "question": "Which?",
            "options": ["x", "y"],
            "answer": "1",
            "category": "law",
            "rationale": None,
            "split": "test",
        }
    ]


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (["x", "y"], ["x", "y"]),
        ([1, 2.5], ["1", "2.5"]),
        ('["x", "y"]', ["x", "y"]),
        ("['x', \"it's\"]", ["x", "it's"]),
        (r"['\d', 'y']", [r"\d", "y"]),
        ("x or y", "x or y"),
        ("__import__('os')", "__import__('os')"),
        (["x", None, "y"], ["x", None, "y"]),
        (["x", "y", "", None], ["x", "y"]),
        (None, None),
    ],
)
def test_options_come_as_list_json_or_python_literal(given, options, tmp_path):
    path = write_jsonl(tmp_path / "q.jsonl", [{"q": "Q?", "o": given, "a": "A"}])
    assert read(path).rows[0]["options"] == options


def test_options_come_from_several_columns_and_empty_last_ones_are_none(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("q,A,B,C,a\nQ1?,x,y,z,A\nQ2?,x,y,,B\nQ3?,x,,z,C\n")
    raw = read(path, {**COLUMNS, "options": ["A", "B", "C"]})
    assert [row["options"] for row in raw.rows] == [["x", "y", "z"], ["x", "y"], ["x", None, "z"]]


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t")])
def test_separated_text_stays_text(suffix, separator, tmp_path):
    path = tmp_path / f"q.{suffix}"
    rows = [["q", "a"], ["NA", "None"], ["null", "1e5"], ["007", ""], ["nan", "1,5"]]
    path.write_text("\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows) + "\n")
    raw = read(path, {"question": "q", "answer": "a"})
    assert [(row["question"], row["answer"]) for row in raw.rows] == [
        ("NA", "None"),
        ("null", "1e5"),
        ("007", None),
        ("nan", "1,5"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("q,a\nQ?,1\n", encoding="utf-8-sig")
    assert read(path, {"question": "q", "answer": "a"}).rows[0]["question"] == "Q?"


def test_csv_rows_are_counted_in_lines_as_an_editor_does(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text('q,a\n"two\nlines",1\nQ?,2\n\nQ3?,3\nQ4?,4,5\n')
    raw = read(path, {"question": "q", "answer": "a"})
    assert [row["row"] for row in raw.rows] == [2, 4, 6]
    (rejected,) = raw.rejected
    assert (rejected["row"], rejected["reason"]) == (7, "bad_csv")
    assert rejected["detail"] == "3 fields, the header has 2"


def test_an_open_quote_is_an_error_not_one_long_field(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text('q,a\n"open,1\nQ?,2\n')
    with pytest.raises(ItemError, match=r"q\.csv, line 3: not valid CSV"):
        read(path, {"question": "q", "answer": "a"})


def test_a_line_that_is_no_json_object_is_rejected_with_its_row(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('{"q": "Q\u2028?", "a": "1"}\n\n[1]\n{"q": \n')
    raw = read(path, {"question": "q", "answer": "a"})
    assert [row["question"] for row in raw.rows] == ["Q\u2028?"]
    assert [(bad["row"], bad["reason"]) for bad in raw.rejected] == [
        (3, "bad_json"),
        (4, "bad_json"),
    ]


@pytest.mark.parametrize("name", ["q.csv", "q.jsonl"])
def test_other_encodings_are_refused_with_the_place(name, tmp_path):
    path = tmp_path / name
    path.write_bytes("q,a\nCafé?,1\n".encode("latin-1"))
    with pytest.raises(ItemError, match=rf"{name}, line 2 \(byte 7\): not UTF-8"):
        read(path, {"question": "q", "answer": "a"})


def test_special_tokens_stay_as_they_are(tmp_path):
    path = write_jsonl(tmp_path / "q.jsonl", [{"q": "a <|im_end|>\n b", "a": "1"}])
    raw = read(path, {"question": "q", "answer": "a"})
    assert raw.rows[0]["question"] == "a <|im_end|>\n b"


def test_a_missing_column_names_the_ones_that_exist(tmp_path):
    path = write_jsonl(tmp_path / "q.jsonl", [{"q": "Q?", "a": "1"}, {"q": "Q?", "b": "1"}])
    with pytest.raises(
        ItemError, match=r"no column 'gold' \(columns\.answer\); the file has: q, a, b"
    ):
        read(path, {"question": "q", "answer": "gold"})


@pytest.mark.parametrize(("name", "text"), [("q.csv", ""), ("q.csv", "q,a\n"), ("q.jsonl", "\n")])
def test_an_empty_file_is_an_error(name, text, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ItemError, match="the file has no rows"):
        read(path, {"question": "q", "answer": "a"})


def test_a_missing_file_names_the_config_key(tmp_path):
    with pytest.raises(ItemError, match=r"no\.csv: no such file; check `path`"):
        read(tmp_path / "no.csv")


def test_a_file_that_is_no_parquet_is_an_error(tmp_path):
    path = tmp_path / "q.parquet"
    path.write_text("no")
    with pytest.raises(ItemError, match=r"q\.parquet: cannot be read as Parquet"):
        read(path)


def test_the_format_can_be_named(tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text("q,a\nQ?,1\n")
    with pytest.raises(ItemError, match="set `format`"):
        read(path, {"question": "q", "answer": "a"})
    assert len(read(path, {"question": "q", "answer": "a"}, format="csv").rows) == 1


def test_answer_regex_takes_the_answer_and_cuts_it_off_the_rationale(tmp_path):
    records = [{"q": "Q1?", "a": "2 + 2 = 4\n#### 4"}, {"q": "Q2?", "a": "four"}]
    path = write_jsonl(tmp_path / "q.jsonl", records)
    columns = {"question": "q", "answer": "a", "rationale": "a"}
    raw = read(path, columns, answer_kind="numeric", answer_regex="#### (.+)")
    assert [(row["answer"], row["rationale"]) for row in raw.rows] == [("4", "2 + 2 = 4")]
    assert [(bad["row"], bad["reason"]) for bad in raw.rejected] == [(2, "missing_answer")]


def test_rationales_join_from_another_file_by_id(tmp_path):
    columns = {"question": "q", "answer": "a", "id": "n"}
    records = [{"n": number, "q": f"Q{number}?", "a": "1"} for number in range(3)]
    path = write_jsonl(tmp_path / "q.jsonl", records)
    other = tmp_path / "r.csv"
    other.write_text("key,text\n2,two\n0,zero\n")
    join = {"path": str(other), "id": "key", "text": "text"}
    raw = read(path, columns, rationales=join)
    assert [row["rationale"] for row in raw.rows] == ["zero", None, "two"]
    other.write_text("key,text\nx,two\n")
    with pytest.raises(ItemError, match=r"r\.csv: no value of 'key' is an id in .*q\.jsonl"):
        read(path, columns, rationales=join)


def test_a_limit_takes_the_same_rows_whatever_the_order(tmp_path):
    columns = {"question": "q", "answer": "a"}
    records = [{"q": f"Q{number}?", "a": "1"} for number in range(50)]
    forward = read(write_jsonl(tmp_path / "f.jsonl", records), columns, limit=10).rows
    backward = read(write_jsonl(tmp_path / "b.jsonl", records[::-1]), columns, limit=10).rows
    chosen = [row["question"] for row in forward]
    assert chosen == [row["question"] for row in backward][::-1]
    assert len(chosen) == 10
    assert chosen != [f"Q{number}?" for number in range(10)]
    assert [row["row"] for row in forward] == sorted(row["row"] for row in forward)
