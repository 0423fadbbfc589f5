"""Files in many containers, shapes and encodings: read right, or refused with what reads them."""

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyarrow import ipc
from raw_rows import loaded

from caft.datasets import read_section
from caft.datasets.ingest import ingest
from caft.errors import ItemError
from caft.tables.reading import Reading, read_rows
from caft.tables.rows import Limits

ROWS = [
    {"question": "Où est le café?", "options": ["Zürich", "Genève"], "answer": "B"},
    {"question": 'Says "no", or\nwhat; else?', "options": ["a, b", "c\td"], "answer": "A"},
    {"question": "Naïve: 1 | 2?", "options": ["½", "ß"], "answer": "B"},
]
SPLITS = {"train": 0.5, "test": 0.5}
COLUMNS = {"question": "question", "options": "options", "answer": "answer"}


def separated(sign, first=""):
    def write(rows):
        out = io.StringIO(newline="")
        table = csv.writer(out, delimiter=sign)
        table.writerows(
            [[*COLUMNS], *([r["question"], json.dumps(r["options"]), r["answer"]] for r in rows)]
        )
        return first + out.getvalue()

    return write


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def array(rows):
    return json.dumps(rows, ensure_ascii=False, indent=1)


def below(rows):
    return json.dumps({"version": 1, "data": rows}, ensure_ascii=False)


def each(rows):
    return json.dumps({f"q{n}": row for n, row in enumerate(rows)}, ensure_ascii=False)


def deep(rows):
    return json.dumps({"data": [{"part": [row]} for row in rows]}, ensure_ascii=False)


def parquet(rows):
    pq.write_table(pa.Table.from_pylist(rows), out := io.BytesIO())
    return out.getvalue()


def arrow(rows, new=ipc.new_file):
    table, out = pa.Table.from_pylist(rows), io.BytesIO()
    with new(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def stream(rows):
    return arrow(rows, ipc.new_stream)


def zstd(content):
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as packed:
        packed.write(content)
    return out.getvalue().to_pybytes()


PACK = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}
TEXTS = {
    "q.jsonl": lines,
    "q.json": array,
    "lines.json": lines,
    "array.jsonl": array,
    "below.json": below,
    "each.json": each,
    "q.csv": separated(","),
    "semicolon.csv": separated(";"),
    "tab.csv": separated("\t"),
    "bar.csv": separated("|"),
    "told.csv": separated(";", "sep=;\r\n"),
    "q.tsv": separated("\t"),
    "comma.tsv": separated(","),
    "q.txt": separated(";"),
    "q.data": lines,
}
TABLES = {"q.parquet": parquet, "q.arrow": arrow, "stream.arrow": stream, "parquet.csv": parquet}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32"]
FILES = [
    *(
        (f"{name}{end}", shape, "utf-8", end)
        for (name, shape), end in zip(
            itertools.cycle(TEXTS.items()), [end for end in PACK for _ in range(6)], strict=False
        )
    ),
    *(
        (name, shape, code, "")
        for (name, shape), code in zip(
            itertools.cycle(list(TEXTS.items())[:13]), ENCODINGS[1:] * 4, strict=False
        )
    ),
    *(
        (f"{name}{end}", shape, None, end)
        for (name, shape), end in zip(
            itertools.cycle(TABLES.items()), ["", "", "", "", ".gz", ".zst"], strict=False
        )
    ),
]


def follow(path, spec):
    """Read a file; where it is refused, do what the message says, three times at most."""
    for _ in range(4):
        settings = read_section(spec)
        assert not list(settings.problems())
        try:
            made = ingest(loaded(settings, 1, path.parent), settings.splits, 1, "own", 0.1)
        except ItemError as error:
            mend = re.findall(r"`(\w+: [^`]+)`", str(error))
            assert mend, error
            spec = {**spec, **yaml.safe_load(mend[-1])}
        else:
            return made
    raise AssertionError(f"still refused with {spec}")


def section(path, **more):
    return {"adapter": "file", "path": str(path), "columns": COLUMNS, "splits": SPLITS, **more}


def content(made):
    found = made.items.sort_values("source_id")
    return [
        {"question": row.question, "options": list(row.options), "answer": row.answer}
        for row in found.itertuples()
    ]


def test_there_are_60_files_and_no_two_are_alike():
    assert len(FILES) >= 60
    assert len({(name, code) for name, _, code, _ in FILES}) == len(FILES)


@pytest.mark.parametrize(("name", "shape", "code", "end"), FILES)
def test_a_file_is_read_right_at_once_or_as_its_message_says(name, shape, code, end, tmp_path):
    path = tmp_path / name
    written = shape(ROWS)
    path.write_bytes(PACK[end](written.encode(code) if code else written))
    assert content(follow(path, section(path))) == ROWS


