"""Collect answers through the store, and choose the rationale of each item."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from caft.errors import BudgetError
from caft.mixtures.rows import wanted_rationales
from caft.prompting.answers import INVALID
from caft.prompting.prompts import all_messages
from caft.prompting.tokens import TokenCounter
from caft.running.blocks import WHOLE, Shard
from caft.running.jobs import Progress
from caft.store import Store
from caft.students.folders import load_tokenizer
from caft.tables.files import read_json
from caft.tables.hashing import unit_interval
from caft.tables.parquet import SCHEMAS, records
from caft.teacher import Answer, Request, Teacher, make_teacher
from caft.teacher.acceptance import Verdict, item_status, judge_with
from caft.teacher.money.budget import Budget, amounts_of, show
from caft.teacher.money.estimate import limits_of, look_up, open_budget
from caft.teacher.records import make_request, to_answer, to_record
from caft.teacher.tally import Tally

_SECONDS_BETWEEN_LOOKS = 10.0  # at what other jobs have stored

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
    budget: Budget | None = None,
    counter: TokenCounter | None = None,
) -> pd.DataFrame:
    """Ask a teacher for one accepted rationale per item; nothing that is stored is asked for again.

    A rejected answer is sampled again, up to `policy["samples"]` in all. An error is not sampled
    again: the teacher has made its own attempts, and the next run asks once more.

    Args:
        items: rows of the items table, in the order of asking.
        teacher: whom to ask.
        store: where answers are looked up, and put before they are used.
        messages: the prompt of an item, given as a dict.
        policy: `samples`, the most answers per item; `fallback` for items without an accepted one:
            `keep` selects the last from which an answer could be read, unless it is too long;
            `drop` and `train_on_answer` select none.
        parser: reads the answer out of the text.
        max_tokens: longer rationales are rejected.
        progress: makes the progress log.
        budget: what may be spent; None for no limit.
        counter: of the student's tokens.

    Returns:
        The rationales table: a row per item and sample, at least one per item.

    Raises:
        TeacherError: if the teacher cannot answer at all; what came before that is stored.
        BudgetError: if the budget has no room for the rest.
    """
    verdict = judge_with(parser, max_tokens, counter)
    tally = Tally(teacher, "accepted")
    rows: list[dict[str, Any]] = []
    item_of: dict[str, dict[str, Any]] = {}

    def count(batch: list[Answer]) -> str:
        return tally.add(batch, [verdict(answer, item_of[answer.key])[1] for answer in batch])

    pending = records(items)
    for sample in range(policy["samples"] if teacher.varies else 1):
        asked = [(item, make_request(teacher, item, messages(item), sample)) for item in pending]
        item_of |= {request.key: item for item, request in asked}
        requests = [request for _, request in asked]
        what = f"rationales, sample {sample + 1}"
        answers = obtain(requests, teacher, store, what, count, progress, budget=budget)
        pending = []
        for item, request in asked:
            answer = answers[request.key]
            judged = verdict(answer, item)
            rows.append(_row(request, answer, judged))
            if judged[2] not in (None, "error"):
                pending.append(item)
    table = pd.DataFrame(rows, columns=SCHEMAS["rationales"].names)
    table["selected"] = _select(table, policy["fallback"])
    _report(table)
    return table


def obtain(
    requests: Iterable[Request],
    teacher: Teacher,
    store: Store,
    what: str,
    note: Callable[[list[Answer]], str],
    progress: Callable[[str, int, str], Progress] = Progress,
    kind: str = "rationale",
    budget: Budget | None = None,
) -> dict[str, Answer]:
    """Return an answer per key, from the store or else from the teacher; stored before it is used.

    Every few seconds the store is looked at again: what another job has bought meanwhile is not
    asked for, and counts against the budget.

    Args:
        requests: what to ask; equal keys are asked once.
        teacher: whom to ask.
        store: where answers are looked up and put. Errors are not stored.
        what: name of the progress line.
        note: told of each batch that was asked for, returns what the progress line adds.
        progress: makes the progress log.
        kind: field of the stored records.
        budget: what may be spent; None for no limit.

    Raises:
        BudgetError: if the budget has no room for the rest, once all that was asked for is stored.
    """
    unique = {request.key: request for request in requests}
    answers = {key: to_answer(record) for key, record in store.get(unique).items()}
    missing = [request for key, request in unique.items() if key not in answers]
    log.info("%s: %d stored, %d to ask", what, len(answers), len(missing))
    if not missing:
        return answers
    line = progress(what, len(missing), "answers")
    stream = _Stream(missing, store, budget)
    for batch in teacher.answer(stream.requests):
        good = [answer for answer in batch if answer.finish_reason != "error"]
        store.append([to_record(unique[answer.key], answer, kind) for answer in good])
        stored = store.get(answer.key for answer in good)
        answers |= {answer.key: answer for answer in batch}
        answers |= {key: to_answer(record) for key, record in stored.items()}
        line.advance(len(batch) + stream.settle(batch), note(batch))
    if stream.skipped:
        others = store.get(unique.keys() - answers.keys())
        answers |= {key: to_answer(record) for key, record in others.items()}
        log.info("%s: %d answers came from other jobs", what, len(others))
    if budget and stream.no_room:
        left = len(unique.keys() - answers.keys())
        raise BudgetError(_no_room(budget, left, len(unique)))
    return answers


class _Stream:
    """The requests for a teacher, which may pull them in another thread.

    `requests` yields None while the budget has no room, and ends when nothing can make any.
    """

    def __init__(self, requests: list[Request], store: Store, budget: Budget | None):
        self.store, self.budget = store, budget
        self.requests = self._pull(requests)
        self.skipped, self.no_room = 0, False
        self._elsewhere: set[str] = set()
        self._told = 0
        self._looked = time.monotonic()

    def settle(self, batch: list[Answer]) -> int:
        """Settle stored answers; return how many requests others have made needless since then."""
        for answer in batch:
            if self.budget:
                self.budget.settle(answer)
        if time.monotonic() - self._looked >= _SECONDS_BETWEEN_LOOKS:
            self.store.refresh()
            self._elsewhere = self.store.keys()
            if self.budget:
                self.budget.look_again()
            self._looked = time.monotonic()
        since, self._told = self.skipped - self._told, self.skipped
        return since

    def _pull(self, requests: list[Request]) -> Iterator[Request | None]:
        for request in requests:
            while not (known := request.key in self._elsewhere) and self.budget:
                # Looked at first: what is settled between the two makes room, it does not end it.
                idle = not self.budget.under_way
                if self.budget.reserve(request):
                    break
                if idle:
                    self.no_room = True
                    return
                yield None
            if known:
                self.skipped += 1
            else:
                yield request


def _no_room(budget: Budget, left: int, total: int) -> str:
    spent = amounts_of(budget.spent)
    limits = ", ".join(
        f"{name} {show(name, limit)} (spent: {show(name, spent[name])})"
        for name, limit in budget.limits.items()
    )
    return (
        f"{budget.name}: no room for another answer within {limits}; {total - left} of {total} "
        "answers are there and kept. Raise the budget and run again: only the rest is bought."
    )


def _row(request: Request, answer: Answer, judged: Verdict) -> dict[str, Any]:
    parsed, accepted, reason = judged
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
        "imported": bool(answer.raw.get("imported")),
        "error": answer.raw.get("error") if answer.finish_reason == "error" else None,
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
    status = item_status(table)
    reasons = status["reason"].value_counts()
    shown = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    log.info(
        "rationales: %d items = %d accepted + %d quarantined%s; %d answers rejected in all",
        *(len(status), status["accepted"].sum(), reasons.sum(), f" ({shown})" if shown else ""),
        table["reason"].notna().sum(),
    )


def open_teacher(
    spec: Mapping[str, Any], engine: Mapping[str, Any], student_file: Path, store_folder: Path
) -> Teacher:
    """Make a teacher of the config for a job.

    Args:
        spec: the teacher's config.
        engine: device settings, for a model in this process.
        student_file: a student's `student.json`; its tokenizer counts what nobody else counts.
        store_folder: the store of its answers, where the batch interface keeps its state.
    """
    here = {"device": engine["device"], "attention": engine["attention"]}
    return make_teacher(
        {**spec, **here, "store": str(store_folder)}, load_tokenizer(student_file.parent)
    )


def collect_for_strategies(
    items: pd.DataFrame,
    buckets: Mapping[str, pd.DataFrame],
    strategies: Mapping[str, Mapping[str, Any]],
    name: str,
    spec: Mapping[str, Any],
    variant: dict[str, Any],
    engine: Mapping[str, Any],
    seed: int,
    seeds: list[int],
    student_file: Path,
    store_folder: Path,
    shard: Shard = WHOLE,
) -> pd.DataFrame:
    """Collect the rationales that the given strategies train on, each item once.

    Args:
        items: the items table.
        buckets: buckets tables by name.
        strategies: the strategies of this teacher, by name.
        name: of the teacher, for messages.
        spec: the teacher's config.
        variant: the prompt variant the teacher is asked with.
        engine: device settings, for a teacher in this process.
        seed: of the few-shot draw.
        seeds: of training, which random membership follows.
        student_file: the student's `student.json`; its tokenizer counts tokens.
        store_folder: the store of paid answers.
        shard: which of the items this job is there for.

    Returns:
        The rationales table.

    Raises:
        BudgetError: if the budget cannot reach for what is not stored, other shards' items
            included; nothing is asked then.
    """
    wanted = {
        item
        for strategy in strategies.values()
        for training_seed in seeds
        for item in wanted_rationales(buckets, strategy, training_seed)
    }
    turns = dict(zip(items["item_id"], all_messages(items, variant, "cot", seed), strict=True))
    student = read_json(student_file)
    # An order of its own per student: jobs that share a store then seldom ask the same at once.
    order = items["item_id"].map(lambda item: unit_interval("ask", student["revision"], item))
    items = items.loc[order.sort_values().index]
    items = items[items["item_id"].isin(wanted)]
    teacher = open_teacher(spec, engine, student_file, store_folder)
    max_tokens = min(spec["max_tokens"], student["context"])
    counter = TokenCounter(student_file.parent)

    def messages(item: Mapping[str, Any]) -> list[dict[str, Any]]:
        return turns[item["item_id"]]

    with Store(store_folder) as store:
        budget = None
        if limits_of(spec):
            accepts = judge_with(spec["parser"], max_tokens, counter)
            outlook = look_up(records(items), teacher, store, messages, spec, accepts, counter)
            budget = open_budget(f"teachers.{name}", spec, store, outlook, counter)
        return collect_rationales(
            items[[shard.has(item) for item in items["item_id"]]],
            teacher,
            store,
            messages,
            {"samples": spec["samples"], "fallback": spec["fallback"]},
            spec["parser"],
            max_tokens,
            budget=budget,
            counter=counter,
        )
