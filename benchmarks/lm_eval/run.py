"""Ask one model the same items here and with lm-evaluation-harness, and compare item by item.

    python benchmarks/lm_eval/run.py --count 200 [--items FILE] [--modes direct cot]

The items become tasks of the harness: the same rendered prompts, greedy, and a regular expression
as the filter that reads the answer. FILE is a Parquet table with columns question, options and
answer (a letter), such as `data/items/NAME.parquet`; without one, sums are made, half of them with
options. `--model` is a folder with whole weights, as `caft export --merge` makes; by default it is
the default student. The first run installs the harness into an environment of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import yaml

from caft.config.prepare import prepare
from caft.datasets import load, read_section
from caft.datasets.ingest import ingest
from caft.evaluation.evaluate import evaluate
from caft.evaluation.settings import Evaluation
from caft.prompting.answers import INVALID, equal, render
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.prompting.prompts import build_messages
from caft.prompting.settings import Prompt
from caft.running.jobs import Progress
from caft.students.folders import load_model, load_tokenizer, prepare_student
from caft.students.opened import Loaded
from caft.students.settings import Student

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
HARNESS = "lm-eval[hf]==0.4.13"
SUMS = {
    "adapter": "reasoning_gym",
    "generator": "basic_arithmetic",
    "settings": {
        "max_terms": 3,
        "max_digits": 2,
        "operators": ["+", "-"],
        "allow_parentheses": False,
    },
}
NUMBER = r"([-+]?\d[\d,]*(?:\.\d+)?)"
LABEL = r"[^\w\n]*([A-Za-z])(?=[^\w\n]*(?:\n|\Z)|[).:,;*\]]|(?<![AIai])\s)"
# What reads the answer in the harness. Direct: the first line that is not empty, with one number or
# a label at its start. Chain of thought: behind the last "[[", since the harness cuts at "]]".
FILTERS = {
    ("direct", "numeric"): rf"\A\s*[^\d\n]*?{NUMBER}[^\d\n]*(?:\n|\Z)",
    ("direct", "choice"): rf"\A\s*{LABEL}",
    ("cot", "numeric"): rf"\[\[[^\d\[]*?{NUMBER}[^\d\[]*\Z",
    ("cot", "choice"): rf"\[\[{LABEL}[^\[]*\Z",
}
# The harness cannot fall back to a statement without a mark in one expression, so neither do we.
PARSERS = {"direct": "leading", "cot": "marked"}


def environment(folder: Path) -> Path:
    """Return a Python with the harness and this environment's torch and transformers."""
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        same = [f"{name}=={version(name).split('+')[0]}" for name in ("torch", "transformers")]
        install = [str(python), "-m", "pip", "install", "--quiet", HARNESS, *same]
        subprocess.run(install, check=True)
    return python


def read_items(file: Path | None, count: int) -> pd.DataFrame:
    """Return items, all in the test split."""
    specs: list[dict[str, Any]]
    if file is None:
        size = (count + 1) // 2
        specs = [{**SUMS, "answers": kind, "size": size} for kind in ("numeric", "choice")]
    else:
        names = set(pq.read_schema(file).names) & {"question", "options", "answer"}
        kinds = ["choice"]
        if "answer_kind" in pq.read_schema(file).names:
            kinds = sorted(set(pd.read_parquet(file)["answer_kind"]))
        if kinds not in (["choice"], ["numeric"]):
            sys.exit(f"{file}: holds {', '.join(kinds)} items; give choice or numeric ones alone.")
        if kinds == ["numeric"]:
            names.discard("options")
        spec = {"adapter": "file", "path": str(file), "columns": {name: name for name in names}}
        specs = [{**spec, "answer_kind": kinds[0], "answer_format": "letter", "limit": count}]
    sections = [read_section({**spec, "splits": {"train": 0.5, "test": 0.5}}) for spec in specs]
    tables = [
        ingest(load(section, 1, Path("data/downloads")), section.splits, 1, "asked", 0.1).items
        for section in sections
    ]
    items = pd.concat(tables).drop_duplicates("item_id").head(count)
    return items.assign(split="test").reset_index(drop=True)


