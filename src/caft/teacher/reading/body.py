"""The body of a success, as JSON: also behind comments, as a stream of chunks, with a tail."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

BODY = "body"
"""Name of the text that came, in the raw reply of an answer that did not come as bare JSON."""
_MOST_TRIES = 1000  # places at which JSON is looked for in a body that is not bare JSON
_MOST_READ = 8  # times that the text is read for that, where nothing of it is JSON
_DIGITS = 400  # a longer number is infinite: Python reads no integer of more than 4300 digits
_DEEPEST = 100  # levels of a reply; Python's own writer of JSON ends at about 1000
_SSE = re.compile(r"^[ \t]*(?:data|event|id|retry):[ \t]?|^:.*$", re.MULTILINE)
THOUGHTS = (
    *("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details"),
    *("thinking_blocks", "reasoning_summary", "thoughts"),
)
"""Fields of a message that hold thinking."""
_JOINED = ("content", "refusal", *THOUGHTS)


class NestingError(ValueError):
    """JSON that is nested deeper than any reply."""


@dataclass(frozen=True)
class Unreadable:
    """A body in which no reply was found, as text."""

    text: str

    @property
    def may_be_an_answer(self) -> bool:
        """Whether it may have been paid for: no page, no mere comment, no other JSON."""
        said = _SSE.sub("", self.text).replace("[DONE]", "").strip()
        try:
            parse_json(said)
            return False
        except NestingError:
            return said.startswith("{")
        except ValueError:
            return bool(said) and not said.startswith("<")


def read_body(body: bytes) -> dict[str, Any] | Unreadable:
    """Parse the body of a success.

    Around the JSON there may be what servers put there: a byte order mark, comments and fields of
    server-sent events, further lines, a tail. A stream of chunks becomes the reply that they are
    parts of. A reply that was no bare JSON has the text that came as its field `BODY`, too, unless
    it is an error alone. A byte that is no text becomes U+FFFD.
    """
    return read_text(body.decode(json.detect_encoding(body), "replace"))


def read_text(text: str) -> dict[str, Any] | Unreadable:
    """Parse a body that is text already."""
    try:
        whole = parse_json(text.lstrip("\ufeff"))
    except NestingError:
        return Unreadable(text)
    except ValueError:
        said = _SSE.sub("", text)
        whole = list(_objects_in(said))
        if said.lstrip().startswith("<"):  # a page, whose scripts may hold any JSON
            whole = [one for one in whole if _first_choice(one).keys() & {"message", "delta"}]
    if isinstance(whole, dict) and (found := unwrapped(whole)) is not whole:
        whole = [found]
    if isinstance(whole, dict) and "delta" not in _first_choice(whole):
        return whole
    if isinstance(whole, str):  # JSON inside a JSON string
        whole = list(_objects_in(whole))
    objects = whole if isinstance(whole, list) else [whole]
    reply = _reply_of([one for one in objects if isinstance(one, dict)])
    if not reply or not _is_flat(reply):
        return Unreadable(text)
    return {**reply, BODY: text} if "choices" in reply else reply


def parse_json(text: str) -> Any:
    """Parse JSON; of its numbers none is too long for Python.

    Raises:
        ValueError: if it is none; a NestingError if it is nested too deeply.
    """
    try:
        value = json.loads(text, parse_int=_integer)
    except RecursionError:
        raise NestingError("it is nested too deeply") from None
    if not _is_flat(value):
        raise NestingError(f"it is nested deeper than {_DEEPEST} levels")
    return value


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else float(digits)


def _objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text, whatever stands between them."""
    decoder = json.JSONDecoder(parse_int=_integer)
    start, tries, left = text.find("{"), 0, _MOST_READ * len(text)
    while start >= 0 and tries < _MOST_TRIES and left > 0:
        try:
            value, end = decoder.raw_decode(text, start)
            yield value
        except json.JSONDecodeError as error:
            # The place of a text that does not end is its beginning, but all of it was read.
            to = len(text) if error.msg.startswith("Unterminated") else error.pos
            # The lines up to there were counted, too, for the error's message.
            tries, end, left = tries + 1, start + 1, left - (to - start) - error.pos // 32
        except RecursionError:
            return
        start = text.find("{", end)


def _reply_of(objects: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the one reply among some objects: the last whole one, else their chunks joined."""
    # Inside a reply that was cut off there are whole objects, too, which are no replies.
    objects = [one for one in objects if "choices" in one or "error" in one]
    replies = [one for one in objects if _first_choice(one)]
    whole = [one for one in replies if _first_choice(one).get("message")]
    if whole:
        return whole[-1]
    if any("delta" in _first_choice(one) for one in replies) or len(replies) > 1:
        return _join(objects)
    return (replies or objects)[-1] if objects else None


def unwrapped(whole: dict[str, Any]) -> dict[str, Any]:
    """Return an object with the fields of the one reply that is wrapped in it, if there is one."""
    found = _wrapped_in(whole)
    return {**whole, **found} if found else whole


def _wrapped_in(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the one reply that a gateway has wrapped (`{"data": {"choices": ...}}`), if any."""
    if "choices" in whole or isinstance(whole.get("message"), dict):
        return {}
    inner = [one for one in whole.values() if isinstance(one, dict)]
    found = [one if _first_choice(one) else _wrapped_in(one) for one in inner]
    replies = [one for one in found if one]
    return replies[0] if len(replies) == 1 else {}


def _first_choice(reply: dict[str, Any]) -> dict[str, Any]:
    choices = _choices(reply)
    return choices[0] if choices else {}


def _choices(reply: dict[str, Any]) -> list[dict[str, Any]]:
    choices = reply.get("choices")
    return [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []


def _join(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the reply that chunks are parts of; of what is said again, the last counts."""
    reply: dict[str, Any] = {}
    choice: dict[str, Any] = {}
    message: dict[str, Any] = {"content": None}
    said: dict[str, list[Any]] = {}  # by field, in the order in which it came
    tokens: list[Any] = []
    # Not every server counts from 0, nor with numbers; a chunk without one is of any choice.
    counts = {str(one.get("index", "")): one for chunk in chunks for one in _choices(chunk)}
    first = min(filter(None, counts), default="")
    for chunk in chunks:
        reply |= {name: value for name, value in chunk.items() if value is not None}
        parts = [one for one in _choices(chunk) if str(one.get("index", "")) in ("", first)]
        part = parts[0] if parts else {}
        choice |= {name: value for name, value in part.items() if value is not None}
        delta = part.get("delta", {"content": part.get("text")})  # of the older interface
        for name, value in delta.items() if isinstance(delta, dict) else ():
            if name in _JOINED and isinstance(value, str | list):
                said.setdefault(name, []).append(value)
            elif value is not None:
                message[name] = value
        if isinstance(logprobs := part.get("logprobs"), dict):
            content = logprobs.get("content")
            tokens += content if isinstance(content, list) else []
    message |= {name: _joined(values) for name, values in said.items()}
    choice = {**choice, "message": message} | ({"logprobs": {"content": tokens}} if tokens else {})
    for name in ("delta", "text"):
        choice.pop(name, None)
    return {**reply, "choices": [choice]}


def _joined(values: list[Any]) -> Any:
    """Join texts, or lists of parts; beside parts a text is one, too."""
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    parts = [value if isinstance(value, list) else _part(value) for value in values if value]
    return list(chain.from_iterable(parts))


def _part(text: str) -> list[Any]:
    return [{"type": "text", "text": text}]


def _is_flat(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one.values()
            elif isinstance(one, list):
                below += one
        if not below:
            return True
        level = below
    return False
