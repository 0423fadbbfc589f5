"""Collect a teacher's rationales, and choose one for each item."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from caft.prompting.answers import INVALID
from caft.prompting.prompts import Messages, all_messages
from caft.prompting.settings import Prompt
from caft.running.blocks import WHOLE, Shard
from caft.store import Store
from caft.tables.files import read_json
from caft.tables.hashing import unit_interval
from caft.tables.parquet import SCHEMAS, records
from caft.teacher import NOT_TAKEN, Answer, Request, Teacher
from caft.teacher.acceptance import Policy, Verdict, item_status, policy_of, review
from caft.teacher.asking import Asking, Setup, obtain, open_asking
from caft.teacher.choosing import choose, random_keys
from caft.teacher.money.estimate import Outlook, look_up
from caft.teacher.reading.reply import model_in
from caft.teacher.records import make_request
from caft.teacher.settings import TeacherKeys
from caft.teacher.tally import Tally
from caft.teacher.watch import NO_REASONING, Watch, check_errors

_NO_ANSWER = ("error", *NOT_TAKEN)

log = logging.getLogger("caft")


def collect_wanted(
    items: pd.DataFrame,
    wanted: set[str],
    setup: Setup[TeacherKeys],
    variant: Prompt,
    seed: int,
    shard: Shard = WHOLE,
    may_buy: Callable[[Collection[str]], None] | None = None,
) -> pd.DataFrame:
    """Collect the rationales that strategies train on, with a teacher of the config.

    Args:
        items: the items table.
        wanted: ids of the items whose rationale some strategy trains on.
        setup: the teacher.
        variant: the prompt variant the teacher is asked with.
        seed: of the few-shot draw.
        shard: which of the items this job is there for.
        may_buy: told of the items whose rationale is to be bought, other shards' included, before
            the first request; raises where they must not be.

    Returns:
        The rationales table.

    Raises:
        BudgetError: if the budget cannot reach for what is not stored, other shards' items
            included; nothing is asked then.
    """
    prompts = dict(zip(items["item_id"], all_messages(items, variant, "cot", seed), strict=True))
    student = read_json(setup.student_file)
    # An order of its own per student: jobs that share a store then seldom ask the same at once.
    order = items["item_id"].map(lambda item: unit_interval("ask", student["revision"], item))
    items = items.loc[order.sort_values().index]
    items = items[items["item_id"].isin(wanted)]

    policy = policy_of(setup.settings, student["context"], setup.counter)
    policy = replace(policy, thoughts=setup.thoughts, seed=seed)

    def look(teacher: Teacher, store: Store) -> Outlook:
        return look_up(records(items), prompts, teacher, store, setup.counter, policy)

    may_be_asked = [prompts[item] for item in items["item_id"]]
    with open_asking(setup, look, may_be_asked) as asking:
        if may_buy:
            may_buy(look(asking.teacher, asking.store).missing)
        own = items[[shard.has(item) for item in items["item_id"]]]
        return collect_rationales(own, prompts, asking, policy)


def collect_rationales(
    items: pd.DataFrame, prompts: Mapping[str, Messages], asking: Asking, policy: Policy
) -> pd.DataFrame:
    """Ask a teacher for one accepted rationale per item; nothing that is stored is asked for again.

    A rejected answer is sampled again, up to `policy.samples` in all, and an accepted one too where
    the policy keeps all. An error is not sampled again: the teacher has made its own attempts, and
    the next run asks once more.

    Args:
        items: rows of the items table, in the order of asking.
        prompts: the prompt of each item, by item_id.
        asking: whom to ask, where answers are kept, and what may be spent.
        policy: which answers are accepted.

    Returns:
        The rationales table: a row per item and sample, at least one per item.

    Raises:
        TeacherError: if the teacher cannot answer at all, nothing that it says can be used, or too
            many items are without an answer; what came before that is stored.
        BudgetError: if the budget has no room for the rest.
    """
    teacher, tally = asking.teacher, Tally(asking.teacher, "accepted")
    rows: list[dict[str, Any]] = []
    item_of: dict[str, dict[str, Any]] = {}
    # By item too: two items may ask the same and differ in the answer that is right.
    verdicts: dict[tuple[str, str], Verdict] = {}

    def verdict_on(answer: Answer, item: Mapping[str, Any]) -> Verdict:
        place = (answer.key, item["item_id"])
        if place not in verdicts:
            verdicts[place] = review(answer, item, policy)
        return verdicts[place]

    def note(batch: list[Answer]) -> str:
        return tally.add(batch, [verdict_on(one, item_of[one.key]).accepted for one in batch])

    def useless(answer: Answer) -> str | None:
        verdict = verdict_on(answer, item_of[answer.key])
        kept = policy.fallback == "keep" and verdict.parsed != INVALID
        if verdict.reason and not (kept and verdict.reason != "too_long"):
            return verdict.reason
        return NO_REASONING if policy.thoughts and not answer.reasoning else None

    watch = Watch(useless, asking.patience, asking.path)
    pending = records(items)
    for sample in range(policy.samples if teacher.varies else 1):
        asked = [
            (item, make_request(teacher, item, prompts[item["item_id"]], sample))
            for item in pending
        ]
        item_of |= {request.key: item for item, request in asked}
        requests = [request for _, request in asked]
        answers = obtain(requests, asking, f"rationales, sample {sample + 1}", note, watch=watch)
        pending = []
        for item, request in asked:
            answer = answers[request.key]
            verdict = verdict_on(answer, item)
            rows.append(_row(request, answer, verdict))
            if verdict.reason != "error" and (verdict.reason or policy.keep_all):
                pending.append(item)
    table = pd.DataFrame(rows, columns=SCHEMAS["rationales"].names)
    table["selected"] = _select(table, policy)
    _report(table)
    errors = list(table["error"][table["reason"] == "error"])
    check_errors(errors, len(items), asking.error_share, asking.path)
    return table


def _row(request: Request, answer: Answer, verdict: Verdict) -> dict[str, Any]:
    return {
        "item_id": request.item_id,
        "sample": request.sample,
        "key": request.key,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "parsed": verdict.parsed,
        "accepted": verdict.accepted,
        "reason": verdict.reason,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "cost_usd": answer.cost_usd,
        "seconds": answer.seconds,
        "imported": bool(answer.raw.get("imported")),
        "answered_by": model_in(answer.raw),
        "error": answer.raw.get("error") if answer.finish_reason in _NO_ANSWER else None,
    }


def _select(table: pd.DataFrame, policy: Policy) -> pd.Series:
    selected = choose(table, _keys(table, policy), policy.thoughts)
    if policy.fallback == "keep":
        solved = table["item_id"].isin(table["item_id"][selected])
        # Too long for training stays out: kept or not, the student has no room for it.
        usable = ~solved & (table["parsed"] != INVALID) & (table["reason"] != "too_long")
        selected[table[usable].drop_duplicates("item_id", keep="last").index] = True
    return selected


def _keys(table: pd.DataFrame, policy: Policy) -> pd.Series:
    """Return what accepted answers are chosen by; the most likely one is chosen by a later job."""
    if policy.choose == "shortest" and policy.counter:
        return pd.Series(policy.counter.texts(table["text"].fillna("")), index=table.index)
    if policy.choose == "random":
        return random_keys(table, policy.seed)
    return table["sample"]


def _report(table: pd.DataFrame) -> None:
    status = item_status(table)
    reasons = status["reason"].value_counts()
    shown = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    log.info(
        "rationales: %d items = %d accepted + %d quarantined%s; %d answers rejected in all",
        *(len(status), status["accepted"].sum(), reasons.sum(), f" ({shown})" if shown else ""),
        table["reason"].notna().sum(),
    )
