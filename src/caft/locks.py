"""The lock of a killed run, for which Snakemake would refuse the same command ever after."""

import shutil
import socket
from pathlib import Path
from typing import Any

SHELLS = ("bash", "sh", "dash", "zsh")


def remove_stale_lock(folder: Path) -> bool:
    """Remove the Snakemake lock of a folder if the run that set it is dead.

    That is known only on the machine of that run: no Snakemake process works in the folder there.
    From another machine that shares the folder the lock stays, and Snakemake explains it.

    Args:
        folder: the working directory of the run.

    Returns:
        Whether a lock was removed.
    """
    locks, owner = folder / ".snakemake/locks", folder / ".snakemake/caft_host"
    if not locks.is_dir() or not any(locks.iterdir()):
        owner.parent.mkdir(exist_ok=True)
        owner.write_text(socket.gethostname())
        return False
    here = owner.is_file() and owner.read_text() == socket.gethostname()
    if not here or _live_runs(folder):
        return False
    shutil.rmtree(locks)
    return True


def _live_runs(folder: Path) -> list[int]:
    """Return the pids of other Snakemake processes, or their jobs, that work in a folder."""
    import psutil

    own = psutil.Process()
    family = {own.pid, *(process.pid for process in own.parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid in family or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if is_snakemake(process) and Path(process.cwd()) == folder.resolve():
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def is_snakemake(process: Any) -> bool:
    """Tell whether a process (psutil) is Snakemake or one of its scripts, not a shell around it."""
    return process.name() not in SHELLS and any("snakemake" in part for part in process.cmdline())
