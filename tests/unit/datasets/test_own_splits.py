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
    made = ingest_as(settings, loaded(settings, 1, Path(".")), 1, "own")
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
