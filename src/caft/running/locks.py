"""The lock of a killed run, for which Snakemake would refuse the same command ever after."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from caft.errors import CaftError
from caft.running import machine

# Snakemake's plugin names all jobs of a run by its UUID, behind a prefix if one is set.
_RUN_NAME = re.compile(r"(.+_)?[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_SCRIPTS = (".snakemake", "scripts")
_SLURM_LOGS = ".snakemake/slurm_logs"  # where a run has been that gives its jobs to Slurm
_ORPHAN_SECONDS = 600.0  # for jobs of a dead run to store what they have on the wire
_CANCEL_SECONDS = 120.0  # for Slurm to end jobs that were cancelled
# What squeue says on a machine that has it and belongs to no cluster.
_NO_CLUSTER = "Could not establish a configuration source"
_ATTEMPTS, _SECONDS_BETWEEN = 4, 5.0  # of asking a controller that is busy
# Options with which Snakemake only looks, shows or reports. `unlock` is none of them: once the
# lock is gone, nothing tells the next run of jobs that a dead one has left behind.
_LOOKING = (
    "dryrun", "lint", "report", "dag", "rulegraph", "filegraph", "d3dag", "summary",
    "detailed_summary", "list_rules", "list_target_rules", "list_changes", "list_input_changes",
    "list_params_changes", "list_untracked", "list_resources", "print_compilation",
)  # fmt: skip


def acts(command: Any) -> bool:
    """Tell whether a Snakemake command, as its parser returns it, changes anything."""
    return not any(getattr(command, option, None) for option in _LOOKING)


def remove_stale_lock(folder: Path) -> bool:
    """Remove the Snakemake lock of a folder if the run that set it is dead.

    That is known only on the machine of that run and to its user, who sees what folder a process
    works in: no Snakemake process works in this one. Anywhere else and for anyone else the lock
    stays, and Snakemake explains it. Slurm jobs that a dead run has left behind are cancelled
    first, also where it has left no lock: they would go on buying and writing beside those of the
    next run. Jobs of a dead run on this machine, which end by themselves once what they have on
    the wire is stored, are waited for: it would be bought again.

    Args:
        folder: the working directory of the run.

    Returns:
        Whether a lock was removed.

    Raises:
        CaftError: if Slurm does not say which jobs there are, or does not end them.
    """
    locks, owner = folder / ".snakemake/locks", folder / ".snakemake/caft_host"
    _wait_for_orphans(folder)
    is_locked = locks.is_dir() and any(locks.iterdir())
    if is_locked and (not _is_of_here(owner, locks) or locks.stat().st_uid != os.getuid()):
        return False
    if (is_locked or (folder / _SLURM_LOGS).is_dir()) and _is_live(folder):
        return False
    if is_locked or (folder / _SLURM_LOGS).is_dir():
        _cancel_slurm_jobs(folder)
    if is_locked:
        shutil.rmtree(locks)
    owner.parent.mkdir(exist_ok=True)
    here = {"host": socket.gethostname(), "boot": machine.boot(), "processes": machine.namespace()}
    owner.write_text(json.dumps(here))
    return is_locked


def _is_of_here(owner: Path, locks: Path) -> bool:
    """Tell whether a lock was set where this process sees the processes of its run."""
    try:
        text = owner.read_text()
    except OSError:
        return False
    try:
        known = json.loads(text)
        host, boot, processes = known["host"], known["boot"], known["processes"]
    except (ValueError, KeyError, TypeError):
        return text == socket.gethostname()  # of an earlier version
    if boot == machine.boot():
        return bool(processes == machine.namespace())
    # A run ends with its machine; a lock that is younger than its last start is another machine's.
    return bool(host == socket.gethostname() and locks.stat().st_mtime < machine.booted())


def is_locked(folder: Path) -> bool:
    """Tell whether a run is under way in a folder, or was killed on another machine."""
    locks = folder / ".snakemake/locks"
    return _is_live(folder) or (locks.is_dir() and any(locks.iterdir()))


def cancel_left_over(folder: Path) -> None:
    """Cancel the Slurm jobs of a folder in which no run goes on any more; for the end of one.

    A Ctrl-C that falls into a look at the jobs finds the plugin without the list of them.

    Raises:
        CaftError: if Slurm does not say which jobs there are, or does not end them.
    """
    if (folder / _SLURM_LOGS).is_dir() and not _is_live(folder):
        _cancel_slurm_jobs(folder)


def _wait_for_orphans(folder: Path) -> None:
    deadline, told = time.monotonic() + _ORPHAN_SECONDS, False
    while any(_is_orphan(process) for process in _live_processes(folder)):
        if not told:
            print("Waiting for an earlier run's job that still stores answers.", file=sys.stderr)
            told = True
        if time.monotonic() > deadline:
            return
        time.sleep(0.5)


def _is_orphan(process: Any) -> bool:
    """Tell whether a process (psutil) is a job whose Snakemake has ended."""
    import psutil

    try:
        return is_job(process) and not any(map(is_snakemake, process.parents()))
    except psutil.Error:
        return False


def _cancel_slurm_jobs(folder: Path) -> None:
    if shutil.which("squeue") is None:
        return
    deadline = time.monotonic() + _CANCEL_SECONDS
    cancelled: set[str] = set()  # a job that is told again would not wait for its answers
    while jobs := _slurm_jobs(folder):
        if new := [job for job in jobs if job not in cancelled]:
            done = subprocess.run(["scancel", *new], check=False, capture_output=True, text=True)
            cancelled |= set() if done.returncode else set(new)
        if time.monotonic() > deadline:
            raise CaftError(
                f"Slurm does not end jobs of an earlier run here: {', '.join(jobs)}"
                f"{_said('scancel', done)}. Nothing was started beside them; end them (scancel "
                f"{' '.join(jobs)}), and give the same command again."
            )
        time.sleep(1)


def _slurm_jobs(folder: Path) -> list[str]:
    """Return the ids of the user's jobs of Snakemake runs that wait or run with this folder."""
    command = ["squeue", "--me", "--noheader", "--format=%i|%j|%Z"]
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_SECONDS_BETWEEN)
        listed = subprocess.run(command, check=False, capture_output=True, text=True)
        if listed.returncode == 0:
            break
        if _NO_CLUSTER in listed.stderr and not (folder / _SLURM_LOGS).is_dir():
            return []
    else:
        raise CaftError(
            "Slurm does not say which jobs of an earlier run still go on in this folder"
            f"{_said('squeue', listed)}. Nothing was started beside them; give the same command "
            "again when squeue answers."
        )
    jobs = [line.split("|", 2) for line in listed.stdout.splitlines()]
    return [
        job
        for job, name, place in jobs
        if _RUN_NAME.fullmatch(name) and _is_same(Path(place), folder)
    ]


