"""Chains of thought of a trained model, side by side with transformers' `generate`.

    caft export complexity_mixed --merge --to tuned      # in the folder of a finished run
    python benchmarks/evaluation/run.py --model tuned --items data/items/sums.parquet

The test items of the run are answered by `caft.students.generation`, as an evaluation does, and by
`generate` on left-padded batches of 16 and 64 in file order. The ways take turns, so that a machine
that slows down slows all; of each the fastest turn counts. An answer is over behind its first
`[[...]]` here, and texts are compared up to there.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from caft.evaluation.settings import Evaluation
from caft.prompting.answers import finish
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.prompting.prompts import Messages
from caft.prompting.settings import Prompt
from caft.students.folders import load_chat, load_model
from caft.students.generation import Decoding, generate
from caft.tables import parquet

ROOT = Path(__file__).parents[2]
_SIZES = (16, 64)


def ours(model: Any, chat: Chat, asked: list[Messages], limit: int, rows: int) -> list[str]:
    """Return the texts of an evaluation."""
    decoding = Decoding(limit, stop_at_answer=True, batch_size=rows, place="cot")
    texts = {one.index: one.text for done in generate(model, chat, asked, decoding) for one in done}
    return [texts[index] for index in range(len(asked))]


def theirs(model: Any, chat: Chat, asked: list[Messages], limit: int, rows: int) -> list[str]:
    """Return what `generate` writes, cut behind the first answer."""
    prompts, pad = [chat.prompt(turns, "cot") for turns in asked], chat.tokenizer.pad_token_id
    texts = []
    for start in range(0, len(prompts), rows):
        batch = prompts[start : start + rows]
        width = max(map(len, batch))
        tokens = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in batch])
        mask = (
            torch.arange(width) >= torch.tensor([width - len(prompt) for prompt in batch])[:, None]
        )
        with torch.inference_mode():
            written = model.generate(
                tokens.to(model.device),
                attention_mask=mask.long().to(model.device),
                max_new_tokens=limit,
                do_sample=False,
                eos_token_id=sorted(chat.ends),
                pad_token_id=pad,
            )
        for row in written[:, width:].tolist():
            text = chat.tokenizer.decode(row, skip_special_tokens=True)
            texts.append(text[: finish(text)])
    return texts


def main() -> None:
    """Measure all ways in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="a folder with whole weights")
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    settings = Evaluation.model_validate(config["evaluation"])
    variant = Prompt.model_validate(config["prompts"][config["prompt"]])
    limit = settings.max_new_tokens.of("cot")
    items = parquet.read("items", arguments.items)
    asked = Asked(items, variant, 1).of_split("test", "cot").messages[: arguments.count]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(arguments.model, arguments.dtype, device)
    chat = load_chat(arguments.model)
    ways: dict[str, Callable[[], list[str]]] = {
        f"caft, {settings.batch_size} at once": lambda: ours(
            model, chat, asked, limit, settings.batch_size
        )
    }
    for size in _SIZES:
        ways[f"generate, batches of {size}"] = lambda rows=size: theirs(  # type: ignore[misc]
            model, chat, asked, limit, rows
        )
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    texts: dict[str, list[str]] = {}
    ours(model, chat, asked[:4], limit, 4)
    for _ in range(arguments.turns):
        for way, answer in ways.items():
            started = time.perf_counter()
            texts[way] = answer()
            seconds[way].append(time.perf_counter() - started)
    first = next(iter(ways))
    print("| way | chains | s | times caft's | equal texts |")
    print("|---|---|---|---|---|")
    for way, took in seconds.items():
        equal = sum(map(str.__eq__, texts[way], texts[first]))
        ratio = min(took) / min(seconds[first])
        print(f"| {way} | {len(asked)} | {min(took):.1f} | {ratio:.2f} | {equal} |")


if __name__ == "__main__":
    main()
