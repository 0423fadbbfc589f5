"""Wrong input ends a run early, with one line that says what to do."""

import copy
import os
import shutil
from pathlib import Path

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
    project = Project(tmp_path / "project", changed)
    run = project.run("-n", succeeds=False)
    assert "buckets.default.quantiles: 0.25 comes before 0.75" in run.output
    del changed["buckets"]  # what has to be there is looked for once the keys are right
    project.write(changed)
    assert "students.tiny.path" in project.run("-n", succeeds=False).output


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


def faulty(**changes):
    """Return what makes a part of a config wrong."""
    return lambda config: {**config, **changes}


def with_dataset(**changes):
    def change(config):
        return {**config, "datasets": {"mine": {**config["datasets"]["mine"], **changes}}}

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (faulty(trainng={}), "config: top level: unknown key 'trainng'"),
        (faulty(strategies=[1]), "config: strategies: [1] is no section of keys."),
        (faulty(training={"learning_rate": "fast"}), "config: training.learning_rate: 'fast' is"),
        (with_dataset(path="lost.jsonl"), "config: datasets.mine.path: no file lost.jsonl"),
        (with_dataset(splits={"train": 2}), "config: datasets.mine.splits"),
        (faulty(seed="a\x1b[2J\u202e"), r"config: seed: 'a\x1b[2J\u202e' is no whole number."),
        (
            with_dataset(path="a\x1b]0;owned\x07.jsonl"),
            r"config: datasets.mine.path: no file a\u001b]0;owned\u0007.jsonl",
        ),
    ],
)
def test_a_wrong_config_is_told_in_its_own_lines(config, tmp_path, change, told):
    run = Project(tmp_path / "project", change(copy.deepcopy(config))).run("-n", succeeds=False)
    first, *lines = run.output.partition("CannotRun:\n")[2].splitlines()
    assert first.startswith(told)
    assert all(line.startswith("config: ") for line in lines if line)
    _is_plain(run.output)


def _is_plain(output):
    """Check that an output has no traceback and nothing that a terminal would obey."""
    assert "unexpected" not in output and "Traceback" not in output and 'File "' not in output
    assert _is_seen(output)


def _is_seen(output):
    return all(char.isprintable() or char in "\n\t" for char in output)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"seed: [1,\n", "config.yaml: cannot be read (while parsing"),
        (b"seed: \xe9\n", "config.yaml: cannot be read ('utf-8' codec"),
        (b"- 1\n", "config.yaml: holds no keys."),
        (b"", "config.yaml: holds no keys."),
        (b'seed: "\x1b[2J"\n', "config.yaml: cannot be read (unacceptable character"),
    ],
)
def test_an_unreadable_config_is_named_with_what_is_wrong_in_it(config, tmp_path, content, told):
    project = Project(tmp_path / "project", config)
    (project.folder / "config.yaml").write_bytes(content)
    run = project.run("-n", succeeds=False)
    assert run.output.partition("CannotRun:\n")[2].startswith(told)
    _is_plain(run.output)


def test_a_word_on_the_command_line_that_is_no_yaml_is_one_line(config, tmp_path):
    run = Project(tmp_path / "project", config).run("-n", "--config", "run={a", succeeds=False)
    (line,) = run.output.partition("CannotRun:\n")[2].splitlines()
    assert line.startswith("--config: cannot be read as YAML (while parsing a flow mapping")
    _is_plain(run.output)


@pytest.mark.parametrize("name", ["a\x1b[31mb.txt", "a\nDone.txt", "\u202etxt.b", b"\xff.txt"])
def test_a_file_whose_name_cannot_be_shown_is_refused_before_it_is_printed(config, tmp_path, name):
    student = tmp_path / "student"
    shutil.copytree(config["students"]["tiny"]["path"], student)
    Path(os.fsdecode(os.path.join(os.fsencode(student), os.fsencode(name)))).write_text("")
    changed = {**config, "students": {"tiny": {"path": str(student)}}}
    run = Project(tmp_path / "project", changed).run("-n", succeeds=False)
    (line,) = run.output.partition("CannotRun:\n")[2].splitlines()
    assert line.startswith("config: students.tiny: '") and line.endswith("nobody sees; rename it.")
    _is_plain(run.output)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"answer": "\x9b\x07"}, r"answer '\x9b\x07' is not a number"),
        ({"why": None, "\x1b[2J\nok": 1}, r"has: id, question, answer, \u001b[2J"),
    ],
    ids=["a cell", "a column"],
)
def test_what_a_file_of_questions_holds_is_told_without_what_a_terminal_obeys(
    config, tmp_path, changes, told
):
    row = {"question": "q\u202e", "answer": "1", "why": "so"} | changes
    rows = [
        {"id": f"\x1b[2J{name}\r", **{key: row[key] for key in row if row[key]}} for name in "ab"
    ]
    run = with_rows(config, tmp_path, rows).run("data", succeeds=False)
    (line,) = [line for line in run.output.splitlines() if "ItemError" in line]
    assert told in line and _is_seen(run.output)
    log = (tmp_path / "project/logs/ingest_items/mine.log").read_text(encoding="utf-8")
    _is_plain(log)