KINDS = [
    (b"\xd0\xcf\x11\xe0", "Excel file of before 2007"),
    (b"SQLite format 3\x00", "SQLite database; export the table"),
    (b"%PDF-1.7", "is a PDF"),
    (b"\x80\x04\x95", "is a pickle, which may run code and is never opened"),
    (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    (b"q.csv" + bytes(252) + b"ustar", "is a tar archive; unpack it"),
    (b"\n<!DOCTYPE html><html>", "is a web page; download the file itself"),
    (gzip.compress(b"abc" * 1000, mtime=0)[:-9], "cannot be unpacked"),
    (b"\xfd7zXZ\x00damaged", "cannot be unpacked"),
]


@pytest.mark.parametrize(("start", "message"), KINDS)
def test_what_holds_no_rows_is_called_what_it_is(start, message, tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_bytes(start)
    with pytest.raises(ItemError, match=message):
        loaded(read_section(section(path)), 1, tmp_path)


TWICE = '{"question": "Q?", "options": {"A": "x", "B": "y", "B": "z"}, "answer": "B"}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lines.jsonl", f"{TWICE}\n"),
        ("array.json", f"[{TWICE}]"),
        ("top.jsonl", '{"question": "Q?", "options": ["x", "y"], "answer": "A", "answer": "B"}\n'),
        (
            "json.csv",
            'question,options,answer\nQ?,"{""A"": ""x"", ""B"": ""y"", ""B"": ""z""}",B\n',
        ),
        ("python.csv", "question,options,answer\nQ?,\"{'A': 'x', 'B': 'y', 'B': 'z'}\",B\n"),
    ],
)
def test_an_object_with_a_key_twice_is_refused_and_none_of_the_two_taken(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    raw = loaded(read_section(section(tmp_path / name)), 1, tmp_path)
    assert raw.rows == []
    key = "answer" if name == "top.jsonl" else "B"
    assert f"an object in which the key '{key}' stands twice" in raw.rejected[0]["detail"]


@pytest.mark.parametrize("between", ["\n", "", "\r", " ,"])
@pytest.mark.parametrize("indent", [None, 1])
def test_objects_that_follow_each_other_are_rows(between, indent, tmp_path):
    path = tmp_path / "q.json"
    path.write_text(between.join(json.dumps(row, indent=indent) for row in ROWS))
    assert content(follow(path, section(path))) == ROWS


def test_text_behind_the_first_object_costs_no_other_line(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text(lines(ROWS).replace("}\n", "} x\n", 1))
    raw = loaded(read_section(section(path)), 1, tmp_path)
    assert (len(raw.rows), len(raw.rejected)) == (len(ROWS) - 1, 1)


def test_utf8_is_never_read_as_another_encoding(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("question,options,answer\nWie groß?,\"['ä', 'ö']\",B\n", "utf-8")
    with pytest.raises(ItemError, match="is text in UTF-8; set `encoding: utf-8`"):
        loaded(read_section(section(path, encoding="latin-1")), 1, tmp_path)
    made = follow(path, section(path, encoding="cp1252"))
    assert list(made.items["options"][0]) == ["ä", "ö"]


def test_of_two_signs_that_which_parts_most_separates_values(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("q;o;a, richtig\n" + "Was, genau?;\"['x', 'y']\";B\n".replace("', '", "' ,'"))
    rows = list(read_rows(str(path), Limits(), Reading()))
    assert rows == [(2, {"q": "Was, genau?", "o": "['x' ,'y']", "a, richtig": "B"})]


def test_numbers_of_single_precision_are_as_they_were_written(tmp_path):
    kinds = {"a": pa.float32(), "l": pa.list_(pa.float32())}
    kinds["s"] = pa.struct({"t": pa.float32()})
    row = {"a": 0.1, "l": [0.7, None], "s": {"t": 3.3}, "q": "Q?"}
    columns = {name: pa.array([one], kinds.get(name)) for name, one in row.items()}
    pq.write_table(pa.table(columns), tmp_path / "q.parquet")
    assert list(read_rows(str(tmp_path / "q.parquet"), Limits(), Reading())) == [(1, row)]


def test_a_packed_file_is_not_unpacked_beyond_the_limit(tmp_path):
    path = tmp_path / "q.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"question": 1}\n' * 200_000))
    with pytest.raises(ItemError, match=r"more than max_file_mb \(1\)"):
        loaded(read_section(section(path, max_file_mb=1)), 1, tmp_path)


def test_the_wrong_format_is_told_with_the_right_one(tmp_path):
    path = tmp_path / "q.bin"
    path.write_bytes(parquet(ROWS))
    assert content(follow(path, section(path))) == ROWS
    named = tmp_path / "q.csv"
    named.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert content(follow(named, section(named))) == ROWS
    with pytest.raises(ItemError, match=r"is a file of the format parquet; set `format: parquet`"):
        loaded(read_section(section(path, format="csv")), 1, tmp_path)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ("nothing", "`records: nothing` leads to no list of objects; its keys are: data"),
        ("data", "no column 'question'"),
    ],
)
def test_rows_lie_where_records_says(records, message, tmp_path):
    path = tmp_path / "deep.json"
    path.write_text(deep(ROWS))
    assert content(follow(path, section(path, records="data[].part[]"))) == ROWS
    with pytest.raises(ItemError, match=message):
        loaded(read_section(section(path, records=records)), 1, tmp_path)


def test_an_array_that_is_cut_keeps_what_is_before_the_cut(tmp_path):
    path = tmp_path / "q.json"
    path.write_text(array(ROWS)[:-20])
    raw = loaded(read_section(section(path)), 1, tmp_path)
    assert [row["row"] for row in raw.rows] == [1, 2]
    assert [(bad["row"], bad["reason"]) for bad in raw.rejected] == [(3, "bad_json")]


def test_columns_of_json_are_no_rows(tmp_path):
    path = tmp_path / "q.json"
    path.write_text(json.dumps({"question": {"0": "a?"}, "answer": {"0": "b"}}))
    with pytest.raises(ItemError, match="keys question, answer; write one object per row"):
        loaded(read_section(section(path)), 1, tmp_path)


def test_shards_are_read_together_from_a_folder_or_a_pattern(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, row in enumerate(ROWS):
        (folder / f"part-{number}.jsonl.gz").write_bytes(gzip.compress(lines([row]).encode()))
    (folder / "README.md").write_text("about")
    for path in (folder, folder / "*.jsonl.gz", tmp_path / "**" / "part-*"):
        settings = read_section(section(path))
        assert len(settings.files()) == 3
        made = ingest(loaded(settings, 1, tmp_path), settings.splits, 1, "own", 0.1)
        assert content(made) == ROWS
        assert sorted(made.items["source_id"])[0] == "part-0.jsonl.gz/1"
    (folder / "more.csv").write_text("q,a\n1,2\n")
    with pytest.raises(ItemError, match=r"several formats; set `path` to .*\*\.csv or .*\*\.gz"):
        loaded(read_section(section(folder)), 1, tmp_path)
    (problem,) = read_section(section(tmp_path / "none-*.csv")).problems()
    assert "no file" in problem[1]


def test_duplicate_headers_are_refused_and_blank_rows_counted(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("question,A,B,answer,answer,\n")
    with pytest.raises(ItemError, match=r"line 1: columns 4 and 5 are called 'answer'; rename"):
        loaded(read_section(section(path)), 1, tmp_path)
    path.write_text("question;A;B;answer;;\nq?;x;y;A;;\n;;;;;\n\nr?;x;y;B;;\n;;;;;\n")
    columns = {**COLUMNS, "options": ["A", "B"]}
    made = follow(path, section(path, columns=columns))
    assert list(made.items["source_id"]) == ["2", "5"]
    assert (made.report["rows_read"], made.report["blank_rows"]) == (2, 2)


def saved(folder, rows):
    import datasets

    datasets.Dataset.from_list(rows).save_to_disk(folder)


def test_a_folder_that_datasets_saved_is_read(tmp_path):
    saved(tmp_path / "set", ROWS)
    assert content(follow(tmp_path, section(tmp_path / "set"))) == ROWS


def test_the_parts_of_a_saved_data_set_are_mapped_or_refused(tmp_path):
    import datasets

    whole = datasets.DatasetDict(
        {
            name: datasets.Dataset.from_list([row])
            for name, row in zip(("auxiliary_train", "dev", "test"), ROWS, strict=True)
        }
    )
    whole.save_to_disk(tmp_path / "set")
    made = follow(tmp_path, section(tmp_path / "set"))
    assert dict(zip(made.items["source_id"], made.items["split"], strict=True)) == {
        "auxiliary_train/1": "train",
        "dev/1": "validation",
        "test/1": "test",
    }
    for parts, message in (
        ({"train": "auxiliary_train", "test": "test"}, "names no split for 'dev'"),
        ({"train": ["auxiliary_train", "dev"], "test": ["test", "x"]}, "has no part 'x'"),
    ):
        with pytest.raises(ItemError, match=message):
            loaded(read_section(section(tmp_path / "set", parts=parts)), 1, tmp_path)
