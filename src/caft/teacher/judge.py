"""A judge: a model says what an item demands, and in a second call how sure it is of that.

The method is that of arXiv 2503.01688 and 2506.21220; prompts and levels are in `questions`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from caft.complexity.judge_questions import (
    QUESTIONS,
    label_messages,
    rating_messages,
    read_label,
    read_rating,
)
from caft.prompting.tokens import TokenCounter
from caft.running.jobs import Progress
from caft.store import Store
from caft.tables.parquet import SCHEMAS, records
from caft.teacher import Answer, Request, Teacher
from caft.teacher.collect import obtain, open_teacher
from caft.teacher.money.budget import Budget
from caft.teacher.money.estimate import Missing, Outlook, limits_of, open_budget
from caft.teacher.records import make_request, to_answer
from caft.teacher.tally import Tally

_UNFINISHED = ("length", "content_filter", "refusal")  # what is marked there was not the last word

log = logging.getLogger("caft")


def judge_items(
    items: pd.DataFrame,
    teacher: Teacher,
    store: Store,
    spec: Mapping[str, Any],
    progress: Callable[[str, int, str], Progress] = Progress,
    budget: Budget | None = None,
) -> pd.DataFrame:
    """Ask a judge for the level of every item; nothing that is stored is asked for again.

    The rating is asked for only where a level could be read. Neither prompt holds the gold answer.

    Args:
        items: rows of the items table.
        teacher: the judge.
        store: where answers are looked up, and put before they are used.
        spec: `questions`, keys of `QUESTIONS`; `minimum_rating`, 1 to 10, from which a level
            counts.
        progress: makes the progress log.
        budget: what may be spent; None for no limit.

    Returns:
        The judgements table: a row per item and question, whatever came of it.

    Raises:
        TeacherError: if the judge cannot answer at all; what came before that is stored.
        BudgetError: if the budget has no room for the rest.
    """
    cases = _cases(items, spec)
    firsts = [_ask_label(teacher, item, question) for item, question in cases]
    question_of = {
        request.key: question for request, (_, question) in zip(firsts, cases, strict=True)
    }

    def label_of(answer: Answer) -> str | None:
        return _label(answer, question_of[answer.key])

    def get(requests: list[Request], what: str, read: Callable[[Answer], Any]) -> dict[str, Answer]:
        tally = Tally(teacher, "readable")

        def note(batch: list[Answer]) -> str:
            return tally.add(batch, [read(answer) is not None for answer in batch])

        return obtain(requests, teacher, store, what, note, progress, "judge", budget)

    labelled = get(firsts, "judge, levels", label_of)
    labels = [label_of(labelled[request.key]) for request in firsts]
    seconds = [
        _ask_rating(teacher, item, question, label) if label else None
        for (item, question), label in zip(cases, labels, strict=True)
    ]
    rated = get([request for request in seconds if request], "judge, ratings", _rating)
    rows = [
        _row(
            *(item["item_id"], question, spec["minimum_rating"], labelled[first.key]),
            rated[second.key] if second else None,
        )
        for (item, question), first, second in zip(cases, firsts, seconds, strict=True)
    ]
    table = pd.DataFrame(rows, columns=SCHEMAS["judgements"].names)
    _report(table)
    return table.sort_values(["item_id", "question"], kind="stable", ignore_index=True)


def _cases(items: pd.DataFrame, spec: Mapping[str, Any]) -> list[tuple[dict[str, Any], str]]:
    return [(item, question) for item in records(items) for question in spec["questions"]]


def _ask_label(teacher: Teacher, item: Mapping[str, Any], question: str) -> Request:
    return make_request(teacher, item, label_messages(item, question), 0)


def _ask_rating(teacher: Teacher, item: Mapping[str, Any], question: str, label: str) -> Request:
    return make_request(teacher, item, rating_messages(item, question, label), 0)


def _label(answer: Answer, question: str) -> str | None:
    return None if answer.finish_reason in _UNFINISHED else read_label(answer.text, question)


def _rating(answer: Answer) -> int | None:
    return None if answer.finish_reason in _UNFINISHED else read_rating(answer.text)


def _row(
    item_id: str, question: str, minimum: int, first: Answer, second: Answer | None
) -> dict[str, Any]:
    label = _label(first, question)
    rating = _rating(second) if second else None
    came = [first, second] if second else [first]
    failed = [answer for answer in came if answer.finish_reason == "error"]
    if failed:
        status = "error"
    elif label is None:
        status = "unparsed_label"
    elif rating is None:
        status = "unparsed_rating"
    else:
        status = "ok" if rating >= minimum else "low_rating"
    return {
        "item_id": item_id,
        "question": question,
        "label": label,
        "label_key": first.key,
        "rating": rating,
        "rating_key": second.key if second else None,
        "status": status,
        "prompt_tokens": sum(answer.prompt_tokens for answer in came),
        "completion_tokens": sum(answer.completion_tokens for answer in came),
        "cost_usd": _total(answer.cost_usd for answer in came),
        "seconds": sum(answer.seconds for answer in came),
        "error": failed[0].raw.get("error") if failed else None,
    }


def _total(costs: Iterable[float | None]) -> float | None:
    """Add up; one unknown cost makes the sum unknown."""
    known = list(costs)
    return None if None in known else sum(cost for cost in known if cost is not None)


def _report(table: pd.DataFrame) -> None:
    for question, rows in table.groupby("question"):
        counts = rows["status"].value_counts()
        shown = " + ".join(f"{count} {status}" for status, count in counts.items())
        log.info("judge: %s: %d items = %s", question, len(rows), shown)


def judge_dataset(
    items: pd.DataFrame,
    name: str,
    spec: Mapping[str, Any],
    engine: Mapping[str, Any],
    student_file: Path,
    store_folder: Path,
) -> pd.DataFrame:
    """Judge the items of a data set with a judge of the config, within its budget.

    Args:
        items: the items table.
        name: of the judge, for messages.
        spec: its config.
        engine: device settings, for a judge in this process.
        student_file: a student's `student.json`; its tokenizer counts what nobody else counts.
        store_folder: the store of the judges' answers.

    Returns:
        The judgements table.

    Raises:
        BudgetError: if the budget cannot reach for what is not stored; nothing is asked then.
    """
    teacher = open_teacher(spec, engine, student_file, store_folder)
    with Store(store_folder) as store:
        budget = None
        if limits_of(spec):
            counter = TokenCounter(student_file.parent)
            outlook = look_ahead(items, teacher, store, spec, counter)
            budget = open_budget(f"judges.{name}", spec, store, outlook, counter)
        return judge_items(items, teacher, store, spec, budget=budget)


def look_ahead(
    items: pd.DataFrame,
    teacher: Teacher,
    store: Store,
    spec: Mapping[str, Any],
    counter: TokenCounter,
) -> Outlook:
    """Find what the store lacks for these items; the result is by key, since an item has several.

    A rating whose level is not known yet is there with the first level: what it costs is the same.
    """
    cases = _cases(items, spec)
    firsts = [_ask_label(teacher, item, question) for item, question in cases]
    stored = store.get(request.key for request in firsts)
    wanted: dict[str, Request] = {}
    for (item, question), first in zip(cases, firsts, strict=True):
        label: str | None = next(iter(QUESTIONS[question].levels))
        if first.key in stored:
            label = _label(to_answer(stored[first.key]), question)
        if label:
            second = _ask_rating(teacher, item, question, label)
            wanted |= {first.key: first, second.key: second}
    lacking = [wanted[key] for key in wanted.keys() - store.keys()]
    counts = counter.prompts([request.messages for request in lacking])
    missing = {
        request.key: Missing(request, count, 1)
        for request, count in zip(lacking, counts, strict=True)
    }
    model_id, revision = (lacking[0].model_id, lacking[0].revision) if lacking else (None, None)
    return Outlook(missing, model_id, revision)
