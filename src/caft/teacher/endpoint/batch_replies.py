"""What an endpoint says about batches, in all the words that endpoints have for it."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from caft.teacher.reading.body import BODY, Unreadable, read_text, unwrapped
from caft.teacher.reading.reply import read_reply

State = Literal["running", "ended", "failed"]

_STATES: dict[State, str] = {
    "running": "accepted|cancel+ing|cancellationrequested|created|enqueued|expiring|finali[sz]ing"
    "|inprogress|inqueue|new|notstarted|open|pending|preparing|processing|queue(d|ing)|running"
    "|scheduled|start(ed|ing)|submit(ted|ting)|validat(ed|ing)|waiting|writing",
    "ended": "cancel+ed|complete|completed|completedwitherrors|done|ended|expired|finali[sz]ed"
    "|finished|partially(completed|succeeded)|succeeded|success|successful|timedout|timeout"
    "|timeoutexceeded",
    "failed": "error|errored|failed|failure|invalid|rejected",
}
_PREFIX = re.compile("^(job|batch)(state|status)")

_ENQUEUED = re.compile(
    r"token_limit_exceeded|enqueued|too.?many.{0,20}(batches|jobs)"
    r"|(in.?progress|concurrent|active|pending|queued|running|simultaneous).{0,10}(batch|job)"
    r"|(batch|job)s? (queue|limit|quota)",
    re.IGNORECASE,
)
_THING = r"(file|batch|payload|entity|body|input|upload)"
_UNIT = r"(size|bytes|\d ?[kmg]i?b\b|lines|requests|rows|records|tasks|items|entries|prompts)"
_TOO_BIG = re.compile(
    rf"{_THING}\w*.{{0,60}}too.?(large|big|long)|too.?(large|big|long).{{0,40}}{_THING}"
    rf"|too.?many.{{0,30}}{_UNIT}"
    rf"|(exceed|more than|maximum|at most|above|over the limit).{{0,80}}{_UNIT}"
    rf"|{_UNIT}.{{0,80}}(exceed|maximum|at most|above|over the limit)",
    re.IGNORECASE | re.DOTALL,
)
_PASSING = ("expired", "server_error", "internal", "rate_limit", "overload", "unavailable")


def state_of(batch: Mapping[str, Any]) -> tuple[str, State | None]:
    """Return the word of an endpoint for the state of a batch, and what it means; None: unknown."""
    word = str(batch.get("status") or batch.get("state") or "(none)")
    plain = _PREFIX.sub("", re.sub("[^a-z]", "", word.lower()))
    return word, next(
        (state for state, words in _STATES.items() if re.fullmatch(words, plain)), None
    )


def is_cancelled(word: str) -> bool:
    """Tell whether somebody stopped a batch."""
    return "cancel" in word.lower()


def is_cut_short(word: str) -> bool:
    """Tell whether a batch may have ended before it began."""
    return is_cancelled(word) or "expire" in word.lower() or "time" in word.lower()


def too_much(text: str, status: int | None = None) -> Literal["enqueued", "size"] | None:
    """Tell whether a refusal says that a batch is too large, or that too much is enqueued.

    Args:
        text: what the endpoint said.
        status: of the reply; None if the batch itself has failed.
    """
    if status is not None and (status >= 500 or status in (401, 402, 404)):
        return None
    if _ENQUEUED.search(text):
        return "enqueued"
    # A limit of requests per minute speaks of too many requests, too, and passes by itself.
    return "size" if status == 413 or (status != 429 and _TOO_BIG.search(text)) else None


def errors_in(batch: Mapping[str, Any]) -> str:
    """Return what a failed batch says about itself."""
    errors = batch.get("errors") or batch.get("error") or {}
    if isinstance(errors, dict):
        errors = errors.get("data") or [errors]
    if not isinstance(errors, list):
        errors = [errors]
    said = [_said(error) for error in errors[:3]]
    return "; ".join(text for text in said if text) or "no message"


def _said(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)
    message, code = (str(error.get(name) or "") for name in ("message", "code"))
    return message if too_much(message) or not too_much(code) else f"{message} ({code})"


def seconds_of(moment: Any) -> float | None:
    """Return a moment as seconds since 1970, from such a number or ISO text; None if unreadable."""
    try:
        number = float(moment)
        return number / 1000 if number > 1e11 else number  # milliseconds
    except (TypeError, ValueError):
        pass
    try:
        read = datetime.fromisoformat(str(moment))
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None


def identified(reply: dict[str, Any]) -> dict[str, Any]:
    """Return the object with an id in a reply; some endpoints wrap it (`{"job": {"id": ...}}`)."""
    if reply.get("id"):
        return reply
    wrapped = [part for part in reply.values() if isinstance(part, dict) and part.get("id")]
    return wrapped[0] if len(wrapped) == 1 else reply


def body_of(line: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the completion in a line of an output file; None if there is none."""
    response = _response_in(line)
    body = response.get("body", response)
    if isinstance(body, str):
        read = read_text(body)
        body = {BODY: body} if isinstance(read, Unreadable) else read
    if not isinstance(body, dict):
        return None
    body = unwrapped(body)
    status = _status(response)
    succeeded = not status or 200 <= status < 300
    return body if status == 200 or (succeeded and read_reply(body)) else None


def _response_in(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a line says of the response; the line itself, where it has nothing around it."""
    response = line.get("response")
    return response if isinstance(response, dict) else line


def passes(line: Mapping[str, Any]) -> bool:
    """Tell whether a request without an answer may get one when it is asked again."""
    status = _status(_response_in(line))
    if status is not None and status >= 400:
        return status in (408, 409, 425, 429) or status >= 500
    error = line.get("error")
    code = str(error.get("code") or error.get("type")) if isinstance(error, dict) else str(error)
    return any(word in code.lower() for word in _PASSING)


def refusal_in(line: Mapping[str, Any]) -> tuple[int, str]:
    """Return status and text of a line without an answer, as if the request had been refused."""
    response = _response_in(line)
    said = json.dumps(line.get("error") or response.get("body", response), ensure_ascii=False)
    return _status(response) or 400, said


def _status(response: Mapping[str, Any]) -> int | None:
    status = str(response.get("status_code"))
    return int(status) if status.isdigit() else None
