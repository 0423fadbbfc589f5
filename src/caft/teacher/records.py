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
