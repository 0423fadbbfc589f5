"""Scoring speed, side by side with row-by-row generation, in one run on one machine.

    python benchmarks/scoring/run.py --student data/models/smollm2-135m

Three ways to the same next-token entropies are timed on the same prompts, in turns of 32 items so
that a machine that slows down slows all: `generate(max_new_tokens=1, output_scores=True)` row by
row; the same as the published scripts call it, on left-padded batches of 16 in file order; and
`caft.complexity.forward`. Reported per precision: items/s, the speed-ups, the largest difference of
the entropies, and which share of the machine's measured matrix-multiplication rate is reached.
"""

import argparse
import random
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from caft.complexity.forward import TOKEN_BUDGET, encode_rows, score_batch, token_batches
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.prompting.settings import Prompt
from caft.running.jobs import clock
from caft.students.folders import load_model, load_tokenizer
from caft.tables import parquet

_TURN = 32
_WORDS = [
    "the",
    "of",
    "a",
    "pressure",
    "function",
    "market",
    "cell",
    "theory",
    "when",
    "rate",
    "energy",
    "contract",
    "patient",
    "solution",
    "equal",
    "value",
    "which",
    "following",
    "would",
    "most",
    "likely",
    "increase",
    "decrease",
    "system",
    "constant",
    "reaction",
    "price",
    "law",
    "temperature",
    "between",
    "during",
    "force",
    "gas",
    "company",
    "period",
    "current",
    "matrix",
    "gene",
    "species",
]


def made_up_items(count: int, seed: int) -> pd.DataFrame:
    """Return choice items as long as MMLU-Pro's: ten options, about 245 tokens a prompt."""
    draw = random.Random(seed)

    def words(mean: float) -> str:
        return " ".join(
            draw.choice(_WORDS) for _ in range(max(2, int(draw.lognormvariate(0, 0.7) * mean)))
        )

    rows = [
        {
            "item_id": f"{number:016x}",
            "question": words(55) + "?",
            "options": [words(7) for _ in range(10)],
            "answer": draw.choice("ABCDEFGHIJ"),
            "answer_kind": "choice",
            "reference_rationale": None,
            "split": "test",
        }
        for number in range(count)
    ]
    return pd.DataFrame(rows)


