"""The batch interface of an endpoint: files of requests, answered within a day for less money.

Each batch has a small file under `<store>/batches/`, written before it is submitted and again when
the endpoint has named it. So a run that was killed at any moment collects what it had submitted
instead of buying it again; batch and online share the answers, because a request's id is its key.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from caft.errors import TeacherError
from caft.tables.files import read_json, write_json
from caft.teacher import Answer, Request
from caft.teacher.endpoint.client import retrying
from caft.teacher.endpoint.connection import Target, translate, whom_of
from caft.teacher.endpoint.refusals import no_success
from caft.teacher.endpoint.replies import (
    Fault,
    brief,
    no_answer,
    read_answer,
    read_json_body,
    redact,
)

_MOST_REQUESTS = 50_000  # per batch
_MOST_BYTES = 100_000_000
_AT_ONCE = 1000  # answers per yield
_ENDED = ("completed", "expired", "cancelled")
_SLOWEST = 10  # times poll_s between looks, at most
_CLOCKS_DIFFER = 3600.0  # seconds that the endpoint's clock may be behind

State = dict[str, Any]
"""`uuid`, `endpoint`, `model`, `revision`, `created` (seconds), `keys`; `batch`, the endpoint's id,
null before it is known; `answers`, collected lines by key that no run has wanted yet."""

log = logging.getLogger("caft")


def submitted_keys(target: Target, store: Path) -> set[str]:
    """Return the keys of the requests that are in batches of this endpoint and model."""
    known = [state for state in _states(target, store) if state["batch"]]
    return {key for state in known for key in state["keys"]}


def _states(target: Target, store: Path) -> list[State]:
    """Return the batches of a teacher that are not fully collected."""
    states = [read_json(path) for path in sorted(_folder(store).glob("*.json"))]
    return [state for state in states if _identity(target).items() <= state.items()]


def _folder(store: Path) -> Path:
    return store / "batches"


def _identity(target: Target) -> State:
    return {
        "endpoint": target.base_url,
        "model": target.settings.model,
        "revision": target.settings.revision,
    }


class Batches:
    """Answers requests through the batch interface; what an earlier run submitted is collected."""

    def __init__(
        self,
        client: Any,
        target: Target,
        store: Path,
        poll_s: float,
        body: Callable[[Request], dict[str, Any]],
        count: Callable[[str], int],
    ):
        """Take what is needed to ask.

        Args:
            client: the official one, open.
            target: the endpoint.
            store: folder of the paid answers, where batches are noted, too.
            poll_s: seconds between the first looks at a batch.
            body: makes what is sent for a request.
            count: counts the tokens of a text where the endpoint does not.
        """
        self.client, self.target, self.store, self.poll_s = client, target, store, poll_s
        self.secret, self.body, self.count = target.secret, body, count
        self.told: dict[str, tuple[Any, ...]] = {}

    def answer(self, requests: list[Request]) -> Iterator[list[Answer]]:
        """Answer each request once; one that failed in a batch, or expired, with an `error`.

        Raises:
            TeacherError: if the endpoint refuses. Batches that it has stay known.
        """
        waiting = {request.key: request for request in requests}
        known = [
            state
            for state in _states(self.target, self.store)
            if waiting.keys() & set(state["keys"])
        ]
        open_ = [state for state in known if self._is_submitted(state)]
        taken = {key for state in open_ for key in state["keys"]}
        open_ += self._submit([request for request in requests if request.key not in taken])
        pause = self.poll_s
        while open_:
            ended = [(state, lines) for state in open_ if (lines := self._lines(state)) is not None]
            for state, lines in ended:
                open_.remove(state)
                mine = [waiting.pop(key) for key in state["keys"] if key in waiting]
                for start in range(0, len(mine), _AT_ONCE):
                    yield [self._read(state, one, lines) for one in mine[start : start + _AT_ONCE]]
                self._keep_rest(state, lines, {request.key for request in mine})
            if open_:
                time.sleep(pause)
                pause = self.poll_s if ended else min(1.5 * pause, _SLOWEST * self.poll_s)

    def _path(self, state: State) -> Path:
        return _folder(self.store) / f"{state['uuid']}.json"

    def _submit(self, requests: list[Request]) -> Iterator[State]:
        for keys, content in self._files(requests):
            state = {
                **_identity(self.target),
                "uuid": uuid.uuid4().hex,
                "created": time.time(),
                "keys": keys,
                "batch": None,
            }
            write_json(self._path(state), state)
            upload = (f"{state['uuid']}.jsonl", content)
            files = self.client.files.with_raw_response
            file_id = self._call(partial(files.create, file=upload, purpose="batch"))["id"]
            state["batch"] = self._call(partial(self._create, state, file_id))["id"]
            write_json(self._path(state), state)
            log.info("batch %s: %d requests submitted", state["batch"], len(keys))
            yield state

    def _files(self, requests: list[Request]) -> Iterator[tuple[list[str], bytes]]:
        """Yield keys and JSON lines of as many requests as a batch may hold."""
        keys: list[str] = []
        lines: list[bytes] = []
        size = 0
        for request in requests:
            asked = {
                "custom_id": request.key,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": self.body(request),
            }
            line = json.dumps(asked, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            if keys and (len(keys) == _MOST_REQUESTS or size + len(line) > _MOST_BYTES):
                yield keys, b"".join(lines)
                keys, lines, size = [], [], 0
            keys.append(request.key)
            lines.append(line)
            size += len(line)
        if keys:
            yield keys, b"".join(lines)

    def _create(self, state: State, file_id: str) -> Any:
        """Create a batch, or return the one that an attempt without an answer has created."""
        return self._find(state) or self.client.batches.with_raw_response.create(
            input_file_id=file_id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"caft": state["uuid"]},
        )

    def _find(self, state: State) -> State | None:
        """Look for a batch by its metadata among the endpoint's, newest first."""
        after: dict[str, str] = {}
        while True:
            listed = self.client.batches.with_raw_response.list(limit=100, **after)
            page = read_json_body(listed.http_response.content, self.secret)
            for batch in page["data"]:
                if (batch.get("metadata") or {}).get("caft") == state["uuid"]:
                    return batch
                if batch.get("created_at", 0) < state["created"] - _CLOCKS_DIFFER:
                    return None
            if not page.get("has_more") or not page["data"]:
                return None
            after = {"after": page["data"][-1]["id"]}

    def _is_submitted(self, state: State) -> bool:
        """Tell whether the endpoint has a batch; one that it does not have is forgotten."""
        if state["batch"] or state.get("answers"):
            return True
        # A list may lag behind, and another job may be submitting just now.
        while not (found := self._call(lambda: self._find(state) or {})):
            if time.time() > state["created"] + 2 * self.poll_s:
                self._path(state).unlink(missing_ok=True)
                return False
            time.sleep(self.poll_s / 2)
        state["batch"] = found["id"]
        write_json(self._path(state), state)
        return True

    def _lines(self, state: State) -> dict[str, Any] | None:
        """Return the lines of an ended batch by key; None for one that still runs."""
        if state.get("answers"):
            return state["answers"]
        retrieve = self.client.batches.with_raw_response.retrieve
        batch = self._call(lambda: retrieve(state["batch"]))
        self._report(state, batch)
        if batch["status"] == "failed":
            self._path(state).unlink(missing_ok=True)
            errors = (batch.get("errors") or {}).get("data") or []
            said = "; ".join(str(error.get("message")) for error in errors[:3]) or "no message"
            raise TeacherError(
                f"{self.target.base_url} refused batch {state['batch']} "
                f"({brief(said, self.secret)}); nothing was bought. Check the model's name and the "
                "limits of batches, and run again."
            )
        if batch["status"] not in _ENDED:
            return None
        lines: dict[str, Any] = {}
        for file_id in filter(None, (batch.get("output_file_id"), batch.get("error_file_id"))):
            lines |= self._download(state, file_id)
        return lines

    def _report(self, state: State, batch: dict[str, Any]) -> None:
        counts = batch.get("request_counts") or {}
        told = (batch["status"], counts.get("completed") or 0, counts.get("failed") or 0)
        if told != self.told.get(state["uuid"]):
            self.told[state["uuid"]] = told
            log.info(
                "batch %s: %s, %d of %d done, %d failed",
                *(state["batch"], told[0], told[1], len(state["keys"]), told[2]),
            )

    def _download(self, state: State, file_id: str) -> dict[str, Any]:
        content = self.client.files.with_raw_response.content
        body = self._repeat(lambda: content(file_id).http_response.content)
        lines = {}
        for line in body.decode("utf-8", "replace").split("\n"):
            try:
                parsed = redact(json.loads(line), self.secret)
                lines[parsed["custom_id"]] = parsed
            except (ValueError, KeyError, TypeError):
                if line.strip():
                    log.warning("batch %s: a line that is no answer is skipped", state["batch"])
        return lines

    def _read(self, state: State, request: Request, lines: dict[str, Any]) -> Answer:
        line = lines.get(request.key)
        if line is None:
            return no_answer(request.key, f"batch {state['batch']} ended without an answer")
        if _is_success(line):
            try:
                body, prices = line["response"]["body"], self.target.settings.rates
                return read_answer(body, request, self.count, prices, batch=True)
            except Fault as fault:
                return no_answer(request.key, str(fault))
        response = line.get("response") or {}
        said = line.get("error") or response.get("body") or response
        if isinstance(status := response.get("status_code"), int):
            return no_success(request.key, status, json.dumps(said), whom_of(self.target))
        return no_answer(request.key, brief(json.dumps(said, ensure_ascii=False), self.secret))

    def _keep_rest(self, state: State, lines: dict[str, Any], used: set[str]) -> None:
        """Forget a batch whose answers are durable, or keep those that nobody has asked for yet."""
        rest = {key: line for key, line in lines.items() if key not in used and _is_success(line)}
        if rest:
            write_json(self._path(state), {**state, "keys": list(rest), "answers": rest})
        else:
            self._path(state).unlink(missing_ok=True)

    def _call(self, make: Callable[[], Any]) -> dict[str, Any]:
        """Make a call, again and again after faults, and return its JSON."""

        def parsed() -> dict[str, Any]:
            made = make()
            if isinstance(made, dict):
                return made
            return read_json_body(made.http_response.content, self.secret)

        return self._repeat(parsed)

    def _repeat(self, make: Callable[[], Any]) -> Any:
        import stamina

        try:
            for attempt in stamina.retry_context(**retrying(self.target.settings)):
                with attempt:
                    try:
                        return make()
                    except Fault:
                        raise
                    except Exception as error:
                        raise translate(error, self.target) from None
        except Fault as fault:
            raise TeacherError(
                f"{fault}, {self.target.settings.attempts} times; run again later: batches that "
                "were submitted go on and are collected then."
            ) from None


def _is_success(line: dict[str, Any]) -> bool:
    response = line.get("response") or {}
    return response.get("status_code") == 200 and isinstance(response.get("body"), dict)
