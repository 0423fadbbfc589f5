"""The workflow on a real Slurm through `--profile slurm`; `.ci/slurm start` makes a cluster."""

import copy
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager

import pandas as pd
import pytest
from harness import POLLING, ROOT, Project, Run
from scripted_server import ScriptedServer, addends, reply

LIGHT = {"compute_metric", "assign_buckets", "build_mixtures", "tabulate_teacher", "summarize"}


def idle_cluster():
    try:
        states = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
    except FileNotFoundError:
        return False
    return states.returncode == 0 and bool(states.stdout.strip())


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A cluster that answers; without one these tests are skipped, but in CI they fail."""
    if not idle_cluster():
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("no Slurm here; `.ci/slurm install` and `.ci/slurm start` make one")


@pytest.fixture(scope="module")
def server():
    """A teacher that adds; it refuses the very first request."""

    def solve(request, times):
        if not refused:
            refused.append(request)
            return 401, {}, {"error": {"message": "bad key"}}
        return reply(f"So it is [[{sum(addends(request))}]]")

    refused = []
    with ScriptedServer(solve) as server:
        yield server


@pytest.fixture(scope="module")
def settings(config, server):
    changed = copy.deepcopy(config)
    changed["students"]["tiny"]["warm_up"] = None
    changed["run"] |= {"strategies": ["base", "hard_only"], "modes": ["cot"]}
    teacher = {"provider": "openai", "model": "big", "api_key_env": None, "concurrency": 1}
    changed["teachers"] = {"big": {**teacher, "base_url": server.url}}
    changed["strategies"] = {"hard_only": {"teacher": "big"}}
    changed["engine"] |= {"gpus": 1, "runtime": 10}
    return changed


@contextmanager
def started(project, log, *targets):
    """Start a run that writes to a log; it and its jobs end with the test."""
    with log.open("w") as output:
        process = project.start(*targets, output=output)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
                subprocess.run(["scancel", *re.findall(r"SLURM jobid (\d+)", log.read_text())])


def until(condition, process, seconds=1200):
    """Wait for a condition while the run goes on; return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, "the run ended before"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def submitted_job(log, rule):
    """Return the id of the first Slurm job of a rule once it runs."""
    found = re.search(rf"SLURM jobid (\d+) .*/rule_{rule}/", log.read_text())
    if not found:
        return None
    state = subprocess.check_output(["squeue", "-h", "-j", found[1], "-o", "%T"], text=True)
    return found[1] if state.strip() == "RUNNING" else None


def jobs_of(run):
    """Return what Slurm knows of the jobs of a run, in the order of submission, by rule."""
    jobs = {}
    for number, rule in re.findall(r"SLURM jobid (\d+) .*/rule_(\w+)/", run.output):
        shown = subprocess.check_output(["scontrol", "show", "job", "-o", number], text=True)
        jobs.setdefault(rule, []).append(dict(re.findall(r"(\w+)=(\S*)", shown)))
    return jobs


@pytest.fixture(scope="module")
def project(settings, tmp_path_factory):
    """A project after a first run in which the teacher refused once and a job was cancelled."""
    folder = tmp_path_factory.mktemp("slurm") / "project"
    project = Project(folder, settings, ("--profile", "slurm"), program=POLLING)
    (folder / "slurm").symlink_to(ROOT / "profiles/slurm")
    log = folder / "first.log"
    with started(project, log, "results/summary.csv") as process:
        victim = until(lambda: submitted_job(log, "train_stage"), process)
        subprocess.check_call(["scancel", victim])
        code = process.wait(1200)
    project.first = Run.of(log.read_text(), code)
    assert code == 0, project.first.output[-6000:]
    return project


def test_the_table_is_the_same_as_that_of_a_local_run(project, settings, tmp_path):
    without_gpus = {**settings, "engine": {**settings["engine"], "gpus": 0}}
    local = Project(tmp_path / "local", without_gpus)
    local.run("results/summary.csv")
    tables = [
        pd.read_csv(run.folder / "results/summary.csv").filter(regex="^(?!.*seconds)")
        for run in (project, local)
    ]
    pd.testing.assert_frame_equal(*tables)


