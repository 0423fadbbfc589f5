"""The engines that let a student write: what opens its model, and what generates with it."""

from collections.abc import Callable, Iterable, Iterator

from caft.prompting.prompts import Messages
from caft.students import generation, vllm
from caft.students.generation import Generated
from caft.students.opened import Scorer, Subject, open_scorer
from caft.students.settings import WritingEngine

Generate = Callable[..., Iterator[list[Generated]]]


def generate_with(engine: WritingEngine) -> Generate:
    """Return the function of an engine that continues prompts, with and without seeds."""
    return vllm.generate if engine == "vllm" else generation.generate


def open_writer(
    engine: WritingEngine, subject: Subject, prompts: Iterable[Messages], mode: str, limit: int
) -> Scorer:
    """Open a model that is to write; it is loaded, or vLLM started, when it is first used.

    Args:
        engine: what writes.
        subject: the model and the device settings.
        prompts: all that the job may ask: vLLM is started once, for the longest that fits.
        mode: `direct` or `cot`.
        limit: of new tokens.

    Raises:
        ModelError: if vLLM is not installed, or finds no device or another one than
            `engine.device`.
    """
    if engine == "transformers":
        return open_scorer(subject)
    opened = vllm.open_scorer(subject)
    needed = subject.engine.vllm, lambda: vllm.needs(opened, prompts, mode, limit)
    return vllm.Engine(*needed).answering(opened)
