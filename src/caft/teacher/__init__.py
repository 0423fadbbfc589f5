"""Teachers: who writes rationales, behind one small interface."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import takewhile
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from caft.errors import ConfigError
from caft.prompting.prompts import Messages
from caft.registry import Registry
from caft.running.settings import Engine
from caft.students.settings import WritingEngine
from caft.teacher.keys import exposed
from caft.teacher.settings import Asked

S = TypeVar("S", bound=Asked)


class Owed(Enum):
    """What the endpoint may bill for an attempt that brought no answer."""

    NOTHING = auto()  # it never got there
    REQUEST = auto()  # it was turned down: a request without tokens
    REQUEST_AND_LATER = auto()  # the same, and it is asked once more when others were answered
    ALL = auto()  # nobody knows: it was given up, or what came cannot be read


def _always(owed: Owed) -> bool:
    return True


def _unnoted() -> None:
    pass


@dataclass(frozen=True)
class Request:
    """One question to a teacher.

    Attributes:
        reference: the item's own worked solution, if it has one.
        sent: told of each attempt before it is sent, so that a kill cannot hide it.
        again: told of each attempt that brought no answer; returns whether there is money for
            another one.
    """

    key: str
    item_id: str
    messages: list[dict[str, Any]]
    decoding: dict[str, Any]
    sample: int
    reference: str | None
    model_id: str
    revision: str
    sent: Callable[[], None] = field(default=_unnoted, repr=False, compare=False)
    again: Callable[[Owed], bool] = field(default=_always, repr=False, compare=False)


NOT_TAKEN = ("refused", "too_long")
"""Finish reasons of prompts that the endpoint did not take; `raw["error"]` has its words."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        text: of the answer alone; empty where there is none.
        reasoning: what was thought before.
        finish_reason: a family of `caft.teacher.reading.ending`: only `stop` is complete. With
            `error` nothing came: it is not stored, and `raw["error"]` says why.
        prompt_tokens: None is unknown, never 0; so are the two after it.
        completion_tokens: of reasoning and text.
        cost_usd: of the answer.
        seconds: how long it took; 0 out of a batch.
        raw: the reply as it came.
    """

    key: str
    text: str
    reasoning: str | None
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    seconds: float
    raw: dict[str, Any]


class Teacher(Protocol):
    """What a provider offers.

    Attributes:
        decoding: decoding parameters of every request; they are part of the store key.
        varies: whether a second sample of a request can differ; if not, none is asked for.
    """

    decoding: dict[str, Any]
    varies: bool

    def identify(self, item: Mapping[str, Any]) -> tuple[str, str]:
        """Return the model id and the revision that answer this item."""

    def answer(self, requests: Iterable[Request | None]) -> Iterator[list[Answer]]:
        """Answer requests in any order, each exactly once, in batches.

        A request is pulled when there is room for it. None in the stream means "not now": pull
        again once an answer that is under way is durable, and stop if nothing is under way.

        When the caller asks for the next batch, the one before is durable; only then does it no
        longer count as under way. If the caller raises or closes the iterator, nothing more is
        asked.

        Raises:
            TeacherError: if the teacher cannot answer at all. What was bought until then has been
                yielded before.
        """


def lots(requests: Iterable[Request | None]) -> Iterator[list[Request]]:
    """Yield all that can be asked now, again and again, for providers that take many at once."""
    stream = iter(requests)
    while lot := list(takewhile(lambda request: request is not None, stream)):
        yield [request for request in lot if request]


def token_counter(tokenizer: Any) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text, special tokens in it as plain text."""

    def count(text: str) -> int:
        encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return len(encoded["input_ids"])

    return count


@dataclass(frozen=True)
class Here:
    """What a job has at hand for whom it asks.

    Attributes:
        store: folder of the paid answers, where the batch interface keeps its state, too.
        engine: device settings, for a model in this process.
        student: `student.json` of the student that is taught.
        trained: `model.json` of its model that writes, where it is its own teacher; None for the
            untuned one.
        writes_with: what lets a student write.
        prompts: all that may be asked; vLLM is started for the longest that fits.
    """

    store: Path
    engine: Engine = field(default_factory=Engine)
    student: Path | None = None
    trained: Path | None = None
    writes_with: WritingEngine = "transformers"
    prompts: Sequence[Messages] = ()


@dataclass(frozen=True)
class Provider(Generic[S]):
    """Who answers. The module of each provider ends in its own `PROVIDER`.

    Attributes:
        keys: its keys in the configuration, which also say what a job needs that asks it.
        make: called with the section, the student's tokenizer and what the job has; what takes
            time, it leaves for later.
    """

    keys: type[S]
    make: Callable[[S, Any, Here], Teacher]


PROVIDERS: Registry[Provider[Any]] = Registry(
    __name__,
    "PROVIDER",
    {
        "reference": ".reference",
        "local": ".local",
        "student": ".student",
        "openai": ".endpoint.openai",
        "vllm_server": ".endpoint.vllm_server",
    },
)
"""Every provider by its name in the config, with the module that declares it."""


def make_teacher(settings: Asked, tokenizer: Any, here: Here) -> Teacher:
    """Make a teacher or a judge from its section of the config.

    Args:
        settings: the section.
        tokenizer: the student's, for providers that count tokens with it.
        here: what the job has at hand.

    Raises:
        ConfigError: if the settings are inconsistent, or hold a key.
    """
    for where, what in exposed(settings.plain(), ("teachers", "<name>")):
        raise ConfigError(f"{where}: {what}")
    return PROVIDERS[settings.provider].make(settings, tokenizer, here)
