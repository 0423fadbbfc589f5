"""The batch interface of an endpoint: files of requests, answered within a day for less money.

Each batch is noted beside the answers (`caft.store.batches`), before it is submitted and again when
the endpoint has named it. So a run that was killed at any moment collects what it had submitted
instead of buying it again; batch and online share the answers, because a request's id is its key.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caft.errors import TeacherError
from caft.running import stops
from caft.store import batches as notes
from caft.store.batches import OpenBatch
from caft.store.given_up import Note
from caft.teacher import Answer, Owed, Request
from caft.teacher.endpoint.batch_calls import (
    AbsentError,
    Calls,
    NoReplyError,
    TooMuchError,
    UnlistedError,
)
from caft.teacher.endpoint.batch_looks import Lines, Looks, TroubleError, way_out
from caft.teacher.endpoint.batch_replies import body_of, is_cancelled, passes, refusal_in
from caft.teacher.endpoint.connection import Target, whom_of
from caft.teacher.endpoint.refusals import Refusal, refused, refused_inside
from caft.teacher.endpoint.replies import Fault, brief, no_answer, read_answer
from caft.teacher.reading.usage import Usage, read_usage

_AT_ONCE = 1000  # answers per yield
_SLOWEST = 10  # times poll_s between looks, at most

log = logging.getLogger("caft")


@dataclass(frozen=True)
class Habits:
    """How batches are submitted and waited for.

    Attributes:
        poll_s: seconds between the first looks at a batch.
        most_requests: in a batch.
        most_bytes: of the file of a batch.
        patience_s: how long the endpoint may be out of reach, or a batch in an unknown state.
    """

    poll_s: float
    most_requests: int
    most_bytes: int
    patience_s: float


def submitted_keys(target: Target, store: Path) -> set[str]:
    """Return the keys of the requests that are in batches of this endpoint and model."""
    known = [batch for batch in _noted(target, store) if batch.batch]
    return {key for batch in known for key in batch.keys}


def _noted(target: Target, store: Path) -> list[OpenBatch]:
    """Return the batches of a teacher that are not fully collected."""
    own = _identity(target)
    return [batch for batch in notes.all_in(store) if own.items() <= vars(batch).items()]


def _identity(target: Target) -> dict[str, str]:
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
        habits: Habits,
        body: Callable[[Request], dict[str, Any]],
    ):
        """Take what is needed to ask.

        Args:
            client: the official one, open.
            target: the endpoint.
            store: folder of the paid answers, where batches are noted, too.
            habits: sizes and times.
            body: makes what is sent for a request.
        """
        self.target, self.store, self.habits = target, store, habits
        # While batches are under way, an outage may take its time.
        self.calls = Calls(client, target, lambda: habits.patience_s if self.open else None)
        self.secret, self.body = target.secret, body
        self.most = self.largest = habits.most_requests
        self.open: list[OpenBatch] = []
        self.queue: deque[Request] = deque()
        self.full, self.refusals = False, 0  # whether to wait for room; refusals without others
        self.rows: list[Answer] = []  # to requests that fit into no batch
        self.troubles: list[str] = []
        # Replies of one batch that are no answers and may be on the bill.
        self.unusable: list[dict[str, Any]] = []
        self.looks = Looks(self.calls, target, store, habits.patience_s)

    def answer(self, requests: list[Request]) -> Iterator[list[Answer]]:
        """Answer each request once; one that failed in a batch, or expired, with an `error`.

        What a batch leaves out is submitted again as long as batches bring answers.

        Raises:
            TeacherError: if the endpoint refuses, or a batch needs a person. Batches that it has
                stay known, and what the others brought has been yielded.
            Interrupted: at a stop, between two looks; the next run collects what was submitted.
        """
        waiting = {request.key: request for request in requests}
        wanted = [one for one in _noted(self.target, self.store) if waiting.keys() & set(one.keys)]
        taken = {key for one in wanted if self._is_submitted(one) for key in one.keys}
        self.queue.extend(request for request in requests if request.key not in taken)
        pause = self.habits.poll_s
        while self.open or self.queue:
            self._submit_all()
            if self.rows:
                yield self.rows
                self.rows = []
            ended = False
            for batch in list(self.open):
                lines = self._collect(batch, waiting)
                if lines is None:
                    continue
                self.open.remove(batch)
                self.full, self.refusals, ended = False, 0, True
                self.most = min(2 * self.most, self.largest)
                mine, self.unusable = self._settled(batch, lines, waiting), []
                for start in range(0, len(mine), _AT_ONCE):
                    yield [self._read(batch, one, lines) for one in mine[start : start + _AT_ONCE]]
                self._give_up_unusable(batch)
                self._keep_rest(batch, lines, {request.key for request in mine})
            if self.open or self.full:
                stops.wait(pause)
                slowest = _SLOWEST * self.habits.poll_s
                pause = self.habits.poll_s if ended else min(1.5 * pause, slowest)
            self.full &= bool(self.open)
        if self.troubles:
            raise TeacherError("\n".join(self.troubles))

    def _submit_all(self) -> None:
        while self.queue and not self.full:
            stops.check()
            lot, content = self._lot()
            try:
                self.open.append(self._submit([request.key for request in lot], content))
            except TooMuchError as refusal:
                self._give_back(lot, refusal)

    def _give_back(self, lot: list[Request], refusal: TooMuchError) -> None:
        """Put requests of a refused batch back, to go in smaller ones or when there is room."""
        said = brief(str(refusal), self.secret)
        if refusal.kind == "enqueued" and (self.open or len(lot) == 1):
            self.full = True
            self.refusals += not self.open
            if self.refusals > self.target.settings.attempts:
                raise TeacherError(
                    f"{self.target.base_url} refused even a batch of one request ({said}), "
                    f"{self.refusals} times, while no other batch of this job is there. Run again "
                    "when other batches of the account have ended, or raise its limit."
                )
            log.info("batch: %d requests wait for room (%s)", len(lot), said)
        elif len(lot) == 1:
            self.rows.append(no_answer(lot[0].key, f"refused as a batch of its own ({said})"))
            return
        else:
            self.most = len(lot) // 2
            if refusal.kind == "size":
                self.largest = self.most
            log.info(
                "batch: %d requests are too many, %d are tried (%s)", len(lot), self.most, said
            )
        self.queue.extendleft(reversed(lot))

    def _lot(self) -> tuple[list[Request], bytes]:
        """Take as many requests from the queue as a batch may hold; return their lines, too."""
        lot: list[Request] = []
        lines: list[bytes] = []
        size = 0
        while self.queue and len(lot) < self.most:
            asked = {
                "custom_id": self.queue[0].key,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": self.body(self.queue[0]),
            }
            line = json.dumps(asked, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            if lot and size + len(line) > self.habits.most_bytes:
                break
            lot.append(self.queue.popleft())
            lines.append(line)
            size += len(line)
        return lot, b"".join(lines)

    def _submit(self, keys: list[str], content: bytes) -> OpenBatch:
        settings = self.target.settings
        batch = OpenBatch(self.target.base_url, settings.model, settings.revision, keys)
        batch.most_tokens = (
            len(content) + len(keys) * settings.longest
        )  # a token has a byte or more
        notes.write(self.store, batch)
        try:
            batch.file = self.calls.upload(batch.uuid, content)
            notes.write(self.store, batch)
            batch.batch = self.calls.create(batch)
        except NoReplyError:
            raise  # it may have been made: the note stays
        except UnlistedError:
            raise self._unlisted(batch) from None
        except AbsentError as error:
            notes.remove(self.store, batch)
            raise TeacherError(
                f"{self.target.base_url} takes no batches ({error}): check base_url, or set batch "
                "to false to ask online."
            ) from None
        except (TooMuchError, TeacherError):
            notes.remove(self.store, batch)
            raise
        notes.write(self.store, batch)
        log.info("batch %s: %d requests submitted", batch.batch, len(keys))
        return batch

    def _unlisted(self, batch: OpenBatch) -> TroubleError:
        return TroubleError(
            f"{self.target.base_url} does not list its batches, so whether it made one of "
            f"{len(batch.keys)} requests (file {batch.file or 'unknown'}) before the job was cut "
            f"off is unknown. {way_out(self.store, batch)}"
        )

    def _is_submitted(self, batch: OpenBatch) -> bool:
        """Tell whether the endpoint has a batch; one that it does not have is forgotten."""
        known: OpenBatch | None = batch
        # A list may lag behind, and another job may be submitting just now.
        while known and not (known.batch or known.answers):
            young = time.time() <= known.created + 2 * self.habits.poll_s
            try:
                known.batch = self.calls.find(known) if known.file is not None else None
            except UnlistedError:
                if not young:
                    self.troubles.append(str(self._unlisted(known)))
                    return True
            if known.batch:
                notes.write(self.store, known)
            elif not young:
                notes.remove(self.store, known)
                return False
            else:
                stops.wait(self.habits.poll_s / 2)
                known = notes.read(self.store, known.uuid)
        if known:
            self.open.append(known)
        return known is not None

    def _collect(self, batch: OpenBatch, waiting: dict[str, Request]) -> Lines | None:
        """Return the lines of an ended batch; None for one that still runs, or is done with."""
        try:
            return self.looks.lines(batch)
        except TooMuchError as refusal:
            self.open.remove(batch)
            notes.remove(self.store, batch)
            if lot := [waiting[key] for key in batch.keys if key in waiting]:
                self._give_back(lot, refusal)
        except TroubleError as trouble:
            self.open.remove(batch)
            self.troubles.append(str(trouble))
            log.error("%s", trouble)
        return None

    def _settled(
        self, batch: OpenBatch, lines: Lines, waiting: dict[str, Request]
    ) -> list[Request]:
        """Take the requests that a batch settles; what it left out is queued again."""
        mine = [waiting[key] for key in batch.keys if key in waiting]
        left = {one.key: one for one in mine if one.key not in lines or passes(lines[one.key])}
        answered = any(body_of(lines[one.key]) for one in mine if one.key in lines)
        if left and answered and not is_cancelled(self.looks.word(batch)):
            log.info("batch %s: %d requests go into another one", batch.name, len(left))
            self.queue.extend(left.values())
            mine = [one for one in mine if one.key not in left]
        for one in mine:
            del waiting[one.key]
        return mine

    def _read(self, batch: OpenBatch, request: Request, lines: Lines) -> Answer:
        line = lines.get(request.key)
        if line is None:
            return no_answer(request.key, f"batch {batch.batch} ended without an answer")
        settings, whom = self.target.settings, whom_of(self.target)
        body, (status, said) = body_of(line), refusal_in(line)
        refusal = refused_inside(body, {}, whom) if body else refused(status, {}, said, whom)
        # Where the words are not clear, it may be what somebody did to the batch.
        if isinstance(refusal, Refusal) and refusal.clear:
            return no_answer(request.key, refusal.said, refusal.reason)
        if not body:
            return no_answer(request.key, brief(said, self.secret))
        try:
            return read_answer(body, request, settings.rates, expect=settings.expect_model)
        except Fault as fault:
            if _owed(refusal, fault) is Owed.ALL:
                self.unusable.append(body)
            return no_answer(request.key, str(fault))

    def _give_up_unusable(self, batch: OpenBatch) -> None:
        """Note what replies without an answer took, as they tell it, else the most they can."""
        if not self.unusable:
            return
        told = [read_usage(body, True) for body in self.unusable]
        share, longest = batch.most_tokens // len(batch.keys), self.target.settings.longest
        tokens = [_tokens_of(usage, share, longest) for usage in told]
        costs = [usage.cost(self.target.settings.rates, batch=True) for usage in told]
        known = [cost for cost in costs if cost is not None]
        note = Note(self.store, batch.model, batch.revision)
        note.write(len(told), sum(tokens), sum(known) if len(known) == len(costs) else 0.0)
        note.close()

    def _keep_rest(self, batch: OpenBatch, lines: Lines, used: set[str]) -> None:
        """Forget a batch whose answers are durable, or keep those that nobody has asked for yet."""
        rest = {key: line for key, line in lines.items() if key not in used and body_of(line)}
        if rest:
            batch.keys, batch.answers = list(rest), rest
            notes.write(self.store, batch)
        else:
            notes.remove(self.store, batch)


def _tokens_of(usage: Usage, share: int, longest: int) -> int:
    known = (usage.prompt or 0) + (usage.completion or 0)
    is_told = None not in (usage.prompt, usage.completion)
    return known if is_told else max(known + longest, share)


def _owed(refusal: Exception | None, fault: Fault) -> Owed:
    """Return what a reply that is no answer may have cost: less where it tells a refusal."""
    if refusal is None:
        return fault.owed
    return refusal.owed if isinstance(refusal, Fault) else Owed.REQUEST
