"""Stops: the first one lets what is paid for arrive, a second one ends at once.

A stop is Ctrl-C, the SIGTERM of a scheduler or of `kill`, a closed terminal, or the end of the
Snakemake process above. Anywhere it ends a job as an exception does; within `orderly` it is only
noted, and who buys there asks for nothing more, waits for what is on the wire, and then ends.
"""

import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

STATUS = 130
"""With which a process that was stopped ends, as shells count it."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Slurm signals a job's processes, and its srun passes on what it gets: one stop comes twice.
_SECONDS_OF_ONE_STOP = 2.0
_SECONDS_TO_END = 60.0
_SECONDS_BETWEEN_LOOKS = 0.5


def shell_prefix() -> str:
    """Return what `shell.prefix` puts before each job: a shell that a SIGTERM does not end first.

    It also says what a job cannot say itself, that it was killed.
    """
    around = shlex.quote(str(Path(__file__).with_name("around_job.sh")))
    return f"set -euo pipefail; . {around}; ".replace("{", "{{").replace("}", "}}")


class Interrupted(KeyboardInterrupt):
    """The job was told to stop; the text says what was kept."""


class _Stop:
    """What this process knows of stops."""

    def __init__(self) -> None:
        self.count = 0
        self.at = 0.0
        self.asked = threading.Event()
        self.depth = 0  # of orderly blocks
        self.ending = False
        self.then: list[Callable[[], None]] = []


_stop = _Stop()


@contextmanager
def listening() -> Iterator[None]:
    """Let this process stop in order while the body runs; for the main thread.

    What the process above wants ignored (`nohup`, a shell's background) stays ignored. Once a stop
    has ended the body, only the last words are left, and another stop ends those.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heard = [number for number in _SIGNALS if before[number] != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, _take)
    try:
        yield
    except KeyboardInterrupt:
        _stop.ending = True
        raise
    finally:
        for number in [] if _stop.ending else heard:
            signal.signal(number, before[number])


def _take(number: int, _: FrameType | None) -> None:
    again = _stop.count and number != signal.SIGINT
    if again and time.monotonic() - _stop.at < _SECONDS_OF_ONE_STOP:
        return
    if _stop.ending:
        os._exit(STATUS)
    _stop.count += 1
    _stop.at = time.monotonic()
    _stop.asked.set()
    if _stop.count > 1 or not _stop.depth:
        raise Interrupted
    for call in _stop.then:
        call()


def asked() -> bool:
    """Tell whether this process was told to stop."""
    return _stop.asked.is_set()


def at_once() -> bool:
    """Tell whether it was told so again."""
    return _stop.count > 1


def check() -> None:
    """Go on unless this process was told to stop.

    Raises:
        Interrupted: if it was.
    """
    if asked():
        raise Interrupted


def wait(seconds: float) -> None:
    """Sleep until a stop.

    Raises:
        Interrupted: at a stop.
    """
    _stop.asked.wait(seconds)
    check()


@contextmanager
def orderly(then: Callable[[], None] | None = None) -> Iterator[None]:
    """Only note the first stop while the body runs; the body looks at `asked`.

    Args:
        then: called at the first stop, from wherever the main thread is.
    """
    calls = [then] if then else []
    _stop.depth += 1
    _stop.then += calls
    try:
        yield
    finally:
        _stop.depth -= 1
        for call in calls:
            _stop.then.remove(call)


def end_with(pid: int) -> None:
    """Watch one of the processes above, and end with it; one on another machine is not watched.

    What is bought still arrives; all else ends at once.
    """
    import psutil

    above = next((process for process in psutil.Process().parents() if process.pid == pid), None)
    if above is None:
        return

    def watch() -> None:
        while above.is_running() and above.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if _stop.depth:
            if not asked():
                os.kill(os.getpid(), signal.SIGTERM)
            while _stop.depth:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            time.sleep(_SECONDS_TO_END)  # for what has arrived to be put in order
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def pass_on(is_job: Callable[[Any], bool]) -> None:
    """Let the jobs below know of a SIGTERM that Snakemake alone got; it waits for them to end.

    Args:
        is_job: tells a job among the processes (psutil) below.
    """
    import psutil

    before = signal.getsignal(signal.SIGTERM)

    def take(number: int, frame: FrameType | None) -> None:
        for process in psutil.Process().children(recursive=True):
            try:
                if is_job(process):
                    process.send_signal(number)
            except psutil.Error:  # it has ended meanwhile
                continue
        if callable(before):
            before(number, frame)

    if threading.current_thread() is threading.main_thread():  # others may not; Snakemake's is
        signal.signal(signal.SIGTERM, take)
