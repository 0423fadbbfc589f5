import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from snakemake.cli import get_argument_parser

from caft.errors import CaftError
from caft.running import locks, machine
from caft.running.locks import acts, is_snakemake, remove_stale_lock


@pytest.fixture
def locked(tmp_path):
    """A folder as a killed run of this machine leaves it."""
    remove_stale_lock(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir()
    (tmp_path / ".snakemake/locks/0.input.lock").write_text("data/items/mine.parquet\n")
    return tmp_path


@contextmanager
def process_in(folder, program, *words):
    """A process that works in a folder: a Python program of this name, called with these words."""
    file = folder / program
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("import sys; sys.stdin.read()")
    command = [sys.executable, str(file), *words]
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE)
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


def test_the_lock_of_another_user_stays(locked, monkeypatch):
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    assert not remove_stale_lock(locked)
    assert os.listdir(locked / ".snakemake/locks")


def test_a_look_into_the_log_of_a_dead_run_is_no_live_run(locked):
    with process_in(locked, "look.py", "-f", ".snakemake/log/1.snakemake.log"):
        assert remove_stale_lock(locked)


@pytest.mark.parametrize(
    "line",
    [
        "python3 /usr/bin/snakemake --cores 1",
        "/usr/bin/python3.12 -m snakemake --mode subprocess",
        "/usr/bin/python -u tests/polling_snakemake.py",
        "python /mine/.snakemake/scripts/tmpa1.score_items.py",
        "snakemake --cores 1",
    ],
)
def test_snakemake_and_its_scripts_are_told_by_their_program(line):
    assert is_snakemake(SimpleNamespace(cmdline=line.split))


@pytest.mark.parametrize(
    "line",
    [
        "tail -f .snakemake/log/1.snakemake.log",
        "bash -c snakemake --cores 1",
        "vim snakemake",
        "python -m pytest tests/polling_snakemake.py",
        "python show.py .snakemake/scripts/tmpa1.score_items.py",
        "",
    ],
)
def test_programs_that_only_name_snakemake_are_others(line):
    assert not is_snakemake(SimpleNamespace(cmdline=line.split))


OWNER = ".snakemake/caft_host"


@pytest.mark.parametrize(
    "owner",
    [
        {"host": "elsewhere", "boot": "b0", "processes": "1"},
        {"boot": machine.boot(), "host": socket.gethostname(), "processes": "a container's"},
        # A container of this name elsewhere: the lock is younger than this machine's start.
        {"boot": "b0", "host": socket.gethostname(), "processes": machine.namespace()},
        f"not-{socket.gethostname()}",
        "",
    ],
)
def test_the_lock_of_another_machine_or_container_stays(locked, owner):
    (locked / OWNER).write_text(owner if isinstance(owner, str) else json.dumps(owner))
    assert not remove_stale_lock(locked)
    assert os.listdir(locked / ".snakemake/locks")


@pytest.mark.parametrize("owner", [socket.gethostname(), {"host": socket.gethostname()}])
def test_the_lock_of_this_machine_goes_also_where_an_earlier_version_has_named_it(locked, owner):
    is_text = isinstance(owner, str)
    (locked / OWNER).write_text(owner if is_text else json.dumps(owner))
    assert remove_stale_lock(locked) == is_text


def test_a_lock_from_before_this_machine_started_is_removed(locked):
    old = {"host": socket.gethostname(), "boot": "b0", "processes": "1"}
    (locked / OWNER).write_text(json.dumps(old))
    os.utime(locked / ".snakemake/locks", (1e9, 1e9))
    assert remove_stale_lock(locked)


