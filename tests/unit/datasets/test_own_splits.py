"""Parts of other names than ours: each is a split that the configuration names, or is refused."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_rows import loaded

from caft.datasets import read_section
from caft.datasets.guessing import guess
from caft.datasets.ingest import ingest_as, require_splits
from caft.datasets.parts import guessed, suggested
from caft.errors import ItemError

COUNTS = {"auxiliary_train": 4, "dev": 2, "validation": 2, "test": 3}
SPLITS = {"train": 0.6, "validation": 0.1, "test": 0.3}


def rows(part, count):
    return [
        {"question": f"{part} {n}?", "choices": ["a", "b"], "answer": n % 2, "split": part}
        for n in range(count)
    ]


@pytest.fixture
def hub(tmp_path):
    """A local folder as the hub lays data out, with four parts."""
    folder = tmp_path / "hub"
    folder.mkdir()
    files = "".join(f"  - split: {part}\n    path: {part}.jsonl\n" for part in COUNTS)
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n"
    (folder / "README.md").write_text(card)
    for part, count in COUNTS.items():
        lines = map(json.dumps, rows(part, count))
        (folder / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def section(adapter, **keys):
    columns = {"question": "question", "options": "choices", "answer": "answer"}
    columns |= keys.pop("more", {})
    spec = {"adapter": adapter, "answer_format": "index0", "splits": SPLITS, "columns": columns}
    return read_section({**spec, **keys})


def by_split(settings, folder):
    made = ingest_as(settings, loaded(settings, 1, folder / "downloads"), 1, "own")
    parts = made.items["question"].str.split().str[0]
    return {split: sorted(parts[made.items["split"] == split]) for split in SPLITS}


def test_parts_of_any_name_are_mapped(hub, tmp_path):
    parts = {"train": "auxiliary_train", "validation": ["dev", "validation"], "test": "test"}
    settings = section("hub", id=str(hub), parts=parts)
    assert list(settings.problems()) == [] and settings.may_have_validation
    assert by_split(settings, tmp_path) == {
        "train": ["auxiliary_train"] * 4,
        "validation": ["dev"] * 2 + ["validation"] * 2,
        "test": ["test"] * 3,
    }


def test_lists_of_one_json_object_are_parts(tmp_path):
    path, row = tmp_path / "whole.json", {"options": ["x", "y"], "answer": "A"}
    names = {"a": "train", "b": "validation", "c": "test"}
    whole = {part: [{"question": f"{part}{n}?", **row} for n in range(3)] for part in names}
    path.write_text(json.dumps({"about": "letters", **whole}))
    given = {"adapter": "file", "path": str(path), "splits": {"train": 0.5, "test": 0.5}}
    columns = {"question": "question", "options": "options", "answer": "answer"}

    def made(**more):
        settings = read_section({**given, "columns": columns, **more})
        return ingest_as(settings, loaded(settings, 1, tmp_path), 1, "own").items

    parts = {split: part for part, split in names.items()}
    items = made(parts=parts)
    assert dict(zip(items["question"].str[0], items["split"], strict=True)) == names
    assert list(items["source_id"])[:2] == ["a/1", "a/2"]
    with pytest.raises(ItemError, match="names no split for 'c'; the parts are a, b, c"):
        made(parts={"train": "a", "test": "b"})
    with pytest.raises(ItemError, match="has no part 'd'; the parts are a, b, c"):
        made(parts={**parts, "train": ["a", "d"]})
    with pytest.raises(ItemError, match="set `parts` to the split of each of a, b, c, or `rec"):
        made()
    path.write_text(json.dumps(whole["a"]))
    with pytest.raises(ItemError, match=r"has no parts of its own.*`columns\.split`"):
        made(parts=parts)


def test_a_part_that_is_not_named_is_not_read(hub, tmp_path):
    settings = section("hub", id=str(hub), parts={"train": "dev", "test": "test"})
    found = by_split(settings, tmp_path)
    assert (found["train"], found["validation"]) == (["dev"] * 2, [])


def test_a_part_that_official_splits_cannot_place_is_refused_with_the_way_out(hub, tmp_path):
    settings = section("hub", id=str(hub), parts=list(COUNTS), official_splits=True)
    ((key, problem),) = settings.problems()
    assert key == "official_splits"
    assert "not auxiliary_train, dev;" in problem
    assert "`parts: {train: [auxiliary_train], validation: [dev, validation], test: [test]}`" in (
        problem
    )
    with pytest.raises(ItemError, match="knows train, validation and test, and not aux"):
        loaded(settings, 1, tmp_path)


def test_a_part_is_one_split_and_is_there(hub, tmp_path):
    twice = section("hub", id=str(hub), parts={"train": ["dev", "test"], "test": "test"})
    assert ("parts", "'test' is named twice.") in list(twice.problems())
    absent = section("hub", id=str(hub), parts={"train": "no", "test": "test"})
    with pytest.raises(ItemError, match="no part 'no'; the dataset has: auxiliary_train, dev"):
        loaded(absent, 1, tmp_path)


def test_a_column_of_splits_is_mapped_and_other_names_are_refused(tmp_path):
    path = tmp_path / "q.jsonl"
    made = [row for part, count in COUNTS.items() for row in rows(part, count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    parts = {"train": "auxiliary_train", "validation": ["dev", "validation"], "test": "test"}
    keys = {"path": str(path), "more": {"split": "split"}}
    assert by_split(section("file", parts=parts, **keys), tmp_path)["validation"] == [
        "dev",
        "dev",
        "validation",
        "validation",
    ]
    del parts["validation"]
    with pytest.raises(ItemError, match="`parts` names no split for 'dev', but for aux"):
        by_split(section("file", parts=parts, **keys), tmp_path)
    with pytest.raises(ItemError, match="split 'auxiliary_train' is none of train"):
        by_split(section("file", **keys), tmp_path)


def test_parts_whose_names_tell_no_split_are_left_out_of_what_is_suggested():
    assert suggested(["train_sft", "valid", "test_sft", "extra"]) == (
        "`parts: {train: [train_sft], validation: [valid], test: [test_sft], leave_out: [extra]}`"
    )


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("auxiliary_train", "train"),
        ("TrainSet", "train"),
        ("train2", "train"),
        ("training", "train"),
        ("test_hard", "test"),
        ("hardTest", "test"),
        ("data.test", "test"),
        ("val", "validation"),
        ("en_dev", "validation"),
        ("eval", "validation"),
        ("development-set", "validation"),
        ("contest_math", None),
        ("mytest", None),
        ("devices", None),
        ("values", None),
        ("strain", None),
    ],
)
def test_a_word_of_a_name_tells_its_split(name, split):
    assert guessed([name]) == ({split: [name]} if split else {})


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def followed(path):
    """Read what is guessed of a path: its section, the counts of its splits, and the notes."""
    found = guess(str(path))
    settings = read_section(found.section)
    assert list(settings.problems()) == []
    made = ingest_as(settings, loaded(settings, 1, Path(path).parent / "downloads"), 1, "own")
    require_splits(made.items, settings.splits, "own")
    assert made.report["rejected"] == {}
    counts = {split: count for split, count in made.report["by_split"].items() if count}
    return found.section, counts, " ".join(found.notes)


def in_column(folder, **counts):
    made = [row for part, count in counts.items() for row in rows(part, count)]
    return jsonl(folder / "q.jsonl", made)


def test_a_column_of_splits_is_read_to_its_end(tmp_path):
    section, counts, _ = followed(in_column(tmp_path, train=1200, test=300))
    assert section["columns"]["split"] == "split" and "parts" not in section
    assert counts == {"train": 1200, "test": 300}
    section, counts, _ = followed(in_column(tmp_path, train=500, test=600, dev=20))
    assert section["parts"] == {"train": ["train"], "validation": ["dev"], "test": ["test"]}
    assert counts == {"train": 500, "validation": 20, "test": 600}


def test_a_column_of_splits_in_parquet_and_in_the_second_file_is_read(tmp_path):
    for name, held in (("a", rows("train", 9)), ("b", rows("test", 4))):
        pq.write_table(pa.Table.from_pylist(held), tmp_path / f"{name}.parquet")
    section, counts, _ = followed(tmp_path)
    assert (section["columns"]["split"], counts) == ("split", {"train": 9, "test": 4})


def test_validation_of_a_column_stands_for_a_test_that_is_not_there(tmp_path):
    section, counts, notes = followed(in_column(tmp_path, train=9, validation=4))
    assert section["parts"] == {"train": ["train"], "test": ["validation"]}
    assert section["splits"] == {"train": 0.7, "validation": 0.0, "test": 0.3}
    assert counts == {"train": 9, "test": 4}
    assert "there is no test; validation stands for it" in notes


@pytest.mark.parametrize(
    "counts",
    [{"test": 60, "validation": 20}, {"train": 60}, {"train": 60, "test": 20, "extra": 1}],
)
def test_a_column_that_gives_no_splits_is_told(counts, tmp_path):
    section, _, notes = followed(in_column(tmp_path, **counts))
    assert "split" not in section["columns"] and "parts" not in section
    assert f"are drawn, although there is a column 'split': it has {', '.join(counts)}, " in notes


def test_a_column_that_has_no_name_of_a_split_is_none_of_splits(tmp_path):
    _, _, notes = followed(in_column(tmp_path, contest=40, homework=40))
    assert "although" not in notes


def in_files(folder, ending="jsonl", **counts):
    for part, count in counts.items():
        jsonl(folder / f"{part}.{ending}", [{**row, "split": "x"} for row in rows(part, count)])
    return folder


def test_train_and_validation_of_a_folder_are_kept(tmp_path):
    section, counts, notes = followed(in_files(tmp_path, train=9, validation=4))
    assert (section["adapter"], section["parts"]) == (
        "file",
        {"train": ["train"], "test": ["validation"]},
    )
    assert section["splits"]["validation"] == 0
    assert (counts, "validation stands for it" in notes) == ({"train": 9, "test": 4}, True)
    raw = loaded(section_without(section, "parts"), 1, tmp_path)
    assert raw.notes == [
        "train and validation are read as one set, whose splits are drawn; to keep theirs, set "
        "`parts: {train: [train], test: [validation]}`."
    ]


def section_without(section, *keys):
    return read_section({key: value for key, value in section.items() if key not in keys})


def test_files_of_a_folder_or_a_pattern_are_parts_by_their_names(tmp_path):
    folder = in_files(
        tmp_path / "q", **{"en-train-00000-of-00002": 3, "en-train-00001-of-00002": 4}
    )
    in_files(folder, dev=2, test=5)
    for path in (folder, folder / "*.jsonl"):
        section, counts, _ = followed(path)
        assert section["path"] == str(path)
        assert section["parts"] == {"train": ["en-train"], "validation": ["dev"], "test": ["test"]}
        assert counts == {"train": 7, "validation": 2, "test": 5}
    settings = read_section(section)
    ids = {row["source_id"] for row in loaded(settings, 1, tmp_path).rows}
    assert {"test/1", "en-train/en-train-00001-of-00002.jsonl/4"} < ids
    some = read_section({**section, "parts": {"train": "en-train", "test": "test"}})
    with pytest.raises(ItemError, match="names no split for 'dev'; the parts are dev, en-train, t"):
        loaded(some, 1, tmp_path)


def table(rows, sign):
    return "".join(f"{sign.join(row)}\r\n" for row in rows)


@pytest.mark.parametrize(("sign", "encoding"), [(",", "utf-8"), (";", "cp1252")])
def test_cells_of_a_folder_with_splits_are_read_as_they_are_shown(sign, encoding, tmp_path):
    head = ["question", "A", "B", "C", "answer"]
    for part, count in (("train", 9), ("test", 6)):
        cells = [[f"é {part} {n}?", "0.50", "007", "None", "ABC"[n % 3]] for n in range(count)]
        (tmp_path / f"{part}.csv").write_bytes(table([head, *cells], sign).encode(encoding))
    section, counts, _ = followed(tmp_path)
    assert counts == {"train": 9, "test": 6}
    options = {tuple(row["options"]) for row in loaded(read_section(section), 1, tmp_path).rows}
    assert options == {("0.50", "007", "None")}


def test_the_encoding_of_a_part_that_is_not_the_first_is_found(tmp_path):
    head = ["question", "A", "B", "answer"]
    for part, letter in (("train", "e"), ("test", "é")):
        cells = [[f"{letter} {n}?", f"x{n}", f"y{n}", "AB"[n % 2]] for n in range(9)]
        (tmp_path / f"{part}.csv").write_bytes(table([head, *cells], ",").encode("cp1252"))
    section, counts, _ = followed(tmp_path)
    assert (section["encoding"], counts) == ("cp1252", {"train": 9, "test": 9})


def test_files_that_are_one_json_object_keep_their_splits(tmp_path):
    for part, count in (("train", 9), ("test", 4)):
        (tmp_path / f"{part}.json").write_text(json.dumps({"data": rows(part, count)}))
    section, counts, _ = followed(tmp_path)
    assert (section["records"], counts) == ("data", {"train": 9, "test": 4})


def test_a_part_that_is_left_out_is_not_read(tmp_path):
    section, counts, notes = followed(in_files(tmp_path, train=9, test=4, extra=5))
    assert section["parts"] == {"train": ["train"], "test": ["test"], "leave_out": ["extra"]}
    assert (counts, "tells no split: extra" in notes) == ({"train": 9, "test": 4}, True)
    section["columns"]["split"] = "split"
    ((key, problem),) = read_section(section).problems()
    assert (key, "leave_out names parts" in problem) == ("parts", True)
    del section["columns"]["split"]
    section["parts"]["leave_out"] = ["extra", "other"]
    with pytest.raises(ItemError, match="has no part 'other'"):
        loaded(read_section(section), 1, tmp_path)


def test_the_hub_leaves_out_a_part_that_is_there(hub, tmp_path):
    parts = {"train": "dev", "test": "test", "leave_out": "validation"}
    assert by_split(section("hub", id=str(hub), parts=parts), tmp_path)["train"] == ["dev"] * 2
    with pytest.raises(ItemError, match="no part 'none'; the dataset has: auxiliary_train, dev"):
        by_split(section("hub", id=str(hub), parts={**parts, "leave_out": "none"}), tmp_path)


def saved(folder, **counts):
    import datasets

    made = {part: datasets.Dataset.from_list(rows(part, count)) for part, count in counts.items()}
    datasets.DatasetDict(made).save_to_disk(folder)
    return folder


def whole(folder, **counts):
    folder.mkdir(exist_ok=True)
    path = folder / "whole.json"
    path.write_text(json.dumps({part: rows(part, count) for part, count in counts.items()}))
    return path


@pytest.mark.parametrize("write", [saved, whole])
@pytest.mark.parametrize(
    ("counts", "alone"),
    [
        ({"train": 90}, "train"),
        ({"validation": 90}, "validation"),
        ({"validation": 90, "test": 80}, "test"),
        ({"extra": 80, "train": 90}, "train"),
    ],
)
def test_of_parts_that_are_no_train_and_another_one_is_read(write, counts, alone, tmp_path):
    path = write(tmp_path / "set", **counts)
    section, found, notes = followed(path)
    assert "parts" not in section and sum(found.values()) == counts[alone] and len(found) == 3
    if write is saved:
        assert section["path"] == f"{path}/{alone}"
    else:
        assert section["records"] == alone
    others = ", ".join(part for part in counts if part != alone)
    assert (f"only {alone} is read; not read: {others}." in notes) == bool(others)


@pytest.mark.parametrize("write", [saved, whole, in_files])
def test_parts_without_validation_have_no_share_of_it(write, tmp_path):
    section, counts, _ = followed(write(tmp_path / "set", train=9, eval=4, extra=3))
    assert section["parts"] == {"train": ["train"], "test": ["eval"], "leave_out": ["extra"]}
    assert section["splits"] == {"train": 0.7, "validation": 0.0, "test": 0.3}
    assert counts == {"train": 9, "test": 4}


def test_of_files_without_train_the_test_is_read(tmp_path):
    in_files(tmp_path, **{f"test-0000{n}-of-00002": 40 for n in range(2)}, validation=7)
    section, counts, notes = followed(tmp_path)
    assert section["path"] == f"{tmp_path}/test-*-of-*" and sum(counts.values()) == 80
    assert "only test is read; not read: validation." in notes


@pytest.mark.parametrize("write", [saved, whole, in_files])
@pytest.mark.parametrize("answer", [-1, None])
def test_a_test_without_answers_is_left_out(write, answer, tmp_path, monkeypatch):
    plain = rows

    def unlabelled(part, count):
        held = plain(part, count)
        return [{**row, "answer": answer} for row in held] if part == "test" else held

    monkeypatch.setattr(f"{__name__}.rows", unlabelled)
    section, counts, notes = followed(write(tmp_path / "a", train=9, validation=4, test=5))
    assert section["parts"] == {"train": ["train"], "test": ["validation"], "leave_out": ["test"]}
    assert counts == {"train": 9, "test": 4}
    assert "validation stands for it" in notes and "of the first rows become items: test" in notes
    _, counts, notes = followed(write(tmp_path / "b", train=90, test=5))
    assert sum(counts.values()) == 90 and len(counts) == 3
    assert "become items: test; splits are drawn from train" in notes


def test_a_part_without_a_column_that_is_not_needed_is_read(tmp_path):
    jsonl(tmp_path / "train.jsonl", [{**row, "rationale": "So."} for row in rows("train", 9)])
    jsonl(tmp_path / "test.jsonl", rows("test", 4))
    section, counts, _ = followed(tmp_path)
    assert (section["columns"]["rationale"], counts) == ("rationale", {"train": 9, "test": 4})


@pytest.mark.parametrize(
    ("names", "adapter", "parts"),
    [
        (("train-0", "dev-0"), "hub", {"train": ["train"], "test": ["validation"]}),
        (("train", "eval"), "file", {"train": ["train"], "test": ["eval"]}),
        (
            ("auxiliary_train-00000-of-00001", "dev-00000-of-00001"),
            "hub",
            {"train": ["auxiliary_train"], "test": ["dev"]},
        ),
        (
            ("train-00000-of-00001", "test-00000-of-00001", "more-00000-of-00001"),
            "hub",
            {"train": ["train"], "test": ["test"], "leave_out": ["more"]},
        ),
    ],
)
def test_a_folder_as_of_the_hub_has_the_names_of_its_library(names, adapter, parts, tmp_path):
    (tmp_path / "set/data").mkdir(parents=True)
    for name, count in zip(names, (9, 4, 2), strict=False):
        held = pa.Table.from_pylist(rows(name, count))
        pq.write_table(held, tmp_path / f"set/data/{name}.parquet")
    section, counts, _ = followed(tmp_path / "set")
    assert (section["adapter"], section["parts"]) == (adapter, parts)
    assert counts == {"train": 9, "test": 4}


def test_of_a_folder_as_of_the_hub_without_train_the_test_is_read(tmp_path):
    (tmp_path / "set/data").mkdir(parents=True)
    for name, count in (("test-0", 90), ("validation-0", 4)):
        held = pa.Table.from_pylist(rows(name, count))
        pq.write_table(held, tmp_path / f"set/data/{name}.parquet")
    section, counts, _ = followed(tmp_path / "set")
    assert (section["parts"], sum(counts.values())) == (["test"], 90)


@pytest.mark.parametrize("place", ["set", "set/data"])
def test_text_below_a_folder_is_read_by_a_pattern(place, tmp_path):
    in_files(tmp_path / place, train=9)
    in_files(tmp_path / "set/data", test=4)
    section, counts, _ = followed(tmp_path / "set")
    assert section["path"] == f"{tmp_path}/set/**/*.jsonl"
    assert counts == {"train": 9, "test": 4}


def test_files_of_one_name_in_several_folders_have_rows_of_their_own(tmp_path):
    for name in ("physics", "biology"):
        jsonl(tmp_path / name / "questions.jsonl", rows(name, 30))
    section, counts, _ = followed(tmp_path / "*" / "questions.jsonl")
    assert sum(counts.values()) == 60
    ids = [row["source_id"] for row in loaded(read_section(section), 1, tmp_path).rows]
    assert (ids[0], ids[-1]) == ("biology/questions.jsonl/1", "physics/questions.jsonl/30")


def test_the_list_with_the_most_questions_is_read(tmp_path):
    path = tmp_path / "viewer.json"
    held = [{"row_idx": n, "row": row} for n, row in enumerate(rows("q", 60))]
    path.write_text(json.dumps({"features": [{"name": "question", "type": {}}], "rows": held}))
    section, counts, notes = followed(path)
    assert (section["records"], sum(counts.values())) == ("rows", 60)
    assert "only rows is read; not read: features." in notes
    path.write_text(json.dumps({"features": [{"name": "x"}], "rows": [{"y": 1}]}))
    with pytest.raises(ItemError, match="only features is read; not read: rows"):
        guess(str(path))


def test_the_sheet_with_the_most_questions_is_read(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Readme"
    book.active.append(["About", "Who"])
    book.active.append(["These are questions.", "me"])
    sheet = book.create_sheet("Questions")
    sheet.append(["question", "A", "B", "answer"])
    for n in range(60):
        sheet.append([f"Which {n}?", f"x{n}", f"y{n}", "AB"[n * n % 3 % 2]])
    book.save(tmp_path / "q.xlsx")
    section, counts, notes = followed(tmp_path / "q.xlsx")
    assert (section["sheet"], sum(counts.values())) == ("Questions", 60)
    assert "only Questions is read; not read: Readme." in notes
