"""Generation with vLLM, in this process: the other engine of the evaluation.

The same prompts as token ids, the same ends of an answer and the same reading of its tokens as in
`caft.students.generation`; vLLM orders and batches the prompts by itself. It computes norm and head
in the model's precision and adds an adapter while it computes, where `caft.students.folders` keeps
them in float32 and merges it, so in bfloat16 near ties may fall differently.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from caft.errors import ModelError
from caft.prompting.chat import Chat
from caft.prompting.prompts import Messages
from caft.students import opened as scorer
from caft.students.checks import check_adapter, check_folder
from caft.students.generation import Decoding, Ending, Generated
from caft.students.opened import Scorer, Subject
from caft.tables.files import read_json

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of adapters, as vLLM knows them


@dataclass(frozen=True)
class VllmModel:
    """A started vLLM engine, and the adapter that its answers are written with."""

    engine: Any
    adapter: Any = None


def open_scorer(subject: Subject) -> Scorer:
    """Open a student or a model trained from it for vLLM, which starts when it is first used.

    Args:
        subject: the model and the device settings.

    Returns:
        As `caft.students.opened.open_scorer`, with a `VllmModel` as its model.

    Raises:
        ModelError: if vLLM is not installed, or finds no device or another one than
            `engine.device`.
    """
    engine = subject.engine.model_copy(update={"device": _device(subject.engine.device)})
    opened = scorer.open_scorer(replace(subject, engine=engine))
    spec = {name: value for name, value in opened.spec.items() if name != "attention"}
    libraries = {**spec["libraries"], "vllm": _version()}
    return replace(opened, spec={**spec, "libraries": libraries}, load=_start)


def generate(
    model: VllmModel, chat: Chat, prompts: list[Messages], decoding: Decoding
) -> Iterator[list[Generated]]:
    """Continue chat prompts greedily.

    Args:
        model: of an opened scorer.
        chat: tokenizer and chat template of the model.
        prompts: chat messages, one list per prompt.
        decoding: greedy; its `batch_size` is not used: vLLM fills its batches by the memory it has.

    Yields:
        Answers as they are complete; `index` is the position in `prompts`.
    """
    from vllm import SamplingParams

    ending = Ending(chat, decoding)
    ids = [chat.prompt(messages, decoding.place) for messages in prompts]
    new: list[list[int]] = [[] for _ in prompts]
    waiting = list(range(len(prompts)))
    while waiting:
        outputs = model.engine.generate(
            [{"prompt_token_ids": ids[index] + new[index]} for index in waiting],
            [
                SamplingParams(
                    temperature=0.0,
                    max_tokens=decoding.max_new_tokens - len(new[index]),
                    # Ours alone: the model's own list may hold other tokens, or lack one.
                    ignore_eos=True,
                    stop_token_ids=sorted(ending.ends),
                    stop=["]]"] if decoding.stop_at_answer else None,
                    include_stop_str_in_output=True,
                )
                for index in waiting
            ],
            lora_request=model.adapter,
            use_tqdm=False,
        )
        done = []
        for index, output in zip(waiting, outputs, strict=True):
            new[index] += output.outputs[0].token_ids
            # "]]" also closes a list inside a list: without "[[" before it, the answer goes on.
            if ending.is_reached(new[index]) or output.outputs[0].finish_reason != "stop":
                done.append(index)
        yield [ending.answer(index, len(ids[index]), new[index], []) for index in done]
        waiting = sorted(set(waiting) - set(done))


def _device(wanted: str) -> str:
    """Return the device that the installed vLLM runs on, `cuda` or `cpu`."""
    if find_spec("vllm") is None:
        raise ModelError(
            "evaluation.engine: vLLM is not installed; `pip install vllm` into an environment with "
            "a GPU, or set evaluation.engine: transformers."
        )
    # The job is a script without a main guard, which vLLM's own processes would run once more.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm.platforms import current_platform

    found = current_platform.device_type
    if found not in ("cuda", "cpu") or wanted not in ("auto", found):
        raise ModelError(
            f"evaluation.engine: the installed vLLM runs on {found or 'no device here'}, "
            f"engine.device asks for {wanted}; vLLM needs a GPU, or its build for CPUs."
        )
    return str(found)


def _version() -> str:
    import vllm

    return str(vllm.__version__)


def _start(opened: Scorer) -> VllmModel:
    from vllm import LLM
    from vllm.lora.request import LoRARequest

    folder, adapter = opened.weights
    check_folder(folder)
    if adapter:
        check_adapter(adapter)
    lora = {"enable_lora": True, "max_lora_rank": _rank(adapter)} if adapter else {}
    engine = LLM(
        model=str(folder),
        tokenizer=str(opened.folder),
        dtype=opened.spec["dtype"],
        generation_config="vllm",  # no repetition penalty or temperature of the model's makers
        trust_remote_code=False,
        max_model_len=-1,  # as much of the model's context as the memory holds
        **lora,
    )
    request = LoRARequest(adapter.name, 1, str(adapter.resolve())) if adapter else None
    return VllmModel(engine, request)


def _rank(adapter: Path) -> int:
    """Return the smallest rank vLLM knows that an adapter fits in."""
    settings = read_json(adapter / "adapter_config.json")
    if settings.get("use_dora"):
        raise ModelError(f"{adapter}: vLLM cannot use DoRA; set evaluation.engine: transformers.")
    rank = next((rank for rank in _RANKS if rank >= settings["r"]), None)
    if rank is None:
        raise ModelError(
            f"{adapter}: vLLM knows adapters up to rank {_RANKS[-1]}, this one has "
            f"{settings['r']}; set evaluation.engine: transformers."
        )
    return rank
