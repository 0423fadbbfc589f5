"""`caft items` prints a configuration that reads the file at the first try."""

import csv
import io
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from raw_rows import loaded

from caft.cli import main
from caft.config.prepare import prepare
from caft.config.reading import read_files
from caft.datasets import load, read_section
from caft.datasets.ingest import ingest_as
from caft.tables.reading import Reading, read_rows
from caft.tables.rows import Limits

ROOT = Path(__file__).parents[3]
TRUE = [
    (f"What, exactly, is “thing” {n}?\nSay it.", [f"a{n}", f"b; {n}", f"c{n}"], n % 3)
    for n in range(40)
]


def printed(path, capsys):
    assert main(["items", str(path)]) == 0
    out = capsys.readouterr().out
    return out, yaml.safe_load(out)


def read(path, capsys):
    """Read a file with what the command prints for it, and nothing else."""
    out, config = printed(path, capsys)
    (name,) = config["run"]["datasets"]
    settings = read_section(config["datasets"][name])
    assert list(settings.problems()) == []
    made = ingest_as(settings, load(settings, 1, Path(path).parent), 1, name)
    assert made.report["rejected"] == {}
    assert out.count("<- right") == 3
    return made.items, config["datasets"][name]


def right(items):
    """Return each question with its options, in the order of their texts, and the right one."""
    return sorted(
        (row.question, sorted(row.options), row.options["ABCDEFGHIJ".index(row.answer)])
        for row in items.itertuples()
    )


WANTED = sorted((question, sorted(options), options[place]) for question, options, place in TRUE)


def excel(header, sign, encoding, path, rows=TRUE):
    """Write a sheet as Excel saves it: CRLF, quotes where needed, empty cells to the right."""
    out = io.StringIO(newline="")
    table = csv.writer(out, delimiter=sign, lineterminator="\r\n")
    table.writerow(header)
    for number, (question, options, place) in enumerate(rows, start=1):
        table.writerow([number, question, *options, "ABC"[place], ""])
    table.writerow([""] * len(header))
    path.write_bytes(out.getvalue().encode(encoding))
    return path


US = ["ID", "Question", "Option A", "Option B", "Option C", "Correct Answer", ""]
GERMAN = ["Nr", "Frage", "Antwort A", "Antwort B", "Antwort C", "Richtige Antwort", ""]


@pytest.mark.parametrize(
    ("header", "sign", "encoding"),
    [
        (US, ",", "cp1252"),
        (US, ",", "utf-8-sig"),
        (GERMAN, ";", "cp1252"),
        (GERMAN, ";", "utf-8-sig"),
        (GERMAN, "\t", "utf-16"),
    ],
)
def test_an_export_of_excel_is_read_at_the_first_try(header, sign, encoding, tmp_path, capsys):
    items, section = read(excel(header, sign, encoding, tmp_path / "Fragen 1.csv"), capsys)
    assert right(items) == WANTED
    assert section["columns"]["id"] == header[0]
    assert section.get("encoding") == ("cp1252" if encoding == "cp1252" else None)


def test_the_printed_text_is_a_configuration_of_a_run(tmp_path, capsys, monkeypatch):
    path = excel(GERMAN, ";", "cp1252", tmp_path / "q.csv")
    monkeypatch.chdir(tmp_path)
    out, _ = printed(path, capsys)
    (tmp_path / "mine.yaml").write_text(out, "utf-8")
    config = prepare(read_files([ROOT / "config.yaml", tmp_path / "mine.yaml"]))
    assert config.run.datasets == ["q"]


def workbook(header, path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(header[:-1])
    for number, (question, options, place) in enumerate(TRUE, start=1):
        book.active.append([number, question, *options, "ABC"[place]])
        if number == 2:
            book.active.append([None])
    book.save(path)
    return path


@pytest.mark.parametrize("header", [US, GERMAN])
def test_a_workbook_is_read_at_the_first_try(header, tmp_path, capsys):
    items, _ = read(workbook(header, tmp_path / "q.xlsx"), capsys)
    assert right(items) == WANTED


def test_rows_of_a_workbook_have_the_numbers_of_the_sheet(tmp_path):
    rows = list(read_rows(str(workbook(US, tmp_path / "q.xlsx")), Limits(), Reading()))
    assert [number for number, _ in rows[:4]] == [2, 3, 4, 5]
    assert (rows[2][1].reason, rows[3][1]["ID"]) == ("blank_row", 3)


def test_a_title_above_the_table_is_told(tmp_path, capsys):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["My questions"], [], US[:-1], [1, "Q?", "a", "b", "c", "A"]):
        book.active.append(row)
    book.save(tmp_path / "q.xlsx")
    assert main(["items", str(tmp_path / "q.xlsx")]) == 1
    assert "row 1: has one value and names no columns" in capsys.readouterr().err


