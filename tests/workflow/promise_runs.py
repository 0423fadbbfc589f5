"""A finished run to make changes in, and what is asserted of each promise."""

import copy
import shutil

import pytest
from harness import ROOT, Project, questions, write_questions
from scripted_server import ScriptedServer, addends, reply


@pytest.fixture(scope="module")
def server():
    """Adds two numbers, and counts how often it is asked."""
    with ScriptedServer() as server:

        def solve(request, times):
            one, other = addends(request)
            return reply(f"{one} + {other}. [[{one + other}]]")

        server.answer = solve
        yield server


@pytest.fixture(scope="module")
def finished(config, server, student, tmp_path_factory):
    """A project whose run has finished: three strategies, a student and a checkout of its own."""
    changed = copy.deepcopy(config)
    changed["run"] |= {"modes": ["direct"]}
    changed["datasets"]["mine"]["path"] = "sums.jsonl"
    changed["students"]["tiny"]["path"] = "student"
    changed["teachers"] = {
        "big": {"provider": "openai", "base_url": server.url, "model": "big", "concurrency": 4}
    }
    changed["strategies"] = {"complexity_aware": {"teacher": "big"}, "distill": {"teacher": "big"}}
    folder = tmp_path_factory.mktemp("promises") / "finished"
    shutil.copytree(student, folder / "student")
    write_questions(folder / "sums.jsonl", questions(24))
    for name in ("workflow", "src"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / "checkout" / name, ignore=ignored)
    shutil.copy(ROOT / "Snakefile", folder / "checkout")
    project = Project(folder, changed, checkout=folder / "checkout")
    project.run("results/summary.csv")
    return project


def check(promise, finished, server, tmp_path):
    """Make the change in a copy of the finished run, run again, compare jobs and paid calls."""
    shutil.copytree(finished.folder, tmp_path / "project", symlinks=True)
    folder = tmp_path / "project"
    project = Project(folder, copy.deepcopy(finished.config), checkout=folder / "checkout")
    for edit in promise.after:
        edit(project)
        project.run("results/summary.csv")
    asked = sum(server.asked.values())
    promise.edit(project)
    done = project.run("results/summary.csv")
    # This module's asserts are not rewritten: they have to say what they found.
    assert dict(done.rules) == promise.runs, dict(done.rules)
    bought = sum(server.asked.values()) - asked
    assert bought == promise.bought, bought
    assert len(project.stored_keys()) == len(set(project.stored_keys()))
