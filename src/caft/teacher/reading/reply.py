"""A reply as an answer: its channels, its ending, what it took, and who gave it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from caft.prompting.thought import split_thought
from caft.teacher.reading.body import BODY, THOUGHTS, read_text
from caft.teacher.reading.ending import (
    BROKEN_OFF,
    COMPLETE,
    REFUSED,
    TRUNCATED,
    UNREADABLE,
    UNSAID,
    ending_of,
)
from caft.teacher.reading.usage import Usage, read_usage

# In the type or channel of a part; one that is neither (results of a search) is left out.
_THINKING = re.compile("reasoning|thinking|thought|summary|redacted|analysis|commentary")
_ANSWERING = re.compile("|((output|response)_)?text(_delta)?|message|content|(final_)?answer|final")
_ENDINGS = (
    *("finish_reason", "finishReason", "native_finish_reason", "done_reason", "finish_details"),
)
# What some servers put into an error beside a complete answer.
_WELL = ("", "0", "200", "ok", "success")


@dataclass(frozen=True)
class Reading:
    """What a reply means.

    Attributes:
        text: of the answer alone; empty where there is none.
        reasoning: what was thought before, from whichever channel.
        ending: a family of `caft.teacher.reading.ending`, or a word that is not known.
        usage: what it took.
        error: what went wrong, if the reply says so.
    """

    text: str
    reasoning: str | None
    ending: str
    usage: Usage
    error: Any = None

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing that could have been paid for, and so is asked again."""
        nothing = not self.text.strip() and not self.reasoning and not self.usage.completion
        return nothing and self.ending in (COMPLETE, UNSAID, BROKEN_OFF)


