"""Speed of the store with many answers.

    python benchmarks/store/run.py --answers 100000 --length 2000

Stores answers of about `--length` bytes in several segments, and times in processes of their own:
open and look up 12,000 keys, fold 10,000 new answers, read the light columns, verify, compact.
Reported: seconds, peak memory of the process, and what the disk alone takes to read the files.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caft.store import Store, files
from caft.store.check import check
from caft.store.compaction import compact

_WORDS = ["the", "of", "energy", "rate", "when", "pressure", "function", "market", "therefore"]
_SEGMENTS = 10
_WANTED, _NEW = 12_000, 10_000


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
    started = time.perf_counter()
    for start in range(0, answers, part):
        with Store(folder) as store:
            store.append(records(start, part, length))
    print(f"{time.perf_counter() - started:.2f}", end=" ")
    return answers


def get(folder: Path, answers: int, length: int) -> int:
    """Look up keys spread over the store."""
    step = max(1, answers // _WANTED)
    keys = [next(records(n, 1, 10))["key"] for n in range(0, answers, step)][:_WANTED]
    started = time.perf_counter()
    found = Store(folder).get(keys)
    print(f"{time.perf_counter() - started:.2f}", end=" ")
    return len(found)


def fold(folder: Path, answers: int, length: int) -> int:
    """Append and fold."""
    new = list(records(answers, _NEW, length))
    with Store(folder) as store:
        store.keys()
        started = time.perf_counter()
        for start in range(0, _NEW, 100):
            store.append(new[start : start + 100])
        print(f"(append: {time.perf_counter() - started:.2f})", end=" ")
        started = time.perf_counter()
        store.fold()
        print(f"{time.perf_counter() - started:.2f}", end=" ")
    return _NEW


def table(folder: Path, answers: int, length: int) -> int:
    """Read the light columns."""
    started = time.perf_counter()
    rows = Store(folder).table(["completion_tokens", "cost_usd"], "model").num_rows
    print(f"{time.perf_counter() - started:.2f}", end=" ")
    return rows


def verify(folder: Path, answers: int, length: int) -> int:
    """Check every byte."""
    started = time.perf_counter()
    report = check(folder)
    print(f"{time.perf_counter() - started:.2f}", end=" ")
    return report.answers


def merge(folder: Path, answers: int, length: int) -> int:
    """Compact."""
    started = time.perf_counter()
    done = compact(folder)
    print(f"{time.perf_counter() - started:.2f}", end=" ")
    return done.answers


STEPS = {"fill": fill, "get": get, "fold": fold, "table": table, "verify": verify, "compact": merge}


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
