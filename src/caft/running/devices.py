"""GPUs of one machine: a job takes as many free ones as it asked for, and holds them to its end.

A job without a GPU that may use one (`engine.device: auto`) takes a free one like any other when it
opens a model, so that no two jobs share a card.

Snakemake counts GPUs (`--resources gpu=4`) but does not say which ones a job gets. Each device has
a lock file in a folder of this machine and user; whoever holds the lock has the device. The
operating system lets go when a process ends, however it ends.
"""

import atexit
import fcntl
import logging
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from glob import glob
from itertools import pairwise

from caft.errors import ConfigError
from caft.running.private import open_private, private_folder

# In a Slurm job these say that its devices were chosen; the first one of every job is called 0.
_ASSIGNED = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_FOR_A_LIST = 60.0
# Set in a job that has asked for devices, and in the processes that it starts.
_HELD = "CAFT_GPUS"
# Of NVIDIA, AMD, and Windows' subsystem; a container may have them without nvidia-smi.
_DEVICE_FILES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")
_DEVICE = re.compile(r"\s*(GPU (?P<number>\d+): |MIG ).*\(UUID: (?P<uuid>[^)]+)\)")


@contextmanager
def held(count: int, log: logging.Logger) -> Iterator[None]:
    """Hold devices and name them in CUDA_VISIBLE_DEVICES; call it before torch is imported.

    Nothing happens if no device is asked for, if Slurm has assigned no more than that, or if there
    is no way to list those that there are: neither CUDA_VISIBLE_DEVICES nor `nvidia-smi` (the log
    says so).

    Args:
        count: devices wanted.
        log: told what is waited for and what was taken.

    Raises:
        ConfigError: if more devices are asked for than there are, or there is none at all.
    """
    if not count:
        yield
        return
    os.environ[_HELD] = str(count)
    try:
        with _reserved(count, log):
            yield
    finally:
        os.environ.pop(_HELD)


@contextmanager
def _reserved(count: int, log: logging.Logger) -> Iterator[None]:
    if (devices := visible()) is None:
        if problem := missing(count):
            raise ConfigError(problem)
        log.info("No nvidia-smi lists the GPUs of this machine: none is reserved for this job.")
        yield
        return
    assigned = any(os.environ.get(name) for name in _ASSIGNED)
    if assigned and len(devices) <= count:
        yield
        return
    if count > len(devices):
        raise ConfigError(
            f"engine.gpus: {count} asked for and {len(devices)} here "
            f"({', '.join(devices) or 'CUDA_VISIBLE_DEVICES names none'}); ask for fewer, also as "
            "processes of training.launcher."
        )
    with ExitStack() as locks:
        if assigned:  # Snakemake itself runs in the Slurm job, and shares its devices out
            job = os.environ["SLURM_JOB_ID"]
            devices = {name: f"slurm-{job}-{file}" for name, file in devices.items()}
        names = _take(devices, count, locks, log)
        # nvidia-smi counts in the order of the bus, CUDA would put the fastest first.
        if "CUDA_VISIBLE_DEVICES" not in os.environ:
            os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names)
        log.info("Using GPU %s", ", ".join(names))
        yield


def missing(count: int) -> str | None:
    """Say what is wrong where GPUs are asked for on a machine that has none; torch is not asked.

    Args:
        count: `engine.gpus`.
    """
    there = _listed() or any(glob(pattern) for pattern in _DEVICE_FILES)
    if visible() or (there and not are_hidden()):
        return None
    asked = f"engine.gpus: {count}" if count else "engine.device: cuda"
    why = "CUDA_VISIBLE_DEVICES names none; unset it"
    if not there:
        why = (
            "this machine shows none: nvidia-smi lists none and there is no device file; run on a "
            "machine with a GPU and its driver"
        )
    return (
        f"{asked} asks for a GPU and {why}, or set engine: {{gpus: 0, device: cpu}} to compute on "
        "the CPU."
    )


def are_hidden() -> bool:
    """Tell whether CUDA_VISIBLE_DEVICES is set and names no device, which hides all there are."""
    return "CUDA_VISIBLE_DEVICES" in os.environ and not visible()


def asked() -> int:
    """Return how many devices this job has asked for, or taken."""
    return int(os.environ.get(_HELD) or 0)


def take(count: int = 1) -> None:
    """Take free devices for the rest of this process where there are any, and none is held yet.

    It waits for them where all are taken, so that jobs that ask for none do not share a card. A
    process of a launcher leaves that to the job that started it, and a Slurm job has what Slurm
    gave it.

    Args:
        count: devices wanted: one, or one for each process that will be started.

    Raises:
        ConfigError: if there are fewer.
    """
    if asked() or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return
    in_slurm = bool(os.environ.get("SLURM_JOB_ID"))
    if in_slurm and not any(os.environ.get(name) for name in _ASSIGNED):
        return
    if visible():
        locks = ExitStack()
        locks.enter_context(held(count, logging.getLogger("caft")))
        atexit.register(locks.close)  # which also keeps it until then


def driver() -> str:
    """Say which driver this machine has, for messages."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_SECONDS_FOR_A_LIST)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return "nvidia-smi is not there"
    told = next(iter((done.stdout or done.stderr).strip().splitlines()), "nothing")
    return f"driver {told}" if not done.returncode else f"nvidia-smi says: {told}"


@cache
def card() -> str:
    """Return the name of this process's GPU, the CUDA that torch is built for, and the driver."""
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    return f"{torch.cuda.get_device_name()}, {built}, {driver()}"


def visible() -> dict[str, str] | None:
    """Return the names of the devices that may be chosen from, and of their lock files.

    A whole GPU is called by its number, which every library reads, and a slice of one (MIG) by its
    UUID, the only name it has. None if nothing tells.
    """
    listed = _listed()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return None if listed is None else {name: name for name in listed.values()}
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    if "-1" in names:  # as CUDA reads it: nothing from there on
        names = names[: names.index("-1")]
    return {name: (listed or {}).get(name, name) for name in names}


def _listed() -> dict[str, str] | None:
    """Return the names of this machine's devices by their UUID, from nvidia-smi."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_SECONDS_FOR_A_LIST
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    found = [line for line in map(_DEVICE.match, done.stdout.splitlines()) if line]
    names = {line["uuid"]: line["number"] or line["uuid"] for line in found}
    for device, following in pairwise(found):
        if device["number"] and not following["number"]:
            del names[device["uuid"]]  # a GPU in slices cannot be used as a whole
    return names


def _take(devices: dict[str, str], count: int, locks: ExitStack, log: logging.Logger) -> list[str]:
    """Lock free devices, all that are wanted at once; wait while there are too few."""
    folder = locks.enter_context(private_folder("caft-devices"))
    waiting = False
    while True:
        with ExitStack() as attempt:
            taken: list[str] = []
            for name, file in devices.items():
                if len(taken) < count and _lock(folder, file.replace("/", "_"), attempt):
                    taken.append(name)
            if len(taken) == count:
                locks.push(attempt.pop_all())
                return taken
        if not waiting:
            waiting = True
            log.info("Waiting for %d free of the GPUs %s", count, ", ".join(devices))
        # Two jobs that each lock a part of what they want would otherwise meet again and again.
        time.sleep(_SECONDS_BETWEEN_LOOKS * random.uniform(0.5, 1.5))


def _lock(folder: int, file: str, locks: ExitStack) -> bool:
    handle = locks.enter_context(open_private(folder, file))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
