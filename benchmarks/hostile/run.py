"""Read thousands of hostile texts: seconds and memory of each, and what ends in a bare exception.

    python benchmarks/hostile/run.py --count 5000

The texts are those of `tests/hostile.py`. Seconds are of the processor. Memory is the most that
Python's objects took while a text was read, and how much the process grew in all.
"""

import argparse
import logging
import resource
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import hostile


def main() -> None:
    """Read all texts twice: once for seconds, once for memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=0.2, help="slower ones are shown")
    parser.add_argument("--mb", type=float, default=200, help="larger ones are shown")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    bare: Counter[str] = Counter()
    seconds: dict[int, float] = {}
    memory: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as name:
        before = _grown()
        for number in range(options.count):
            case = hostile.draw(number)
            started = time.process_time()
            try:
                hostile.READERS[case.kind](case, Path(name))
            except Exception as error:
                bare[f"{case.kind}: {type(error).__name__}: {str(error)[:80]}"] += 1
                print(f"text {number}: {type(error).__name__}: {str(error)[:200]!a}")
            seconds[number] = time.process_time() - started
        grown = _grown() - before
        tracemalloc.start()
        for number in range(options.count):
            case = hostile.draw(number)
            tracemalloc.reset_peak()
            now = tracemalloc.get_traced_memory()[0]
            with suppress(Exception):  # told above
                hostile.READERS[case.kind](case, Path(name))
            memory[number] = (tracemalloc.get_traced_memory()[1] - now) / 1e6
    for number in seconds:
        if seconds[number] > options.seconds or memory[number] > options.mb:
            case = hostile.draw(number)
            start = case.text[:40].encode("unicode_escape").decode()
            print(f"text {number} ({case.kind}, {len(case.text)} characters, {start}): ", end="")
            print(f"{seconds[number]:.2f} s, {memory[number]:.0f} MB")
    print(f"{options.count} texts, {sum(bare.values())} bare exceptions")
    slow = sorted(seconds.values())
    print(f"seconds: median {slow[len(slow) // 2]:.4f}, largest {slow[-1]:.3f}")
    print(f"MB of objects: largest {max(memory.values()):.0f}; the process grew by {grown:.0f} MB")


def _grown() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
