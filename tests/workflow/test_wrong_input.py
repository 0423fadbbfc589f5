"""Wrong input ends a run early, with one line that says what to do."""

import copy

import pandas as pd
import pytest
from harness import Project, questions, write_questions


def with_rows(config, tmp_path, rows):
    file = tmp_path / "mine.jsonl"
    if isinstance(rows, bytes):
        file.write_bytes(rows)
    else:
        write_questions(file, rows)
    changed = copy.deepcopy(config)
    changed["datasets"]["mine"]["path"] = str(file)
    return Project(tmp_path / "project", changed)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (b"", "mine.jsonl"),
        (b'{"id": "1", "question": "caf\xe9?", "answer": "1"}\n', "UTF-8"),
        ([{"id": "1", "question": "1 + 1?", "solution": "2"}], "answer"),
        ([*questions(), {**questions()[0], "question": "Something else?"}], "q0"),
    ],
    ids=["empty", "not UTF-8", "missing column", "same id, other content"],
)
def test_a_broken_file_stops_the_run_before_anything_else(config, tmp_path, rows, complaint):
    project = with_rows(config, tmp_path, rows)
    run = project.run("data", succeeds=False)
    lines = [line for line in run.output.splitlines() if "ItemError" in line]
    assert len(lines) == 1
    assert complaint in lines[0]
    assert "log: logs/ingest_items/mine.log" in lines[0]


def test_one_bad_row_is_quarantined_and_the_run_goes_on(config, tmp_path):
    bad = {"id": "bad", "question": "Add one and two.", "answer": "three"}
    project = with_rows(config, tmp_path, [*questions(), bad])
    project.run("data")
    row = pd.read_parquet(project.folder / "data/quarantine/items/mine.parquet").iloc[0]
    assert (row["row"], row["source_id"], row["reason"]) == (41, "bad", "not_a_number")
    assert row["file"].endswith("mine.jsonl")
    assert len(pd.read_parquet(project.folder / "data/items/mine.parquet")) == 40


def test_a_wrong_config_is_refused_before_any_job(config, tmp_path):
    changed = copy.deepcopy(config)
    changed["students"]["tiny"] = {"path": str(tmp_path / "nowhere")}
    changed["buckets"] = {"default": {"quantiles": [0.75, 0.25]}}
    run = Project(tmp_path / "project", changed).run("-n", succeeds=False)
    assert "students.tiny.path" in run.output
    assert "buckets.default.quantiles: 0.25 comes before 0.75" in run.output


def test_values_on_the_command_line_are_read_as_in_a_file(config, tmp_path):
    project = Project(tmp_path / "project", config)
    given = ("run={seeds: [1, 2]}", "buckets={default: {quantiles: [0.25, 0.5]}}", "seed=3")
    assert "assign_buckets" in project.run("-n", "buckets", "--config", *given).output
    run = project.run("-n", "--config", "run={seeds: [first]}", succeeds=False)
    assert "run.seeds.0: 'first' is no whole number." in run.output


def test_an_unknown_key_is_refused_with_the_known_ones(config, tmp_path):
    changed = {**config, "training": {**config["training"], "learning_rat": 1.0}}
    run = Project(tmp_path / "project", changed).run("-n", succeeds=False)
    assert "training: unknown key 'learning_rat'" in run.output
    assert "learning_rate" in run.output
