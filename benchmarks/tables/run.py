"""CPU seconds and memory of the tables that grow with the items, without any model.

    python benchmarks/tables/run.py --student data/models/smollm2-135m --count 100000

Made-up items of 806 characters: the plan of nine strategies and five training seeds, prompts and
completions tokenised; and the quality of 17 metrics with 2,000 draws in 14 categories. Each is a
process of its own, and starts when the libraries and the made-up tables are there.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LETTERS = "ABCD"
METRICS, SEEDS = 17, 5


def made_items(count: int) -> Any:
    """Return an items table of choice questions, all in the training split."""
    import pandas as pd

    draw = np.random.default_rng(1)
    words = np.array(["".join(draw.choice(list("etaoinshr"), 5)) for _ in range(8000)])
    return pd.DataFrame(
        {
            "item_id": [f"{number:016x}" for number in range(count)],
            "question": [" ".join(draw.choice(words, 134)) for _ in range(count)],
            "options": [list(draw.choice(words, 4)) for _ in range(count)],
            "answer": [LETTERS[number % 4] for number in range(count)],
            "answer_kind": "choice",
            "category": [f"topic {number % 14}" for number in range(count)],
            "reference_rationale": None,
            "split": "train",
        }
    )


def plan(count: int, student: Path) -> Any:
    """Prepare the plan of nine strategies, and return what makes it."""
    import pandas as pd

    from caft.mixtures.building import build_plan
    from caft.mixtures.recipe import Recipe
    from caft.mixtures.rows import Materials
    from caft.mixtures.settings import ResolvedStrategy
    from caft.prompting.settings import Prompt
    from caft.students.folders import load_chat
    from caft.tables.files import read_json

    items, draw = made_items(count), np.random.default_rng(2)
    names = ["easy", "medium", "hard"]
    buckets = pd.DataFrame(
        {"item_id": items["item_id"], "bucket": draw.choice(names, count, p=[0.25, 0.5, 0.25])}
    ).assign(complexity=draw.random(count), sampled=True)
    texts = [f"{text[:400]} So it is [[{answer}]]." for text, answer in zip(
        items["question"], items["answer"], strict=True)]  # fmt: skip
    rationales = items[["item_id"]].assign(text=texts, reasoning=None, accepted=True, selected=True)
    answer = {"buckets": ["easy", "medium"], "target": "answer", "epochs": 1}
    hard = {"buckets": ["hard"], "target": "rationale", "epochs": 1}
    every = {"buckets": names, "epochs": 1}
    stages: dict[str, list[dict[str, Any]]] = {
        "base": [],
        "sft": [{**every, "target": "answer"}],
        "distill": [{**every, "target": "rationale"}],
        "complexity_aware": [answer, hard],
        "reverse": [{**answer, "buckets": ["hard", "medium"]}, {**hard, "buckets": ["easy"]}],
        "curriculum": [{**answer, "buckets": [name]} for name in names],
        "hard_only": [hard],
        "medium_only": [{**hard, "buckets": ["medium"]}],
        "easy_only": [{**hard, "buckets": ["easy"]}],
    }
    strategies = {
        name: ResolvedStrategy.model_validate(
            {"stages": own, "teacher": "made_up", "fallback": "drop", "recipe": Recipe().plain()}
        )
        for name, own in stages.items()
    }
    record = read_json(student / "student.json")
    told = dict.fromkeys(("choice", "numeric", "text"), "Answer with the letter only.")
    variant = Prompt.model_validate(
        {
            "question": {"choice": "{question}\n{options}", "open": "{question}"},
            "direct": told,
            "cot": told,
        }
    )
    materials = Materials(
        items, variant, 1, load_chat(student), record["revision"], record["context"]
    )
    return lambda: build_plan(
        materials, {"default": buckets}, {"made_up": rationales}, strategies,
        list(range(1, SEEDS + 1)), student / "student.json", None,
    )  # fmt: skip


def quality(count: int, student: Path) -> Any:
    """Prepare made-up metrics, and return what judges them."""
    import pandas as pd

    from caft.analysis.metric_tables import Judging, metric_quality

    items, draw = made_items(count), np.random.default_rng(3)
    wrong = pd.Series(draw.random(count) < 0.5, index=items["item_id"])
    metrics = {
        name: items[["item_id", "split"]].assign(
            value=draw.random(count) + 0.3 * wrong.to_numpy(), reason=None, warm_up=False
        )
        for name in ["single_token_entropy", *(f"metric_{one}" for one in range(METRICS - 1))]
    }
    return lambda: metric_quality(metrics, items, wrong, Judging(), split="train")


def main() -> None:
    """Measure both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, default=Path("data/models/smollm2-135m"))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--tables", nargs="+", default=["plan", "quality"])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        work = {"plan": plan, "quality": quality}[arguments.one]
        run = work(arguments.count, arguments.student.resolve())
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)  # mixtures are written below the working folder
            start = time.process_time()
            run()
            taken = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(json.dumps({"cpu": taken, "mb": peak}))
        return
    print("| table | items | CPU seconds | peak MB | CPU seconds per 100,000 |")
    print("|---|---|---|---|---|")
    for name in arguments.tables:
        command = [sys.executable, __file__, "--student", str(arguments.student)]
        command += ["--count", str(arguments.count), "--one", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        took = json.loads(done.stdout)
        each = took["cpu"] / arguments.count * 100_000
        print(
            f"| {name} | {arguments.count:,} | {took['cpu']:.1f} | {took['mb']:.0f} | {each:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