def write_task(
    folder: Path,
    items: pd.DataFrame,
    variant: dict[str, Any],
    tokenizer: Any,
    mode: str,
    limit: int,
) -> str:
    """Write items of one kind as a task of the harness; return its name."""
    kind = items["answer_kind"].iloc[0]
    name = f"{mode}_{kind}"
    rows = [
        {
            "item_id": item["item_id"],
            "prompt": tokenizer.apply_chat_template(
                build_messages(item, variant, mode), tokenize=False, add_generation_prompt=True
            ),
            "gold": render(item["answer"], kind, variant.labels),
        }
        for item in items.to_dict("records")
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "gold",
        "generation_kwargs": {
            "until": ["]]"] if mode == "cot" else [],
            "do_sample": False,
            "max_gen_toks": limit,
        },
        "filter_list": [
            {
                "name": "answer",
                "filter": [
                    {"function": "regex", "regex_pattern": FILTERS[mode, kind]},
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": True,
                "regexes_to_ignore": [","],
            }
        ],
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    return name


def ask_harness(python: Path, model: Path, folder: Path, tasks: list[str]) -> pd.DataFrame:
    """Run the harness on the tasks; return item_id, text, read, correct per item and task."""
    command = [str(python), "-m", "lm_eval", "run", "--model", "hf", "--tasks", *tasks]
    command += ["--model_args", f"pretrained={model},dtype=float32", "--device", "cpu"]
    command += ["--include_path", str(folder), "--batch_size", "16", "--log_samples"]
    done = subprocess.run(
        [*command, "--output_path", str(folder / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"lm-eval failed:\n{done.stderr[-3000:]}")
    rows = []
    for task in tasks:
        (file,) = (folder / "out").rglob(f"samples_{task}_*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            rows.append(
                {
                    "mode": task.split("_")[0],
                    "item_id": sample["doc"]["item_id"],
                    "text_harness": sample["resps"][0][0],
                    "read_harness": sample["filtered_resps"][0],
                    "correct_harness": bool(sample["exact_match"]),
                }
            )
    return pd.DataFrame(rows)


def classify(row: pd.Series) -> str:
    """Name how an item differs; an empty text if it does not."""
    text = row["text"].split("]]")[0] if row["mode"] == "cot" else row["text"]
    if text.strip() != row["text_harness"].strip():
        return "another text"
    if row["correct"] != row["correct_harness"]:
        return "same text, judged differently"
    read = row["read_harness"]
    same = read == row["parsed"] or equal(read.upper(), row["parsed"], row["answer_kind"])
    if row["parsed"] == INVALID and read != INVALID and row["answer_kind"] == "choice":
        return "an option that the item does not have: [invalid] here, wrong there"
    return "" if same else "same text, read differently, both wrong"


def report(mode: str, compared: pd.DataFrame) -> None:
    """Print agreement and every exception."""
    classes = compared.apply(classify, axis=1)
    ours, theirs = compared["correct"].mean(), compared["correct_harness"].mean()
    print(
        f"{mode}: {len(compared)} items, {(classes == '').sum()} agree in text, answer and verdict;"
        f" accuracy {ours:.4f} here, {theirs:.4f} there;"
        f" {(compared['parsed'] != INVALID).sum()} readable here"
    )
    for kind, rows in compared.groupby(classes):
        if kind:
            print(f"  {kind}: {len(rows)}")
            for row in rows.to_dict("records"):
                print(f"    {row['item_id']} {row['text'][-60:]!r} -> {row['parsed']}", end=" | ")
                print(f"{row['text_harness'][-60:]!r} -> {row['read_harness']}")


def main() -> None:
    """Ask, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--modes", nargs="+", default=["direct"], choices=["direct", "cot"])
    parser.add_argument("--model", type=Path, default=Path("data/models/smollm2-135m"))
    parser.add_argument("--environment", type=Path, default=HERE / ".venv")
    arguments = parser.parse_args()
    config = prepare(yaml.safe_load((ROOT / "config.yaml").read_text())).plain()
    python, model = environment(arguments.environment.absolute()), arguments.model.absolute()
    if not (model / "config.json").is_file():
        spec = Student.model_validate(config["students"]["smollm2-135m"])
        prepare_student(spec, model, Path("data/downloads"))
    items = read_items(arguments.items, arguments.count)
    variant, tokenizer = Prompt.model_validate(config["prompts"]["letters"]), load_tokenizer(model)
    settings = Evaluation.model_validate(
        {**config["evaluation"], "parser": PARSERS, "batch_size": 16}
    )
    started = time.monotonic()
    loaded = Loaded(load_model(model), Chat(tokenizer))
    ours = pd.DataFrame(
        {**row, "mode": mode}
        for mode in arguments.modes
        for rows in evaluate(
            Asked(items, variant, 1).prompts(mode),
            loaded,
            mode,
            settings,
            Progress(f"answering ({mode})", len(items)),
        )
        for row in rows
    ).merge(items[["item_id", "answer_kind"]], on="item_id")
    print(f"here: {time.monotonic() - started:.0f} s")
    with tempfile.TemporaryDirectory() as name:
        tasks = [
            write_task(Path(name), part, variant, tokenizer, mode, settings.max_new_tokens.of(mode))
            for mode in arguments.modes
            for _, part in items.groupby("answer_kind")
        ]
        started = time.monotonic()
        theirs = ask_harness(python, model, Path(name), tasks)
        print(f"lm-eval: {time.monotonic() - started:.0f} s")
    compared = ours.merge(theirs, on=["mode", "item_id"], validate="1:1")
    for mode in arguments.modes:
        report(mode, compared[compared["mode"] == mode])


if __name__ == "__main__":
    main()
