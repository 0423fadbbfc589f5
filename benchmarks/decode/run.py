"""Steps of the decode loop: how full its rows are, and that batches say what each text alone says.

    python benchmarks/decode/run.py --items ITEMS --chains CHAINS

Prompts are MMLU-Pro's and chains as long as those that an 8B model has published; without the two
files, lengths are drawn that are like them. A tiny random student writes each text to its length.
`steps` are passes of the model, those that read prompts included; the least possible number is all
tokens / rows at once. `one batch after another` is what a loop without refills takes, sorted by the
length of the prompts. `lengths known` is the same loop with the longest texts first: nobody knows
them, but no order can be much better. The lengths of the default run's chains are measured with
`--predictions`, a table of `results/predictions`.
"""

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from caft.students.decoder import Decoder, Text

_VOCABULARY, _END, _CHARACTERS = 512, 2, 4  # characters per token, about


def lengths_of(arguments: argparse.Namespace) -> list[tuple[int, int]]:
    """Return tokens of prompts and of what is written behind them."""
    if arguments.predictions:
        table = pd.read_parquet(arguments.predictions)
        return [(40, int(count)) for count in table["new_tokens"]][: arguments.count]
    if arguments.items and arguments.chains:
        items = pd.read_parquet(arguments.items).set_index("item_id")
        chains = pd.read_parquet(arguments.chains).set_index("item_id")
        both = items.join(chains[[arguments.text]], how="inner")
        both = both.sample(arguments.count, random_state=arguments.seed)
        asked = [
            len(question) + sum(len(option) for option in options)
            for question, options in zip(both["question"], both["options"], strict=True)
        ]
        written = both[arguments.text].str.len()
        return [
            (60 + a // _CHARACTERS, min(arguments.longest, max(1, w // _CHARACTERS)))
            for a, w in zip(asked, written, strict=True)
        ]
    draw = random.Random(arguments.seed)
    return [
        (
            60 + int(draw.lognormvariate(4.8, 0.6)),
            min(arguments.longest, max(1, int(draw.lognormvariate(5.5, 0.55)))),
        )
        for _ in range(arguments.count)
    ]


def student() -> Any:
    """Return a tiny random model."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def written(
    model: Any,
    prompts: Sequence[list[int]],
    lengths: Sequence[int],
    rows: int,
    known: bool = False,
) -> tuple[list[list[int]], int, float]:
    """Write each prompt on to its length; return the texts, the passes and the CPU seconds."""
    passes: list[int] = []
    hook = model.register_forward_pre_hook(lambda *_: passes.append(1))
    left = {tuple(prompt): length for prompt, length in zip(prompts, lengths, strict=True)}
    texts = [Length(index, prompt, left[tuple(prompt)]) for index, prompt in enumerate(prompts)]
    order = sorted(texts, key=lambda text: -(text.length if known else len(text.prompt)))
    decoder = Decoder(model, 0, lambda new: False, max(lengths), rows)
    started = time.process_time()
    done = [text for part in decoder.write(order) for text in part]
    seconds = time.process_time() - started
    hook.remove()
    return [text.new for text in sorted(done, key=lambda text: text.index)], len(passes), seconds


class Length(Text):
    """A text that is complete when it has a length."""

    def __init__(self, index: int, prompt: list[int], length: int):
        """Set the length in tokens."""
        super().__init__(index, prompt)
        self.length = length

    @property
    def done(self) -> bool:
        """Whether it is complete."""
        return len(self.new) >= self.length

    @done.setter
    def done(self, _: bool) -> None:
        """Leave it to the length."""


def one_after_another(lengths: Sequence[tuple[int, int]], rows: int) -> int:
    """Return the steps of batches that begin when the one before is complete."""
    order = [new for _, new in sorted(lengths)]
    return sum(max(order[begin : begin + rows]) for begin in range(0, len(order), rows))


def main() -> None:
    """Write all texts in batches and one by one, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=Path)
    parser.add_argument("--chains", type=Path)
    parser.add_argument("--text", default="response", help="column of the chains' texts")
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--longest", type=int, default=1500)
    parser.add_argument("--alone", type=int, default=20, help="texts that are compared one by one")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    lengths = lengths_of(arguments)
    draw = random.Random(arguments.seed)
    prompts = [[draw.randrange(3, _VOCABULARY) for _ in range(size)] for size, _ in lengths]
    news, model = [new for _, new in lengths], student()
    total = sum(news)
    print(f"{len(news)} texts, {total} tokens, longest {max(news)}")
    alone = [
        written(model, [prompt], [new], 1)[0][0]
        for prompt, new in list(zip(prompts, news, strict=True))[: arguments.alone]
    ]
    for rows in arguments.rows:
        texts, passes, seconds = written(model, prompts, news, rows)
        _, least, _ = written(model, prompts, news, rows, known=True)
        before = one_after_another(lengths, rows)
        same = texts[: len(alone)] == alone
        print(
            f"{rows} rows: {passes} passes, {passes * rows / total:.2f} of the least; lengths "
            f"known {least} ({least * rows / total:.2f}); one batch after another {before} "
            f"({before * rows / total:.2f}); {seconds:.0f} CPU s; as one by one: {same}"
        )


if __name__ == "__main__":
    main()