def test_heavy_rules_are_submitted_and_light_ones_run_where_snakemake_runs(project):
    assert project.first.submitted == {
        "prepare_student": 1,
        "ingest_items": 1,
        "score_items": 1,
        "generate_rationales": 2,  # refused once
        "train_stage": 2,  # cancelled once
        "evaluate_model": 2,
    }
    assert set(project.first.rules) - set(project.first.submitted) == LIGHT


def test_a_failed_attempt_says_why_and_where_its_log_is(project):
    assert "TeacherError" in project.first.output
    assert "bad key" in project.first.output
    assert "logs/generate_rationales/mine.tiny.1.big.log" in project.first.output


def test_a_second_attempt_gets_twice_the_memory_and_time(project):
    first, second = jobs_of(project.first)["generate_rationales"]
    assert (first["MinMemoryNode"], first["TimeLimit"]) == ("2000M", "00:10:00")
    assert (second["MinMemoryNode"], second["TimeLimit"]) == ("4000M", "00:20:00")
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")


def test_jobs_that_run_a_model_ask_for_a_gpu_and_others_do_not(project):
    asked = {
        rule: {job.get("TresPerJob") for job in jobs}
        for rule, jobs in jobs_of(project.first).items()
    }
    assert asked == {
        "prepare_student": {None},
        "ingest_items": {None},
        "score_items": {"gres:gpu:1"},
        "generate_rationales": {None},
        "train_stage": {"gres:gpu:1"},
        "evaluate_model": {"gres:gpu:1"},
    }


def test_a_moved_threshold_submits_nothing_but_what_it_needs(project):
    changed = copy.deepcopy(project.config)
    changed["buckets"] = {"default": {"quantiles": [0.2, 0.75]}}
    project.write(changed)
    gres = ("--set-resources", "generate_rationales:gres=gpu:1")
    moved = project.run("results/summary.csv", *gres)
    assert moved.submitted == {"generate_rationales": 1}, "which has nothing to buy"
    assert {"assign_buckets", "build_mixtures", "summarize"} <= set(moved.rules)
    (job,) = jobs_of(moved)["generate_rationales"]
    assert job["TresPerNode"] == "gres:gpu:1"


def test_a_dry_run_leaves_the_jobs_of_a_dead_run_and_a_real_one_cancels_them(project, server):
    before = project.stored_keys()
    changed = copy.deepcopy(project.config)
    changed["buckets"] = {"default": {"quantiles": [0.2, 0.4]}}
    project.write(changed)
    server.latency = lambda question: 1.0
    log = project.folder / "killed.log"
    with started(project, log, "rationales") as process:
        job = until(lambda: submitted_job(log, "generate_rationales"), process)
        journals = project.folder / "data/store/teacher/journals"
        until(lambda: any(path.stat().st_size for path in journals.glob("*.jsonl")), process)
        server.latency = lambda question: 600.0  # so that the job outlives what follows
        process.kill()
        process.wait()
    project.run("-n", "rationales")
    assert submitted_job(log, "generate_rationales") == job
    assert any((project.folder / ".snakemake/locks").iterdir())
    server.latency = lambda question: 0.0
    again = project.run("rationales")
    assert "Removed the lock of an earlier run that was killed" in again.output
    assert jobs_of(Run.of(log.read_text(), -9))["generate_rationales"][0]["JobState"] == "CANCELLED"
    keys = project.stored_keys()
    assert len(keys) == len(set(keys)) > len(before)


def test_one_plain_rerun_finishes_a_run_that_was_struck_at_a_random_moment():
    script = ROOT / "benchmarks/cancel/run.py"
    done = subprocess.run(
        [sys.executable, str(script), "--rounds", "1"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