def test_a_folder_without_a_lock_is_left_alone(tmp_path):
    assert not remove_stale_lock(tmp_path)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A squeue and a scancel that keep their jobs in a file, a line `id|name|folder` each."""
    commands, jobs = tmp_path / "bin", tmp_path / "jobs"
    commands.mkdir()
    scripts = {
        "squeue": f"cat {jobs}",
        "scancel": f'for job in "$@"; do sed -i "/^$job|/d" {jobs}; done',
    }
    for name, line in scripts.items():
        (commands / name).write_text(f"#!/bin/sh\n{line}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    return jobs


RUN = "0b7f2a4e-5a0c-4c5e-9d52-6f1f8f3e7a11"


def test_slurm_jobs_of_a_dead_run_are_cancelled_and_others_are_not(locked, slurm):
    others = f"8|{RUN}|/elsewhere\n11|teacher|{locked}\n12|a|b|{locked}\n"
    slurm.write_text(f"7|{RUN}|{locked}\n9|mine_{RUN}|{locked}\n{others}")
    assert remove_stale_lock(locked)
    assert slurm.read_text() == others


def test_slurm_jobs_are_cancelled_also_where_no_lock_tells_of_the_dead_run(tmp_path, slurm):
    (tmp_path / ".snakemake/slurm_logs").mkdir(parents=True)
    slurm.write_text(f"7|{RUN}|{tmp_path}\n")
    assert not remove_stale_lock(tmp_path)
    assert slurm.read_text() == ""


def test_a_folder_that_never_gave_jobs_to_slurm_asks_it_nothing(tmp_path, slurm):
    slurm.write_text(f"7|{RUN}|{tmp_path}\n")
    remove_stale_lock(tmp_path)
    assert slurm.read_text()


def test_a_folder_is_the_same_by_whatever_path_a_job_names_it(locked, slurm, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "project"
    link.symlink_to(locked)
    slurm.write_text(f"7|{RUN}|{link}\n")
    assert remove_stale_lock(locked)
    assert slurm.read_text() == ""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("squeue", r"does not say which jobs .* \(squeue: Socket timed out\).*again when squeue"),
        ("scancel", r"does not end jobs of an earlier run here: 7 \(scancel: Socket timed out\)"),
    ],
)
def test_a_controller_that_does_not_answer_is_not_taken_for_no_jobs(
    locked, slurm, monkeypatch, program, said
):
    monkeypatch.setattr(locks, "_SECONDS_BETWEEN", 0.01)
    monkeypatch.setattr(locks, "_CANCEL_SECONDS", 0.01)
    slurm.write_text(f"7|{RUN}|{locked}\n")
    failing = "#!/bin/sh\necho 'Socket timed out' >&2\nexit 1\n"
    (locked / "bin" / program).write_text(failing)
    with pytest.raises(CaftError, match=said):
        remove_stale_lock(locked)
    assert os.listdir(locked / ".snakemake/locks") and slurm.read_text()


def test_a_machine_with_slurms_commands_and_without_a_cluster_has_no_jobs(locked, slurm):
    saying = "echo 'squeue: fatal: Could not establish a configuration source' >&2"
    (locked / "bin/squeue").write_text(f"#!/bin/sh\n{saying}\nexit 1\n")
    assert remove_stale_lock(locked)


def test_a_controller_that_answers_the_second_time_is_waited_for(locked, slurm, monkeypatch):
    monkeypatch.setattr(locks, "_SECONDS_BETWEEN", 0.01)
    slurm.write_text("")
    once = f"#!/bin/sh\n[ -e {locked}/asked ] || {{ touch {locked}/asked; exit 1; }}\ncat {slurm}\n"
    (locked / "bin/squeue").write_text(once)
    assert remove_stale_lock(locked)


def test_slurm_jobs_of_a_live_run_stay(locked, slurm):
    slurm.write_text(f"7|{RUN}|{locked}\n")
    with process_in(locked, "snakemake"):
        assert not remove_stale_lock(locked)
    assert slurm.read_text() == f"7|{RUN}|{locked}\n"


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


def test_a_job_of_a_dead_run_is_waited_for(tmp_path, capsys, monkeypatch):
    script = ".snakemake/scripts/tmpa1.generate_rationales.py"
    threads = []

    def pause(seconds):
        threads.append(seconds)
        if len(threads) == 2:
            process.communicate()

    file = tmp_path / script
    file.parent.mkdir(parents=True)
    file.write_text("import sys; sys.stdin.read()")
    command = [sys.executable, str(file)]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE)
    monkeypatch.setattr(locks, "time", SimpleNamespace(sleep=pause, monotonic=lambda: 0.0))
    remove_stale_lock(tmp_path)
    assert len(threads) == 2
    assert capsys.readouterr().err.count("Waiting for an earlier run's job") == 1


def test_left_over_slurm_jobs_are_looked_for_at_the_end_unless_a_run_goes_on(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(locks, "_cancel_slurm_jobs", looked.append)
    locks.cancel_left_over(tmp_path)
    assert looked == []
    (tmp_path / ".snakemake/slurm_logs").mkdir(parents=True)
    with process_in(tmp_path, "snakemake"):
        locks.cancel_left_over(tmp_path)
    assert looked == []
    locks.cancel_left_over(tmp_path)
    assert looked == [tmp_path]
