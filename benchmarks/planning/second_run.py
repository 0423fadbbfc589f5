"""Compare the plan of a second run with what the run then does.

    python benchmarks/planning/second_run.py --folder /tmp/planned

Runs the default configuration with one training seed, plans the same with another seed, runs that,
and prints a line per step: what was left to do by the plan, and what was done. The second run is
on the machine of the first one, so that the plan knows its rates. `--size` makes fewer questions,
`--strategies` trains only these again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from caft.config.reading import parse
from caft.prompting.prompts import all_messages
from caft.students.folders import load_chat

ROOT = Path(__file__).parents[2]
CONFIG = parse(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
RECORDS = {
    "train_stage": "results/models/*/model.json",
    "evaluate_model": "results/predictions/**/*.run.json",
}


def run(folder: Path, target: str, given: dict[str, Any]) -> None:
    """Give a command of the workflow in a folder."""
    file = folder / "given.yaml"
    file.write_text(json.dumps(given))
    command = [sys.executable, "-m", "snakemake", target, "--cores", "1"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    subprocess.run([*command, "--configfile", str(file)], check=True)


def records(folder: Path) -> dict[str, set[Path]]:
    """Return where the jobs that are done tell what they took, by step."""
    return {step: set(folder.glob(pattern)) for step, pattern in RECORDS.items()}


def planned(folder: Path) -> dict[str, dict[str, float]]:
    """Return what is left by the plan, by step."""
    table = pd.read_csv(folder / "results/tables/plan.csv")
    table["tokens"] *= table["left"] / table["jobs"]
    left = table[table["step"].isin(RECORDS) & (table["left"] > 0)]
    left = left.assign(seconds=left["hours_left"] * 3600)
    return (
        left.rename(columns={"left": "jobs", "jobs": "all"})
        .groupby("step")[["jobs", "rows", "updates", "tokens", "disk_mb", "seconds"]]
        .sum()
        .to_dict("index")
    )


def done(folder: Path, step: str, files: set[Path]) -> dict[str, float]:
    """Return what jobs did."""
    found = [json.loads(file.read_text()) for file in files]
    result: dict[str, float] = {"jobs": len(found), "seconds": sum(one["seconds"] for one in found)}
    if step == "train_stage":
        kept = [path for file in files for path in file.parent.rglob("*") if path.is_file()]
        return result | {
            "rows": sum(one["rows"] for one in found),
            "updates": sum(one["steps"] for one in found),
            "tokens": sum(one["all_tokens"] for one in found),
            "disk_mb": sum(path.stat().st_size for path in kept) / 1e6,
        }
    written = sum(one["new_tokens"] for one in found)
    return result | {"tokens": written + sum(_read_tokens(folder, file) for file in files)}


def _read_tokens(folder: Path, run_file: Path) -> int:
    """Return how many tokens the prompts of an evaluation have, by the student's own template."""
    _, mode, _, _ = run_file.name.split(".")
    *_, dataset, student, _ = run_file.parts
    chat = load_chat(folder / "data/models" / student)
    items = pd.read_parquet(folder / f"data/items/{dataset}.parquet")
    asked = items[items["split"] == CONFIG.run.split]
    messages = all_messages(asked, CONFIG.prompts[CONFIG.prompt], mode, CONFIG.seed)
    return sum(len(chat.prompt(one, mode)) for one in messages)


def main() -> None:
    """Run, plan, run and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--size", type=int, default=340)
    parser.add_argument("--strategies", nargs="+", default=CONFIG.run.strategies)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    given = {"datasets": {"sums": {"size": arguments.size}}}
    run(folder, "summary", {**given, "run": {"seeds": [1]}})
    before = records(folder)
    (folder / "results/tables/plan.csv").unlink(missing_ok=True)
    again = {**given, "run": {"seeds": [2], "strategies": arguments.strategies}}
    run(folder, "plan", again)
    plan = planned(folder)
    run(folder, "summary", again)
    for step, files in records(folder).items():
        real = done(folder, step, files - before[step])
        for name, number in real.items():
            there = plan[step][name]
            share = f"{(there - number) / number:+.0%}" if number else ""
            print(f"{step:15} {name:8} planned {there:10.1f}  done {number:10.1f}  {share}")


if __name__ == "__main__":
    main()
