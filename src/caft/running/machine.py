"""Which machine this is since which start, and whether a process still runs on it.

Host name and process number alone prove nothing: containers share them, and numbers come again.
"""

import os
from functools import cache
from pathlib import Path


@cache
def boot() -> str:
    """Return what tells this boot of this machine from all others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    except OSError:
        return f"{booted():.0f}"


def booted() -> float:
    """Return when this machine started, in seconds since 1970."""
    import psutil

    return psutil.boot_time()


def namespace() -> str:
    """Return which process numbers this process sees: a container has its own."""
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return "0"


def runs(process: int, then: str) -> bool:
    """Tell whether a process may still run that started `then`."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return started(process) in (then, "")


def started(process: int) -> str:
    """Return when a running process started; empty where this process may not see it."""
    import psutil

    try:
        # The kernel's own count of ticks: a time of day moves when the clock is set.
        status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return "ended" if status[0] == "Z" else status[19]
    except OSError:
        pass
    try:
        return f"{psutil.Process(process).create_time():.0f}"
    except psutil.Error:
        return ""


def memory_mb(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Return how much memory there is for jobs: that of the machine, or of its container.

    Args:
        limit: where the container's limit stands; it may say `max`, or not be there.
    """
    import psutil

    found = [psutil.virtual_memory().total]
    if limit.is_file() and (told := limit.read_text().strip()).isdecimal():
        found.append(int(told))
    return min(found) // 1_000_000
