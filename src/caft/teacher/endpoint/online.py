"""Requests to an OpenAI-compatible endpoint, many at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from caft.teacher import Answer, Request, token_counter
from caft.teacher.endpoint.bodies import is_cut
from caft.teacher.endpoint.client import ask_all
from caft.teacher.endpoint.connection import Target, asynchronous_client, translate, whom_of
from caft.teacher.endpoint.refusals import refused_inside
from caft.teacher.endpoint.replies import (
    count_prompt,
    read_answer,
    read_answer_body,
    unreadable,
)
from caft.teacher.settings import Endpoint

_DECODING = ("temperature", "top_p", "stop", "seed", "extra_body")


class Online:
    """What teachers behind an address share: who they are, and how they are asked.

    Attributes:
        retries: attempts so far that repeated another one.
    """

    def __init__(self, settings: Endpoint, tokenizer: Any):
        """Read the settings; the student's tokenizer counts where the endpoint does not."""
        self.settings = settings
        self.count = token_counter(tokenizer)
        self.varies = settings.temperature is None or settings.temperature > 0
        self.retries = 0
        given = {name: getattr(settings, name) for name in _DECODING}
        self.decoding = {settings.max_tokens_field: settings.max_new_tokens} | {
            name: value for name, value in given.items() if value not in (None, {})
        }

    def identify(self, item: Mapping[str, Any]) -> tuple[str, str]:
        """Return the model's name and the revision tag of the config, wherever it is served."""
        return self.settings.model, self.settings.revision

    def ask(self, requests: Iterator[Request | None], target: Target) -> Iterator[list[Answer]]:
        """Ask at `base_url`/chat/completions, and yield answers as they arrive."""

        @asynccontextmanager
        async def connect() -> AsyncIterator[Any]:
            async with asynchronous_client(target) as client:
                yield client

        async def ask(client: Any, request: Request) -> Answer:
            return await self._ask(client, request, target)

        yield from ask_all(requests, connect, ask, self.settings, self._tokens, self._retried)

    async def _ask(self, client: Any, request: Request, target: Target) -> Answer:
        from httpx2 import Response

        started = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                # The plain response: its body is read below as it came, unchecked by any model.
                response = await client.post(
                    "/chat/completions", cast_to=Response, body=request_body(request)
                )
        except Exception as error:
            raise translate(error, target) from None
        seconds = time.monotonic() - started
        settings = self.settings
        if is_cut(response):
            why = f"the reply was larger than max_reply_mb ({settings.max_reply_mb:g})"
            raw = unreadable(response.content, why, target.secret)
        else:
            raw = read_answer_body(response.content, target.secret)
            if found := refused_inside(raw, response.headers, whom_of(target)):
                raise found
        return read_answer(raw, request, settings.rates, seconds, settings.expect_model)

    def _tokens(self, request: Request) -> int:
        return count_prompt(request, self.count) + self.settings.expected_completion_tokens

    def _retried(self) -> None:
        self.retries += 1


def request_body(request: Request) -> dict[str, Any]:
    """Return a request as sent; each sample has a seed of its own where one is set."""
    sent = dict(request.decoding)
    extra = sent.pop("extra_body", {})
    if "seed" in sent:
        sent["seed"] += request.sample
    return {"model": request.model_id, "messages": request.messages, **sent, **extra}
