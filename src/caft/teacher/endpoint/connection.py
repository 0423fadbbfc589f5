"""The way to an OpenAI-compatible endpoint: its address, its key, and the official client."""

import logging
import os
import re
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

from caft.errors import ConfigError, TeacherError
from caft.teacher import Owed
from caft.teacher.endpoint.bodies import bounded_client
from caft.teacher.endpoint.environment import (
    certificate_problem,
    environment_problem,
    is_elsewhere,
    proxies_of,
)
from caft.teacher.endpoint.refusals import Whom, refused
from caft.teacher.endpoint.replies import Fault, brief, redact
from caft.teacher.settings import Endpoint

_NO_KEY = "none"  # the client wants one, and would take OPENAI_API_KEY where none is given
_POOL = 16  # connections
_PASTED = re.compile("/(chat/completions|completions|responses|messages|models|batches)/?$")
_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "gaierror")


@dataclass(frozen=True)
class Target:
    """A model at an address, and the key that is sent there.

    Attributes:
        settings: of the model.
        base_url: the address.
        api_key_env: name of the environment variable with the key; None for no key.
        secret: the key, to be kept out of everything.
    """

    settings: Endpoint
    base_url: str
    api_key_env: str | None = None
    secret: str | None = field(default=None, repr=False)

    @property
    def most_of_reply(self) -> int:
        """Largest body that is read, unpacked, in bytes."""
        return round(1e6 * self.settings.max_reply_mb)

    @property
    def most_of_file(self) -> int:
        """The same of a file of results, which holds many replies."""
        return round(1e6 * getattr(self.settings, "batch_max_result_mb", 0))


def base_url_problem(url: str) -> str | None:
    """Say what is wrong with a base URL, without repeating it; None if nothing is."""
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.scheme not in ("http", "https") or re.search(r"\s", url):
        return "is no address that begins with http:// or https://."
    if "@" in parts.netloc:
        return "holds user info; name an environment variable with the key as api_key_env instead."
    if parts.query or parts.fragment:
        return "ends in a query; give the address alone, and a key through api_key_env."
    if pasted := _PASTED.search(parts.path):
        return f"ends in {pasted[0]}, which is added to it; give the address without that."
    return None


def read_key(name: str | None, base_url: str) -> str | None:
    """Return the key from the environment; None for an endpoint without one.

    Args:
        name: of the variable; None for no key.
        base_url: what the key is for.

    Raises:
        ConfigError: if it is missing, or can be no key. The message does not hold it.
    """
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(
            f"the environment has no {name}: set it to the key for {base_url}, or set "
            "api_key_env to null for an endpoint without keys."
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError(f"{name} holds blanks or other characters that no key has; set it again.")
    return key


def plain_client(target: Target) -> Any:
    """Return the official client for calls one after the other; to be used in a `with`.

    Raises:
        ConfigError: if the environment has a proxy or certificates that cannot be used.
    """
    import openai

    _check_environment(target)

    def limit_of(path: str) -> int:
        return target.most_of_file if path.endswith("/content") else target.most_of_reply

    http = bounded_client(openai.DefaultHttpxClient, limit_of, is_async=False)
    return openai.OpenAI(**_arguments(target, http))


def asynchronous_client(target: Target) -> Any:
    """Return the official client for many calls at once; to be used in an `async with`.

    Raises:
        ConfigError: if the environment has a proxy or certificates that cannot be used.
    """
    import openai

    _check_environment(target)
    pools = _pools(target.base_url, target.settings.concurrency)
    http = bounded_client(
        openai.DefaultAsyncHttpxClient, lambda path: target.most_of_reply, is_async=True
    )
    return openai.AsyncOpenAI(**_arguments(target, http, pools))


def _check_environment(target: Target) -> None:
    if problem := environment_problem(target.base_url):
        raise ConfigError(f"{target.base_url} cannot be reached: {problem}")


def _arguments(target: Target, http: Any, transport: Any = None) -> dict[str, Any]:
    """Return the arguments of the official client.

    Target and key are given in full, so that no OPENAI_* variable changes them.
    """
    from httpx2 import Timeout

    logging.getLogger("httpcore2").setLevel(logging.INFO)  # below it headers are logged
    url, seconds, key = target.base_url, target.settings.timeout_s, target.secret or _NO_KEY
    return {
        "base_url": url,
        "api_key": key,
        "default_headers": {"Authorization": f"Bearer {key}"},
        "max_retries": 0,
        "http_client": http(
            transport=transport,
            timeout=Timeout(seconds, connect=min(seconds, 30)),
            follow_redirects=False,
            trust_env=is_elsewhere(url),
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


def whom_of(target: Target) -> Whom:
    """Return whose replies a target's are, for what they mean."""
    settings, name = target.settings, target.api_key_env
    return Whom(
        f"{settings.model} at {target.base_url}",
        f"${name}" if name else "api_key_env (none is set)",
        target.secret,
        tuple(settings.extra_body),
    )


def translate(error: Exception, target: Target) -> Exception:
    """Turn an exception of the client into a Fault to retry or a TeacherError that ends the run."""
    import openai

    settings, secret = target.settings, target.secret
    address = f"{settings.model} at {target.base_url}"
    if isinstance(error, openai.APIStatusError):
        status, headers = error.response.status_code, error.response.headers
        text = error.response.content.decode("utf-8", "replace")
        return refused(status, headers, text, whom_of(target))
    cause = error.__cause__ or error
    sent = type(cause).__name__ not in _NEVER_SENT
    owed = Owed.ALL if sent else Owed.NOTHING
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        what = f"{address} gave no answer within {settings.timeout_s:g} s (timeout_s)"
        advice = "raise timeout_s, or lower concurrency or max_new_tokens, and run again"
        return Fault(f"{what}{_through(target)}", owed=owed, advice=advice)
    said = brief(f"{type(cause).__name__}: {cause}".rstrip(": "), secret)
    if problem := certificate_problem(error, address):
        return TeacherError(str(redact(problem, secret)))
    if isinstance(error, openai.APIConnectionError):
        what = f"the connection to {address} failed ({said})"
        advice = "check base_url, the proxy if there is one, and whether the endpoint runs"
        return Fault(f"{what}{_through(target)}", owed=owed, advice=advice)
    return TeacherError(f"{address} cannot be asked ({said}).")


def _through(target: Target) -> str:
    """Name the proxy variable that an address is reached by."""
    names = proxies_of(target.base_url)
    return f"; it goes through the proxy in {' or '.join(names)}" if names else ""
