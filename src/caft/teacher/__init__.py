"""Teachers: who writes rationales, behind one small interface."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from caft.errors import ConfigError

PROVIDERS = {
    "reference": "caft.teacher.reference",
    "local": "caft.teacher.local",
}
"""Module per provider, with `make(spec, tokenizer) -> Teacher` and late imports."""


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
    """What came back; with the finish_reason `error` nothing did: not stored, `raw` says why."""

    key: str
    text: str
    reasoning: str | None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
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

    def answer(self, requests: list[Request]) -> Iterator[list[Answer]]:
        """Answer requests in any order, each exactly once, in batches; a batch is stored at once.

        Raises:
            TeacherError: if the teacher cannot answer at all.
        """


def make_teacher(spec: Mapping[str, Any], tokenizer: Any) -> Teacher:
    """Make a teacher from its config.

    Args:
        spec: a teacher of the config; `provider` is a key of `PROVIDERS`.
        tokenizer: the student's, for providers that count tokens with it.

    Raises:
        ConfigError: if the provider is unknown or its settings are inconsistent.
    """
    if spec["provider"] not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise ConfigError(f"teachers: provider {spec['provider']!r} is unknown; known are {known}.")
    return import_module(PROVIDERS[spec["provider"]]).make(spec, tokenizer)
