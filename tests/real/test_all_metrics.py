"""All metrics that need no judge on real MMLU questions with the real student, in one run."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from harness import Project

ROOT = Path(__file__).parents[2]
EXAMPLE = yaml.safe_load((ROOT / "config/examples/mmlu_dev.yaml").read_text(encoding="utf-8"))
LABELLED = {"cross_entropy", "answer_entropy", "pass_rate", "ifd"}


@pytest.fixture(scope="module")
def project(real_student, tmp_path_factory):
    config = {
        "run": {"datasets": ["mmlu"], "students": ["smollm"], "strategies": ["base"]},
        "datasets": {
            "mmlu": {
                **EXAMPLE["datasets"]["mmlu"],
                "limit": 8,
                "splits": {"train": 0.5, "validation": 0.0, "test": 0.5},
            }
        },
        "students": {"smollm": {"path": str(real_student), "warm_up": {"items": 2, "epochs": 1}}},
        "metrics": {"pass_rate": {"samples": 2}, "cot_mean": {"scored_with": "base"}},
        "analysis": {"draws": 100},
        "evaluation": {"max_new_tokens": {"direct": 4, "cot": 16}},
    }
    project = Project(tmp_path_factory.mktemp("analysis") / "project", config)
    project.first = project.run("analysis")
    return project


def test_every_metric_has_a_value_or_a_reason_for_every_item(project, shipped):
    for name in shipped["metrics"]:
        table = pd.read_parquet(project.folder / f"data/metrics/mmlu/smollm/{name}.parquet")
        assert len(table) == 8
        assert (table["value"].isna() == table["reason"].notna()).all(), name


def test_metrics_of_one_scorer_share_one_generation(project):
    made = project.folder.glob("data/generations/mmlu/smollm/*/letters.parquet")
    assert sorted(path.parent.name for path in made) == ["base", "warm_up"]
    assert project.first.rules["generate_chains"] == 2
    assert project.first.rules["score_items"] == 1


def test_metrics_that_read_the_label_are_marked_and_not_ranked(project, shipped):
    folder = project.folder / "results/analysis/mmlu/smollm"
    quality = pd.read_csv(folder / "metric_quality.csv").query("category == '(all)'")
    assert set(quality["metric"]) == set(shipped["metrics"])
    labelled = quality[quality["reads_label"]]
    assert set(labelled["metric"]) == LABELLED
    assert labelled["roc_auc"].isna().all()


def test_the_same_command_again_runs_nothing(project):
    assert "Nothing to be done" in project.run("analysis").output
