import os
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from snakemake.cli import get_argument_parser

from caft.locks import acts, remove_stale_lock


@pytest.fixture
def locked(tmp_path):
    """A folder as a killed run of this machine leaves it."""
    remove_stale_lock(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir()
    (tmp_path / ".snakemake/locks/0.input.lock").write_text("data/items/mine.parquet\n")
    return tmp_path


@contextmanager
def process_in(folder, *names):
    """A process that works in a folder and has these words in its command line."""
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()", *names]
    process = subprocess.Popen(waiting, cwd=folder, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.communicate()


def test_the_lock_of_a_dead_run_is_removed(locked):
    assert remove_stale_lock(locked)
    assert not (locked / ".snakemake/locks").exists()


def test_the_lock_of_a_live_run_stays(locked):
    with process_in(locked, "snakemake"):
        assert not remove_stale_lock(locked)
    assert (locked / ".snakemake/locks/0.input.lock").exists()
    assert remove_stale_lock(locked)


def test_the_lock_of_another_machine_stays(locked):
    (locked / ".snakemake/caft_host").write_text(f"not-{socket.gethostname()}")
    assert not remove_stale_lock(locked)
    assert os.listdir(locked / ".snakemake/locks")


def test_a_folder_without_a_lock_is_left_alone(tmp_path):
    assert not remove_stale_lock(tmp_path)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A squeue and a scancel that keep their jobs in a file, a line `id folder` each."""
    commands, jobs = tmp_path / "bin", tmp_path / "jobs"
    commands.mkdir()
    scripts = {
        "squeue": f"cat {jobs}",
        "scancel": f'for job in "$@"; do sed -i "/^$job /d" {jobs}; done',
    }
    for name, line in scripts.items():
        (commands / name).write_text(f"#!/bin/sh\n{line}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    return jobs


def test_slurm_jobs_of_a_dead_run_are_cancelled_and_others_are_not(locked, slurm):
    slurm.write_text(f"7 {locked}\n8 /elsewhere\n9 {locked}\n")
    assert remove_stale_lock(locked)
    assert slurm.read_text() == "8 /elsewhere\n"


def test_a_run_inside_a_slurm_job_does_not_cancel_itself(locked, slurm, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    slurm.write_text(f"7 {locked}\n9 {locked}\n")
    assert remove_stale_lock(locked)
    assert slurm.read_text() == f"7 {locked}\n"


def test_slurm_jobs_of_a_live_run_stay(locked, slurm):
    slurm.write_text(f"7 {locked}\n")
    with process_in(locked, "snakemake"):
        assert not remove_stale_lock(locked)
    assert slurm.read_text() == f"7 {locked}\n"


def test_a_process_of_a_slurm_job_is_no_live_run(locked, slurm):
    slurm.write_text("")
    with process_in(locked, "snakemake", "--mode", "remote"):
        assert remove_stale_lock(locked)


@pytest.mark.parametrize("words", ["--cores 1", "--unlock", "--touch", "--delete-all-output"])
def test_a_command_that_changes_something_acts(words):
    assert acts(parsed(words))


@pytest.mark.parametrize(
    "words",
    [
        *("-n", "-nq all", "--dry-run", "--lint", "--dag", "--rulegraph", "--summary"),
        *("--report a.html", "--list-rules", "--list-changes code", "--detailed-summary"),
    ],
)
def test_a_command_that_only_looks_does_not_act(words):
    assert not acts(parsed(words))


def parsed(words):
    return get_argument_parser().parse_known_args(words.split())[0]
