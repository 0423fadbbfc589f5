"""What looks at a batch find: its state in the endpoint's words, and in the end its answers."""

import codecs
import io
import logging
import re
import time
from pathlib import Path
from typing import Any

from caft.errors import TeacherError
from caft.store import batches as notes
from caft.store.batches import OpenBatch
from caft.teacher.endpoint.batch_calls import AbsentError, Calls, TooMuchError
from caft.teacher.endpoint.batch_replies import (
    body_of,
    errors_in,
    is_cut_short,
    state_of,
    too_much,
)
from caft.teacher.endpoint.connection import Target
from caft.teacher.endpoint.replies import brief, redact, redact_source, unreadable
from caft.teacher.reading.body import NestingError, parse_json

_CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"([^"\\]{1,200})"')
_LOOKS = 3  # at what is not there, or not whole: endpoints are not always up to date

Lines = dict[str, Any]
"""Lines of output files, by key of the request."""

log = logging.getLogger("caft")


class TroubleError(TeacherError):
    """One batch needs a person; the others go on."""


def way_out(store: Path, batch: OpenBatch) -> str:
    """Return what a person can do about a batch that brings no answers."""
    return (
        "Look there; if nothing will come of it, "
        f"`caft store batches --forget {batch.name} --store {store}` forgets it, and the "
        "next run asks its requests again (what it did answer is then paid for twice). "
        "`caft store batches` lists all."
    )