def gemm_rate(dtype: torch.dtype, device: str, size: int = 2048, repeats: int = 10) -> float:
    """Measure the machine's matrix-multiplication rate in FLOP/s (median of repeats)."""
    left, right = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    seconds = []
    for _ in range(repeats):
        started = _now(device)
        left @ right
        seconds.append(_now(device) - started)
    return 2 * size**3 / sorted(seconds)[repeats // 2]


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def row_by_row(model: Any, tokenizer: Any, prompts: list[list[int]]) -> list[float]:
    """Return next-token entropies the published way: one `generate` call per item."""
    return in_batches(model, tokenizer, prompts, size=1)


def in_batches(model: Any, tokenizer: Any, prompts: list[list[int]], size: int = 16) -> list[float]:
    """Return next-token entropies by `generate` on left-padded batches, in the given order."""
    entropies: list[float] = []
    for start in range(0, len(prompts), size):
        batch = prompts[start : start + size]
        width = max(len(prompt) for prompt in batch)
        padding = [width - len(prompt) for prompt in batch]
        tokens = torch.tensor(
            [
                [tokenizer.pad_token_id] * count + prompt
                for count, prompt in zip(padding, batch, strict=True)
            ],
            device=model.device,
        )
        mask = torch.arange(width, device=model.device) >= torch.tensor(
            padding, device=model.device
        ).unsqueeze(1)
        with torch.inference_mode():
            output = model.generate(
                tokens,
                attention_mask=mask.long(),
                max_new_tokens=1,
                do_sample=False,
                output_scores=True,
                return_dict_in_generate=True,
                pad_token_id=tokenizer.pad_token_id,
            )
        log_probs = output.scores[0].float().log_softmax(-1)
        entropies += (-(log_probs.exp() * log_probs).sum(-1)).tolist()
    return entropies


def compare(
    student: Path, items: pd.DataFrame, variant: dict, dtype: str, device: str
) -> dict[str, Any]:
    """Time both ways on the same items and return one row of the result table."""
    tokenizer = load_tokenizer(student)
    ours = load_model(student, dtype, device)
    from transformers import AutoModelForCausalLM

    theirs = (
        AutoModelForCausalLM.from_pretrained(
            student, dtype=getattr(torch, dtype), trust_remote_code=False
        )
        .to(device)
        .eval()
    )
    asked = Asked(items, variant, 1).prompts("direct")
    prompts = [Chat(tokenizer).prompt(turns, "direct") for turns in asked.messages]
    rows = encode_rows(asked, tokenizer)
    batches = list(token_batches(rows, TOKEN_BUDGET[device]))
    row_by_row(theirs, tokenizer, prompts[:2])
    score_batch(ours, tokenizer, batches[0])
    seconds = {"rows": 0.0, "published": 0.0, "batches": 0.0}
    expected: dict[int, float] = {}
    found: dict[int, float] = {}
    while batches:
        turn: list = []
        while batches and len(turn) < _TURN:
            batch = batches.pop(0)
            started = _now(device)
            values = score_batch(ours, tokenizer, batch)
            seconds["batches"] += _now(device) - started
            found.update(
                {
                    row.index: value["single_token_entropy"]
                    for row, value in zip(batch, values, strict=True)
                }
            )
            turn += batch
        started = _now(device)
        entropies = row_by_row(theirs, tokenizer, [prompts[row.index] for row in turn])
        seconds["rows"] += _now(device) - started
        expected.update({row.index: value for row, value in zip(turn, entropies, strict=True)})
    for start in range(0, len(prompts), _TURN):
        started = _now(device)
        in_batches(theirs, tokenizer, prompts[start : start + _TURN])
        seconds["published"] += _now(device) - started
    tokens = sum(len(prompt) for prompt in prompts)
    # The input embedding is looked up, the tied head is applied at one position: 2 FLOP per other
    # weight and token.
    weights = (
        sum(value.numel() for value in theirs.model.parameters())
        - theirs.get_input_embeddings().weight.numel()
    )
    rate = 2 * weights * tokens / seconds["batches"]
    gemm = gemm_rate(getattr(torch, dtype), device)
    return {
        "dtype": dtype,
        "items": len(items),
        "mean tokens": round(tokens / len(items), 1),
        "row by row, items/s": round(len(items) / seconds["rows"], 2),
        "batches of 16 in file order, items/s": round(len(items) / seconds["published"], 2),
        "caft, items/s": round(len(items) / seconds["batches"], 2),
        "speed-up over rows": round(seconds["rows"] / seconds["batches"], 2),
        "speed-up over batches": round(seconds["published"] / seconds["batches"], 2),
        "max |dh|, nats": f"{max(abs(found[index] - expected[index]) for index in found):.1e}",
        "GEMM, GFLOP/s": round(gemm / 1e9),
        "share of GEMM rate": round(rate / gemm, 2),
        "share of GEMM rate, rows": round(rate / gemm * seconds["batches"] / seconds["rows"], 2),
    }


def main() -> None:
    """Run the comparison and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, default=Path("data/models/smollm2-135m"))
    parser.add_argument("--items", type=Path, help="an items table instead of made-up items")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    items = (
        parquet.read("items", settings.items)
        if settings.items
        else made_up_items(settings.count, 1)
    )
    items = items[items["answer_kind"] == "choice"].head(settings.count).reset_index(drop=True)
    variant = Prompt.model_validate(
        yaml.safe_load(Path("config.yaml").read_text())["prompts"]["letters"]
    )
    started = time.monotonic()
    results = [
        compare(settings.student, items, variant, dtype, device) for dtype in settings.dtypes
    ]
    print(pd.DataFrame(results).set_index("dtype").T.to_string())
    print(f"{device}, {settings.threads} threads, took {clock(time.monotonic() - started)}")


if __name__ == "__main__":
    main()
