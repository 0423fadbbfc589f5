"""A server of the user's own, started inside the job when something has to be asked."""

import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

from caft.errors import TeacherError
from caft.running import stops
from caft.running.jobs import clock
from caft.settings import Positive, key
from caft.teacher import Answer, Here, Provider, Request
from caft.teacher.endpoint.connection import Target
from caft.teacher.endpoint.guard import GRACE, KEY
from caft.teacher.endpoint.online import Online
from caft.teacher.settings import Endpoint

_SECONDS_BETWEEN_LINES = 15.0
_TAIL = 2000  # characters of the server's log in an error

log = logging.getLogger("caft")


class VllmServer(Endpoint):
    """A server that the job starts when something has to be asked: vLLM, or one like it."""

    runs_here: ClassVar = True
    free: ClassVar = True

    provider: Literal["vllm_server"]
    command: list[str] = key(
        "Program and arguments; `{port}` is replaced by a free port, and `{key}`, where a server "
        "takes its key so, by the job's own, which `VLLM_API_KEY` holds as well.",
        min_length=1,
    )
    health: str = key("Path that answers 200 once the server is up.", "/health")
    path: str = key("Path of its OpenAI-compatible interface.", "/v1")
    start_timeout_s: Positive = key("Longest start.", 600)

    @property
    def way(self) -> str:
        """Where questions go, and with which key."""
        return f"a server that the job starts ({Path(self.command[0]).name}), no key"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys."""
        if not any("{port}" in part for part in self.command):
            yield "command", "{port} is missing; write it where the server takes its port."
        yield from super().problems()


def make(settings: VllmServer, tokenizer: Any, here: Here) -> "ServerTeacher":
    """Make the teacher; nothing is started yet."""
    return ServerTeacher(settings, tokenizer)


class ServerTeacher(Online):
    """Starts the config's command, asks it, ends it."""

    settings: VllmServer

    def answer(self, requests: Iterable[Request | None]) -> Iterator[list[Answer]]:
        """Ask a server that runs for as long as this iterator.

        Raises:
            TeacherError: if the server cannot be started or fails.
        """
        stream = iter(requests)
        first = next(stream, None)
        if first is None:
            return
        with serving(self.settings) as target:
            while first is not None:
                yield from self.ask(chain([first], stream), target)
                first = next(stream, None)


@contextmanager
def serving(settings: VllmServer) -> Iterator[Target]:
    """Run a server and yield the way to it; it is ended in any case, also when this process dies.

    The server gets a key of its own, so that nobody else on the machine can ask it, if it takes
    one.

    Raises:
        TeacherError: if the command cannot be started, ends early or is not healthy in time, or
            something else answers on its port.
    """
    port, secret = _free_port(), secrets.token_urlsafe(32)
    command = [part.replace("{port}", str(port)) for part in settings.command]
    output = _log_path()
    with open(output, "wb") as written:
        guard = subprocess.Popen(
            [sys.executable, "-m", "caft.teacher.endpoint.guard", *command],
            stdin=subprocess.PIPE,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, KEY: secret},
        )
    try:
        log.info("teacher: starting %s (its output: %s)", command[0], output)
        started = time.monotonic()
        _wait_for(
            f"http://127.0.0.1:{port}{settings.health}", guard, settings.start_timeout_s, output
        )
        if problem := _foreign(port, guard.pid):
            raise TeacherError(
                f"teachers.<name>.command: {problem}, so what answers on port {port} is not the "
                "server that was started, and nothing was asked. A server in a container or behind "
                "a service is none of this job's: start it yourself, and set provider: openai with "
                "its base_url."
            )
        base_url = f"http://127.0.0.1:{port}{settings.path}"
        if any("{key}" in part for part in settings.command) and _takes_any_key(base_url):
            raise TeacherError(
                "teachers.<name>.command: has a {key}, but what answers takes a wrong one as well, "
                "so nothing was asked; leave {key} out where the server knows no keys."
            )
        log.info("teacher: the server is up after %s", clock(time.monotonic() - started))
        yield Target(settings, base_url, KEY, secret)
    except TeacherError:
        # Did it end, while it was started or asked? The guard may be about to say so.
        with suppress(subprocess.TimeoutExpired):
            guard.wait(2)
        if guard.poll() is None:
            raise
        raise TeacherError(_told(f"ended with status {guard.returncode}", output)) from None
    finally:
        _end(guard)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _log_path() -> Path:
    """Return a file beside the job's log, or a temporary one."""
    for handler in log.handlers:
        if isinstance(handler, logging.FileHandler):
            return Path(handler.baseFilename).with_suffix(".server.log")
    return Path(tempfile.mkdtemp(prefix="caft-server-"), "server.log")


def _wait_for(url: str, guard: subprocess.Popen[bytes], limit: float, output: Path) -> None:
    started = told = time.monotonic()
    while not _answers(url):
        now = time.monotonic()
        if guard.poll() is not None or now - started > limit:
            raise TeacherError(_told(f"did not answer {url} with 200 within {limit:g} s", output))
        if now - told > _SECONDS_BETWEEN_LINES:
            told = now
            log.info("teacher: the server has been starting for %s", clock(now - started))
        stops.wait(min(1.0, 0.05 + (now - started) / 10))


def _takes_any_key(base_url: str) -> bool:
    wrong = {"Authorization": f"Bearer {secrets.token_urlsafe(32)}"}
    return _answers(f"{base_url}/models", wrong)


def _answers(url: str, headers: Mapping[str, str] | None = None) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy to oneself
    try:
        request = urllib.request.Request(url, headers=dict(headers or {}))
        with opener.open(request, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:  # not up yet; HTTP errors are OSErrors too
        return False


def _foreign(port: int, guard: int) -> str | None:
    """Say what else than a process below the guard listens on a port; None if nothing does.

    The port was free when it was chosen, but any process of the machine can take it until the
    server listens.
    """
    import psutil

    def listening(connections: list[Any]) -> list[Any]:
        return [
            one
            for one in connections
            if one.status == psutil.CONN_LISTEN and one.laddr.port == port
        ]

    family = {process.pid: process for process in psutil.Process(guard).children(recursive=True)}
    try:
        owners = {one.pid for one in listening(psutil.net_connections("tcp"))}
    except psutil.AccessDenied:  # some systems show a user the own processes alone
        own = [pid for pid, one in family.items() if listening(one.net_connections("tcp"))]
        return None if own else "no process of the command listens"
    if strangers := owners - family.keys():
        known = sorted(str(pid) for pid in strangers if pid)
        return f"another process listens ({', '.join(known) or 'of another user'})"
    return None if owners else "no process of the command listens"


def _told(what: str, output: Path) -> str:
    tail = output.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
    return (
        f"the server {what}; check teachers.<name>.command and {output}, which ends with:\n"
        f"{tail or '(nothing)'}"
    )


def _end(guard: subprocess.Popen[bytes]) -> None:
    """Let the guard end the server; its standard input is the sign."""
    assert guard.stdin
    guard.stdin.close()
    try:
        guard.wait(GRACE + 15)
    except subprocess.TimeoutExpired:
        guard.kill()  # the kernel then kills the server
        guard.wait()


PROVIDER = Provider(VllmServer, make)
