"""How long Snakemake plans a large comparison.

    python benchmarks/planning/run.py

Makes 3 data sets of 40 sums, 3 tiny random students, the 9 standard strategies and 5 training
seeds, runs the workflow up to the mixtures, and times three dry runs: before anything is there,
with all mixtures there (every model and evaluation is then a job of its own), and of one target.
Reported: seconds of the whole process and jobs.
"""

# ruff: noqa: E402
# The helpers of the tests are found only once sys.path is set.

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

import yaml
from conftest import CHATML, build_model, build_tokenizer, save_student
from harness import SNAKEMAKE, Project, questions, write_questions

STRATEGIES = [
    *("base", "sft", "distill", "complexity_aware", "reverse", "curriculum", "hard_only"),
    *("random_same_size", "mixed"),
]


def make_students(folder: Path, count: int) -> list[str]:
    """Save tiny random models of the Llama kind and return their names."""
    import torch

    specials = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    tokenizer = build_tokenizer(CHATML, specials, eos_token="<|im_end|>", pad_token="<|pad|>")
    names = [f"tiny{number}" for number in range(count)]
    for number, name in enumerate(names):
        model = build_model(tokenizer, spread=0.3)
        torch.manual_seed(number)
        torch.nn.init.normal_(model.model.norm.weight, 1.0, 0.1)
        save_student(model, tokenizer, folder / "students" / name)
    return names


def make_grid(folder: Path, seeds: int) -> dict[str, Any]:
    """Write data sets and students; return the configuration of the whole grid."""
    students, datasets = make_students(folder, 3), [f"sums{number}" for number in range(3)]
    columns = {"question": "question", "answer": "answer", "id": "id", "rationale": "why"}
    common = {
        "adapter": "file",
        "columns": columns,
        "answer_kind": "numeric",
        "splits": {"train": 0.6, "validation": 0.0, "test": 0.4},
    }
    for number, name in enumerate(datasets):
        write_questions(folder / f"{name}.jsonl", questions(40 * number + 40)[40 * number :])
    return {
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


def dry_run(project: Project, what: str, target: str) -> None:
    """Time a dry run and print its jobs."""
    started = time.monotonic()
    output = project.run(target, "--dry-run", "--quiet", "rules").output
    seconds = time.monotonic() - started
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
        made = folder / "run.yaml"
        kept = yaml.safe_load(made.read_text()) if made.is_file() else None
        grid = kept or make_grid(folder, arguments.seeds)
        project = Project(folder, grid, ("--cores", "all"), program=SNAKEMAKE)
        dry_run(project, "dry run of an empty folder", "results/summary.csv")
        started = time.monotonic()
        project.run("mixtures")
        print(f"up to the mixtures: {time.monotonic() - started:.0f} s")
        dry_run(project, "dry run with all mixtures", "results/summary.csv")
        dry_run(project, "dry run of the mixtures again", "mixtures")


if __name__ == "__main__":
    main()
