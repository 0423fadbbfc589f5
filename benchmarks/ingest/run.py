"""Time and memory of reading a question set, by format and number of rows.

    python benchmarks/ingest/run.py --counts 25000 50000 100000
    python benchmarks/ingest/run.py --formats parquet --counts 1000000 --peers

Makes questions of 806 characters up, four options and a category, and reads them as the rule
`ingest_items` does: rows, checks, ids, splits, the report, and the items table. Each measurement is
a process of its own, and starts when the libraries are loaded. Reported: CPU seconds, seconds, the
peak of memory, and CPU seconds per 100,000 rows, which stay the same where the cost is linear.
`--peers` adds what pandas takes to read the file and to write it as Parquet, without any check.
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
from itertools import islice
from pathlib import Path

_BATCH = 20_000


def rows(count: int) -> Iterator[dict[str, object]]:
    """Yield made-up questions of about 806 characters."""
    draw = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 8))) for _ in range(8000)]
    for number in range(count):
        question = " ".join(draw.choices(words, k=134))
        yield {
            "id": number,
            "question": f"{question[:790]} {number}?",
            "options": [f"{word} {number}" for word in draw.sample(words, 4)],
            "answer": "ABCD"[number % 4],
            "category": f"topic {number % 14}",
        }


def write(path: Path, count: int) -> None:
    """Write a file of made-up questions, in the format that its name ends in."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = rows(count)
    if path.suffix == ".parquet":
        first = pa.Table.from_pylist(list(islice(made, _BATCH)))
        with pq.ParquetWriter(path, first.schema) as writer:
            writer.write_table(first)
            while batch := list(islice(made, _BATCH)):
                writer.write_table(pa.Table.from_pylist(batch))
    elif path.suffix == ".csv":
        table = pd.DataFrame(made)
        table["options"] = table["options"].map(json.dumps)
        table.to_csv(path, index=False)
    else:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in made)


def ingest_file(path: Path) -> int:
    """Read a file and write its items table; return the number of items."""
    from caft.datasets import load, read_section
    from caft.datasets.ingest import ingest_as
    from caft.tables import parquet

    columns = {name: name for name in ("id", "question", "options", "answer", "category")}
    section = {"adapter": "file", "path": str(path), "columns": columns, "max_file_mb": 4000}
    settings = read_section({**section, "splits": {"train": 0.8, "test": 0.2}})
    made = ingest_as(settings, load(settings, 1, path.parent), 1, "made_up")
    parquet.write("items", made.items, path.with_suffix(".items"))
    return len(made.items)


def read_plainly(path: Path) -> int:
    """Read a file with pandas and write it as Parquet."""
    import pandas as pd

    readers = {".jsonl": lambda: pd.read_json(path, lines=True), ".csv": lambda: pd.read_csv(path)}
    table = readers.get(path.suffix, lambda: pd.read_parquet(path))()
    table.to_parquet(path.with_suffix(".items"), compression="zstd")
    return len(table)


def measure(path: Path, plainly: bool) -> dict[str, float]:
    """Do the work in this process, and return what it took."""
    import caft.datasets.file
    import caft.datasets.ingest
    import caft.tables.parquet  # noqa: F401 - start-up is not what is measured

    start, cpu = time.perf_counter(), time.process_time()
    items = read_plainly(path) if plainly else ingest_file(path)
    return {
        "items": items,
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def main() -> None:
    """Measure every format and count, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    parser.add_argument("--formats", nargs="+", default=["jsonl", "csv", "parquet"])
    parser.add_argument("--peers", action="store_true", help="also plain pandas")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--plainly", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.plainly)))
        return
    print("| format | rows | by | CPU seconds | seconds | peak MB | CPU seconds per 100,000 |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for suffix in arguments.formats:
            for count in arguments.counts:
                path = Path(folder, f"made_up.{suffix}")
                write(path, count)
                for who in ["caft", *(["pandas"] if arguments.peers else [])]:
                    command = [sys.executable, __file__, "--one", str(path)]
                    command += ["--plainly"] if who == "pandas" else []
                    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                    took = json.loads(done.stdout)
                    print(
                        f"| {suffix} | {took['items']:,} | {who} | {took['cpu']:.1f} | "
                        f"{took['seconds']:.1f} | {took['mb']:.0f} | "
                        f"{took['cpu'] / count * 100_000:.1f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
