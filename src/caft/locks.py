"""The lock of a killed run, for which Snakemake would refuse the same command ever after."""

import os
import shutil
import socket
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from caft.errors import CaftError

SHELLS = ("bash", "sh", "dash", "zsh")
_CANCEL_SECONDS = 120.0  # for Slurm to end jobs that were cancelled
# Options with which Snakemake only looks, shows or reports. `unlock` is none of them: once the
# lock is gone, nothing tells the next run of jobs that a dead one has left behind.
_LOOKING = (
    *("dryrun", "lint", "report", "dag", "rulegraph", "filegraph", "d3dag", "summary"),
    *("detailed_summary", "list_rules", "list_target_rules", "list_changes", "list_input_changes"),
    *("list_params_changes", "list_untracked", "list_resources", "print_compilation"),
)


def acts(command: Any) -> bool:
    """Tell whether a Snakemake command, as its parser returns it, changes anything."""
    return not any(getattr(command, option, None) for option in _LOOKING)


def remove_stale_lock(folder: Path) -> bool:
    """Remove the Snakemake lock of a folder if the run that set it is dead.

    That is known only on the machine of that run: no Snakemake process works in the folder there.
    From another machine that shares the folder the lock stays, and Snakemake explains it. Slurm
    jobs that the dead run has left behind are cancelled first: they would go on buying and writing
    beside those of the next run.

    Args:
        folder: the working directory of the run.

    Returns:
        Whether a lock was removed.

    Raises:
        CaftError: if Slurm does not end those jobs.
    """
    locks, owner = folder / ".snakemake/locks", folder / ".snakemake/caft_host"
    if not locks.is_dir() or not any(locks.iterdir()):
        owner.parent.mkdir(exist_ok=True)
        owner.write_text(socket.gethostname())
        return False
    here = owner.is_file() and owner.read_text() == socket.gethostname()
    if not here or _live_runs(folder):
        return False
    _cancel_slurm_jobs(folder)
    shutil.rmtree(locks)
    return True


def is_locked(folder: Path) -> bool:
    """Tell whether a run is under way in a folder, or was killed on another machine."""
    locks = folder / ".snakemake/locks"
    return bool(_live_runs(folder)) or (locks.is_dir() and any(locks.iterdir()))


def _cancel_slurm_jobs(folder: Path) -> None:
    if shutil.which("squeue") is None:
        return
    deadline = time.monotonic() + _CANCEL_SECONDS
    while jobs := _slurm_jobs(folder):
        if time.monotonic() > deadline:
            raise CaftError(f"Slurm does not end jobs of an earlier run here: {', '.join(jobs)}.")
        subprocess.run(["scancel", *jobs], check=False, capture_output=True)
        time.sleep(1)


def _slurm_jobs(folder: Path) -> list[str]:
    """Return the ids of other jobs of the user that wait or run with this working directory."""
    listed = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i %Z"], capture_output=True, text=True
    )
    pairs = [line.split(" ", 1) for line in listed.stdout.splitlines() if " " in line]
    own = os.environ.get("SLURM_JOB_ID")  # Snakemake itself may run in a job
    return [job for job, place in pairs if Path(place) == folder.resolve() and job != own]


def _live_runs(folder: Path) -> list[int]:
    """Return the pids of other Snakemake processes, or their local jobs, that work in a folder."""
    import psutil

    own = psutil.Process()
    family = {own.pid, *(process.pid for process in own.parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid in family or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if (
                is_snakemake(process)
                and Path(process.cwd()) == folder.resolve()
                and not _is_in_slurm_job(process)
            ):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _is_in_slurm_job(process: Any) -> bool:
    """Tell whether a process belongs to a Slurm job on this machine, which outlives a dead run.

    A run that was itself started in a Slurm job does not: its processes are not in mode `remote`.
    """
    family = [process, *process.parents()]
    return any(("--mode", "remote") in pairwise(one.cmdline()) for one in family)


def is_snakemake(process: Any) -> bool:
    """Tell whether a process (psutil) is Snakemake or one of its scripts, not a shell around it."""
    return process.name() not in SHELLS and any("snakemake" in part for part in process.cmdline())
