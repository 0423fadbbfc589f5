"""A judge: a model says what an item demands, and in a second call how sure it is of that.

The method is that of arXiv 2503.01688 and 2506.21220; prompts and levels are in `questions`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
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
from caft.store import Store
from caft.tables.parquet import SCHEMAS, records
from caft.teacher import NOT_TAKEN, Answer, Request, Teacher
from caft.teacher.asking import Asking, Setup, obtain, open_asking
from caft.teacher.money.estimate import Identity, Missing, Outlook, common_identity
from caft.teacher.reading.ending import COMPLETE, ERROR
from caft.teacher.records import make_request, to_answer
from caft.teacher.settings import JudgeKeys
from caft.teacher.tally import Tally
from caft.teacher.watch import UNREADABLE, Watch, check_errors

log = logging.getLogger("caft")


def judge_dataset(items: pd.DataFrame, setup: Setup[JudgeKeys]) -> pd.DataFrame:
    """Judge the items of a data set with a judge of the config, within its budget.

    Args:
        items: the items table.
        setup: the judge.

    Returns:
        The judgements table.

    Raises:
        BudgetError: if the budget cannot reach for what is not stored; nothing is asked then.
    """

    def look(judge: Teacher, store: Store) -> Outlook:
        return look_ahead(items, judge, store, setup.settings, setup.counter)

    with open_asking(setup, look) as asking:
        return judge_items(items, asking, setup.settings)


def judge_items(items: pd.DataFrame, asking: Asking, settings: JudgeKeys) -> pd.DataFrame:
    """Ask a judge for the level of every item; nothing that is stored is asked for again.

    The rating is asked for only where a level could be read. Neither prompt holds the gold answer.

    Args:
        items: rows of the items table.
        asking: the judge, where its answers are kept, and what may be spent.
        settings: the judge's section of the config.

    Returns:
        The judgements table: a row per item and question, whatever came of it.

    Raises:
        TeacherError: if the judge cannot answer at all, nothing that it says can be read, or too
            many items are without an answer; what came before that is stored.
        BudgetError: if the budget has no room for the rest.
    """
    judge, cases = asking.teacher, _cases(items, settings)
    level_requests = [_ask_level(judge, item, question) for item, question in cases]
    question_of = {
        request.key: question for request, (_, question) in zip(level_requests, cases, strict=True)
    }

    def level_of(answer: Answer) -> str | None:
        return _level(answer, question_of[answer.key])

    levelled = _obtain(level_requests, asking, "judge, levels", level_of)
    levels = [level_of(levelled[request.key]) for request in level_requests]
    rating_requests = [
        _ask_rating(judge, item, question, level) if level else None
        for (item, question), level in zip(cases, levels, strict=True)
    ]
    asked = [request for request in rating_requests if request]
    rated = _obtain(asked, asking, "judge, ratings", _rating)
    rows = [
        _row(
            *(item["item_id"], question, settings.minimum_rating),
            levelled[level_request.key],
            rated[rating_request.key] if rating_request else None,
        )
        for (item, question), level_request, rating_request in zip(
            cases, level_requests, rating_requests, strict=True
        )
    ]
    table = pd.DataFrame(rows, columns=SCHEMAS["judgements"].names)
    _report(table)
    errors = list(table["error"][table["status"] == "error"])
    check_errors(errors, len(table), asking.error_share, asking.path)
    return table.sort_values(["item_id", "question"], kind="stable", ignore_index=True)


def _obtain(
    requests: list[Request], asking: Asking, what: str, read: Callable[[Answer], Any]
) -> dict[str, Answer]:
    tally = Tally(asking.teacher, "readable")

    def note(batch: list[Answer]) -> str:
        return tally.add(batch, [read(answer) is not None for answer in batch])

    def useless(answer: Answer) -> str | None:
        if answer.finish_reason in NOT_TAKEN:
            return answer.finish_reason
        return None if read(answer) is not None else UNREADABLE

    watch = Watch(useless, asking.patience, asking.path)
    return obtain(requests, asking, what, note, "judge", watch)


def _cases(items: pd.DataFrame, settings: JudgeKeys) -> list[tuple[dict[str, Any], str]]:
    return [(item, question) for item in records(items) for question in settings.questions]


def _ask_level(judge: Teacher, item: Mapping[str, Any], question: str) -> Request:
    return make_request(judge, item, label_messages(item, question), 0)


def _ask_rating(judge: Teacher, item: Mapping[str, Any], question: str, level: str) -> Request:
    return make_request(judge, item, rating_messages(item, question, level), 0)


def _level(answer: Answer, question: str) -> str | None:
    # What is marked in an answer that is not complete was not the last word.
    return read_label(answer.text, question) if answer.finish_reason == COMPLETE else None


def _rating(answer: Answer) -> int | None:
    return read_rating(answer.text) if answer.finish_reason == COMPLETE else None


def _row(
    item_id: str, question: str, minimum: int, levelled: Answer, rated: Answer | None
) -> dict[str, Any]:
    level = _level(levelled, question)
    rating = _rating(rated) if rated else None
    came = [levelled, rated] if rated else [levelled]
    failed = [answer for answer in came if answer.finish_reason in (ERROR, *NOT_TAKEN)]
    if failed:
        status = failed[0].finish_reason
    elif level is None:
        status = "unparsed_label"
    elif rating is None:
        status = "unparsed_rating"
    else:
        status = "ok" if rating >= minimum else "low_rating"
    return {
        "item_id": item_id,
        "question": question,
        "label": level,
        "label_key": levelled.key,
        "rating": rating,
        "rating_key": rated.key if rated else None,
        "status": status,
        "prompt_tokens": _total(answer.prompt_tokens for answer in came),
        "completion_tokens": _total(answer.completion_tokens for answer in came),
        "cost_usd": _total(answer.cost_usd for answer in came),
        "seconds": sum(answer.seconds for answer in came),
        "error": failed[0].raw.get("error") if failed else None,
    }


def _total(numbers: Iterable[float | None]) -> float | None:
    """Add up; one unknown number makes the sum unknown."""
    known = list(numbers)
    return None if None in known else sum(number for number in known if number is not None)


def _report(table: pd.DataFrame) -> None:
    for question, rows in table.groupby("question"):
        counts = rows["status"].value_counts()
        shown = " + ".join(f"{count} {status}" for status, count in counts.items())
        log.info("judge: %s: %d items = %s", question, len(rows), shown)


def look_ahead(
    items: pd.DataFrame,
    judge: Teacher,
    store: Store,
    settings: JudgeKeys,
    counter: TokenCounter,
) -> Outlook:
    """Find what the store lacks for these items; the result is by key, since an item has several.

    A rating whose level is not known yet is there with the first level: what it costs is the same.
    """
    cases = _cases(items, settings)
    level_requests = [_ask_level(judge, item, question) for item, question in cases]
    stored = store.get(request.key for request in level_requests)
    wanted: dict[str, Request] = {}
    for (item, question), level_request in zip(cases, level_requests, strict=True):
        level: str | None = next(iter(QUESTIONS[question].levels))
        if level_request.key in stored:
            level = _level(to_answer(stored[level_request.key]), question)
        if level:
            rating_request = _ask_rating(judge, item, question, level)
            wanted |= {request.key: request for request in (level_request, rating_request)}
    lacking = [wanted[key] for key in wanted.keys() - store.keys()]
    counts = counter.prompts([request.messages for request in lacking])
    missing = {
        request.key: Missing(request, count, 1)
        for request, count in zip(lacking, counts, strict=True)
    }
    identities = {Identity(request.model_id, request.revision) for request in lacking}
    return Outlook(missing, common_identity(identities))
