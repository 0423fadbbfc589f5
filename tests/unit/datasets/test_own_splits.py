"""Parts of other names than ours: each is a split that the configuration names, or is refused."""

import json

import pytest
from raw_rows import loaded

from caft.datasets import read_section
from caft.datasets.ingest import ingest_as
from caft.datasets.parts import suggested
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


def test_only_names_that_tell_their_split_are_suggested():
    assert suggested(["train_sft", "valid", "test_sft", "extra"]) == (
        "`parts: {train: [train_sft], validation: [valid], test: [test_sft]}`"
    )
