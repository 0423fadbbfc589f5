"""An answer as all else uses it, from a reply that has just come or from a record of the store."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from caft.prompting.thought import split_thought
from caft.store.record import numbers_of
from caft.teacher import Answer
from caft.teacher.reading.body import parse_json
from caft.teacher.reading.ending import COMPLETE, TRUNCATED, ending_in
from caft.teacher.reading.reply import Reading, read_reply, reply_in
from caft.teacher.settings import Prices


def answer_of(
    key: str, raw: dict[str, Any], reading: Reading, prices: Prices | None, seconds: float
) -> Answer:
    """Return a reply as an answer.

    Args:
        key: of the request.
        raw: the reply as it came.
        reading: what it means.
        prices: what tokens cost today; None where nobody knows.
        seconds: how long it took; 0 for one out of a batch, which has the price of batches.
    """
    return Answer(
        key=key,
        text=reading.text,
        reasoning=reading.reasoning,
        finish_reason=reading.ending,
        prompt_tokens=reading.usage.prompt,
        completion_tokens=reading.usage.completion,
        cost_usd=reading.usage.cost(prices, batch=not seconds),
        seconds=seconds,
        raw=raw,
    )


def stored_answer(record: Mapping[str, Any], prices: Prices | None = None) -> Answer:
    """Return a stored answer: read from the reply where there is one, else from the columns.

    Args:
        record: of the store.
        prices: what tokens cost today. Without any, the cost is what it was when the answer came.
    """
    numbers = numbers_of(record)
    raw, key, seconds = _json(record["raw"]), record["key"], numbers["seconds"] or 0.0
    reply = reply_in(raw)
    if reading := read_reply(reply):
        answer = answer_of(key, reply, reading, prices, seconds)
        is_counted = None not in (answer.prompt_tokens, answer.completion_tokens)
        if prices is None and answer.cost_usd is None and is_counted:
            return replace(answer, cost_usd=numbers["cost_usd"])
        return answer
    between, text = split_thought(record["text"] or "")
    ending = ending_in(record["finish_reason"])
    return Answer(
        key=key,
        text=text or "",
        reasoning="\n".join(part for part in (record["reasoning"], between) if part) or None,
        finish_reason=TRUNCATED if text is None and ending == COMPLETE else ending,
        prompt_tokens=numbers["prompt_tokens"],
        completion_tokens=numbers["completion_tokens"],
        cost_usd=numbers["cost_usd"],
        seconds=seconds,
        raw=raw,
    )


def _json(text: str | None) -> dict[str, Any]:
    try:
        value = parse_json(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