class Looks:
    """Looks at the batches of a teacher; a few looks decide about what is not as it should be."""

    def __init__(self, calls: Calls, target: Target, store: Path, patience_s: float):
        """Take what is needed to look.

        Args:
            calls: to the endpoint.
            target: the endpoint.
            store: folder of the paid answers.
            patience_s: how long a batch may be in an unknown state.
        """
        self.calls, self.target, self.store, self.patience_s = calls, target, store, patience_s
        self.secret = target.secret
        self.told: dict[str, tuple[Any, ...]] = {}
        self.looks: dict[str, int] = {}  # at what is not as it should be, in a row
        self.unknown: dict[str, float] = {}  # since when a batch is in an unknown state

    def word(self, batch: OpenBatch) -> str:
        """Return the endpoint's last word for the state of a batch; empty where it had none."""
        return str(self.told.get(batch.uuid, ("",))[0])

    def lines(self, batch: OpenBatch) -> Lines | None:
        """Look at a batch; return the lines of its files once it has ended, None before.

        Raises:
            TooMuchError: if it has failed for its size, or for what is enqueued.
            TroubleError: if nothing will come of it without a person.
            TeacherError: if the endpoint refuses, or does not answer for too long.
        """
        if batch.answers:
            return batch.answers
        try:
            state = self.calls.state(batch)
        except AbsentError as error:
            self._not_there(batch, f"does not know batch {batch.batch} any more ({error})")
            return None
        self._report(batch, state)
        word, meaning = state_of(state)
        if meaning is None:
            self._unknown_state(batch, word)
            return None
        self.unknown.pop(batch.uuid, None)
        output, failed = (
            state.get(f"{name}_file_id") or state.get(f"{name}_file")
            for name in ("output", "error")
        )
        if meaning == "failed":
            said = errors_in(state)
            if kind := too_much(said):
                raise TooMuchError(kind, said)
            if not (output or failed):
                raise self._failed(batch, said)
        if meaning == "running":
            self.looks.pop(batch.uuid, None)
            return None
        if not (output or failed or is_cut_short(word)):
            self._not_there(batch, f"has ended batch {batch.batch} and names no file of answers")
            return None
        return self._lines_of(batch, failed, output)

    def _lines_of(self, batch: OpenBatch, failed: Any, output: Any) -> Lines | None:
        """Return what is in the files of a batch; None to look again for what cannot be read.

        Raises:
            TroubleError: after the last look, if there is nothing in files that should hold some.
        """
        lines: Lines = {}
        odd: list[str] = []  # files with lines that are no results
        asked = frozenset(batch.keys)
        for file_id in filter(None, (failed, output)):
            body = self._download(batch, file_id, needed=file_id == output)
            found, is_clean = self._lines_in(asked, body)
            odd += [] if is_clean else [body.decode("utf-8-sig", "replace")]
            for key, one in found:
                if key not in lines or body_of(one):  # a request may have failed before or after
                    lines[key] = one
        counted = self.told[batch.uuid][1]
        there = sum(body_of(one) is not None for one in lines.values())
        is_short = isinstance(counted, int) and there < counted
        if (odd or is_short) and not self._is_last_look(batch):
            of = f" of {counted}" if is_short else ""
            log.warning("batch %s: %d answers%s can be read", batch.batch, there, of)
            return None
        saved = ""
        if odd:
            texts = [redact_source(text, self.secret) for text in odd]
            saved = f" ({notes.keep(self.store, batch, texts)} has them)"
        if not lines and (odd or (is_short and (failed or output))):
            said = brief(odd[-1], self.secret) if odd else "nothing at all"
            raise TroubleError(
                f"{self.target.base_url} has ended batch {batch.batch}, and its files hold no line "
                f"that can be read: {said}{saved}; {len(batch.keys)} requests wait for it. Run "
                f"again to look at them again. {way_out(self.store, batch)}"
            )
        if odd:
            log.warning("batch %s: there are lines that are no results%s", batch.batch, saved)
        missing = len(set(batch.keys) - lines.keys())
        if lost := missing if odd else min(counted - there, missing) if is_short else 0:
            notes.give_up(self.store, batch, lost)
        return lines

    def _is_last_look(self, batch: OpenBatch) -> bool:
        self.looks[batch.uuid] = self.looks.get(batch.uuid, 0) + 1
        return self.looks[batch.uuid] >= _LOOKS

    def _not_there(self, batch: OpenBatch, what: str) -> None:
        """Wait for what should be there, a few looks long.

        Raises:
            TroubleError: after the last of them.
        """
        if self._is_last_look(batch):
            raise TroubleError(
                f"{self.target.base_url} {brief(what, self.secret)}; {len(batch.keys)} requests "
                f"wait for it. {way_out(self.store, batch)}"
            )

    def _unknown_state(self, batch: OpenBatch, word: str) -> None:
        """Wait in a state that this version does not know.

        Raises:
            TroubleError: when the time for that is over.
        """
        now = time.monotonic()
        since = self.unknown.setdefault(batch.uuid, now)
        shown = brief(repr(word), self.secret)
        if since == now:
            log.warning(
                "batch %s: caft does not know the state %s; it is looked at again for %g s",
                *(batch.batch, shown, self.patience_s),
            )
        if now - since > self.patience_s:
            raise TroubleError(
                f"{self.target.base_url}: batch {batch.batch} is in the state {shown}, which caft "
                f"does not know, for {now - since:.0f} s (batch_patience_s); {len(batch.keys)} "
                f"requests wait for it. Run again to wait longer. {way_out(self.store, batch)}"
            )

    def _failed(self, batch: OpenBatch, said: str) -> TroubleError:
        notes.remove(self.store, batch)
        return TroubleError(
            f"{self.target.base_url} refused batch {batch.batch} ({brief(said, self.secret)}); "
            "nothing was bought. Check the model's name and the limits of batches, and run again."
        )

    def _report(self, batch: OpenBatch, state: dict[str, Any]) -> None:
        counts = state.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        told = (state_of(state)[0], counts.get("completed") or 0, counts.get("failed") or 0)
        if told != self.told.get(batch.uuid):
            self.told[batch.uuid] = told
            log.info(
                "batch %s: %s, %s of %d done, %s failed",
                *(batch.batch, told[0], told[1], len(batch.keys), told[2]),
            )

    def _download(self, batch: OpenBatch, file_id: str, needed: bool) -> bytes:
        """Return a file of results as it came."""
        try:
            return self.calls.results(file_id)
        except TooMuchError as said:
            raise TroubleError(
                f"{self.target.base_url}: the {said} of batch {batch.batch} is larger than "
                f"batch_max_result_mb ({self.target.most_of_file / 1e6:g}). Raise it and run "
                f"again: the batch stays there. {way_out(self.store, batch)}"
            ) from None
        except AbsentError as said:
            if not needed:
                log.warning("batch %s: its file of errors is gone (%s)", batch.batch, said)
                return b""
            raise TroubleError(
                f"{self.target.base_url} has the output file {file_id} of batch {batch.batch} no "
                f"more ({said}), and with it {len(batch.keys)} answers. "
                f"{way_out(self.store, batch)}"
            ) from None

    def _lines_in(self, asked: frozenset[str], body: bytes) -> tuple[list[tuple[str, Any]], bool]:
        """Read a file of results; return its lines, and whether there are no others in it."""
        lines: list[tuple[str, Any]] = []
        is_clean = True
        for line in io.BytesIO(body.removeprefix(codecs.BOM_UTF8)):  # line by line, uncopied
            try:
                key, parsed = self._line(line)
                if key in asked:
                    lines.append((key, parsed))
            except (ValueError, KeyError, TypeError):
                is_clean &= not line.strip()
        return lines, is_clean

    def _line(self, line: bytes) -> tuple[str, Any]:
        """Read a line of results; one that is too large or nested too deeply is kept unread.

        Raises:
            ValueError, KeyError, TypeError: if it is none.
        """
        why = f"the reply was larger than max_reply_mb ({self.target.settings.max_reply_mb:g})"
        if len(line) <= self.target.most_of_reply:
            try:
                parsed = parse_json(line.decode("utf-8", "replace"))
                return parsed["custom_id"], redact(parsed, self.secret)
            except NestingError as error:
                why = str(error)
        found = _CUSTOM_ID.search(line)
        if not found:
            raise ValueError(why)
        key, body = found[1].decode(), unreadable(line, why, self.secret)
        return key, {"custom_id": key, "response": {"status_code": 200, "body": body}}
