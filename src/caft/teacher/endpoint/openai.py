"""Any OpenAI-compatible chat endpoint as teacher."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, Literal

from caft.errors import ConfigError
from caft.settings import Positive, key
from caft.teacher import Answer, Request, lots, token_counter
from caft.teacher.endpoint.batch import Batches, submitted_keys
from caft.teacher.endpoint.client import ask_all
from caft.teacher.endpoint.connection import (
    asynchronous_client,
    base_url_problem,
    plain_client,
    read_key,
    translate,
)
from caft.teacher.endpoint.replies import count_prompt, read_answer, read_json_body
from caft.teacher.settings import Endpoint


class OpenAI(Endpoint):
    """Any OpenAI-compatible chat endpoint; docs/teachers.md has examples."""

    provider: Literal["openai"]
    base_url: str = key("Address up to and with `/v1`, without any key.")
    api_key_env: str | None = key(
        "Name of the environment variable that holds the key; null for an endpoint without keys.",
        None,
    )
    batch: bool = key("Ask through the batch interface: cheaper, within a day.", False)
    batch_poll_s: Positive = key(
        "Seconds between looks at a batch; they grow to ten times as long.", 30
    )


def make(settings: Mapping[str, Any], tokenizer: Any) -> "OpenAITeacher":
    """Make the teacher; neither key nor network is needed until something has to be asked.

    Raises:
        ConfigError: if the base URL holds what it should not.
    """
    if problem := base_url_problem(settings["base_url"]):
        raise ConfigError(f"teachers: base_url {problem}")
    return OpenAITeacher(settings, tokenizer)


class OpenAITeacher:
    """Asks `base_url`/chat/completions, many at once.

    Attributes:
        retries: attempts so far that repeated another one.
    """

    def __init__(self, settings: Mapping[str, Any], tokenizer: Any):
        """Read the settings.

        Args:
            settings: the teacher's section of the config with its defaults; `store`, the folder of
                the store, for the batch interface.
            tokenizer: the student's; it counts where the endpoint does not.
        """
        self.settings = dict(settings)
        self.count = token_counter(tokenizer)
        self.varies = settings["temperature"] is None or settings["temperature"] > 0
        self.retries = 0
        self.decoding = {settings["max_tokens_field"]: settings["max_new_tokens"]} | {
            name: settings[name]
            for name in ("temperature", "top_p", "stop", "seed", "extra_body")
            if settings[name] not in (None, {})
        }

    def identify(self, item: Mapping[str, Any]) -> tuple[str, str]:
        """Return the model's name and the revision tag of the config, wherever it is served."""
        return self.settings["model"], self.settings["revision"]

    def answer(self, requests: Iterable[Request | None]) -> Iterator[list[Answer]]:
        """Ask, and yield answers as they arrive.

        Raises:
            ConfigError: if the environment lacks the key.
            TeacherError: if the endpoint refuses, or fails again and again.
        """
        stream = iter(requests)
        while True:
            waiting: list[Request] = []
            first = next(stream, None)
            if first is None:
                return
            secret = read_key(self.settings)
            rest = chain([first], stream)
            if self.settings["batch"]:
                yield from self._in_batches(rest, secret)
                return
            taken = submitted_keys(self.settings)
            yield from self._online(_hold_back(rest, taken, waiting), secret)
            if waiting:
                yield from self._in_batches(waiting, secret)

    def _online(
        self, requests: Iterator[Request | None], secret: str | None
    ) -> Iterator[list[Answer]]:
        @asynccontextmanager
        async def connect() -> AsyncIterator[Any]:
            async with asynchronous_client(self.settings, secret) as client:
                yield client

        async def ask(client: Any, request: Request) -> Answer:
            return await self._ask(client, request, secret)

        yield from ask_all(requests, connect, ask, self.settings, self._tokens, self._retried)

    def _in_batches(
        self, requests: Iterable[Request | None], secret: str | None
    ) -> Iterator[list[Answer]]:
        with plain_client(self.settings, secret) as client:
            for lot in lots(requests):
                batches = Batches(client, self.settings, secret, request_body, self.count)
                yield from batches.answer(lot)

    async def _ask(self, client: Any, request: Request, secret: str | None) -> Answer:
        from httpx2 import Response

        started = time.monotonic()
        try:
            async with asyncio.timeout(self.settings["timeout_s"]):
                # The plain response: its body is read below as it came, unchecked by any model.
                response = await client.post(
                    "/chat/completions", cast_to=Response, body=request_body(request)
                )
        except Exception as error:
            raise translate(error, self.settings, secret) from None
        seconds = time.monotonic() - started
        reply = read_json_body(response.content, secret)
        return read_answer(reply, request, self.count, self.settings["prices"], seconds)

    def _tokens(self, request: Request) -> int:
        return count_prompt(request, self.count) + self.settings["expected_completion_tokens"]

    def _retried(self) -> None:
        self.retries += 1


def request_body(request: Request) -> dict[str, Any]:
    """Return a request as sent; each sample has a seed of its own where one is set."""
    sent = dict(request.decoding)
    extra = sent.pop("extra_body", {})
    if "seed" in sent:
        sent["seed"] += request.sample
    return {"model": request.model_id, "messages": request.messages, **sent, **extra}


def _hold_back(
    requests: Iterator[Request | None], taken: set[str], waiting: list[Request]
) -> Iterator[Request | None]:
    """Pass requests on, but put those that were submitted in a batch before on a list."""
    for request in requests:
        if request and request.key in taken:
            waiting.append(request)
        else:
            yield request


KEYS = OpenAI
