"""Requests for items, and what the store keeps of their answers."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from caft.store import answer_key
from caft.teacher import Answer, Request, Teacher
from caft.teacher.reading.answer import stored_answer
from caft.teacher.reference import worked_solution
from caft.teacher.settings import Prices


def make_request(
    teacher: Teacher, item: Mapping[str, Any], messages: list[dict[str, Any]], sample: int
) -> Request:
    """Make the request of one sample of one item."""
    model_id, revision = teacher.identify(item)
    return Request(
        key=answer_key(model_id, revision, messages, teacher.decoding, sample),
        item_id=item["item_id"],
        messages=messages,
        decoding=teacher.decoding,
        sample=sample,
        reference=worked_solution(item),
        model_id=model_id,
        revision=revision,
    )


def to_record(request: Request, answer: Answer, kind: str) -> dict[str, Any]:
    """Return what the store keeps of an answer that has just come."""
    asked = {
        "messages": request.messages,
        "decoding": request.decoding,
        "sample": request.sample,
    }
    return {
        **vars(answer),
        "kind": kind,
        "model_id": request.model_id,
        "revision": request.revision,
        "request": json.dumps(asked, ensure_ascii=False, sort_keys=True),
        "received_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "raw": json.dumps(answer.raw, ensure_ascii=False, sort_keys=True),
    }


def to_answer(record: Mapping[str, Any], prices: Prices | None = None) -> Answer:
    """Return a stored answer, read anew; `prices` are those of today."""
    return stored_answer(record, prices)


def read_back(
    answer: Answer,
    written: Mapping[str, Any],
    stored: Mapping[str, Any],
    prices: Prices | None = None,
) -> Answer:
    """Return an answer that has just come as the store has it.

    Another job may have stored its own before, and odd values change on the way. Where a reply is
    stored as it came, the answer says already what reading it again would.

    Args:
        answer: that came.
        written: its record.
        stored: what the store has under its key.
        prices: those of today.
    """
    came_as_reply = "choices" in answer.raw
    return answer if came_as_reply and written == stored else to_answer(stored, prices)
