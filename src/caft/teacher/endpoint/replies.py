"""What an endpoint sent back: an answer, a fault that may pass, or a reason to stop."""

import json
import math
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from caft.errors import TeacherError
from caft.teacher import Answer, Request
from caft.teacher.money.budget import price
from caft.teacher.settings import Prices

_SHORTEST_SECRET = (
    8  # characters; a shorter key, as local servers take, would be cut out of answers
)
_SHOWN = 300  # characters of a server's message

_CHECKS = {
    400: "check the request: model name, length of the prompt against the model's context, "
    "and the parameters (temperature, top_p, max_tokens_field, extra_body)",
    401: "check the key in {key}",
    402: "add credit to the account of the key in {key}",
    403: "the key in {key} has no permission for this model",
    404: "check base_url and model",
}


class Fault(Exception):
    """An attempt that brought no answer, where another may.

    Attributes:
        wait: seconds that the server asked to wait; None if it said nothing.
    """

    def __init__(self, message: str, wait: float | None = None):
        super().__init__(message)
        self.wait = wait


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


def refused(
    status: int, headers: Mapping[str, str], text: str, address: str, key: str, secret: str | None
) -> Fault | TeacherError:
    """Turn a status that is no success into a fault to retry or an error that stops the run.

    Args:
        status: the HTTP status.
        headers: of the response, names in lower case.
        text: body of the response.
        address: what was asked, without user info.
        key: how the message names the key, such as `$OPENROUTER_API_KEY`.
        secret: the key itself.
    """
    code, said = _server_message(text)
    what = f"{address} answered {status} ({brief(said, secret) or 'no message'})"
    # OpenAI's status for an empty account is that of a rate limit, but no wait ends it.
    if code == "insufficient_quota":
        return TeacherError(f"{what}; {_CHECKS[402].format(key=key)}.")
    if status in (408, 409, 429) or status >= 500:
        return Fault(what, retry_after(headers.get("retry-after")))
    if 300 <= status < 400:
        target = brief(headers.get("location", "elsewhere"), secret)
        return TeacherError(f"{what}; it points to {target}: give the final address as base_url.")
    check = _CHECKS.get(status, "the request will not be accepted like this")
    return TeacherError(f"{what}; {check.format(key=key)}.")


def _server_message(text: str) -> tuple[str | None, str]:
    """Return code and message of an error body; the whole text where it has no such form."""
    try:
        error = json.loads(text)["error"]
        return error.get("code"), str(error["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, text


def retry_after(value: str | None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date; None if it says nothing usable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


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


def no_answer(key: str, why: str) -> Answer:
    """Return the answer that says that there is none."""
    return Answer(key, "", None, "error", 0, 0, 0.0, 0.0, {"error": why})


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
