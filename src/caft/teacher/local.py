"""A Hugging Face model in this process as teacher: one of its own, or the student itself.

With a temperature above 0 a text is drawn with the key of its request, whatever else is asked. The
store key still promises no more than that an answer is bought once: another device, precision or
library may write another text.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, ClassVar, Literal

from caft.errors import ConfigError, ModelError, TeacherError
from caft.running import stops
from caft.running.settings import Precision
from caft.settings import Count, NotNegative, Number, key, optional
from caft.students.checks import check_source, check_sums
from caft.students.folders import folder_revision, load_chat, load_model, pick_device
from caft.students.opened import Loaded
from caft.students.settings import WritingEngine
from caft.tables.files import files_in
from caft.tables.hashing import digest
from caft.teacher import Answer, Here, Provider, Request, lots
from caft.teacher.settings import Asked


class Writing(Asked):
    """How a model in this process writes."""

    runs_here: ClassVar = True
    free: ClassVar = True

    max_new_tokens: Count = key("Longest answer.", 512)
    temperature: NotNegative = key("0 is greedy.", 0.0)
    top_p: Number = key("Nucleus of the sampling.", 1.0, gt=0, le=1)
    batch_size: Count = key("Prompts at once, at most; an answer is stored when it is complete.", 8)

    @property
    def longest(self) -> int:
        """Tokens of the longest answer."""
        return self.max_new_tokens


class Local(Writing):
    """A Hugging Face model in this process."""

    provider: Literal["local"]
    model: str = key("A local folder or a hub id.")
    revision: str | None = optional(
        "Commit of the hub repository; required unless `model` is a local folder."
    )
    dtype: Precision = key("Precision of the teacher.", "auto")

    def files(self) -> list[str]:
        """Return the weights and config of a local folder."""
        return files_in(self.model)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the model's place."""
        if Path(self.model).is_dir():
            try:
                check_source(Path(self.model))
            except ModelError as error:
                yield "model", str(error)

    def lacks(self) -> Iterator[tuple[str, str]]:
        """Yield that the folder is not there yet, unless the hub has the model."""
        if not (Path(self.model).is_dir() or self.revision):
            yield (
                "model",
                f"no folder {self.model}; "
                "for a hub id give its revision as well, for a folder check the path.",
            )


def make(settings: Local, tokenizer: Any, here: Here) -> "LocalTeacher":
    """Make the teacher; the student's tokenizer is not used.

    Raises:
        ConfigError: if the model is a hub id without a fixed revision.
    """
    pinned = re.fullmatch("[0-9a-f]{40}", settings.revision or "")
    if not pinned and not Path(settings.model).is_dir():
        raise ConfigError(
            f"teachers: model {settings.model!r} is no folder here; for a hub id give the commit "
            "(40 hex digits) as revision, because a branch can move and answers change unseen."
        )
    return LocalTeacher(settings, lambda: _identity(settings), lambda: _load(settings, here))


class LocalTeacher:
    """Generates with a model that is loaded when the first request that is not stored comes."""

    def __init__(
        self,
        settings: Writing,
        identity: Callable[[], tuple[str, str]],
        load: Callable[[], Loaded],
        writer: WritingEngine = "transformers",
    ):
        """Read the settings; nothing is loaded yet.

        Args:
            settings: how it writes.
            identity: returns the model's id and revision.
            load: loads it.
            writer: the engine that it is loaded for. Answers of vLLM have keys of their own in the
                store: it draws others.
        """
        self.settings, self._identify, self._load = settings, identity, load
        self._writer = writer
        self.decoding: dict[str, Any] = {
            "max_new_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            **({"engine": writer} if writer != "transformers" else {}),
        }
        self.varies = settings.temperature > 0

    def identify(self, item: Mapping[str, Any]) -> tuple[str, str]:
        """Return the id of the model, and a commit or a hash of its files."""
        return self._identity

    def answer(self, requests: Iterable[Request | None]) -> Iterator[list[Answer]]:
        """Generate as far as the requests allow; answers come as they are complete."""
        for lot in lots(requests):
            yield from self._generate(lot)

    def _generate(self, requests: list[Request]) -> Iterator[list[Answer]]:
        from caft.students.engines import generate_with
        from caft.students.generation import Decoding

        student = self._loaded
        place = student.place("cot")
        lengths = [len(student.chat.prompt(one.messages, place)) for one in requests]
        most = student.context - self.settings.max_new_tokens
        fits = [length <= most for length in lengths]
        if not all(fits):
            yield [_has_no_room(one) for one, fit in zip(requests, fits, strict=True) if not fit]
            requests = list(compress(requests, fits))
        # Another key, hence another seed, for another sample of the same item.
        seeds = [int(digest(request.key, 7), 16) for request in requests]
        started = time.monotonic()
        decoding = Decoding(
            self.settings.max_new_tokens,
            self.settings.temperature,
            self.settings.top_p,
            stop_at_answer=True,
            batch_size=self.settings.batch_size,
            place=place,
        )
        prompts = [request.messages for request in requests]
        stops.check()
        write = generate_with(self._writer)
        for batch in write(student.model, student.chat, prompts, decoding, seeds=seeds):
            seconds = (time.monotonic() - started) / len(batch)
            yield [
                Answer(
                    key=requests[one.index].key,
                    text=one.text,
                    reasoning=one.thought,
                    finish_reason=one.finish_reason,
                    prompt_tokens=one.prompt_tokens,
                    completion_tokens=one.new_tokens,
                    cost_usd=0.0,
                    seconds=seconds,
                    raw={},
                )
                for one in batch
            ]
            stops.check()
            started = time.monotonic()

    @cached_property
    def _identity(self) -> tuple[str, str]:
        return self._identify()

    @cached_property
    def _loaded(self) -> Loaded:
        return self._load()


def _has_no_room(request: Request) -> Answer:
    # An error, which is not stored: the next run may give the model a longer context.
    raw = {"error": "the prompt leaves no room for max_new_tokens in the student's context"}
    return Answer(request.key, "", None, "error", None, None, 0.0, 0.0, raw)


def _identity(settings: Local) -> tuple[str, str]:
    """Return the hub id and commit, or `local` and a hash of the folder, wherever that lies."""
    folder = Path(settings.model)
    if folder.is_dir():
        return "local", folder_revision(folder)
    return settings.model, settings.revision or ""


def _load(settings: Local, here: Here) -> Loaded:
    folder = settings.model
    if not Path(folder).is_dir():
        folder = _fetch(folder, settings.revision or "")
    check_source(Path(folder))
    check_sums(Path(folder))
    # The teacher has a precision of its own.
    engine = here.engine.model_copy(update={"dtype": settings.dtype})
    device, dtype = pick_device(engine)
    model = load_model(folder, dtype=dtype, device=device, attention=engine.attention)
    return Loaded(model, load_chat(folder))


def _fetch(hub_id: str, revision: str) -> str:
    from huggingface_hub import snapshot_download

    safe = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        return snapshot_download(hub_id, revision=revision, allow_patterns=safe)
    except Exception as error:
        raise TeacherError(
            f"{hub_id} at revision {revision} could not be fetched from the hub ({error}); "
            "check id, revision and network, or give a local folder as model."
        ) from error


PROVIDER = Provider(Local, make)
