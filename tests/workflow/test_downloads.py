"""What a machine without network needs is fetched by one command before."""

import pytest
from harness import Project


@pytest.fixture(scope="module")
def project(config, tmp_path_factory):
    run = config["run"] | {"strategies": ["sft"], "modes": ["direct"]}
    return Project(tmp_path_factory.mktemp("downloads") / "project", {**config, "run": run})


def test_downloads_fetch_every_student_and_question_set_and_compute_nothing(project):
    assert project.run("downloads").rules == {
        **{"prepare_student": 1, "ingest_items": 1},
        "downloads": 1,
    }


def test_no_job_behind_the_downloads_fetches_a_student_or_questions_again(project):
    later = project.run("scores").rules
    assert later["score_items"] == 1
    assert later["prepare_student"] == later["ingest_items"] == 0
