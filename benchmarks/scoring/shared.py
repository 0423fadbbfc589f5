"""What prompts have in common is read once: seconds with that and without, on the same rows.

    python benchmarks/scoring/shared.py --student data/models/smollm2-135m --count 64

Made-up items. Three sets of prompts: as they are asked, without examples; with five worked examples
before each; and four orders of the options of questions about a passage, beside one order of them.
The two ways take turns, so that a machine that slows down slows both.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from run import made_up_items

from caft.complexity.forward import TOKEN_BUDGET, Row, encode_rows, score_batch, token_batches
from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.students import reading
from caft.students.folders import load_chat, load_model

_ORDERS = 4
_WAYS = {"once": True, "each": False}


def seconds_of(model: Any, tokenizer: Any, rows: list[Row], shares: bool) -> float:
    """Score the rows, and return the seconds that took."""
    started, beginning = time.perf_counter(), reading.Beginning()
    for batch in token_batches(rows, TOKEN_BUDGET[model.device.type], shares):
        score_batch(model, tokenizer, batch, beginning)
    return time.perf_counter() - started


def measured(model: Any, tokenizer: Any, rows: list[Row], turns: int = 2) -> dict[str, float]:
    """Return the least seconds of both ways in so many turns."""
    found: dict[str, list[float]] = {way: [] for way in _WAYS}
    really = reading.shares
    for _ in range(turns):
        for way, shares in _WAYS.items():
            reading.shares = really if shares else lambda model: False  # type: ignore[assignment]
            found[way].append(seconds_of(model, tokenizer, rows, shares))
    reading.shares = really
    return {way: min(seconds) for way, seconds in found.items()}


def rotated(items: pd.DataFrame, orders: int) -> Iterator[pd.DataFrame]:
    """Yield the items with their options in so many orders."""
    for shift in range(orders):
        turned = [options[shift:] + options[:shift] for options in items["options"]]
        yield items.assign(options=turned, answer="A", item_id=items["item_id"] + f"-{shift}")


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, default=Path("data/models/smollm2-135m"))
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--dtype", default="float32")
    settings = parser.parse_args()
    torch.set_num_threads(2)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, chat = load_model(settings.student, settings.dtype, device), load_chat(settings.student)
    letters = yaml.safe_load(Path("config.yaml").read_text())["prompts"]["letters"]
    items = made_up_items(settings.count + 8, 1)
    items.loc[:7, "split"] = "train"  # the examples
    passages = made_up_items(3 * settings.count, 2)["question"].to_numpy().reshape(-1, 3)
    about = items.iloc[8:].assign(
        question=["\n\n".join([*texts]) for texts in passages],
        options=[options[:_ORDERS] for options in items["options"].iloc[8:]],
        answer="A",
    )

    def rows_of(shown: pd.DataFrame, shots: int = 0) -> list[Row]:
        variant = Prompt.model_validate({**letters, "few_shot": shots})
        prompts = Asked(shown, variant, 1).prompts("direct")
        rows = encode_rows(prompts, chat)
        return [row for row, split in zip(rows, shown["split"], strict=True) if split == "test"]

    orders = [row for turned in rotated(about, _ORDERS) for row in rows_of(turned)]
    sets = {
        "no examples": rows_of(items),
        "five examples": rows_of(items, 5),
        "one order of the options": rows_of(about),
        f"{_ORDERS} orders of the options": orders,
    }
    print("| prompts | rows | tokens a row | s, each whole | s, beginnings once | ratio |")
    print("|---|---|---|---|---|---|")
    for name, rows in sets.items():
        took = measured(model, chat.tokenizer, rows)
        tokens = sum(len(row.tokens) for row in rows) / len(rows)
        ratio = took["each"] / took["once"]
        print(
            f"| {name} | {len(rows)} | {tokens:.0f} | {took['each']:.2f} | {took['once']:.2f} "
            f"| {ratio:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
