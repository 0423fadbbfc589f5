"""Speed of the store with many answers.

    python benchmarks/store/run.py --answers 100000 --length 2000

Stores answers of about `--length` bytes in several segments, and times in processes of their own:
find which of 12,000 keys are there, and read those answers; fold 10,000 new answers; read the light
columns; buy 100,000 more within a budget, with the time that counting takes; leave as many in
the journal of a killed job, for two jobs after it; verify; compact.
Reported: seconds, peak memory of the process, and what the disk alone takes to read the files.
"""

import argparse
import json
import logging
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, ClassVar

from caft.store import Store, files, journal
from caft.store.check import check
from caft.store.compaction import compact
from caft.store.given_up import Note
from caft.teacher import Answer, Request
from caft.teacher.asking import Asking, obtain
from caft.teacher.money.budget import Budget, Spending
from caft.teacher.money.estimate import Identity, seen_of
from caft.teacher.sections import read_teacher

_WORDS = ["the", "of", "energy", "rate", "when", "pressure", "function", "market", "therefore"]
_SEGMENTS = 10
_WANTED, _NEW = 12_000, 10_000
BOUGHT = 100_000


@contextmanager
def timed() -> Iterator[None]:
    """Print the seconds that something takes, and those of the processor."""
    started, busy = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - started, time.process_time() - busy
    print(f"{wall:.2f} (processor {processor:.2f})", end=" ")


