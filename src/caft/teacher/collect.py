"""Collect answers through the store, and choose the rationale of each item."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pandas as pd

from caft.answers import INVALID
from caft.files import read_json
from caft.jobs import Progress
from caft.mixtures import wanted_rationales
from caft.models import load_tokenizer
from caft.prompts import all_messages
from caft.store import Store, answer_key
from caft.tables import SCHEMAS
from caft.teacher import Answer, Request, Teacher, make_teacher
from caft.teacher.acceptance import judge
from caft.teacher.reference import option_count, worked_solution

log = logging.getLogger("caft")


def collect_rationales(
    items: pd.DataFrame,
    teacher: Teacher,
    store: Store,
    messages: Callable[[dict[str, Any]], list[dict[str, Any]]],
    policy: Mapping[str, Any],
    parser: str,
    max_tokens: int | None,
    progress: Callable[[str, int, str], Progress] = Progress,
) -> pd.DataFrame:
    """Ask a teacher for one accepted rationale per item; nothing that is stored is asked for again.

    A rejected answer is sampled again, up to `policy["samples"]` in all. An error is not sampled
    again: the teacher has made its own attempts, and the next run asks once more.

    Args:
        items: rows of the items table.
        teacher: whom to ask.
        store: where answers are looked up, and put before they are used.
        messages: the prompt of an item, given as a dict.
        policy: `samples`, the most answers per item; `fallback` for items without an accepted one:
            `keep` selects the last from which an answer could be read, unless it is too long;
            `drop` and `train_on_answer` select none.
        parser: reads the answer out of the text.
        max_tokens: longer rationales are rejected.
        progress: makes the progress log.

    Returns:
        The rationales table: a row per item and sample, at least one per item.

    Raises:
        TeacherError: if the teacher cannot answer at all; what came before that is stored.
    """
    tally = _Tally()
    rows: list[dict[str, Any]] = []
    item_of: dict[str, dict[str, Any]] = {}

    def verdict(answer: Answer, item: dict[str, Any]) -> tuple[str, bool, str | None]:
        gold, kind = item["answer"], item["answer_kind"]
        return judge(answer, gold, kind, option_count(item), parser, max_tokens)

    def count(batch: list[Answer]) -> str:
        return tally.add(batch, [verdict(answer, item_of[answer.key])[1] for answer in batch])

    pending = cast(list[dict[str, Any]], items.to_dict("records"))
    for sample in range(policy["samples"] if teacher.varies else 1):
        asked = [(item, make_request(teacher, item, messages(item), sample)) for item in pending]
        item_of |= {request.key: item for item, request in asked}
        what = f"rationales, sample {sample + 1}"
        answers = obtain([request for _, request in asked], teacher, store, what, count, progress)
        pending = []
        for item, request in asked:
            answer = answers[request.key]
            parsed, accepted, reason = verdict(answer, item)
            rows.append(_row(request, answer, parsed, accepted, reason))
            if reason not in (None, "error"):
                pending.append(item)
    table = pd.DataFrame(rows, columns=SCHEMAS["rationales"].names)
    table["selected"] = _select(table, policy["fallback"])
    _report(table)
    return table


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


def obtain(
    requests: Iterable[Request],
    teacher: Teacher,
    store: Store,
    what: str,
    note: Callable[[list[Answer]], str],
    progress: Callable[[str, int, str], Progress] = Progress,
    kind: str = "rationale",
) -> dict[str, Answer]:
    """Return an answer per key, from the store or else from the teacher; stored before it is used.

    Args:
        requests: what to ask; equal keys are asked once.
        teacher: whom to ask.
        store: where answers are looked up and put. Errors are not stored.
        what: name of the progress line.
        note: told of each batch that was asked for, returns what the progress line adds.
        progress: makes the progress log.
        kind: field of the stored records.
    """
    unique = {request.key: request for request in requests}
    answers = {key: _answer(record) for key, record in store.get(unique).items()}
    missing = [request for key, request in unique.items() if key not in answers]
    log.info("%s: %d stored, %d to ask", what, len(answers), len(missing))
    if not missing:
        return answers
    line = progress(what, len(missing), "answers")
    for batch in teacher.answer(missing):
        good = [answer for answer in batch if answer.finish_reason != "error"]
        store.append([_record(unique[answer.key], answer, kind) for answer in good])
        stored = store.get(answer.key for answer in good)
        answers |= {answer.key: answer for answer in batch}
        answers |= {key: _answer(record) for key, record in stored.items()}
        line.advance(len(batch), note(batch))
    return answers


def _record(request: Request, answer: Answer, kind: str) -> dict[str, Any]:
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


def _answer(record: Mapping[str, Any]) -> Answer:
    fields = {name: record[name] for name in Answer.__dataclass_fields__}
    return Answer(**{**fields, "raw": json.loads(record["raw"])})


def _row(
    request: Request, answer: Answer, parsed: str, accepted: bool, reason: str | None
) -> dict[str, Any]:
    return {
        "item_id": request.item_id,
        "sample": request.sample,
        "key": request.key,
        "text": answer.text,
        "parsed": parsed,
        "accepted": accepted,
        "reason": reason,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "cost_usd": answer.cost_usd,
        "seconds": answer.seconds,
    }


def _select(table: pd.DataFrame, fallback: str) -> pd.Series:
    selected = table["accepted"].astype(bool)
    if fallback == "keep":
        solved = table["item_id"].isin(table["item_id"][selected])
        # Too long for training stays out: kept or not, the student has no room for it.
        usable = ~solved & (table["parsed"] != INVALID) & (table["reason"] != "too_long")
        selected[table[usable].drop_duplicates("item_id", keep="last").index] = True
    return selected


def _report(table: pd.DataFrame) -> None:
    rejected = table["reason"].value_counts()
    reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
    log.info(
        "rationales: %d of %d items have an accepted one; %d answers rejected%s",
        *(table["accepted"].sum(), table["item_id"].nunique(), rejected.sum()),
        f" ({reasons})" if reasons else "",
    )


class _Tally:
    """Money and acceptance of what was asked for in this run."""

    def __init__(self) -> None:
        self.spent, self.answers, self.accepted = 0.0, 0, 0

    def add(self, batch: list[Answer], accepted: list[bool]) -> str:
        self.spent += sum(answer.cost_usd for answer in batch)
        self.answers += len(batch)
        self.accepted += sum(accepted)
        share = 100 * self.accepted // self.answers
        return f"${self.spent:.4f} so far, {share}% accepted"


def collect_for_strategies(
    items: pd.DataFrame,
    buckets: Mapping[str, pd.DataFrame],
    strategies: Mapping[str, Mapping[str, Any]],
    spec: Mapping[str, Any],
    variant: dict[str, Any],
    engine: Mapping[str, Any],
    seed: int,
    student_file: Path,
    store_folder: Path,
) -> pd.DataFrame:
    """Collect the rationales that the given strategies train on, each item once.

    Args:
        items: the items table.
        buckets: buckets tables by name.
        strategies: the strategies of this teacher, by name.
        spec: the teacher's config.
        variant: the prompt variant the teacher is asked with.
        engine: device settings, for a teacher in this process.
        seed: of random membership and few-shot draw.
        student_file: the student's `student.json`; its tokenizer counts tokens.
        store_folder: the store of paid answers.

    Returns:
        The rationales table.
    """
    wanted: set[str] = set()
    for strategy in strategies.values():
        wanted |= wanted_rationales(buckets[strategy["buckets"]], strategy, seed)
    turns = dict(zip(items["item_id"], all_messages(items, variant, "cot", seed), strict=True))
    teacher = make_teacher(
        {**spec, "device": engine["device"], "attention": engine["attention"]},
        load_tokenizer(student_file.parent),
    )
    max_tokens = min(spec["max_tokens"], read_json(student_file)["context"])
    with Store(store_folder) as store:
        return collect_rationales(
            items[items["item_id"].isin(wanted)],
            teacher,
            store,
            lambda item: turns[item["item_id"]],
            {"samples": spec["samples"], "fallback": spec["fallback"]},
            spec["parser"],
            max_tokens,
        )
