"""LoRA training beside TRL's SFTTrainer: CPU seconds, tokens per CPU second, and losses.

    python benchmarks/training/run.py --student data/models/smollm2-135m --rows 16

One epoch of made-up rows in float32 on the CPU, with the recipe's defaults but a constant rate:
TRL's trainer with the rows in its own random order, TRL's trainer with the rows in caft's order,
caft, and caft with the frozen weights in bfloat16, each in a process of its own. The losses of the
second and the third have to agree. Counted from the first step to the last: benchmarks/start/run.py
counts what comes before.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("TRL, its own order", "TRL, caft's order", "caft", "caft, bfloat16")


def mixture(count: int, longest: int) -> Any:
    """Return so many rows of 20 to `longest` words, half of them with a long completion."""
    import pandas as pd

    draw = random.Random(1)
    words = [f"{a}{b}" for a in ("so", "to", "up", "far", "on") for b in ("", "me", "ne")]

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    return pd.DataFrame(
        [
            {
                "item_id": f"i{number}",
                "target": "answer",
                "messages": json.dumps([{"role": "user", "content": text(20, longest)}]),
                "completion": text(20, 40) if number % 2 else "ABCD"[number % 4],
            }
            for number in range(count)
        ]
    )


def measure(way: str, student: Path, count: int, longest: int) -> dict[str, Any]:
    """Train in this process, and return CPU seconds, tokens and the loss of every step."""
    from transformers import TrainerCallback, set_seed
    from trl import SFTTrainer

    from caft.mixtures.recipe import Recipe
    from caft.students.folders import load_chat
    from caft.training.recipes import trainable_model, trainer_settings
    from caft.training.rows import dataset_of, encode_mixture
    from caft.training.trainer import RowOrder, StageTrainer

    class Clock(TrainerCallback):
        """Counts from the beginning of the training to its end."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.process_time()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.cpu = time.process_time() - self.started

    class Ordered(SFTTrainer):
        """TRL's trainer with another order of rows."""

        def _get_train_sampler(self, *_: Any) -> Any:
            return order

    # No warm-up: caft starts that of a short stage one step later, above a rate of 0.
    recipe, chat = Recipe(schedule="constant"), load_chat(student)
    dtype = "bfloat16" if way == WAYS[3] else "float32"
    set_seed(1)
    model = trainable_model(student, None, recipe, dtype, "sdpa")
    rows = encode_mixture(mixture(count, longest), chat)
    data = dataset_of(rows, "none", 0, chat.tokenizer.pad_token_id)
    order = RowOrder([len(row["input_ids"]) for row in rows], recipe.rows_per_update, 1)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = trainer_settings(recipe, 1, 1, "cpu", dtype, Path(folder), False)
        common: dict[str, Any] = {"processing_class": chat.tokenizer, "callbacks": [clock]}
        if way in WAYS[2:]:
            trainer: Any = StageTrainer(
                model, settings, train_dataset=data, recipe=recipe, order=order,
                identity="", meter=None, **common,
            )  # fmt: skip
        else:
            kind = SFTTrainer if way == WAYS[0] else Ordered
            trainer = kind(model, settings, train_dataset=data.select(range(count)), **common)
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    tokens = sum(len(row["input_ids"]) for row in rows)
    return {"cpu": clock.cpu, "tokens": tokens, "losses": losses}


def main() -> None:
    """Train in every way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, default=Path("data/models/smollm2-135m"))
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--words", type=int, default=160, help="of the longest question")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(
            json.dumps(measure(arguments.one, arguments.student, arguments.rows, arguments.words))
        )
        return
    print("| trainer | CPU seconds | real tokens | tokens per CPU second |\n|---|---|---|---|")
    losses = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--student", str(arguments.student)]
        command += ["--rows", str(arguments.rows), "--words", str(arguments.words), "--one", way]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        took = json.loads(done.stdout.splitlines()[-1])
        losses[way] = took["losses"]
        rate = took["tokens"] / took["cpu"]
        print(f"| {way} | {took['cpu']:.0f} | {took['tokens']} | {rate:.1f} |", flush=True)
    apart = max(abs(a - b) for a, b in zip(losses[WAYS[1]], losses[WAYS[2]], strict=True))
    print(f"\nlosses of {len(losses['caft'])} steps differ by at most {apart:.1e}")
    rounded = max(abs(a - b) for a, b in zip(losses["caft"], losses[WAYS[3]], strict=True))
    print(f"in bfloat16 by at most {rounded:.1e}")
    sys.exit(apart > 1e-5)


if __name__ == "__main__":
    main()
