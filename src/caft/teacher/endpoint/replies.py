"""What an endpoint sent back: an answer, a fault that may pass, or a reason to stop."""

import json
import logging
import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from caft.shown import line
from caft.teacher import Answer, Owed, Request
from caft.teacher.reading.answer import answer_of
from caft.teacher.reading.body import BODY, Unreadable, read_body
from caft.teacher.reading.ending import ERROR
from caft.teacher.reading.reply import is_expected, model_in, read_reply
from caft.teacher.settings import Prices

_SHORTEST_SECRET = (
    8  # characters; a shorter key, as local servers take, would be cut out of answers
)
_KEPT = 2000  # bytes of a reply that is not read
_SHOWN = 300  # characters of a server's message

_SINCE_1970 = 1e9  # a header with more seconds than that means a time
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = (
    r"(\d+(?:\.\d+)?)\s*(m(?:illi)?s(?:econds?)?"
    r"|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?)?|d(?:ays?)?)(?![a-z])\s*"
)
"""Pattern of a part of a duration, such as `6m` or `2 seconds`: its number and its unit."""


log = logging.getLogger("caft")


class Fault(Exception):
    """An attempt that brought no answer, where another may.

    Attributes:
        wait: seconds that the server asked to wait; None if it said nothing.
        owed: what the attempt may cost.
        advice: what to do if it does not pass; empty for waiting.
        last: whether there is no money for another attempt.
    """

    last = False

    def __init__(
        self, message: str, wait: float | None = None, owed: Owed = Owed.ALL, advice: str = ""
    ):
        super().__init__(message)
        self.wait, self.owed, self.advice = wait, owed, advice


def redact(value: Any, secret: str | None) -> Any:
    """Replace a secret in texts at any depth of a JSON value.

    Args:
        value: a JSON value.
        secret: None, or shorter than 8 characters, for nothing to replace.
    """
    if not secret or len(secret) < _SHORTEST_SECRET:
        return value
    if isinstance(value, str):
        return value.replace(secret, "[redacted]")
    if isinstance(value, dict):
        return {redact(key, secret): redact(part, secret) for key, part in value.items()}
    if isinstance(value, list):
        return [redact(part, secret) for part in value]
    return value


def brief(text: str, secret: str | None) -> str:
    """Return the beginning of a server's text in one printable line, without the secret."""
    # What comes may be megabytes long: only words that can be shown are escaped.
    words = redact_source(text, secret).split(maxsplit=_SHOWN)
    shown = line(" ".join(words)[: _SHOWN + 1])
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + " …"


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Read how long a header says to wait, in seconds; None if it says nothing usable.

    Args:
        value: seconds (`2.5`), a duration (`6m0s`, `20ms`, `2 seconds`), or a time: an HTTP or ISO
            date, or seconds or milliseconds since 1970.
        now: seconds since 1970 by the clock of who says it; None for that of this machine.
    """
    text = (value or "").strip()
    now = time.time() if now is None else now
    try:
        seconds = float(text)
        if seconds > _SINCE_1970:
            seconds = seconds / (1000 if seconds > 1000 * _SINCE_1970 else 1) - now
    except ValueError:
        if re.fullmatch(f"({DURATION})+", text, re.IGNORECASE):
            parts = re.findall(DURATION, text, re.IGNORECASE)
            seconds = sum(float(number) * _unit(unit.lower()) for number, unit in parts)
        else:
            seconds = (seconds_at(text) or math.nan) - now
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _unit(name: str) -> float:
    return 0.001 if name.startswith(("ms", "milli")) else _UNITS[name[0]]


def seconds_at(text: str) -> float | None:
    """Return the seconds since 1970 of an HTTP or ISO date; None for what is neither."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            day = read(text)
            return (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def read_json_body(body: bytes, secret: str | None) -> dict[str, Any]:
    """Parse the body of a success that is no answer, such as the state of a batch.

    Raises:
        Fault: if it is no JSON object.
    """
    raw = read_answer_body(body, secret)
    if raw.keys() == {BODY}:
        raise Fault(f"the body was no JSON object ({brief(raw[BODY], secret)})")
    return raw


def read_answer_body(body: bytes, secret: str | None) -> dict[str, Any]:
    """Return what is kept of the body of an answer: the reply as it came, without the secret.

    What may have been paid for is kept, also where it cannot be read: as text, under `BODY`.

    Raises:
        Fault: if it is empty, a page, or JSON that is no object.
    """
    read = read_body(body)
    if isinstance(read, Unreadable):
        if not read.may_be_an_answer:
            raise Fault(f"the body was no answer ({brief(read.text, secret) or 'empty'})")
        read = {BODY: read.text}
    if isinstance(read.get(BODY), str):
        read[BODY] = redact_source(read[BODY], secret)
    return redact(read, secret)


def unreadable(body: bytes, why: str, secret: str | None) -> dict[str, Any]:
    """Return what is kept of a reply that is not read: its beginning, as text, and the reason."""
    log.warning("teacher: %s; it is kept as unreadable", why)
    beginning = body[:_KEPT].decode("utf-8", "replace")
    return {BODY: redact_source(beginning, secret), "error": why}


def redact_source(text: str, secret: str | None) -> str:
    """Replace a secret in the source of JSON, which may have escaped each of its characters."""
    if not secret or len(secret) < _SHORTEST_SECRET:
        return text
    each = [rf"(?:\\?{re.escape(one)}|\\u{ord(one):04x})" for one in secret]
    return re.sub("".join(each), "[redacted]", text, flags=re.IGNORECASE)


def read_answer(
    raw: dict[str, Any],
    request: Request,
    prices: Prices | None,
    seconds: float = 0.0,
    expect: str | None = None,
) -> Answer:
    """Turn a chat completion into an answer.

    Whatever may have been paid for is an answer, with its ending as reason if it is not complete.

    Args:
        raw: the body, as it is kept.
        request: what was asked.
        prices: what tokens cost; None where nobody knows.
        seconds: how long the answer took; 0 for one out of a batch.
        expect: name or pattern of the model that has to answer; None for any.

    Raises:
        Fault: if there is nothing in it, or another model has answered.
    """
    reading = read_reply(raw)
    if reading is None:
        said = json.dumps(raw.get("error", raw), ensure_ascii=False)
        raise Fault(f"the body held no choices ({brief(said, None)})")
    if reading.is_empty:
        said = json.dumps(reading.error or f"no content, finish_reason {reading.ending}")
        raise Fault(f"the answer was empty ({brief(said, None)})")
    if expect and not is_expected(expect, model_in(raw)):
        other = model_in(raw) or "a model without a name"
        raise Fault(
            f"{other} answered, not {expect}",
            advice="ask for that model alone (model, extra_body), or correct expect_model",
        )
    return answer_of(request.key, raw, reading, prices, seconds)


def no_answer(key: str, why: str, reason: str = ERROR) -> Answer:
    """Return the answer that says that there is none: an error, or one of `NOT_TAKEN`."""
    return Answer(key, "", None, reason, 0, 0, 0.0, 0.0, {"error": why})


def count_prompt(request: Request, count: Callable[[str], int]) -> int:
    """Count the tokens of a request's messages, without what the server's template adds."""
    return sum(count(message["content"]) for message in request.messages)
