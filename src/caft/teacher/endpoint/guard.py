"""Run a server for as long as the process above lives, and leave nothing of it behind.

    python -m caft.teacher.endpoint.guard COMMAND ...

The server is ended when standard input closes, which it does however the parent dies, SIGKILL
included; when this process is told to end; and, by the kernel, when this process is killed. What
the server started is ended too, in whatever session it is: SIGTERM, then SIGKILL for what is left.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from threading import Thread
from typing import Any

import psutil

from caft.shown import escaped

KEY = "VLLM_API_KEY"  # variable with the server's key, where vLLM looks for it
GRACE = 10.0  # seconds between SIGTERM and SIGKILL
_SUBREAPER, _DEATH_SIGNAL = 36, 1  # options of Linux' prctl


def main(command: list[str]) -> int:
    """Run a command until standard input closes or it ends; return its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Not before: a key on this command line all users of the machine could read.
    command = [part.replace("{key}", os.environ.get(KEY, "")) for part in command]
    _prctl(_SUBREAPER, 1)  # orphans of the server become children of this process
    # The death signal is bound to this thread, which lives as long as the process.
    try:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            preexec_fn=lambda: _prctl(_DEATH_SIGNAL, signal.SIGKILL),
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    pump = Thread(target=_show, args=(server.stdout,), daemon=True)
    pump.start()
    try:
        while server.poll() is None and not select.select([sys.stdin], [], [], 0.2)[0]:
            pass
        return server.returncode or 0
    finally:
        end_descendants()
        pump.join(GRACE)


def _show(output: Iterable[str]) -> None:
    """Pass on what the server prints, which may quote what it is asked."""
    for line in output:
        sys.stdout.buffer.write(escaped(line).encode())
        sys.stdout.buffer.flush()


def end_descendants() -> None:
    """End all processes below this one."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    family = psutil.Process().children(recursive=True)
    _each(family, "terminate")
    psutil.wait_procs(family, GRACE)
    for _ in range(10):  # a process may start another while it is being ended
        family = psutil.Process().children(recursive=True)
        if not family:
            return
        _each(family, "kill")
        psutil.wait_procs(family, 1)


def _each(processes: list[Any], what: str) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            getattr(process, what)()


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
