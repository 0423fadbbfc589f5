"""Weights that are not those that were recorded are never used, and the message's mend works."""

import copy
import os
import re
import shutil

import pytest
from harness import Project, change_weights, questions, write_questions

NOTHING = "Nothing to be done"
SUMMARY = "results/summary.csv"


@pytest.fixture(scope="module")
def finished(config, student, tmp_path_factory):
    """A finished run of `sft` alone, with files and student of its own."""
    changed = copy.deepcopy(config)
    changed["run"] |= {"modes": ["direct"], "strategies": ["base", "sft"]}
    changed["datasets"]["mine"]["path"] = "sums.jsonl"
    changed["students"]["tiny"]["path"] = "student"
    folder = tmp_path_factory.mktemp("damage") / "finished"
    shutil.copytree(student, folder / "student")
    write_questions(folder / "sums.jsonl", questions(24))
    project = Project(folder, changed, ("--cores", "1"))
    project.run(SUMMARY)
    return project


@pytest.fixture
def project(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", copy.deepcopy(finished.config), ("--cores", "1"))


def damage(weights):
    """Turn a few bits over, as a bad disk does."""
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0x55
    weights.write_bytes(content)


def ask_further(project):
    """Ask the models for something that they have not been asked yet."""
    project.config["run"]["modes"] = ["direct", "cot"]
    project.write(project.config)


def test_a_damaged_model_is_named_and_trained_again_once_its_folder_is_removed(project):
    model = project.folder / "results/models" / project.models("sft")["final"]
    weights = model / "adapter_model.safetensors"
    whole = weights.read_bytes()
    damage(weights)
    ask_further(project)
    refused = project.run(SUMMARY, succeeds=False)
    found = re.search(r"adapter_model.safetensors is damaged .* rm -r (\S+)", refused.output)
    assert found and found[1].endswith(model.name)
    shutil.rmtree(project.folder / found[1])
    assert project.run(SUMMARY).rules["train_stage"] == 1
    assert weights.read_bytes() == whole


def test_a_damaged_warm_up_is_named_and_trained_again_once_its_folder_is_removed(project):
    (weights,) = project.folder.glob("data/warm_up/*/*/*/adapter_model.safetensors")
    damage(weights)
    for made in ("data/scores", "data/blocks"):
        shutil.rmtree(project.folder / made)
    refused = project.run("scores", succeeds=False)
    assert "rm -r data/warm_up/mine/tiny/letters" in refused.output
    shutil.rmtree(weights.parent)
    assert project.run("scores").rules["warm_up_student"] == 1


def test_a_student_of_another_content_with_the_same_size_and_time_is_noticed(project):
    """As a copy that keeps times may leave it."""
    file = project.folder / "student/model.safetensors"
    times = file.stat()
    change_weights(project.folder / "student")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    prepared = project.folder / "data/models/tiny/student.json"
    known = prepared.read_text()
    assert project.run(SUMMARY).rules["prepare_student"] == 1
    assert prepared.read_text() != known


def test_a_table_of_scores_that_an_older_one_replaces_is_noticed(project):
    ids = [f"q{number}" for number in range(24)]

    def write(name, values):
        rows = [f"{one},{value}" for one, value in zip(ids, values, strict=True)]
        (project.folder / name).write_text("\n".join(["source_id,value", *rows]) + "\n")

    write("scores.csv", range(24))
    imported = {"metric": "imported", "path": "scores.csv", "column": "value"}
    project.config["metrics"] = {"mine": imported}
    project.config["buckets"] = {"default": {"metric": "mine", "quantiles": [0.25, 0.75]}}
    project.write(project.config)
    project.run("buckets")
    buckets = project.folder / "data/buckets/mine/tiny/default.parquet"
    known = buckets.read_bytes()
    write("other.csv", reversed(range(24)))
    os.utime(project.folder / "other.csv", (1e9, 1e9))
    os.replace(project.folder / "other.csv", project.folder / "scores.csv")
    assert project.run("buckets").rules["compute_metric"] == 1
    assert buckets.read_bytes() != known


@pytest.mark.parametrize("options", [(), ("--rerun-triggers", "mtime")])
def test_a_changed_config_is_noticed_without_snakemakes_records(project, options):
    shutil.rmtree(project.folder / ".snakemake")
    assert NOTHING in project.run(SUMMARY, "-n", *options).output
    project.config["training"]["learning_rate"] = 0.02
    project.write(project.config)
    assert NOTHING not in project.run(SUMMARY, "-n", *options).output
    assert project.run(SUMMARY, *options).rules["train_stage"] == 1


def test_a_profile_that_looks_at_times_alone_hides_no_changed_setting(project):
    profile = project.folder / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text("rerun-triggers: [mtime]\n")
    project.config["evaluation"]["max_new_tokens"] = {"direct": 3}
    project.write(project.config)
    run = project.run(SUMMARY, "--profile", str(profile))
    assert run.rules["evaluate_model"] == 2


@pytest.mark.parametrize("options", [(), ("-n",)])
def test_settings_that_cannot_be_looked_at_are_not_taken_as_current(project, options):
    folder = project.folder / "data/settings/ingest_items"
    os.rename(folder, folder.with_name("away"))
    folder.write_text("")
    told = project.run(SUMMARY, *options, succeeds=False).output
    assert f"cannot write or open {folder.relative_to(project.folder)}: a file is in the" in told
    assert "Traceback" not in told
    folder.unlink()
    assert NOTHING in project.run(SUMMARY).output