def test_a_date_that_excel_made_of_a_fraction_is_refused(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    import datetime

    book = openpyxl.Workbook()
    book.active.append(["q", "a"])
    book.active.append(["Half of one?", datetime.date(2026, 2, 1)])
    book.active.append(["One?", 1.0])
    book.save(tmp_path / "q.xlsx")
    spec = {"adapter": "file", "path": str(tmp_path / "q.xlsx"), "answer_kind": "numeric"}
    spec |= {"columns": {"question": "q", "answer": "a"}, "splits": {"train": 0.5, "test": 0.5}}
    raw = loaded(read_section(spec), 1, tmp_path)
    assert [row["answer"] for row in raw.rows] == ["1"]
    assert "a spreadsheet makes of texts such as 1/2" in raw.rejected[0]["detail"]


def test_a_percentage_of_a_workbook_is_what_it_shows(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["q", "a", "b", "c"])
    book.active.append(["Which share?", 0.07, 0.125, 7])
    for cell, form in zip(book.active[2][1:], ("0%", "0.0%", '0"%"'), strict=True):
        cell.number_format = form
    book.save(tmp_path / "q.xlsx")
    ((_, row),) = read_rows(str(tmp_path / "q.xlsx"), Limits(), Reading())
    assert row == {"q": "Which share?", "a": "7%", "b": "12.5%", "c": 7}


def test_a_workbook_without_openpyxl_says_what_it_needs(tmp_path, monkeypatch, capsys):
    import sys
    import zipfile

    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with zipfile.ZipFile(tmp_path / "q.xlsx", "w") as book:
        book.writestr("xl/workbook.xml", "")
    assert main(["items", str(tmp_path / "q.xlsx")]) == 1
    told = capsys.readouterr().err
    assert "is an Excel workbook, which needs openpyxl (pip install openpyxl)" in told


def nested(question, options, place):
    choices = [{"text": text, "label": "ABC"[n]} for n, text in enumerate(options)]
    return {"question": {"stem": question, "choices": choices}, "answerKey": "ABC"[place]}


def arc(number, question, options, place):
    labels = "123" if number % 2 else "ABC"
    choices = {"text": options, "label": list(labels[: len(options)])}
    return {
        "id": f"arc_{number}",
        "question": question,
        "choices": choices,
        "answerKey": labels[place],
    }


def test_nested_json_lines_are_read_at_the_first_try(tmp_path, capsys):
    path = tmp_path / "nested.jsonl"
    path.write_text("".join(json.dumps(nested(*one)) + "\n" for one in TRUE))
    items, section = read(path, capsys)
    assert right(items) == WANTED
    assert section["columns"]["options"] == "question.choices[].text"


def test_parquet_as_the_hub_has_it_is_read_at_the_first_try(tmp_path, capsys):
    path = tmp_path / "train-00000-of-00001.parquet"
    rows = [arc(number, *one) for number, one in enumerate(TRUE)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    items, section = read(path, capsys)
    assert right(items) == WANTED
    assert section["columns"]["id"] == "id"


@pytest.mark.parametrize("below", ["", "data"])
def test_a_folder_whose_files_are_called_as_splits_keeps_them(below, tmp_path, capsys):
    (tmp_path / "mine/data").mkdir(parents=True)
    (tmp_path / "mine/README.md").write_text("---\nlicense: mit\n---\n")
    parts = {"train": TRUE[:30], "dev": TRUE[30:33], "test": TRUE[33:]}
    for part, held in parts.items():
        rows = [arc(number, *one) for number, one in enumerate(held)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"mine/data/{part}-0.parquet")
    _, config = printed(tmp_path / "mine" / below, capsys)
    (section,) = config["datasets"].values()
    assert section["adapter"] == ("file" if below else "hub")
    settings = read_section(section)
    made = ingest_as(settings, load(settings, 1, tmp_path), 1, "own")
    assert made.report["by_split"] == {"train": 30, "validation": 3, "test": 7}
    (tmp_path / "mine/dataset_infos.json").write_text('{"default": {"description": ""}}')
    assert printed(tmp_path / "mine" / below, capsys)[1] == config
    plain = {**section, "adapter": "file", "path": str(tmp_path / "mine/data")}
    settings = read_section({key: plain[key] for key in plain if key not in ("id", "parts")})
    made = ingest_as(settings, load(settings, 1, tmp_path), 1, "own")
    assert "whose splits are drawn; to keep theirs, set" in made.report["warnings"][0]


def test_several_configurations_of_a_folder_are_told_and_one_is_read(tmp_path, capsys):
    for name in ("de", "en"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for part in ("train", "test"):
            rows = [arc(number, f"{part} {q}", o, p) for number, (q, o, p) in enumerate(TRUE)]
            lines(tmp_path / "set" / name / f"{part}.jsonl", rows)
    told = refused(tmp_path / "set", capsys)
    assert f"the same splits in several folders; name one of them: {tmp_path}/set/de, " in told
    _, section = read(tmp_path / "set/de", capsys)
    assert section["adapter"] == "file"
    assert section["parts"] == {"train": ["train"], "test": ["test"]}
    assert f"no file {tmp_path}/none" in refused(tmp_path / "none", capsys)


OTHER = {
    "mmlu": lambda q, o, p: {"question": q, "choices": o, "answer": p, "subject": "law"},
    "pro": lambda q, o, p: {"question": q, "options": o, "answer": "ABC"[p], "answer_index": p},
    "text": lambda q, o, p: {"question": q, "options": o, "answer": o[p]},
    "dict": lambda q, o, p: {
        "question": q,
        "options": dict(zip("ABC", o, strict=True)),
        "answer": o[p],
        "answer_idx": "ABC"[p],
    },
    "columns": lambda q, o, p: {
        "question": q,
        **dict(zip(("opa", "opb", "opc"), o, strict=True)),
        "cop": p,
    },
    "wrong": lambda q, o, p: {
        "question": q,
        **{f"distractor{n}": one for n, one in enumerate((o[:p] + o[p + 1 :]), start=1)},
        "correct_answer": o[p],
        "support": "",
    },
    "one_hot": lambda q, o, p: {
        "question": q,
        "mc1_targets": {"choices": o, "labels": [int(n == p) for n in range(3)]},
    },
    "bigbench": lambda q, o, p: {
        "input": q,
        "target_scores": {one: int(n == p) for n, one in enumerate(o)},
    },
    "flags": lambda q, o, p: {
        "stem": q,
        "answers": [{"answer_text": one, "is_correct": n == p} for n, one in enumerate(o)],
    },
    "one_part": lambda q, o, p: {"ctx": q, "endings": o, "label": str(p), "split": "val"},
    "medqa": lambda q, o, p: {
        "question": q,
        "options": [{"key": "ABC"[n], "value": one} for n, one in enumerate(o)],
        "answer_idx": "ABC"[p],
    },
    "aqua": lambda q, o, p: {
        "question": q,
        "options": [f"{'ABC'[n]}){one}" for n, one in enumerate(o)],
        "correct": "ABC"[p],
        "rationale": "So.",
    },
    **{
        f"cell_{name}": lambda q, o, p, between=between, mark=mark, marks=marks: {
            "question": q,
            "options": between.join(
                mark.format(one) + text for one, text in zip(marks, o, strict=True)
            ),
            "answer": marks[p],
        }
        for name, between, mark, marks in [
            ("bar", " | ", "{}) ", "ABC"),
            ("semicolon", "; ", "{}. ", "ABC"),
            ("lines", "\n", "({}) ", "abc"),
            ("numbers", ", ", "{}) ", "123"),
        ]
    },
}


@pytest.mark.parametrize("shape", OTHER)
def test_shapes_of_published_sets_are_read_at_the_first_try(shape, tmp_path, capsys):
    path = tmp_path / f"{shape}.jsonl"
    path.write_text("".join(json.dumps(OTHER[shape](*one)) + "\n" for one in TRUE))
    items, section = read(path, capsys)
    assert right(items) == WANTED
    assert section.get("shuffle_options") == (True if shape == "wrong" else None)


def test_open_questions_are_numbers_texts_or_end_in_the_answer(tmp_path, capsys):
    path = tmp_path / "own.json"
    for answer, kind in (("So 3.\n#### {}", "numeric"), ("{},000", "numeric"), ("w{}", "text")):
        rows = [{"question": f"Q{n}?", "answer": answer.format(n)} for n in range(1, 30)]
        path.write_text(json.dumps({"data": rows}))
        _, config = printed(path, capsys)
        assert config["datasets"]["own"]["answer_kind"] == kind
        assert config["datasets"]["own"]["records"] == "data"


@pytest.mark.parametrize(
    ("answers", "options"), [([True, False], ["yes", "no"]), (["Maybe", "No"], ["Maybe", "No"])]
)
def test_answers_of_a_few_words_are_options_that_all_questions_share(
    answers, options, tmp_path, capsys
):
    path = tmp_path / "own.jsonl"
    rows = [{"question": f"Is {n} even?", "answer": answers[n % 2]} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    items, _ = read(path, capsys)
    assert [list(one) for one in items["options"]] == [options] * 30
    assert list(items["answer"]) == ["A", "B"] * 15


def test_lines_that_are_no_objects_are_told_with_the_first_of_them(tmp_path, capsys):
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "Q?", "answer": "w"} x\n' * 9)
    assert main(["items", str(path)]) == 1
    assert "row 1: the line is no JSON" in capsys.readouterr().err


def test_a_saved_set_without_test_is_tested_on_its_validation_part(tmp_path, capsys):
    import datasets

    rows = [arc(number, *one) for number, one in enumerate(TRUE)]
    parts = {"train": rows[:30], "dev": rows[30:]}
    whole = {name: datasets.Dataset.from_list(part) for name, part in parts.items()}
    datasets.DatasetDict(whole).save_to_disk(tmp_path / "set")
    items, section = read(tmp_path / "set", capsys)
    assert section["parts"] == {"train": ["train"], "test": ["dev"]}
    assert items["split"].value_counts().to_dict() == {"train": 30, "test": 10}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("x{n} or y{n}", "'answer' names options by letters, and no column has them"),
        ("['x{n}' 'y{n}']", "'choices': a list without commas, as numpy prints it"),
        ("A) x{n} B) y{n}", "'choices': one text with the marks A; options in one text begin"),
    ],
)
def test_letters_without_a_list_of_options_are_no_open_answers(options, said, tmp_path, capsys):
    path = tmp_path / "own.jsonl"
    rows = [{"question": f"Q{n}?", "choices": options.format(n=n), "answer": "B"} for n in range(9)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["items", str(path)]) == 1
    assert said in capsys.readouterr().err


def refused(path, capsys):
    assert main(["items", str(path)]) == 1
    return capsys.readouterr().err


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_column_of_options_is_never_the_answer(tmp_path, capsys):
    rows = [
        {"question": q, **dict(zip("ABC", o, strict=True)), "label": float(p)} for q, o, p in TRUE
    ]
    rows[3]["label"] = None
    _, config = printed(lines(tmp_path / "own.jsonl", rows), capsys)
    columns = config["datasets"]["own"]["columns"]
    assert (columns["options"], columns["answer"]) == (["A", "B", "C"], "label")
    unlabelled = [{**row, "label": None} for row in rows]
    assert "no names or values tell" in refused(lines(tmp_path / "no.jsonl", unlabelled), capsys)


def test_a_text_that_is_one_of_the_options_is_read_as_text(tmp_path, capsys):
    rows = [
        {"question": q, "distractor1": "c", "distractor2": "x", "correct_answer": "a"}
        for q, _, _ in TRUE
    ]
    items, _ = read(lines(tmp_path / "own.jsonl", rows), capsys)
    assert {text for _, _, text in right(items)} == {"a"}


@pytest.mark.parametrize(("answers", "form"), [([0, 1, 2], "index0"), ([0.1, 0.7, 3.5], "text")])
def test_numbers_are_options_and_the_answer_is_a_place_or_one_of_them(
    answers, form, tmp_path, capsys
):
    rows = [{"question": q, "choices": [0.1, 0.7, 3.5], "answer": answers[p]} for q, _, p in TRUE]
    items, section = read(lines(tmp_path / "own.jsonl", rows), capsys)
    assert section["answer_format"] == form
    assert list(items["answer"]) == ["ABC"[p] for _, _, p in TRUE]


def test_numbers_beside_options_that_cannot_be_read_are_no_open_answers(tmp_path, capsys):
    rows = [
        {"question": q, "choices": "['x' 'y']", "answer": n % 2} for n, (q, *_) in enumerate(TRUE)
    ]
    told = refused(lines(tmp_path / "own.jsonl", rows), capsys)
    assert "'choices': a list without commas, as numpy prints it" in told
    classes = [
        {"premise": q, "hypothesis": "So.", "label": n % 3} for n, (q, *_) in enumerate(TRUE)
    ]
    assert "label (number)" in refused(lines(tmp_path / "nli.jsonl", classes), capsys)


def test_what_keeps_most_rows_from_being_read_is_told_with_the_first_of_them(tmp_path, capsys):
    rows = [{"question": q, "options": o, "answer": "A, C"} for q, o, _ in TRUE]
    told = refused(lines(tmp_path / "own.jsonl", rows), capsys)
    assert "row 1: answer 'A, C' is not among the 3 options A-C" in told
    several = [{**row, "answer": ["A", "C"]} for row in rows]
    told = refused(lines(tmp_path / "several.jsonl", several), capsys)
    assert "'answer': answer is a list of 2, and an item has one answer" in told


@pytest.mark.parametrize(
    ("keys", "parts", "first"),
    [
        (("train", "test"), {"train": ["train"], "test": ["test"]}, 40),
        (("training", "dev"), {"train": ["training"], "test": ["dev"]}, 40),
        (("physics", "biology"), None, 30),
        (("data",), None, 30),
    ],
)
def test_lists_of_one_json_object_are_parts_if_they_are_called_so(
    keys, parts, first, tmp_path, capsys
):
    rows = [{"question": q, "options": o, "answer": "ABC"[p]} for q, o, p in TRUE]
    of_key = dict(zip(keys, (rows[:30], rows[30:]), strict=False))
    (tmp_path / "whole.json").write_text(json.dumps({"version": 1, **of_key}, indent=1))
    items, section = read(tmp_path / "whole.json", capsys)
    assert (section.get("parts"), section.get("records")) == (parts, None if parts else keys[0])
    assert len(items) == first
    if parts:
        assert items["split"].value_counts().to_dict() == {"train": 30, "test": 10}


@pytest.mark.parametrize(
    ("whole", "section", "count"),
    [
        ({"data": {"train": [0, 1], "test": [2]}}, {"train": ["data.train"]}, 2),
        ({"train": {"a": 0, "b": 1}, "test": {"c": 2, "d": 3}}, {"train": ["train"]}, 2),
        ({"a": 0, "b": 1, "c": 2}, "[]", 3),
        ({"about": {"by": [0]}, "questions": [0, 1]}, "questions", 2),
    ],
)
def test_rows_are_found_below_keys_of_one_json_object(whole, section, count, tmp_path, capsys):
    choices = [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]
    row = '{{"question": "Q{}?", "choices": {}, "answer": "B"}}'
    text = re.sub(r"\d", lambda n: row.format(n[0], json.dumps(choices)), json.dumps(whole))
    (tmp_path / "whole.json").write_text(text)
    _, config = printed(tmp_path / "whole.json", capsys)
    found = config["datasets"]["whole"]
    given = {"train": found["parts"]["train"]} if "parts" in found else found["records"]
    assert given == section
    settings = read_section(found)
    made = ingest_as(settings, load(settings, 1, tmp_path), 1, "whole").items
    assert len(made if isinstance(section, str) else made[made["split"] == "train"]) == count


def test_what_no_name_or_value_tells_is_said_with_what_there_is(tmp_path, capsys):
    path = tmp_path / "own.jsonl"
    path.write_text('{"x": "some text", "y": 3}\n' * 3)
    assert main(["items", str(path)]) == 1
    assert "write `columns` yourself from: x (text), y (number)" in capsys.readouterr().err