def reply_in(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reply in what is stored of an answer: read again where it was no bare JSON."""
    body = raw.get(BODY)
    read = read_text(body) if isinstance(body, str) else None
    return read if isinstance(read, dict) else dict(raw)


def read_reply(reply: Mapping[str, Any]) -> Reading | None:
    """Read a chat completion; None if it is none, whatever fields it has otherwise."""
    choice = _choice(reply)
    message = choice.get("message")
    said = message or choice.get("text")  # the text is that of the older interface
    if isinstance(said, str) and choice is not reply:  # a reply itself has a message of the server
        message = {"content": said}
    error = next((one for one in map(error_in, (choice, message, reply)) if one), None)
    if not isinstance(message, dict):
        usage, choices = read_usage(reply, False), reply.get("choices")
        holds_some = isinstance(choices, list | dict) and bool(choices) and not error
        is_paid = bool(usage.completion) or BODY in reply or holds_some
        return Reading("", None, UNREADABLE, usage, error) if is_paid else None
    reasoning, text = channels(message)
    refusal = _text(message.get("refusal")) or _refusal_in(message.get("content"))
    words = [owner.get(name) for owner in (choice, reply) for name in _ENDINGS]
    words.append(reply.get("stop_reason"))
    ending = ending_of(words, bool(text and text.strip()))
    if error:
        ending = BROKEN_OFF
    elif refusal:
        text, ending = text or refusal, REFUSED
    elif text is None and ending in (COMPLETE, UNSAID):
        ending = TRUNCATED  # a thought that was never closed
    usage = read_usage(reply, bool(text or reasoning))
    return Reading(text or "", reasoning, ending, usage, error)


def channels(message: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return thinking and answer of a message; the answer None where it was not begun.

    Thinking comes in fields of its own, in parts of the content, or between marks in the text.
    """
    content = message.get("content")
    thoughts = [_text(message.get(name), None) for name in THOUGHTS]
    apart = next((thought for thought in thoughts if thought.strip()), "")
    parts, text = _text(content, thinking=True), _text(content)
    between, answer = split_thought(text)
    found = "\n".join(part for part in (apart, parts, between) if part)
    return found or None, answer


def _text(content: Any, thinking: bool | None = False) -> str:
    """Return the text in a content, or the thinking in it; some servers send lists of parts.

    Args:
        content: a text, a part, or a list of them.
        thinking: which parts are taken: those of thinking, the others, or (None) all.
    """
    if isinstance(content, str):
        return "" if thinking else content
    if isinstance(content, list):
        return "".join(_text(part, thinking) for part in content)
    if not isinstance(content, dict):
        return ""
    names: tuple[str, ...] = ("text", "output_text", "content", "value")
    if thinking is None:
        names += ("thinking", "reasoning", "summary")
    elif _is_thought(content):
        return _text(content, None) if thinking else ""
    elif not _ANSWERING.fullmatch(str(content.get("type") or "").lower()):
        return ""
    return next((found for name in names if (found := _text(content.get(name), thinking))), "")


def _is_thought(part: Mapping[str, Any]) -> bool:
    told = " ".join(str(part.get(name)) for name in ("type", "channel", "phase")).lower()
    return part.get("thought") is True or _THINKING.search(told) is not None


def _refusal_in(content: Any) -> str:
    parts = content if isinstance(content, list) else []
    refusals = [
        _text(part.get("refusal")) + _refusal_in(part.get("content"))
        for part in parts
        if isinstance(part, dict)
    ]
    return "".join(refusals)


def _choice(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first choice with a content, or the first; a reply may be one itself."""
    choices = reply.get("choices")
    several = choices if isinstance(choices, list) else [choices, _as_choice(reply)]
    found = [one for one in several if isinstance(one, dict)]
    told = [
        one
        for one in found
        if isinstance(one.get("message"), dict) and one["message"].get("content")
    ]
    return next(iter(told or found), {})


def _as_choice(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the reply of another interface as a choice: OpenAI's Responses, or Messages."""
    output, content = reply.get("output"), reply.get("content")
    if isinstance(output, list) and output:
        details = reply.get("incomplete_details")
        why = details.get("reason") if isinstance(details, dict) else None
        return {"message": {"content": output}, "finish_reason": why or reply.get("status")}
    if isinstance(content, list) and content and reply.get("role") == "assistant":
        return {"message": {"content": content}}
    return reply


def error_in(owner: Any) -> Any:
    """Return what a reply, or a part of it, says that went wrong; None if nothing did."""
    if not isinstance(owner, Mapping):
        return None
    state = owner.get("base_resp")  # MiniMax
    failed = isinstance(state, dict) and state.get("status_code") not in (0, "0", None)
    told = (owner.get("error"), owner.get("errors"), state if failed else None)
    return next((one for one in told if not _is_well(one)), None)


def _is_well(error: Any) -> bool:
    """Tell whether an error says nothing, or in all its fields that there is none."""
    if isinstance(error, Mapping):
        return all(map(_is_well, error.values()))
    if isinstance(error, list):
        return all(map(_is_well, error))
    return not error or str(error).strip().lower() in _WELL


def model_in(reply: Mapping[str, Any]) -> str | None:
    """Return which model a reply names."""
    model = reply.get("model")
    return model if isinstance(model, str) and model.strip() else None


# What a name may have behind another name of the same model: a date, a number, a tag, a revision.
_SUFFIX = re.compile(r"(?:[-_](?:20\d\d-?[01]\d-?[0-3]\d|\d{3,4})|[:@][\w.-]+|\.gguf)$")


def is_same_model(asked: str, answered: str) -> bool:
    """Tell whether two names mean one model.

    A router's prefix makes no other model, nor does a date, a number of a version, a tag or a
    revision that only one of the names has.
    """
    first, second = _last(asked), _last(answered)
    return first in (second, _SUFFIX.sub("", second)) or second == _SUFFIX.sub("", first)


def _last(name: str) -> str:
    return name.strip().rstrip("/").rsplit("/", 1)[-1].lower().removesuffix("-latest")


def is_expected(pattern: str, answered: str | None) -> bool:
    """Tell whether a reply's model is the one that is named, or fits a pattern such as `gpt-4o*`.

    A pattern without a router's prefix fits names with one. A reply that names no model is not the
    expected one.
    """
    if answered is None:
        return False
    names = [answered.lower()] + ([] if "/" in pattern else [_last(answered)])
    fits = any(fnmatchcase(name, pattern.lower()) for name in names)
    return fits or is_same_model(pattern, answered)
