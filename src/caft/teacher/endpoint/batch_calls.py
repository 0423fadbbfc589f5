"""The calls of the batch interface: each is repeated after faults, and says what went wrong."""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from caft.errors import TeacherError
from caft.running import stops
from caft.store.batches import OpenBatch
from caft.teacher.endpoint.batch_replies import identified, seconds_of, too_much
from caft.teacher.endpoint.bodies import is_cut
from caft.teacher.endpoint.client import retrying
from caft.teacher.endpoint.connection import Target, translate
from caft.teacher.endpoint.replies import Fault, brief, read_json_body

T = TypeVar("T")

_CLOCKS_DIFFER = 3600.0  # seconds that the endpoint's clock may be behind
_ABSENT = (404, 405, 410, 501)


class TooMuchError(Exception):
    """A batch was refused for its size, or because too much is enqueued."""

    def __init__(self, kind: str, said: str):
        super().__init__(said)
        self.kind = kind


class AbsentError(Exception):
    """The endpoint has no such thing."""


class UnlistedError(Exception):
    """The endpoint does not list its batches."""


class NoReplyError(TeacherError):
    """All attempts at a call failed: whether it had an effect is unknown."""


class Calls:
    """What is asked of the batch interface of an endpoint."""

    def __init__(self, client: Any, target: Target, patience: Callable[[], float | None]):
        """Take what is needed to ask.

        Args:
            client: the official one, open.
            target: the endpoint.
            patience: for how many seconds a call is repeated; None for `attempts` of the config.
        """
        self.client, self.target, self.patience = client, target, patience

    def upload(self, name: str, content: bytes) -> str:
        """Upload requests and return the id of their file.

        Raises:
            TooMuchError: if they are too many.
            AbsentError: if the endpoint takes no batches.
        """
        create = self.client.files.with_raw_response.create
        send = partial(create, file=(f"{name}.jsonl", content), purpose="batch")
        return self._id_in(self._call(partial(_sized, send)), "an upload")

    def create(self, batch: OpenBatch) -> str:
        """Create a batch and return its id; one that an earlier attempt has created is found.

        Raises:
            TooMuchError: if it is too large, or has no room.
            AbsentError: if the endpoint takes no batches.
            UnlistedError: if it is not to be found out whether an earlier attempt has created it.
        """
        import openai

        doubts: list[str] = []  # about earlier attempts

        def make() -> Any:
            if doubts and (found := self._find(batch)):
                return found
            doubts.append("no answer")
            try:
                return self.client.batches.with_raw_response.create(
                    input_file_id=batch.file,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={"caft": batch.uuid},
                )
            except openai.APIStatusError as error:
                if error.status_code < 500:
                    doubts.pop()  # it was refused
                raise

        return self._id_in(self._call(partial(_sized, make)), "a batch")

    def find(self, batch: OpenBatch) -> str | None:
        """Return the id of a batch that was created; None if the endpoint has none.

        Raises:
            UnlistedError: if the endpoint does not list its batches.
        """
        found = self._call(lambda: self._find(batch) or {})
        return self._id_in(found, "a batch") if found else None

    def state(self, batch: OpenBatch) -> dict[str, Any]:
        """Return what the endpoint says about a batch.

        Raises:
            AbsentError: if it does not know the batch.
        """
        retrieve = self.client.batches.with_raw_response.retrieve
        return identified(self._call(lambda: retrieve(batch.batch)))

    def results(self, file_id: str) -> bytes:
        """Return a file of results.

        Raises:
            AbsentError: if the endpoint does not have the file.
            TooMuchError: if it is larger than what is read.
        """
        content = self.client.files.with_raw_response.content

        def download() -> bytes:
            response = content(file_id).http_response
            if is_cut(response):
                raise TooMuchError("file", f"file {file_id}")
            return bytes(response.content)

        return self._repeat(download)

    def _id_in(self, reply: dict[str, Any], what: str) -> str:
        found = identified(reply).get("id")
        if found is None:
            said = brief(json.dumps(reply, ensure_ascii=False), self.target.secret)
            raise TeacherError(f"{self.target.base_url} gave {what} no id ({said}).")
        return str(found)

    def _find(self, batch: OpenBatch) -> dict[str, Any] | None:
        """Look for a batch by its metadata or file among the endpoint's, newest first."""
        import openai

        after: dict[str, str] = {}
        seen: set[str] = set()
        while True:
            try:
                listed = self.client.batches.with_raw_response.list(limit=100, **after)
            except openai.APIStatusError as error:
                if error.status_code not in (*_ABSENT, 403):
                    raise
                raise UnlistedError(_text_of(error)) from None
            page = read_json_body(listed.http_response.content, self.target.secret)
            if not isinstance(page.get("data"), list):
                raise UnlistedError("it is no list")
            for one in page["data"]:
                named = (one.get("metadata") or {}).get("caft") == batch.uuid
                if named or (batch.file and one.get("input_file_id") == batch.file):
                    return one
                made = seconds_of(one.get("created_at"))
                if made is not None and made < batch.created - _CLOCKS_DIFFER:
                    return None
            ids = [str(one.get("id")) for one in page["data"]]
            if not page.get("has_more") or seen.issuperset(ids):
                return None
            seen.update(ids)
            after = {"after": ids[-1]}

    def _call(self, make: Callable[[], Any]) -> dict[str, Any]:
        """Make a call and return its JSON."""

        def parsed() -> dict[str, Any]:
            made = make()
            if isinstance(made, dict):
                return made
            return read_json_body(made.http_response.content, self.target.secret)

        return self._repeat(parsed)

    def _repeat(self, make: Callable[[], T]) -> T:
        import stamina

        retries = retrying(self.target.settings)
        if (patience := self.patience()) is not None:
            retries |= {"attempts": None, "timeout": patience}
        started = time.monotonic()
        try:
            for attempt in stamina.retry_context(**retries):
                with attempt:
                    return self._once(make)
        except Fault as fault:
            stops.check()
            raise NoReplyError(
                f"{fault}, again and again for {time.monotonic() - started:.0f} s; run again "
                "later: batches that were submitted go on and are collected then."
            ) from None
        raise AssertionError("the last attempt raises or returns")

    def _once(self, make: Callable[[], T]) -> T:
        import openai

        try:
            return make()
        except (Fault, TeacherError, TooMuchError, UnlistedError):
            raise
        except openai.APIStatusError as error:
            if error.status_code in _ABSENT:
                said = brief(f"{error.status_code} {_text_of(error)}", self.target.secret)
                raise AbsentError(said) from None
            raise translate(error, self.target) from None
        except Exception as error:
            raise translate(error, self.target) from None


def _sized(make: Callable[[], Any]) -> Any:
    """Make a call that submits something, and tell a refusal for its size from others."""
    import openai

    try:
        return make()
    except openai.APIStatusError as error:
        said = _text_of(error)
        if kind := too_much(said, error.status_code):
            raise TooMuchError(kind, said) from None
        raise


def _text_of(error: Any) -> str:
    return error.response.content.decode("utf-8", "replace")
