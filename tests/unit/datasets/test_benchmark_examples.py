"""The benchmarks of the hub, as their example reads them: made-up rows in each publisher's form."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from caft.datasets import load, read_section
from caft.datasets.ingest import ingest_as

EXAMPLE = Path(__file__).parents[3] / "config/examples/benchmarks.yaml"
SECTIONS = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["datasets"]
COUNT = 4  # rows of each part
OPTIONS = ["iron", "lead", "zinc", "gold"]


def asked(part, row):
    return f"Which metal is number {row} of {part}?"


def right(row):
    """Return the place of the right option."""
    return row % 4


def arc(part, row):
    labels = "ABCD" if row % 2 else "1234"
    return {
        "id": f"{part}-{row}",
        "question": asked(part, row),
        "choices": {"text": OPTIONS, "label": list(labels)},
        "answerKey": labels[right(row)],
    }


def gpqa(part, row):
    gold = OPTIONS[right(row)]
    wrong = [one for one in OPTIONS if one != gold]
    return {
        "Question": asked(part, row),
        "Correct Answer": gold,
        **{f"Incorrect Answer {n}": one for n, one in enumerate(wrong, start=1)},
        "Explanation": "It is heavy.",
        "High-level domain": "Chemistry",
        "Writer's Difficulty Estimate": "Hard undergraduate level",
    }


def commonsense(part, row):
    return {**arc(part, row), "question_concept": "metal"}


def openbook(part, row):
    made = arc(part, row)
    return {"question_stem": made.pop("question"), **made}


def medqa(part, row):
    return {
        "question": asked(part, row),
        "answer": OPTIONS[right(row)],
        "options": dict(zip("ABCD", OPTIONS, strict=True)),
        "meta_info": "step1",
        "answer_idx": "ABCD"[right(row)],
    }


def sciq(part, row):
    gold = OPTIONS[right(row)]
    wrong = [one for one in OPTIONS if one != gold]
    return {
        "question": asked(part, row),
        **{f"distractor{n}": one for n, one in enumerate(wrong, start=1)},
        "correct_answer": gold,
        "support": "Metals differ.",
    }


def aqua(part, row):
    return {
        "question": asked(part, row),
        "options": [f"{label}){text}" for label, text in zip("ABCD", OPTIONS, strict=True)],
        "rationale": "Count them.",
        "correct": "ABCD"[right(row)],
    }


def mmlu(part, row):
    return {
        "question": asked(part, row),
        "subject": "metals",
        "choices": OPTIONS,
        "answer": right(row),
    }


def truthful(part, row):
    gold = OPTIONS[right(row)]
    choices = [gold, *(one for one in OPTIONS if one != gold)]
    return {
        "question": asked(part, row),
        "mc1_targets": {"choices": choices, "labels": [1, 0, 0, 0]},
    }


# name -> how a row is made, parts that the publisher has, kind of its files
FORMS = {
    "arc": (arc, ["train", "validation", "test"], "parquet"),
    "gpqa": (gpqa, ["train"], "csv"),
    "commonsenseqa": (commonsense, ["train", "validation", "test"], "parquet"),
    "openbookqa": (openbook, ["train", "validation", "test"], "parquet"),
    "medqa": (medqa, ["train", "test"], "jsonl"),
    "sciq": (sciq, ["train", "validation", "test"], "parquet"),
    "aqua": (aqua, ["train", "validation", "test"], "parquet"),
    "mmlu": (mmlu, ["auxiliary_train", "dev", "validation", "test"], "parquet"),
    "truthfulqa": (truthful, ["validation"], "parquet"),
}
SHUFFLED = {"gpqa", "sciq", "truthfulqa"}
GIVEN = {"arc", "commonsenseqa", "openbookqa", "medqa", "sciq", "aqua", "mmlu"}
SPLIT = {"auxiliary_train": "train", "dev": "validation"}


def publish(name, folder):
    """Write the folder that `hf download` makes of a data set, card included."""
    make, parts, kind = FORMS[name]
    config = SECTIONS[name].get("config", "default")
    folder.mkdir(parents=True)
    for part in parts:
        rows = [make(part, row) for row in range(COUNT)]
        file = folder / f"{part}.{kind}"
        if kind == "jsonl":
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif kind == "csv":
            pd.DataFrame(rows).to_csv(file, index=False)
        else:
            pd.DataFrame(rows).to_parquet(file)
    files = [{"split": part, "path": f"{part}.{kind}"} for part in parts]
    card = yaml.safe_dump({"configs": [{"config_name": config, "data_files": files}]})
    (folder / "README.md").write_text(f"---\n{card}---\n")


def test_the_example_has_all_nine():
    assert list(FORMS) == list(SECTIONS)


@pytest.mark.parametrize("name", FORMS)
def test_a_benchmark_is_read_as_its_publisher_lays_it_out(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = read_section(SECTIONS[name])
    publish(name, tmp_path / settings.id)
    assert list(settings.problems()) == []
    made = ingest_as(settings, load(settings, 1, tmp_path / "downloads"), 1, name)
    assert len(made.quarantine) == 0
    read = [part for part in FORMS[name][1] if part in settings.split_of()]
    assert len(made.items) == COUNT * len(read)
    for item in made.items.to_dict("records"):
        _, _, _, _, row, _, part = item["question"].strip("?").split()
        assert item["options"]["ABCD".index(item["answer"])] == OPTIONS[right(int(row))]
        assert sorted(item["options"]) == sorted(OPTIONS)
        if name in GIVEN:
            split = "test" if name == "commonsenseqa" and part == "validation" else part
            assert item["split"] == SPLIT.get(split, split)
    assert ("source_order" in made.items) == (name in SHUFFLED)
