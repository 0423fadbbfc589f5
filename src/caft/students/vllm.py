"""Generation with vLLM, in this process: the other engine that students write with.

The same prompts as token ids, the same ends of an answer and the same reading of its tokens as in
`caft.students.generation`; vLLM orders and batches the prompts by itself. It computes norm and head
in the model's precision and adds an adapter while it computes, where `caft.students.folders` keeps
them in float32 and merges it, so in bfloat16 near ties may fall differently.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from caft.errors import ModelError
from caft.prompting.chat import Chat
from caft.prompting.prompts import Messages
from caft.running import devices, jobs
from caft.running.settings import Vllm
from caft.students import opened as scorer
from caft.students.architecture import ropes
from caft.students.checks import check_adapter, check_folder
from caft.students.generation import Decoding, Ending, Generated
from caft.students.opened import Scorer, Subject
from caft.tables.files import read_json
from caft.tables.hashing import digest

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of adapters, as vLLM knows them
# Prompts that are given to vLLM together, by device: what is written of them is kept when all are
# complete. A GPU has hundreds under way, and is less busy at the end of each lot.
_LOT = {"cpu": 64, "cuda": 4096}


@dataclass(frozen=True)
class VllmModel:
    """A started vLLM engine, its device, and the adapter that its answers are written with."""

    engine: Any
    device: str
    adapter: Any = None


def open_scorer(subject: Subject) -> Scorer:
    """Open a student or a model trained from it for vLLM, which starts when it is first used.

    Args:
        subject: the model and the device settings.

    Returns:
        As `caft.students.opened.open_scorer`, with a `VllmModel` as its model: of an engine of its
        own for texts as long as its context, unless another `Engine` answers for it.

    Raises:
        ModelError: if vLLM is not installed, or finds no device or another one than
            `engine.device`.
    """
    engine = subject.engine.model_copy(update={"device": _device(subject.engine.device)})
    if engine.device == "cuda":
        devices.take(engine.vllm.tensor_parallel_size if engine.vllm else 1)
    opened = scorer.open_scorer(replace(subject, engine=engine))
    spec = {name: value for name, value in opened.spec.items() if name != "attention"}
    libraries = {**spec["libraries"], "vllm": _version()}
    limit = engine.vllm.max_model_len if engine.vllm else "auto"
    context = opened.context if limit == "auto" else min(opened.context, limit)
    spec = {**spec, "context": context, "libraries": libraries}
    own = Engine(engine.vllm, lambda: Needs(context, _rank(opened.weights[1])))
    return own.answering(replace(opened, context=context, spec=spec))


@dataclass(frozen=True)
class Needs:
    """What an engine has to be started with for all that it will be asked.

    Attributes:
        length: longest prompt with its answer, tokens.
        rank: largest of the adapters, as vLLM knows ranks; 0 for none.
    """

    length: int
    rank: int = 0

    @classmethod
    def of(cls, several: Iterable["Needs"]) -> "Needs":
        """Return what is enough for all of them."""
        all_of_them = list(several)
        return cls(max(one.length for one in all_of_them), max(one.rank for one in all_of_them))


def needs(opened: Scorer, prompts: Iterable[Messages], mode: str, limit: int) -> Needs:
    """Return what an engine needs to answer prompts with a model.

    Args:
        opened: the model.
        prompts: chat messages, one list per prompt; those that do not fit are not asked.
        mode: `direct` or `cot`.
        limit: of new tokens.
    """
    place = opened.chat.place(mode, opened.trained.get("thinks"))
    lengths = (len(opened.chat.prompt(messages, place)) + limit for messages in prompts)
    fitting = [length for length in lengths if length <= opened.context]
    return Needs(max(fitting, default=limit), _rank(opened.weights[1]))


class Engine:
    """An engine that starts when it is first used, and then answers with each adapter of a student.

    A start takes a minute or two, and two engines do not fit on one GPU.
    """

    def __init__(self, settings: Vllm | None, needed: Callable[[], Needs]):
        """Set what it is started with.

        Args:
            settings: of the config.
            needed: returns what it has to be started with; asked once, when it starts.
        """
        self.settings, self.needed = settings or Vllm(), needed
        self.started: Any = None
        self.adapters: dict[Path, int] = {}

    def answering(self, opened: Scorer) -> Scorer:
        """Return a model that answers through this engine; all of them have the same base."""
        return replace(opened, load=self._load)

    def _load(self, opened: Scorer) -> VllmModel:
        from vllm.lora.request import LoRARequest

        folder, adapter = opened.weights
        device = opened.spec["device"]
        if adapter:
            check_adapter(adapter)
        self.started = self.started or _start(opened, folder, self.settings, self.needed())
        if adapter is None:
            return VllmModel(self.started, device)
        number = self.adapters.setdefault(adapter, len(self.adapters) + 1)
        name = f"{number}-{adapter.name}"
        return VllmModel(self.started, device, LoRARequest(name, number, str(adapter.resolve())))


def generate(
    model: VllmModel,
    chat: Chat,
    prompts: list[Messages],
    decoding: Decoding,
    seeds: Sequence[int] = (),
    logprobs: bool = False,
) -> Iterator[list[Generated]]:
    """Continue chat prompts.

    Args:
        model: of an opened scorer.
        chat: tokenizer and chat template of the model.
        prompts: chat messages, one list per prompt.
        decoding: its `batch_size` is not used: vLLM fills its batches by the memory it has.
        seeds: of what is drawn for each prompt, with a temperature. vLLM draws other texts with
            them than `caft.students.generation` does.
        logprobs: whether the log-probability of each token is measured, in nats, before any
            temperature.

    Yields:
        Answers as a lot of them is complete; `index` is the position in `prompts`.
    """
    ending = Ending(chat, decoding)
    ids = [chat.prompt(messages, decoding.place) for messages in prompts]
    texts = [Text(index, prompt, seeds[index] if seeds else 0) for index, prompt in enumerate(ids)]
    size = _LOT[model.device]
    for begin in range(0, len(texts), size):
        waiting = texts[begin : begin + size]
        while waiting:
            _write(model, waiting, ending, decoding, logprobs)
            done = [text for text in waiting if text.done]
            yield [ending.answer(one.index, len(one.prompt), one.new, one.measured) for one in done]
            waiting = [text for text in waiting if not text.done]


@dataclass
class Text:
    """A prompt and what is written behind it."""

    index: int
    prompt: list[int]
    seed: int
    new: list[int] = field(default_factory=list)
    measured: list[list[float]] = field(default_factory=list)
    done: bool = False


def _write(
    model: VllmModel, texts: list[Text], ending: Ending, decoding: Decoding, logprobs: bool
) -> None:
    """Let vLLM write texts up to their ends, or up to a `]]` that is none."""
    outputs = model.engine.generate(
        [{"prompt_token_ids": text.prompt + text.new} for text in texts],
        [_sampling(text, ending, decoding, logprobs) for text in texts],
        lora_request=model.adapter,
        use_tqdm=False,
    )
    for text, output in zip(texts, outputs, strict=True):
        (written,) = output.outputs
        text.new += written.token_ids
        if logprobs:
            steps = zip(written.token_ids, written.logprobs, strict=True)
            text.measured += [[step[token].logprob] for token, step in steps]
        # "]]" also closes a list inside a list: without "[[" before it, the answer goes on.
        text.done = ending.is_reached(text.new) or written.finish_reason != "stop"


def _sampling(text: Text, ending: Ending, decoding: Decoding, logprobs: bool) -> Any:
    from vllm import SamplingParams

    drawn: dict[str, Any] = {}
    if decoding.temperature:
        # A text that goes on is not drawn with the numbers that it began with.
        seed = int(digest([text.seed, len(text.new)], 7), 16) if text.new else text.seed
        drawn = {"top_p": decoding.top_p, "seed": seed}
    if logprobs:
        drawn["logprobs"] = 0  # of the token that is written, and of no other
    return SamplingParams(
        temperature=decoding.temperature,
        max_tokens=decoding.max_new_tokens - len(text.new),
        # Ours alone: the model's own list may hold other tokens, or lack one.
        ignore_eos=True,
        stop_token_ids=sorted(ending.ends),
        stop=["]]"] if decoding.stop_at_answer else None,
        include_stop_str_in_output=True,
        **drawn,
    )


def _device(wanted: str) -> str:
    """Return the device that the installed vLLM runs on, `cuda` or `cpu`."""
    if problem := missing():
        raise ModelError(problem)
    # The engine itself is in this process, and ends with it.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm.platforms import current_platform

    found = current_platform.device_type
    if wanted == "auto" and devices.asked():
        wanted = "cuda"  # a GPU that was asked for is not left unused
    if found not in ("cuda", "cpu") or wanted not in ("auto", found):
        raise ModelError(
            f"evaluation.engine: the installed vLLM runs on {found or 'no device here'}, and "
            f"engine asks for {wanted} ({devices.driver()}); vLLM needs a GPU and its driver, or "
            "its build for CPUs with engine: {gpus: 0, device: cpu}."
        )
    return str(found)


def _version() -> str:
    import vllm

    return str(vllm.__version__)


def _start(opened: Scorer, folder: Path, settings: Vllm, needed: Needs) -> Any:
    """Start an engine for a model folder.

    Raises:
        ModelError: if the memory does not hold the cache of its longest text.
    """
    from vllm import LLM

    check_folder(folder)
    length = needed.length if settings.max_model_len == "auto" else opened.context
    _tell_of_factors(folder, length)
    given: dict[str, Any] = {}
    if settings.tensor_parallel_size > 1:
        given["tensor_parallel_size"] = settings.tensor_parallel_size
    if settings.gpu_memory_utilization is not None:
        given["gpu_memory_utilization"] = settings.gpu_memory_utilization
    if needed.rank:
        given |= {"enable_lora": True, "max_lora_rank": needed.rank}
    try:
        with _workers_begin_anew():
            return LLM(
                model=str(folder),
                tokenizer=str(opened.folder),
                dtype=opened.spec["dtype"],
                generation_config="vllm",  # no repetition penalty or temperature of its makers
                trust_remote_code=False,
                max_model_len=length,
                **given,
            )
    except ValueError as error:
        if "max_model_len" not in str(error) and "KV cache" not in str(error):
            raise
        raise ModelError(
            f"evaluation.engine: the memory of the GPU does not hold a text of {length} tokens in "
            f"vLLM ({' '.join(str(error).split())}); raise engine.vllm.gpu_memory_utilization, or "
            "lower engine.vllm.max_model_len: what is longer is [too_long] then."
        ) from error


@contextmanager
def _workers_begin_anew() -> Iterator[None]:
    """Let the processes that vLLM starts, one for each of several GPUs, take nothing from this one.

    They are spawned, since a fork cannot use a GPU once this process has. Python gives what is
    spawned the main module of this process by its file, so they would run the job's script, which
    has no main guard, once more. And they keep the memory of their GPU in torch's usual way: CUDA
    shares none of growing segments between processes, as vLLM's sums over GPUs need it.
    """
    os.environ.setdefault("VLLM_WORKER_MULTIPROCESSING_METHOD", "spawn")
    main, (allocator, _) = vars(sys.modules["__main__"]), jobs.ALLOCATOR
    file, kept = main.pop("__file__", None), os.environ.get(allocator)
    if kept == jobs.GROWING:
        del os.environ[allocator]
    try:
        yield
    finally:
        if file is not None:
            main["__file__"] = file
        if kept is not None:
            os.environ[allocator] = kept


def _tell_of_factors(folder: Path, length: int) -> None:
    """Tell where vLLM positions short texts otherwise than transformers, which looks at each."""
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    for rope in ropes(text):
        known = rope.get("original_max_position_embeddings")
        if rope.get("rope_type") == "longrope" and known and length > known:
            logging.getLogger("caft").warning(
                "%s: the longest text has %d tokens, so vLLM reads all texts with the factors for "
                "more than %d, and transformers the longer ones alone: answers of the two engines "
                "differ for the shorter ones",
                *(folder, length, known),
            )


def _rank(adapter: Path | None) -> int:
    """Return the smallest rank vLLM knows that an adapter fits in; 0 for none."""
    if adapter is None:
        return 0
    settings = read_json(adapter / "adapter_config.json")
    if problem := adapter_problem(settings["r"], settings.get("use_dora", False)):
        raise ModelError(f"{adapter}: {problem}")
    return next(rank for rank in _RANKS if rank >= settings["r"])


def adapter_problem(rank: int, dora: bool) -> str | None:
    """Say why vLLM cannot write with adapters of a rank, and what to change; None if it can."""
    if dora:
        return "vLLM cannot use DoRA; set evaluation.engine: transformers."
    if rank > _RANKS[-1]:
        return (
            f"vLLM knows adapters up to rank {_RANKS[-1]}, not {rank}; set "
            "evaluation.engine: transformers."
        )
    return None


def missing() -> str | None:
    """Say how to get vLLM; None if it is installed."""
    if find_spec("vllm"):
        return None
    return (
        "evaluation.engine: vLLM is not installed; `pip install vllm` into an environment with a "
        "GPU, or set evaluation.engine: transformers."
    )
