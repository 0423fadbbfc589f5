"""Section `evaluation`: how models are asked and read."""

from typing import Literal

from caft.settings import key
from caft.students.settings import Writing


class Evaluation(Writing):
    """How models are asked and read."""

    engine: Literal["transformers", "vllm"] = key(
        "What generates the answers; vLLM has to be installed and needs a GPU "
        "(docs/evaluation.md).",
        "transformers",
    )
