"""Any OpenAI-compatible chat endpoint as teacher."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Literal
from urllib.parse import urlsplit

from caft.errors import ConfigError
from caft.settings import Count, Positive, key
from caft.teacher import Answer, Here, Provider, Request, lots
from caft.teacher.endpoint.batch import Batches, Habits, submitted_keys
from caft.teacher.endpoint.connection import Target, base_url_problem, plain_client, read_key
from caft.teacher.endpoint.environment import is_loopback, proxies_of
from caft.teacher.endpoint.online import Online, request_body
from caft.teacher.keys import Variable
from caft.teacher.settings import Endpoint


class OpenAI(Endpoint):
    """Any OpenAI-compatible chat endpoint; docs/teachers.md has examples."""

    provider: Literal["openai"]
    base_url: str = key("Address up to and with `/v1`, without any key.")
    api_key_env: Variable | None = key(
        "Name of the environment variable that holds the key; null for an endpoint without keys.",
        None,
    )
    allow_plain_http: bool = key(
        "Send the key over http:// to another machine, or to a proxy: everybody on the way can "
        "read it.",
        False,
    )
    batch: bool = key("Ask through the batch interface: cheaper, within a day.", False)
    batch_poll_s: Positive = key(
        "Seconds between looks at a batch; they grow to ten times as long.", 30
    )
    batch_max_requests: Count = key(
        "Most requests of a batch; one that is refused for its size, or for what is enqueued, is "
        "halved.",
        50_000,
    )
    batch_max_mb: Positive = key("Largest file of a batch, in MB.", 100)
    batch_max_result_mb: Positive = key(
        "Largest file of a batch's results, unpacked, in MB. With a larger one the job ends; the "
        "batch stays at the endpoint.",
        500,
    )
    batch_patience_s: Positive = key(
        "How long the endpoint may be out of reach while a batch is waited for, or a batch in a "
        "state that caft does not know, before the job ends; the batch goes on.",
        21_600,
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys; none is repeated that could hold a secret."""
        if problem := self.address_problem():
            yield "base_url", problem
        yield from super().problems()

    def address_problem(self, through: Sequence[str] = ()) -> str | None:
        """Say what is wrong with the address, or with sending the key there; None if nothing is.

        Args:
            through: names of the variables whose proxy stands between here and there.
        """
        if problem := base_url_problem(self.base_url):
            return problem
        is_plain = urlsplit(self.base_url).scheme == "http" and not self.allow_plain_http
        if not (is_plain and self.api_key_env) or (is_loopback(self.base_url) and not through):
            return None
        whose = f"the proxy in {' or '.join(through)}" if through else "everybody on the way"
        return (
            f"begins with http://, so {whose} could read the key in ${self.api_key_env}. Write "
            "https://; or set allow_plain_http to true where the way is your own, or api_key_env "
            "to null for an endpoint without keys."
        )

    @property
    def way(self) -> str:
        """Where questions go, and with which key."""
        key = f"key from ${self.api_key_env}" if self.api_key_env else "no key"
        names = proxies_of(self.base_url)
        through = f", through the proxy in {' or '.join(names)}" if names else ""
        return f"{self.base_url}, {key}{through}"

    @property
    def in_batches(self) -> bool:
        """Whether the price of a batch interface counts."""
        return self.batch


def make(settings: OpenAI, tokenizer: Any, here: Here) -> "OpenAITeacher":
    """Make the teacher; neither key nor network is needed until something has to be asked.

    Raises:
        ConfigError: if the base URL holds what it should not.
    """
    if problem := settings.address_problem():
        raise ConfigError(f"teachers: base_url {problem}")
    return OpenAITeacher(settings, tokenizer, here)


class OpenAITeacher(Online):
    """Asks an address of the config, many requests at once or in batches."""

    settings: OpenAI

    def __init__(self, settings: OpenAI, tokenizer: Any, here: Here):
        """Read the settings."""
        super().__init__(settings, tokenizer)
        self.here = here

    @property
    def at_once(self) -> bool:
        """Whether all is asked before the first answer can come: nothing is learned from that."""
        return self.settings.batch

    def answer(self, requests: Iterable[Request | None]) -> Iterator[list[Answer]]:
        """Ask, and yield answers as they arrive.

        Raises:
            ConfigError: if the environment lacks the key.
            TeacherError: if the endpoint refuses, or fails again and again.
        """
        stream = iter(requests)
        url, name = self.settings.base_url, self.settings.api_key_env
        while True:
            waiting: list[Request] = []
            first = next(stream, None)
            if first is None:
                return
            target = Target(self.settings, url, name, read_key(name, url))
            if problem := self.settings.address_problem(proxies_of(url)):
                raise ConfigError(f"teachers: base_url {problem}")
            rest = chain([first], stream)
            if self.settings.batch:
                yield from self._in_batches(rest, target)
                return
            taken = submitted_keys(target, self.here.store)
            yield from self.ask(_hold_back(rest, taken, waiting), target)
            if waiting:
                yield from self._in_batches(waiting, target)

    def _in_batches(
        self, requests: Iterable[Request | None], target: Target
    ) -> Iterator[list[Answer]]:
        habits = Habits(
            self.settings.batch_poll_s,
            self.settings.batch_max_requests,
            round(1e6 * self.settings.batch_max_mb),
            self.settings.batch_patience_s,
        )
        with plain_client(target) as client:
            for lot in lots(requests):
                batches = Batches(client, target, self.here.store, habits, request_body)
                yield from batches.answer(lot)


def _hold_back(
    requests: Iterator[Request | None], taken: set[str], waiting: list[Request]
) -> Iterator[Request | None]:
    """Pass requests on, but put those that were submitted in a batch before on a list."""
    for request in requests:
        if request and request.key in taken:
            waiting.append(request)
        else:
            yield request


PROVIDER = Provider(OpenAI, make)
