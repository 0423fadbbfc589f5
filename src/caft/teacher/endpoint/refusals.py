"""Whose fault a status is that is no success: the moment's, one item's, or the endpoint's.

Dialects differ, so a status alone says little: its words and codes decide where they are clear.
Where they are not, the evidence does (`client`): what is refused while others are answered is the
item's, and what nobody gets an answer to is the endpoint's.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from caft.errors import TeacherError
from caft.teacher import Owed
from caft.teacher.endpoint.replies import (
    DURATION,
    Fault,
    brief,
    retry_after,
    seconds_at,
)
from caft.teacher.reading.body import parse_json
from caft.teacher.reading.reply import error_in
from caft.teacher.reading.usage import read_usage

_PASSING = (408, 409, 423, 424, 425, 429, 449, 498, 499)  # and all from 500
_GIVEN_UP = (408, 499, 504, 522, 524)  # somebody on the way stopped waiting; the model may not have
_FORBIDDEN = (403, 451)
_PERMANENT = (401, 402, 404, 405, 407, 410)

_CHECKS = {
    "request": "check the request: model name, length of the prompt against the model's context, "
    "and the parameters (temperature and top_p, of which null sends none, max_tokens_field, stop, "
    "extra_body)",
    "key": "check the key in {key}",
    "credit": "add credit to the account of the key in {key}",
    "account": "the key in {key}, its account or its region has no permission for this model: "
    "check each",
    "proxy": "check user and password of the proxy, in the variable that names it (HTTPS_PROXY, "
    "HTTP_PROXY or ALL_PROXY)",
    "address": "check base_url and model",
    "too_long": "the prompts and max_new_tokens together are more than the model's context: lower "
    "max_new_tokens, shorten the prompt, or ask a model with a longer context",
    "refused": "it does not take these prompts: ask another model or endpoint",
}
_CHECK_OF = {
    **{401: "key", 402: "credit", 407: "proxy"},
    **dict.fromkeys((404, 405, 410), "address"),
}

_CONTEXT = r"context.?(length|window|size)|(maximum|max).?context"
# With 500 no more than this counts: a server has messages, queues and limits of its own.
_PROMPT_TOO_LONG = (
    r"(prompt|input)s?( \w+){0,3} too (long|large|big)"
    r"|(prompt|input)s? (tokens?|length|size)\b.{0,30} exceed"
    r"|(maximum|max).?(prompt|input)"
)
_TOO_LONG = (
    rf"{_PROMPT_TOO_LONG}|(maximum|max).?(sequence|model.?len)"
    r"|(prompt|input|request|message|payload|content|conversation|text|body)s?"
    r"( \w+){0,3} too (long|large|big|many)"
    r"|too many (input |prompt )?tokens|token limit"
    r"|exceed\w* (?!retries).{0,40}(token|length|context)"
    r"|range of input length|tokens?\W.{0,40}must be (<=|less|at most)"
    r"|(reduce|shorten) (the|your) (length|prompt|input|message)|above_max_length"
)
# Tokens are limited in a time as well, and Go calls a context what ends a call.
_RATE = r"rate.?limit|per.?(second|sec|minute|min|hour)\b|last (second|minute|hour)|throttl"
_LIMITED = rf"{_RATE}|per.?day\b|daily|weekly|monthly|quota|deadline|cancell?ation"
_FILTERED = (
    r"content.?(filter|management|policy|moderation|safety|exists risk)|moderat|flagged|unsafe"
    r"|safety|responsible.?ai|guardrail|jailbreak|inappropriate|prohibited|harmful|sensitive"
    r"|disallowed|data.?inspection|usage.?polic|violat|invalid_prompt|blocked|nsfw|self.?harm"
)
_OF_THE_PROMPT = r"prompt|input|content|messages?\b|text|output|completion"
_ACCOUNT = (
    r"api.?key|authenti|unauthori[sz]|not authori[sz]ed|credential|access token|permission"
    r"|your (access|key|plan|tier|ip)\b|account|organi[sz]ation|subscri|region|countr|territor"
    r"|location|terms of service|suspended|deactivated|ip address|not allowed to"
)
_INSUFFICIENT = r"insufficient.?(user.)?(quota|balance|funds|credit)"
_SPENT = (
    rf"{_INSUFFICIENT}|credit balance|account balance|out of credit|used all available credits"
    r"|quota is not enough|hard.limit.reached|spending limit|arrear|overdue"
    r"|over.?budget|budget.{0,20}exceeded|exceeded(.{0,3}|\w*)budget"
)
_CREDIT = rf"{_SPENT}|exceeded your current quota|billing|payment"
_RATE_CODES = r"rate_limit_exceeded|resource_exhausted"
# Of a key or an account; with a 429 it may be the limit of a minute.
_USED_UP = (
    r"(key|usage|spend\w*|daily|weekly|monthly)( tokens?)? limits?"
    r" (is |was |has been )?(exceeded|reached)"
    r"|(reached|exceeded|hit) your [\w ]{0,40}(limits?|quota|allowance)\b"
)
_MODEL = (
    r"(model|deployment)\b.{0,80}(not exist|not found|not supported|unsupported|not available"
    r"|unknown|not (a )?valid|invalid|no longer|decommissioned|deprecated|retired)"
    r"|model_not_found|not (a )?valid model|(unknown|invalid|no such|unsupported|missing).model"
    r"|(is|are) pinned to|only serves?\b|serves? only\b"
)
_PARAMETER = (
    # No "invalid": some endpoints call every odd prompt an invalid argument or parameter.
    r"(unknown|unrecogni[sz]ed|unsupported|unexpected|extra|missing|additional)"
    r".(request.)?(parameter|argument|field|keyword|propert)"
    r"|unsupported_value|extra inputs|extra_forbidden"
)
_MOMENTARY = (
    r"try again|retry|temporar|overload|capacity|too busy|is busy|unavailable|timed? ?out"
    r"|loading|warming|starting|too many requests|deadline|cancell?ation"
    rf"|{_RATE}"
)
# A prompt, and nothing that passes: "reformat your input and try again".
_AFTER_A_CHANGE = (
    r"(reformat|modify|change|correct|fix|edit|shorten|reduce|rephrase|revise|adjust|remove"
    r"|another|different)\b.{0,80}(try again|retry)"
)
_OWN_FIELDS = (
    "model", "temperature", "top_p", "stop", "seed", "max_tokens", "max_completion_tokens",
)  # fmt: skip
_STATUSES = ("code", "status", "status_code", "statusCode")
_CODES = ("code", "type", "param", "loc", "status", "reason")
_MESSAGES = ("message", "detail", "msg", "error")
_ECHOES = (
    *("input", "flagged_input", "prompt", "messages", "request", "body", "ctx", "stack"),
    *("failed_generation", "generated_text", "generation"),
)
_UNPARSED = r"(?i)failed to parse input at pos \d+:"  # llama.cpp: what the model wrote follows
_READ = 2000  # characters in which words are looked for
_READ_FOR_A_WAIT = 65536  # one stands at the end of long details


class Refusal(TeacherError):
    """A request that was turned down for what is in it.

    Attributes:
        reason: one of `NOT_TAKEN`.
        clear: whether the words say so; if not, it may be what all requests share.
        said: the answer to it, without what to check.
    """

    def __init__(self, said: str, check: str, reason: str, clear: bool):
        super().__init__(f"{said}; {check}.")
        self.said, self.check, self.reason, self.clear = said, check, reason, clear


@dataclass(frozen=True)
class Whom:
    """Whose reply is read.

    Attributes:
        address: what was asked, without user info.
        key: how the message names the key, such as `$OPENROUTER_API_KEY`.
        secret: the key itself.
        fields: what every request has beside the parameters of the config.
    """

    address: str
    key: str
    secret: str | None = field(default=None, repr=False)
    fields: tuple[str, ...] = ()


def refused(
    status: int, headers: Mapping[str, str], text: str, whom: Whom
) -> Fault | Refusal | TeacherError:
    """Turn a status that is no success into what it means.

    Args:
        status: the HTTP status.
        headers: of the response, names in lower case.
        text: body of the response.
        whom: whose it is.

    Returns:
        A Fault for what passes by itself, a Refusal for what is one item's as far as it can be
        seen, a TeacherError for what every request would be told.
    """
    said = _Said.read(text)
    what = f"{whom.address} answered {status} ({brief(said.message, whom.secret) or 'no message'})"

    def permanent(check: str) -> TeacherError:
        return TeacherError(f"{what}; {_CHECKS[check].format(key=whom.key)}.")

    def of_the_item(reason: str, clear: bool = True) -> Refusal:
        unclear = "account" if status in _FORBIDDEN else "request"
        check = _CHECKS[reason if clear else unclear].format(key=whom.key)
        return Refusal(what, check, reason, clear)

    if 300 <= status < 400:
        target = brief(headers.get("location", "elsewhere"), whom.secret)
        return TeacherError(f"{what}; it points to {target}: give the final address as base_url.")
    if status in _PASSING or status >= 500:
        wait = asked_wait(status, headers, text)
        # OpenAI's status for an empty account is that of a rate limit, but no wait ends it.
        if "insufficient_quota" in said.codes or (wait is None and _has_spent_all(status, said)):
            return permanent("credit")
        if (status == 429 and said.has("request too large")) or (
            status == 500 and _is_too_long(status, said)
        ):
            return of_the_item("too_long")
        return Fault(what, wait, Owed.ALL if status in _GIVEN_UP else Owed.REQUEST)
    if status in _PERMANENT:
        return permanent(_CHECK_OF.get(status, "account"))
    if status == 413 or _is_too_long(status, said):
        return of_the_item("too_long")
    if said.has(_FILTERED) and (said.is_page or said.has(_OF_THE_PROMPT) or not said.has(_ACCOUNT)):
        # The page of a firewall may block one prompt or the whole endpoint.
        return of_the_item("refused", clear=not said.is_page)
    if said.has(_CREDIT) or (said.has(_USED_UP) and not said.has(_RATE)):
        return permanent("credit")
    if said.has(_ACCOUNT):
        return permanent("account" if status == 403 else "key")
    if said.has(_MODEL):
        return permanent("address")
    if said.has(_PARAMETER) or said.names((*_OWN_FIELDS, *whom.fields)):
        return permanent("request")
    if said.has(_MOMENTARY) and not said.has(_AFTER_A_CHANGE):
        return Fault(what, asked_wait(status, headers, text), Owed.REQUEST)
    return of_the_item("refused", clear=False)


def _is_too_long(status: int, said: "_Said") -> bool:
    if status >= 500:
        sure, likely = _CONTEXT, _PROMPT_TOO_LONG
    else:
        # Of a prompt that is more than the tokens of a minute: no wait makes it smaller.
        sure, likely = rf"{_CONTEXT}|request too large", _TOO_LONG
    return said.has(sure) or (said.has(likely) and not said.has(_LIMITED))


def _has_spent_all(status: int, said: "_Said") -> bool:
    """Whether a status that else passes is that of an empty account, as far as words tell."""
    if status >= 500:
        pattern = _INSUFFICIENT
    else:
        pattern = _SPENT if status == 429 and said.is_of_a_rate else _CREDIT
    return not said.is_page and said.has(pattern)


def refused_inside(
    reply: Mapping[str, Any], headers: Mapping[str, str], whom: Whom
) -> Fault | TeacherError | None:
    """Return what a body without an answer means that came with 200; None if it does not say.

    It may name a status of its own; where it names none, the words of its error decide alone.
    """
    error = error_in(reply)
    status = next((one for owner in (error, reply) if (one := _status_in(owner))), None)
    if reply.get("choices") or not (error or status) or read_usage(reply, False).completion:
        return None
    said = json.dumps(reply if status else error, ensure_ascii=False)
    found = refused(status or 400, headers, said, whom)
    is_clear = found.clear if isinstance(found, Refusal) else isinstance(found, TeacherError)
    return found if status or is_clear else None


def _status_in(owner: Any) -> int | None:
    codes = [owner.get(name) for name in _STATUSES] if isinstance(owner, Mapping) else []
    numbers = [int(text) for code in codes if (text := str(code)).isdecimal() and len(text) == 3]
    return next((number for number in numbers if 400 <= number < 600), None)


def asked_wait(status: int, headers: Mapping[str, str], text: str = "") -> float | None:
    """Return the seconds that a reply asks to wait; None if it says nothing usable, or not to wait.

    Args:
        status: the HTTP status; only with 429 it is a limit that has to be reset.
        headers: names in lower case. Times are taken from their `date`: clocks differ.
        text: the body, which has it at some endpoints.
    """
    now = seconds_at(headers.get("date", ""))
    milliseconds = headers.get("retry-after-ms")
    told = [retry_after(f"{milliseconds}ms") if milliseconds else None]
    told.append(retry_after(headers.get("retry-after"), now))
    if status == 429:
        told += [_reset(headers, now)]
    told += [retry_after(found[1]) for found in re.finditer(_IN_THE_BODY, text[:_READ_FOR_A_WAIT])]
    return next((seconds for seconds in told if seconds), None)


_IN_THE_BODY = (
    r"(?i)(?:retry_?delay\W+|retry_?after(?:_seconds)?\W+"
    r"|(?:try again|retry|wait)(?: in| after| for)?(?: about)? )"
    rf"((?:{DURATION})+|\d+(?:\.\d+)?(?=\s*[,}}]))"
)


def _reset(headers: Mapping[str, str], now: float | None) -> float | None:
    """Return when the limits that are used up are reset; of all limits if none says that it is."""
    resets = {
        name: seconds
        for name, value in headers.items()
        if re.fullmatch("(x-)?ratelimit-reset.*", name)
        and (seconds := retry_after(value, now)) is not None
    }
    used_up = [
        seconds
        for name, seconds in resets.items()
        if headers.get(name.replace("reset", "remaining"), "").strip() in ("0", "0.0")
    ]
    return max(used_up or resets.values(), default=None)


@dataclass(frozen=True)
class _Said:
    """An error body: its message for people, its codes, and its words without echoed texts."""

    message: str
    codes: frozenset[str]
    words: str
    is_page: bool = False

    @classmethod
    def read(cls, text: str) -> "_Said":
        try:
            body = parse_json(text)
        except ValueError:
            is_page = text.lstrip("\ufeff \t\r\n").startswith("<")
            return cls(text, frozenset(), _own_words(text)[:_READ], is_page)
        parts = list(_strings(body))
        message = next((value for name, value in parts if name in _MESSAGES), "")
        codes = frozenset(value.lower() for name, value in parts if name in _CODES)
        return cls(message or text, codes, _words_of(parts)[:_READ])

    @property
    def is_of_a_rate(self) -> bool:
        return self.has(_RATE_CODES) or any(re.fullmatch(_RATE_CODES, code) for code in self.codes)

    def has(self, pattern: str) -> bool:
        return re.search(pattern, self.words, re.IGNORECASE) is not None

    def names(self, fields: tuple[str, ...]) -> bool:
        """Whether it is about one of these fields: as a code, in quotes, or as no common word."""
        named = "|".join(
            rf"['\"`]{re.escape(one)}['\"`]" + (rf"|\b{re.escape(one)}\b" if "_" in one else "")
            for one in fields
        )
        return not self.codes.isdisjoint(fields) or self.has(f"{named}|\\btemperature\\b")


def _own_words(text: str) -> str:
    """Return a text without what was echoed in it: as JSON, or behind a parser's complaint."""
    cut = re.search(_UNPARSED, text)
    start, end = text.find("{"), text.rfind("}") + 1
    if not cut or 0 <= start < cut.start():
        try:
            inner = parse_json(text[start:end])
        except ValueError:
            pass
        else:
            return "\n".join([text[:start], _words_of(_strings(inner)), text[end:]])
    return text[: cut.end()] if cut else text


def _words_of(parts: Iterable[tuple[str, str]]) -> str:
    """Join the own words of texts, of no more texts than are read."""
    told, length = [], 0
    for _, value in parts:
        told.append(_own_words(value))
        length += len(told[-1]) + 1
        if length > _READ:
            break
    return "\n".join(told)


def _strings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts of a JSON value with the names they stand under, without echoed prompts."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part, name)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in _ECHOES:
                yield from _strings(part, key)
