"""Folders of the user's that jobs read: a changed file in one is noticed, as is a changed file."""

import copy
import shutil

import pytest
from harness import Project, change_weights, questions, write_questions

ITEMS = "data/items/mine.parquet"
RATIONALES = "data/rationales/mine/tiny/1/big.parquet"
JUDGEMENTS = "data/judgements/mine/strict.parquet"


@pytest.fixture
def project(config, student, tmp_path):
    """A project with its data set, its teacher and its judge in folders of their own."""
    shutil.copytree(student, tmp_path / "project/big")
    shutil.copytree(student, tmp_path / "project/strict")
    (tmp_path / "project/sums").mkdir()
    write_questions(tmp_path / "project/sums/train.jsonl", questions(12))
    changed = copy.deepcopy(config)
    del changed["datasets"]["mine"]["path"]
    changed["datasets"]["mine"] |= {"adapter": "hub", "id": "sums", "parts": ["train"]}
    changed["students"]["tiny"]["warm_up"] = None
    changed["run"]["strategies"] = ["distill"]
    changed["teachers"] = {"big": {"provider": "local", "model": "big", "max_new_tokens": 4}}
    changed["strategies"] = {"distill": {"teacher": "big"}}
    changed["judges"] = {"strict": {"provider": "local", "model": "strict", "max_new_tokens": 4}}
    project = Project(tmp_path / "project", changed)
    project.run(ITEMS, RATIONALES, JUDGEMENTS)
    return project


def test_a_changed_file_in_a_local_folder_is_noticed(project):
    again = project.run(ITEMS, RATIONALES, JUDGEMENTS)
    assert dict(again.rules) == {}
    for name, job in (("big", "generate_rationales"), ("strict", "judge_items")):
        change_weights(project.folder / name)
        assert dict(project.run(ITEMS, RATIONALES, JUDGEMENTS).rules) == {job: 1}
    write_questions(project.folder / "sums/train.jsonl", questions(13))
    assert project.run(ITEMS).rules == {"ingest_items": 1}