def records(start: int, count: int, length: int) -> Iterator[dict[str, Any]]:
    """Yield answers of prose and numbers, which compress about as real ones do."""
    for number in range(start, start + count):
        draw = random.Random(number)
        words = (draw.choice(_WORDS) + str(draw.randrange(100)) for _ in range(length // 10))
        yield {
            "key": f"{draw.getrandbits(256):064x}",
            "kind": "rationale",
            "model_id": "model",
            "revision": "1",
            "request": json.dumps({"messages": [], "sample": 0}),
            "text": " ".join(words),
            "finish_reason": "stop",
            "prompt_tokens": 300,
            "completion_tokens": 400,
            "cost_usd": 0.001,
            "seconds": 1.0,
            "received_at": f"2026-01-01T00:00:00.{number:06d}+00:00",
            "raw": json.dumps({"id": f"{number}"}),
        }


def fill(folder: Path, answers: int, length: int) -> int:
    """Make a store."""
    part = answers // _SEGMENTS
    with timed():
        for start in range(0, answers, part):
            with Store(folder) as store:
                store.append(records(start, part, length))
    return answers


def keys(folder: Path, answers: int, length: int) -> int:
    """Find which of some keys are there, as a job does for what it lacks."""
    wanted = _wanted(answers)
    with timed():
        found = wanted & Store(folder).keys()
    return len(found)


def _wanted(answers: int) -> set[str]:
    step = max(1, answers // _WANTED)
    numbers = range(0, answers, step)[:_WANTED]
    return {next(records(number, 1, 10))["key"] for number in numbers}


def get(folder: Path, answers: int, length: int) -> int:
    """Look up keys spread over the store."""
    wanted = _wanted(answers)
    with timed():
        found = Store(folder).get(wanted)
    return len(found)


def fold(folder: Path, answers: int, length: int) -> int:
    """Append and fold."""
    new = list(records(answers, _NEW, length))
    with Store(folder) as store:
        store.keys()
        print("append", end=" ")
        with timed():
            for start in range(0, _NEW, 100):
                store.append(new[start : start + 100])
        print("fold", end=" ")
        with timed():
            store.fold()
    return _NEW


def table(folder: Path, answers: int, length: int) -> int:
    """Read the light columns."""
    with timed():
        rows = Store(folder).table(["completion_tokens", "cost_usd"], "model").num_rows
    return rows


class Instant:
    """A teacher that answers at once, 32 requests at a time."""

    decoding: ClassVar[dict[str, Any]] = {}
    varies = False

    def __init__(self, length: int):
        """Answer with about so many bytes."""
        self.length = length

    def identify(self, item: Mapping[str, Any]) -> tuple[str, str]:
        """Be the model whose answers the store has."""
        return "model", "1"

    def answer(self, requests: Iterable[Request | None]) -> Iterator[list[Answer]]:
        """Answer."""
        stream = iter(requests)
        while lot := list(takewhile(lambda one: one is not None, islice(stream, 32))):
            for one in lot:
                if one:
                    one.sent()
            yield [
                Answer(one.key, "x" * self.length, None, "stop", 300, 400, 0.001, 1.0, {})
                for one in lot
                if one
            ]


def batched(things: Iterable[Any], count: int) -> Iterator[list[Any]]:
    """Yield so many at a time."""
    several = iter(things)
    while part := list(islice(several, count)):
        yield part


def buy(folder: Path, answers: int, length: int) -> int:
    """Buy with a budget that is counted again as often as in a job."""
    section = {"provider": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "model"}
    settings = read_teacher({**section, "revision": "1", "api_key_env": None})
    clock = time.process_time
    counting = 0.0

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal counting
            started = clock()
            try:
                return work(*arguments)
            finally:
                counting += clock() - started

        return call

    rest = ("i", [{"role": "user", "content": "?"}], {}, 0, None, "model", "1")
    requests = [Request(f"{number:064x}", *rest) for number in range(BOUGHT)]
    worst = Spending(1, 5000, 0.01)
    logging.disable()
    started = clock()
    with timed(), Store(folder) as store:
        note = Note(folder, "model", "1")

        def look() -> tuple[Spending, Spending]:
            seen = seen_of(store, Identity("model", "1"), settings, note.path)
            return seen.spent, seen.lost

        limits = {"max_requests": 1e9, "max_cost_usd": 1e9}
        budget = Budget(limits, look()[0], lambda request: worst, look, note=note)
        for name in ("reserve", "sent", "settle", "look_again"):
            setattr(budget, name, counted(getattr(budget, name)))
        setattr(store, "refresh", counted(store.refresh))  # noqa: B010
        obtain(requests, Asking(Instant(length), store, budget), "benchmark", lambda _: "")
    print(f"of it counting {counting:.2f}, {100 * counting / (clock() - started):.1f}%;", end=" ")
    return BOUGHT


def killed(folder: Path, answers: int, length: int) -> int:
    """Open the store twice after a job that was killed before it folded its journal."""
    if os.fork() == 0:
        journal.FOLD_BYTES = 2**40
        store = Store(folder)
        for part in batched(records(answers + _NEW, BOUGHT, length), 1000):
            store.append(part)
        os._exit(0)
    os.wait()
    for _ in range(2):
        with timed(), Store(folder) as store:
            count = len(store.keys())
    return count


def verify(folder: Path, answers: int, length: int) -> int:
    """Check every byte."""
    with timed():
        report = check(folder)
    return report.answers


def merge(folder: Path, answers: int, length: int) -> int:
    """Compact."""
    with timed():
        done = compact(folder)
    return done.answers


STEPS = {
    "fill": fill,
    "keys": keys,
    "get": get,
    "fold": fold,
    "table": table,
    "buy": buy,
    "killed": killed,
    "verify": verify,
    "compact": merge,
}


def main() -> None:
    """Run the benchmark and print a line per step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--length", type=int, default=2000)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.step:
        count = STEPS[settings.step](settings.folder, settings.answers, settings.length)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"s, {count} answers, peak {peak:.0f} MiB")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        for step in STEPS:
            print(f"{step:8}", end=" ", flush=True)
            again = ["--step", step, "--folder", str(folder), "--answers", str(settings.answers)]
            again += ["--length", str(settings.length)]
            # A process of its own: nothing is known yet, and the peak is that of this step.
            subprocess.run([sys.executable, __file__, *again], check=True)
        content = [path.stat().st_size for path in files.segments(folder)]
        started = time.perf_counter()
        for path in files.segments(folder):
            path.read_bytes()
        print(f"{len(content)} segments, {sum(content) / 1e6:.0f} MB; ", end="")
        print(f"reading the bytes alone: {time.perf_counter() - started:.2f} s")


if __name__ == "__main__":
    main()
