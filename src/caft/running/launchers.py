"""What a launcher's words say, read before it is started."""

import re
from collections.abc import Sequence
from pathlib import Path

_PROCESSES = re.compile(r"--num[_-]processes(?:=|\s+)['\"]?(\d+)")
_PER_MACHINE = re.compile(r"--nproc[_-]per[_-]node(?:=|\s+)['\"]?(\d+)")
_MACHINES = re.compile(r"--nnodes(?:=|\s+)['\"]?(\d+)")
_FILE = re.compile(r"--config[_-]file(?:=|\s+)['\"]?([^\s'\"]+)")


def started_processes(launcher: Sequence[str]) -> int | None:
    """Return how many processes a launcher starts on all machines together.

    Args:
        launcher: words of `accelerate launch` or `torchrun`, perhaps behind a shell's.

    Returns:
        The number on the command line, else that of accelerate's file; None if neither tells.
    """
    command = " ".join(launcher)
    if found := _PROCESSES.search(command):
        return int(found[1])
    if found := _PER_MACHINE.search(command):
        machines = _MACHINES.search(command)
        return int(found[1]) * (int(machines[1]) if machines else 1)
    named = _FILE.search(command)
    return _in_file(Path(named[1])) if named else None


def _in_file(path: Path) -> int | None:
    import yaml

    try:
        count = yaml.safe_load(path.read_text(encoding="utf-8"))["num_processes"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return None  # accelerate says what is wrong with it
    return count if isinstance(count, int) else None
