"""Kill the jobs of a small paid run at every point where one writes or sends, and go on.

    python benchmarks/kills/run.py                         # every point of every job, in each way
    python benchmarks/kills/run.py --jobs ask --points 7 10 --show   # two points of one job

A point is a call of libc that writes to a file, syncs, renames or removes one, or sends over the
network, whichever library makes it (`points.c`, which the C compiler `cc` builds). For n = 1, 2, …
until a job ends without having been struck, the job runs in a process of its own and at its n-th
point is

kill  killed before the call
torn  killed half way through a write, or behind any other call
fail  told that the disk is full, that it is broken, or that the connection was reset

and then the same job runs again, undisturbed. After the strike no answer may be missing that
counted as received, and nothing in the store may be damaged. Behind the second run no answer that
was stored before it may have been asked for again, no block that was complete computed again, and
everything has to be as without the strike. A call that fails ends the job in a line that says
what to do, or in nothing at all. What was billed lies between what is stored and that
with what is noted as given up.
"""

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import chdir
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).parent
TESTS = HERE.parents[1] / "tests"
WAYS = ("kill", "torn", "fail")
_PRELOADED = "CAFT_POINTS"  # the environment variable that names the library


class Job(Protocol):
    """A job of the run; the folder it works in is the current one."""

    def act(self) -> None:
        """Do the work, as the script of its rule does."""

    def after_strike(self) -> None:
        """Check and remember what a strike has left."""

    def at_end(self) -> None:
        """Check what the second run has left."""


def start_again_with_points() -> None:
    """Build the library and start this program again, with all calls of libc going through it."""
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/points.so"
        source = str(HERE / "points.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": library, _PRELOADED: library}
        environment |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)


class Points:
    """Strikes processes that are forked from this one."""

    def __init__(self) -> None:
        """Find the library that this process was started with."""
        self._library = ctypes.CDLL(os.environ[_PRELOADED])
        self._library.points_name.restype = ctypes.c_char_p
        self._library.points_count.restype = ctypes.c_long

    def strike(self, act: Callable[[], None], point: int, way: str) -> tuple[str, str]:
        """Act in a process that is struck at a point; 0 is none.

        Returns:
            The call that was struck, empty if there was none; and how the process ended.
        """
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            end = "as ever"
            try:
                self._library.points_arm(ctypes.c_long(point), WAYS.index(way))
                act()
            except BaseException as error:
                end = _in_words(error)
            finally:
                self._library.points_disarm()
                os.write(write, end.encode())
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            end = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return self._library.points_name().decode(), end if status == 0 else f"signal {-status}"

    @property
    def count(self) -> int:
        """Points that the last process has come by."""
        return int(self._library.points_count())


def _in_words(error: BaseException) -> str:
    """Return what a user is told, which begins with `unexpected` where nobody foresaw it."""
    from caft.errors import CaftError
    from caft.running.ends import foreseen

    said = str(error) if isinstance(error, CaftError) else foreseen(error)
    return said or f"unexpected {type(error).__name__}: {error}"


def strike_everywhere(
    points: Points, make: Callable[[], Job], way: str, chosen: Iterable[int], show: bool
) -> Counter[str]:
    """Strike a job at chosen points until one is not there; return how often which call was it."""
    found: Counter[str] = Counter()
    for point in chosen:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            job = make()
            struck, end = points.strike(job.act, point, way)
            if not struck:
                assert end == "as ever", end
                return found
            where = f"point {point} ({struck}, {way})"
            found[struck] += 1
            if show:
                print(f"{where}: {end}", flush=True)
            try:
                assert (end == "signal 9") is (way != "fail") and "unexpected" not in end, end
                job.after_strike()
                _, end = points.strike(job.act, 0, way)
                assert end == "as ever", end
                job.at_end()
            except Exception as error:
                raise AssertionError(f"{where}: {error!r}") from error
    return found


def main() -> None:
    """Strike and print a table of the points."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", help="some of them; all if absent")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--points", type=int, nargs="+", default=range(1, 100_000))
    parser.add_argument("--show", action="store_true", help="print how every struck job ended")
    args = parser.parse_args()
    if _PRELOADED not in os.environ:
        start_again_with_points()
    sys.path[:0] = [str(HERE), str(TESTS), str(TESTS / "contract")]
    from jobs import jobs_of

    points = Points()
    print("| job | way | points | calls | seconds |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        made: dict[str, Callable[[], Any]] = jobs_of(Path(folder))
        for name in args.jobs or made:
            for way in args.ways:
                started = time.monotonic()
                found = strike_everywhere(points, made[name], way, args.points, args.show)
                calls = ", ".join(f"{count} {call}" for call, count in sorted(found.items()))
                seconds = f"{time.monotonic() - started:.0f}"
                print(f"| {name} | {way} | {found.total()} | {calls} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
