"""How long Snakemake plans a large comparison.

    python benchmarks/planning/run.py

Makes 3 data sets of 40 sums, 3 tiny random students, the 9 standard strategies and 5 training
seeds, runs the workflow up to the mixtures, and times three dry runs: before anything is there,
with all mixtures there (every model and evaluation is then a job of its own), and of one target.
Reported: seconds of the whole process and jobs.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
STRATEGIES = [
    *("base", "sft", "distill", "complexity_aware", "reverse", "curriculum", "hard_only"),
    *("random_same_size", "mixed"),
]


def make_students(folder: Path, count: int) -> list[str]:
    """Save tiny random models of the Llama kind and return their names."""
    sys.path.insert(0, str(ROOT / "tests"))
    import torch
    from conftest import CHATML, build_model, build_tokenizer, save_student

    specials = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    tokenizer = build_tokenizer(CHATML, specials, eos_token="<|im_end|>", pad_token="<|pad|>")
    names = [f"tiny{number}" for number in range(count)]
    for number, name in enumerate(names):
        model = build_model(tokenizer, spread=0.3)
        torch.manual_seed(number)
        torch.nn.init.normal_(model.model.norm.weight, 1.0, 0.1)
        save_student(model, tokenizer, folder / "students" / name)
    return names


def make_questions(path: Path, seed: int, count: int = 40) -> None:
    """Write sums with worked solutions."""
    rows = []
    for number in range(count):
        one, other = 100 * seed + number, number % 7
        solved = {"answer": str(one + other), "why": f"{one} + {other}."}
        rows.append({"id": f"q{number}", "question": f"Add {one} and {other}.", **solved})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_config(folder: Path, seeds: int) -> None:
    """Write the configuration of the whole grid."""
    students, datasets = make_students(folder, 3), [f"sums{number}" for number in range(3)]
    columns = {"question": "question", "answer": "answer", "id": "id", "rationale": "why"}
    common = {
        "adapter": "file",
        "columns": columns,
        "answer_kind": "numeric",
        "splits": {"train": 0.6, "validation": 0.0, "test": 0.4},
    }
    for seed, name in enumerate(datasets):
        make_questions(folder / f"{name}.jsonl", seed)
    config = {
        "run": {
            "datasets": datasets,
            "students": students,
            "strategies": STRATEGIES,
            "seeds": list(range(1, seeds + 1)),
        },
        "datasets": {name: {**common, "path": f"{name}.jsonl"} for name in datasets},
        "students": {name: {"path": f"students/{name}"} for name in students},
        "engine": {"device": "cpu", "threads": 1, "mem_mb": 1000},
    }
    (folder / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    (folder / "grid.yaml").write_text(yaml.safe_dump(config))


def snakemake(folder: Path, *arguments: str) -> tuple[float, str]:
    """Run Snakemake in a folder; return seconds and output."""
    started = time.monotonic()
    done = subprocess.run(
        [*SNAKEMAKE, *arguments, "--configfile", "grid.yaml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stdout[-4000:])
    return time.monotonic() - started, done.stdout


def dry_run(folder: Path, what: str, target: str) -> None:
    """Time a dry run and print its jobs."""
    seconds, output = snakemake(folder, target, "--dry-run", "--quiet", "rules")
    count = re.search(r"^total\s+(\d+)", output, flags=re.MULTILINE)
    print(f"{what}: {seconds:.1f} s, {count.group(1) if count else 0} jobs", flush=True)


def main() -> None:
    """Make the grid and time its dry runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="made and kept there; else a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "grid.yaml").is_file():
            write_config(folder, arguments.seeds)
        dry_run(folder, "dry run of an empty folder", "results/summary.csv")
        seconds, _ = snakemake(folder, "mixtures", "--cores", "all")
        print(f"up to the mixtures: {seconds:.0f} s")
        dry_run(folder, "dry run with all mixtures", "results/summary.csv")
        dry_run(folder, "dry run of the mixtures again", "mixtures")


if __name__ == "__main__":
    main()
