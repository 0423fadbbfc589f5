"""What an endpoint sent back: an answer, a fault that may pass, or a reason to stop."""

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from caft.teacher import Answer, Owed, Request
from caft.teacher.money.budget import price
from caft.teacher.settings import Prices

_SHORTEST_SECRET = (
    8  # characters; a shorter key, as local servers take, would be cut out of answers
)
_SHOWN = 300  # characters of a server's message

_SINCE_1970 = 1e9  # a header with more seconds than that means a time
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_PART = r"(\d+(?:\.\d+)?)\s*(ms|[smhd])"


class Fault(Exception):
    """An attempt that brought no answer, where another may.

    Attributes:
        wait: seconds that the server asked to wait; None if it said nothing.
        owed: what the attempt may cost.
        last: whether there is no money for another attempt.
    """

    last = False

    def __init__(self, message: str, wait: float | None = None, owed: Owed = Owed.ALL):
        super().__init__(message)
        self.wait, self.owed = wait, owed


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
    line = " ".join(str(redact(text, secret)).split())
    shown = "".join(character if character.isprintable() else "?" for character in line)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + " …"


def retry_after(value: str | None) -> float | None:
    """Read how long a header says to wait, in seconds; None if it says nothing usable.

    Args:
        value: seconds (`2.5`), a duration (`6m0s`, `20ms`), or a time: an HTTP or ISO date, or
            seconds or milliseconds since 1970.
    """
    text = (value or "").strip()
    try:
        seconds = float(text)
        if seconds > _SINCE_1970:
            seconds = seconds / (1000 if seconds > 1000 * _SINCE_1970 else 1) - time.time()
    except ValueError:
        if re.fullmatch(f"({_PART})+", text, re.IGNORECASE):
            parts = re.findall(_PART, text, re.IGNORECASE)
            seconds = sum(float(number) * _UNITS[unit.lower()] for number, unit in parts)
        else:
            seconds = _date(text) - time.time()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _date(text: str) -> float:
    """Return the seconds since 1970 of an HTTP or ISO date; NaN for what is neither."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            day = read(text)
            return (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError):
            continue
    return math.nan


def read_json_body(body: bytes, secret: str | None) -> dict[str, Any]:
    """Parse the body of a success.

    A byte that is no UTF-8 becomes U+FFFD: the answer around it is paid for.

    Raises:
        Fault: if it is no JSON object.
    """
    text = body.decode("utf-8", "replace")
    if not text.strip():
        raise Fault("the body was empty")
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        raise Fault(f"the body was no JSON ({brief(text, secret)})") from None
    if not isinstance(reply, dict):
        raise Fault(f"the body was no JSON object ({brief(text, secret)})")
    return redact(reply, secret)


def read_answer(
    reply: dict[str, Any],
    request: Request,
    count: Callable[[str], int],
    prices: Prices | None,
    seconds: float = 0.0,
    batch: bool = False,
) -> Answer:
    """Turn a chat completion into an answer.

    Empty content with a finish_reason is an answer: it was paid for. Content without one counts as
    `stop`; neither is a fault, as is the finish_reason `error` of an endpoint whose own upstream
    failed. Tokens that `usage` does not tell are counted, and `raw` then says `counted_tokens`.
    The cost is what the endpoint reports as `usage.cost`, else computed from the prices.

    Args:
        reply: the parsed and redacted body.
        request: what was asked.
        count: tokens of a text.
        prices: what tokens cost; None where nobody knows.
        seconds: how long the answer took.
        batch: whether it comes from the batch interface.

    Raises:
        Fault: if there is no answer in it.
    """
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        finish = choice.get("finish_reason") or ("stop" if text else None)
    except (KeyError, IndexError, TypeError, AttributeError):
        said = json.dumps(reply.get("error", reply), ensure_ascii=False)
        raise Fault(f"the body held no choices ({brief(said, None)})") from None
    if finish in (None, "error"):
        said = json.dumps(choice.get("error", "no content and no finish_reason"))
        raise Fault(f"the answer broke off ({brief(said, None)})")
    if refusal := _text(message.get("refusal")):
        text, finish = text or refusal, "refusal"
    reasoning = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        prompt, completion = count_prompt(request, count), count(reasoning) + count(text)
        reply = {**reply, "counted_tokens": True}
    reported = usage.get("cost")
    if isinstance(reported, int | float):
        cost: float | None = float(reported)
    else:
        cost = price(prices, prompt, _cached(usage), completion, batch)
    return Answer(
        key=request.key,
        text=text,
        reasoning=reasoning or None,
        finish_reason=str(finish),
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_usd=cost,
        seconds=seconds,
        raw=reply,
    )


def no_answer(key: str, why: str, reason: str = "error") -> Answer:
    """Return the answer that says that there is none: an error, or one of `NOT_TAKEN`."""
    return Answer(key, "", None, reason, 0, 0, 0.0, 0.0, {"error": why})


def count_prompt(request: Request, count: Callable[[str], int]) -> int:
    """Count the tokens of a request's messages, without what the server's template adds."""
    return sum(count(message["content"]) for message in request.messages)


def _text(content: Any) -> str:
    """Return content as text; some servers send a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _cached(usage: Mapping[str, Any]) -> int:
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return cached or usage.get("prompt_cache_hit_tokens") or 0