def _said(program: str, done: subprocess.CompletedProcess[str]) -> str:
    text = " ".join(done.stderr.split())
    return f" ({program}: {text or f'exit status {done.returncode}'})" if done.returncode else ""


def _is_same(place: Path, folder: Path) -> bool:
    """Tell whether two paths lead to one folder, whatever links and mounts they are written by."""
    try:
        return place.samefile(folder)
    except OSError:
        return place == folder.resolve()


def _is_live(folder: Path) -> bool:
    return any(True for _ in _live_processes(folder))


def _live_processes(folder: Path) -> Iterator[Any]:
    """Yield other Snakemake processes (psutil), and their local jobs, that work in a folder."""
    import psutil

    own = psutil.Process()
    family = {own.pid, *(process.pid for process in own.parents())}
    for process in psutil.process_iter():
        try:
            if process.pid in family or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if (
                is_snakemake(process)
                and _is_same(Path(process.cwd()), folder)
                and not _is_in_slurm_job(process)
            ):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def _is_in_slurm_job(process: Any) -> bool:
    """Tell whether a process belongs to a Slurm job on this machine, which outlives a dead run.

    A run that was itself started in a Slurm job does not: its processes are not in mode `remote`.
    """
    family = [process, *process.parents()]
    return any(("--mode", "remote") in pairwise(one.cmdline()) for one in family)


def is_snakemake(process: Any) -> bool:
    """Tell whether a process (psutil) is Snakemake or one of its scripts.

    A shell around it is not, and no program that merely looks into a file of Snakemake's.
    """
    program, script = _program_of(process)
    if script is None:
        return program == "snakemake"
    return script.stem.endswith("snakemake") or script.parent.parts[-2:] == _SCRIPTS


def is_job(process: Any) -> bool:
    """Tell whether a process (psutil) is one of Snakemake's scripts."""
    _, script = _program_of(process)
    return script is not None and script.parent.parts[-2:] == _SCRIPTS


def _program_of(process: Any) -> tuple[str, Path | None]:
    """Return the name of a process's program and, if that is Python, the script that it runs."""
    program, *words = map(Path, process.cmdline() or [""])
    if "python" not in program.name:
        return program.name, None
    return program.name, next((word for word in words if not word.name.startswith("-")), Path())
