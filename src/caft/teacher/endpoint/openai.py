"""Any OpenAI-compatible chat endpoint as teacher."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import chain, cycle
from typing import Any, Literal
from urllib.parse import urlsplit

from caft.errors import ConfigError, TeacherError
from caft.settings import Positive, key
from caft.teacher import Answer, Request, token_counter
from caft.teacher.endpoint.batch import answer_in_batches, submitted_keys
from caft.teacher.endpoint.client import ask_all
from caft.teacher.endpoint.replies import (
    Fault,
    brief,
    count_prompt,
    read_answer,
    read_json_body,
    refused,
)
from caft.teacher.settings import Endpoint

_NO_KEY = "none"  # the client wants one, and would take OPENAI_API_KEY where none is given
_POOL = 16  # connections
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


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


def make(spec: Mapping[str, Any], tokenizer: Any) -> "OpenAITeacher":
    """Make the teacher; neither key nor network is needed until something has to be asked.

    Raises:
        ConfigError: if the base URL holds what it should not.
    """
    if problem := base_url_problem(spec["base_url"]):
        raise ConfigError(f"teachers: base_url {problem}")
    return OpenAITeacher(spec, tokenizer)


def base_url_problem(url: str) -> str | None:
    """Say what is wrong with a base URL, without repeating it; None if nothing is."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return "is no address that begins with http:// or https://."
    if "@" in parts.netloc:
        return "holds user info; name an environment variable with the key as api_key_env instead."
    if parts.query or parts.fragment:
        return "ends in a query; give the address alone, and a key through api_key_env."
    return None


class OpenAITeacher:
    """Asks `base_url`/chat/completions, many at once.

    Attributes:
        retries: attempts so far that repeated another one.
    """

    def __init__(self, spec: Mapping[str, Any], tokenizer: Any):
        """Read the settings.

        Args:
            spec: the teacher's config with its defaults; `store`, the folder of the store, for the
                batch interface.
            tokenizer: the student's; it counts where the endpoint does not.
        """
        self.spec = dict(spec)
        self.count = token_counter(tokenizer)
        self.varies = spec["temperature"] is None or spec["temperature"] > 0
        self.retries = 0
        self.decoding = {spec["max_tokens_field"]: spec["max_new_tokens"]} | {
            name: spec[name]
            for name in ("temperature", "top_p", "stop", "seed", "extra_body")
            if spec[name] not in (None, {})
        }

    def identify(self, item: Mapping[str, Any]) -> tuple[str, str]:
        """Return the model's name and the revision tag of the config, wherever it is served."""
        return self.spec["model"], self.spec["revision"]

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
            secret = read_key(self.spec)
            rest = chain([first], stream)
            if self.spec["batch"]:
                yield from answer_in_batches(rest, self, secret)
                return
            taken = submitted_keys(self.spec)
            yield from self._online(_hold_back(rest, taken, waiting), secret)
            if waiting:
                yield from answer_in_batches(waiting, self, secret)

    def _online(
        self, requests: Iterator[Request | None], secret: str | None
    ) -> Iterator[list[Answer]]:
        @asynccontextmanager
        async def connect() -> AsyncIterator[Any]:
            import openai

            client = openai.AsyncOpenAI(**client_settings(self.spec, secret, asynchronous=True))
            async with client:
                yield client

        async def ask(client: Any, request: Request) -> Answer:
            return await self._ask(client, request, secret)

        yield from ask_all(requests, connect, ask, self.spec, self._tokens, self._retried)

    def body(self, request: Request) -> dict[str, Any]:
        """Return the request as sent; each sample has a seed of its own where one is set."""
        sent = dict(request.decoding)
        extra = sent.pop("extra_body", {})
        if "seed" in sent:
            sent["seed"] += request.sample
        return {"model": request.model_id, "messages": request.messages, **sent, **extra}

    async def _ask(self, client: Any, request: Request, secret: str | None) -> Answer:
        from httpx2 import Response

        started = time.monotonic()
        try:
            async with asyncio.timeout(self.spec["timeout_s"]):
                # The plain response: its body is read below as it came, unchecked by any model.
                response = await client.post(
                    "/chat/completions", cast_to=Response, body=self.body(request)
                )
        except Exception as error:
            raise translate(error, self.spec, secret) from None
        seconds = time.monotonic() - started
        reply = read_json_body(response.content, secret)
        return read_answer(reply, request, self.count, self.spec["prices"], seconds)

    def _tokens(self, request: Request) -> int:
        return count_prompt(request, self.count) + self.spec["expected_completion_tokens"]

    def _retried(self) -> None:
        self.retries += 1


