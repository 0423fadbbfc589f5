"""Teachers: who writes rationales, behind one small interface."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import takewhile
from typing import Any, Protocol

from caft.errors import ConfigError

PROVIDERS = {
    "reference": "caft.teacher.reference",
    "local": "caft.teacher.local",
    "openai": "caft.teacher.endpoint.openai",
    "vllm_server": "caft.teacher.endpoint.vllm_server",
}
"""Module per provider, with `make(settings, tokenizer) -> Teacher` and late imports."""


@dataclass(frozen=True)
class Request:
    """One question to a teacher. `reference` is the item's own worked solution, if it has one."""

    key: str
    item_id: str
    messages: list[dict[str, Any]]
    decoding: dict[str, Any]
    sample: int
    reference: str | None
    model_id: str
    revision: str


@dataclass(frozen=True)
class Answer:
    """What came back.

    With the finish_reason `error` nothing did: it is not stored, and `raw["error"]` says why. A
    `cost_usd` of None is an unknown price, never 0.
    """

    key: str
    text: str
    reasoning: str | None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
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


def make_teacher(settings: Mapping[str, Any], tokenizer: Any) -> Teacher:
    """Make a teacher from its config.

    Args:
        settings: a teacher's section of the config; `provider` is a key of `PROVIDERS`.
        tokenizer: the student's, for providers that count tokens with it.

    Raises:
        ConfigError: if the provider is unknown or its settings are inconsistent.
    """
    if settings["provider"] not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise ConfigError(
            f"teachers: provider {settings['provider']!r} is unknown; known are {known}."
        )
    return import_module(PROVIDERS[settings["provider"]]).make(settings, tokenizer)
