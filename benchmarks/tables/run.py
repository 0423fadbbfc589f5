"""CPU seconds and memory of the tables that grow with the items, without any model.

    python benchmarks/tables/run.py --student data/models/smollm2-135m --count 100000

Made-up items of 806 characters: the plan of nine strategies and five training seeds, prompts and
completions tokenised; the quality of 17 metrics with 2,000 draws in 14 categories; and the summary
of nine strategies, five training seeds and two modes. Each is a process of its own, and starts when
the libraries and the made-up tables are there.
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

ROOT = Path(__file__).parents[2]
LETTERS = "ABCD"
STRATEGIES = [
    "base", "sft", "distill", "complexity_aware", "random_same_size", "reverse", "curriculum",
    "hard_only", "mixed",
]  # fmt: skip
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


def summary(count: int, student: Path) -> Any:
    """Prepare the predictions of nine strategies, and return what compares them."""
    import yaml

    from caft.config.reading import parse
    from caft.report.summary import read_all, summarize
    from caft.tables import parquet
    from caft.tables.files import write_json

    raw = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    raw["run"] |= {"strategies": STRATEGIES, "seeds": list(range(1, SEEDS + 1))}
    config, names = parse(raw), "sums/smollm2-135m"
    ids, draw = [f"{number:016x}" for number in range(count)], np.random.default_rng(4)
    bucket = draw.choice(["easy", "medium", "hard"], count, p=[0.25, 0.5, 0.25])
    buckets = _frame(ids, bucket=bucket, sampled=False)
    parquet.write("buckets", buckets, f"data/buckets/{names}/default.parquet")
    bought = _frame(
        ids, sample=0, key=ids, finish_reason="stop", prompt_tokens=9, completion_tokens=9,
        cost_usd=0.001,
    )  # fmt: skip
    parquet.write("rationales", bought, f"data/rationales/{names}/1/worked_solutions.parquet")
    plan = {name: _planned(name, len(config.strategies[name].stages), count) for name in STRATEGIES}
    write_json(f"data/mixtures/{names}/1/plan.json", plan)
    taken = {"seconds": 1.0, "energy_wh": 1.0}
    write_json(f"data/scores/{names}/warm_up/letters.run.json", taken)
    amounts = {"rows": count, "target_tokens": count, "all_tokens": count}
    write_json(f"data/warm_up/{names}/letters/model.json", amounts | taken)
    finals = {one["final"] for planned in plan.values() for one in planned["seeds"].values()}
    for final in sorted(finals):
        write_json(f"results/models/{final}/model.json", amounts | taken)
        for mode in ("direct", "cot"):
            place = f"results/predictions/{names}/{final}.{mode}"
            answers = _frame(
                ids, correct=draw.random(count) < 0.5, invalid=False, new_tokens=9,
                finish_reason="stop", text="a chain of thought of some length " * 4,
            )  # fmt: skip
            parquet.write("predictions", answers, f"{place}.parquet")
            write_json(f"{place}.run.json", taken)
    return lambda: summarize(config, read_all(config))


def _frame(ids: list[str], **columns: Any) -> Any:
    import pandas as pd

    return pd.DataFrame({"item_id": ids}).assign(**columns)


def _planned(name: str, stages: int, count: int) -> dict[str, Any]:
    """Return what a plan says of a strategy."""
    counts = dict.fromkeys(
        ("rows", "answer_rows", "target_tokens_one_pass", "target_tokens", "all_tokens"), count
    )
    none = dict.fromkeys(("rationale_rows", "over_long", "without_rationale"), 0)
    stage = {"parent": None, "mixture": name, "epochs": 1, **counts, **none}
    finals = {seed: f"{name}-{seed}" if stages else "base" for seed in range(1, SEEDS + 1)}
    return {
        "trained_mode": "direct",
        "buckets": "default",
        "teacher": "worked_solutions",
        "seeds": {
            str(seed): {
                "final": final,
                "items": count,
                "stages": [{"model": final, **stage}] * stages,
            }
            for seed, final in finals.items()
        },
    }


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, default=Path("data/models/smollm2-135m"))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--tables", nargs="+", default=["plan", "quality", "summary"])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        work = {"plan": plan, "quality": quality, "summary": summary}[arguments.one]
        student = arguments.student.resolve()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)  # tables are read and written below the working folder
            run = work(arguments.count, student)
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
