"""What the checks share: the machine, and students of random weights in the shape of real ones."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QWEN_3B = {
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "max_position_embeddings": 8192,
}
SPECIALS = ["<|im_start|>", "<|im_end|>", "<|pad|>"]


class NotHere(Exception):
    """A check needs what this machine does not have; it is no failure."""


@dataclass(frozen=True)
class Machine:
    """Where the checks run.

    Attributes:
        dry: on a CPU, in tiny shapes.
        folder: for files of the check.
    """

    dry: bool
    folder: Path

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        return "cpu" if self.dry else "cuda"

    @property
    def dtype(self) -> str:
        """Precision of the device."""
        return "float32" if self.dry else "bfloat16"

    def engine(self, **more: Any) -> Any:
        """Return engine settings of this machine."""
        from caft.running.settings import Engine

        return Engine.model_validate({"device": self.device, "dtype": self.dtype, **more})

    def size(self, real: int, tiny: int) -> int:
        """Return a number for a GPU, or for a dry run."""
        return tiny if self.dry else real

    def student(self, name: str = "student", **shape: Any) -> Path:
        """Make a student with random weights, in bfloat16 on a GPU's machine."""
        import torch
        from tiny import CHATML, build_tokenizer, save_student
        from transformers import Qwen2Config, Qwen2ForCausalLM

        tokenizer = build_tokenizer(CHATML, SPECIALS, eos_token="<|im_end|>", pad_token="<|pad|>")
        given = {**(TINY if self.dry else QWEN_3B), "tie_word_embeddings": True, **shape}
        torch.manual_seed(0)
        with torch.device(self.device):
            model = Qwen2ForCausalLM(Qwen2Config(**given, eos_token_id=tokenizer.eos_token_id))
        return save_student(model.to(getattr(torch, self.dtype)), tokenizer, self.folder / name)

    @contextmanager
    def measured(self) -> Iterator[dict[str, float]]:
        """Measure seconds, and the most memory of the GPU in GB."""
        import torch

        found: dict[str, float] = {}
        if not self.dry:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        started = time.monotonic()
        yield found
        if not self.dry:
            torch.cuda.synchronize()
            found["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
        found["s"] = round(time.monotonic() - started, 2)


def questions(count: int, words: int = 12) -> Any:
    """Return made-up choices, as an items table."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "item_id": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}",
                "question": f"What is {number} + 5 ?" + " so on" * (words + number % 7),
                "options": ["4", "7", "12", "17"],
                "answer": "ABCD"[number % 4],
                "answer_kind": "choice",
                "reference_rationale": None,
                "split": "train",
            }
            for number in range(count)
        ]
    )


def letters() -> Any:
    """Return the prompt variant that the checks ask with."""
    import yaml

    from caft.config.reading import parse

    shipped = Path(__file__).parents[2] / "config.yaml"
    config = parse(yaml.safe_load(shipped.read_text(encoding="utf-8")))
    return config.prompts[config.prompt]


def rows(count: int, words: int) -> Any:
    """Return a mixture of answers: so many rows of about so many words."""
    import json

    import pandas as pd

    return pd.DataFrame(
        [
            {
                "item_id": f"i{number}",
                "target": "answer",
                "messages": json.dumps(
                    [{"role": "user", "content": f"What is {number} ?" + " so on" * words}]
                ),
                "completion": "ABCD"[number % 4],
            }
            for number in range(count)
        ]
    )