def _hold_back(
    requests: Iterator[Request | None], taken: set[str], waiting: list[Request]
) -> Iterator[Request | None]:
    """Pass requests on, but put those that were submitted in a batch before on a list."""
    for request in requests:
        if request and request.key in taken:
            waiting.append(request)
        else:
            yield request


def read_key(spec: Mapping[str, Any]) -> str | None:
    """Return the key from the environment; None for an endpoint without one.

    Raises:
        ConfigError: if it is missing, or can be no key. The message does not hold it.
    """
    name = spec["api_key_env"]
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(
            f"the environment has no {name}: set it to the key for {spec['base_url']}, or set "
            "api_key_env to null for an endpoint without keys."
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError(f"{name} holds blanks or other characters that no key has; set it again.")
    return key


def client_settings(
    spec: Mapping[str, Any], secret: str | None, asynchronous: bool
) -> dict[str, Any]:
    """Return the arguments of the official client, the asynchronous or the plain one.

    Target and key are given in full, so that no OPENAI_* variable changes them.
    """
    import openai
    from httpx2 import Timeout

    logging.getLogger("httpcore2").setLevel(logging.INFO)  # below it headers are logged
    http = openai.DefaultAsyncHttpxClient if asynchronous else openai.DefaultHttpxClient
    seconds = spec["timeout_s"]
    return {
        "base_url": spec["base_url"],
        "api_key": secret or _NO_KEY,
        "default_headers": {"Authorization": f"Bearer {secret or _NO_KEY}"},
        "max_retries": 0,
        "http_client": http(
            transport=_pools(spec["base_url"], spec["concurrency"]) if asynchronous else None,
            timeout=Timeout(seconds, connect=min(seconds, 30)),
            follow_redirects=False,
            trust_env=urlsplit(spec["base_url"]).hostname not in _LOOPBACK,  # no proxy to oneself
        ),
    }


def _pools(url: str, slots: int) -> Any:
    """Return a transport with many small pools of connections.

    For every request httpx2 looks at each connection of a pool, which for hundreds of them takes
    more time than all else.
    """
    import httpx2

    class Pools(httpx2.AsyncBaseTransport):
        def __init__(self) -> None:
            unlimited = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
            # Reading the certificates takes a while, so once, and only where there are any.
            tls = httpx2.create_ssl_context() if url.startswith("https") else False
            self.pools = [
                httpx2.AsyncHTTPTransport(limits=unlimited, verify=tls)
                for _ in range(-(-slots // _POOL))
            ]
            self.turns = cycle(self.pools)

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return await next(self.turns).handle_async_request(request)

        async def aclose(self) -> None:
            for pool in self.pools:
                await pool.aclose()

    return Pools()


def translate(error: Exception, spec: Mapping[str, Any], secret: str | None) -> Exception:
    """Turn an exception of the client into a Fault to retry or a TeacherError that ends the run."""
    import openai

    address = f"{spec['model']} at {spec['base_url']}"
    if isinstance(error, openai.APIStatusError):
        key = f"${spec['api_key_env']}" if spec["api_key_env"] else "api_key_env (none is set)"
        status, headers = error.response.status_code, error.response.headers
        text = error.response.content.decode("utf-8", "replace")
        return refused(status, headers, text, address, key, secret)
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Fault(f"{address} gave no answer within {spec['timeout_s']:g} s")
    cause = error.__cause__ or error
    said = brief(f"{type(cause).__name__}: {cause}".rstrip(": "), secret)
    if isinstance(error, openai.APIConnectionError):
        return Fault(f"the connection to {address} failed ({said})")
    return TeacherError(f"{address} cannot be asked ({said}).")


KEYS = OpenAI
