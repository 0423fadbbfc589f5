"""The shipped workflow, killed in every stage: the same command finishes what is left."""

import copy

import pandas as pd
from harness import Project


def test_a_killed_run_finishes_and_stores_no_answer_twice(config, tmp_path):
    changed = copy.deepcopy(config)
    changed["run"]["strategies"] = ["base", "distill"]
    changed["run"]["modes"] = ["cot"]
    changed["teachers"] = {
        "tiny_teacher": {
            "provider": "local",
            "model": config["students"]["tiny"]["path"],
            "max_new_tokens": 64,
            "batch_size": 1,
            "fallback": "train_on_answer",
        }
    }
    changed["strategies"] = {"distill": {"teacher": "tiny_teacher"}}
    project = Project(tmp_path / "project", changed)
    project.run_and_kill("logs/score_items/*.log")
    project.run_and_kill("data/store/teacher/journals/*.jsonl", written=True)
    bought_before = set(project.stored_keys())
    assert bought_before
    project.run("mixtures")
    project.run_and_kill("logs/train_stage/*.log", jobs_too=False)
    project.run_and_kill("logs/evaluate_model/*.log")
    project.run("results/summary.csv")
    answers = project.stored_keys()
    wanted = pd.read_parquet(project.folder / "data/items/mine.parquet").query("split == 'train'")
    assert bought_before <= set(answers)
    assert len(answers) == len(set(answers)) == len(wanted)
    assert len(pd.read_csv(project.folder / "results/summary.csv")) == 2
    quarantined = pd.read_csv(
        next(project.folder.glob("data/quarantine/rationales/mine/tiny/1/*.csv"))
    )
    assert set(quarantined["reason"]) <= {"truncated", "unparsed", "wrong_answer"}
