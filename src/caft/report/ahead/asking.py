"""What is asked of teachers and judges, and of students that write in their place."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from caft import layout
from caft.config import resolve, rounds
from caft.mixtures.settings import AS_DIVIDED, Bucket, Draw, Wanted
from caft.report.ahead import amounts
from caft.report.ahead.known import Count
from caft.report.ahead.rates import Job
from caft.report.ahead.scope import Scope
from caft.report.ahead.sizes import size_in
from caft.report.ahead.trainings import WHOLE
from caft.report.ahead.work import BEFORE, Made, Work, jobs_of, shared, work_of
from caft.teacher.money.budget import teacher_price
from caft.teacher.settings import Asked

Who = tuple[Literal["teachers", "judges"], str]
"""Who is asked: the section, and the name in it."""


def asking(scope: Scope) -> Iterator[Work]:
    """Yield the requests of all metrics and strategies, and what is computed to choose by."""
    for metric in resolve.metrics_used(scope.config):
        yield from _asked_for_metric(scope, metric)
    for taught in rounds.taught(scope.config):
        yield from _rationales(scope, taught.teacher, taught.rounds)
        if taught.teacher in resolve.choosing_teachers(scope.config):
            yield from _likelihoods_of_rationales(scope, taught.teacher, taught.rounds)


def _asked_for_metric(scope: Scope, metric: str) -> Iterator[Work]:
    source, settings = resolve.source_of(scope.config, metric), scope.config.metrics[metric]
    for dataset in scope.config.run.datasets:
        items = scope.known.rows(dataset)
        if source == "judgements":
            name: Who = ("judges", settings.judge or "")
            path = layout.at(layout.JUDGEMENTS, dataset=dataset, judge=settings.judge)
            judge = scope.config.judges[settings.judge or ""]
            rule, times = "judge_items", len(getattr(judge, "questions", [None]))
        elif source == "topk":
            name = ("teachers", settings.teacher or "")
            path = layout.at(layout.FIRST_TOKENS, dataset=dataset, metric=metric)
            rule, times = "ask_first_tokens", 1
        else:
            continue
        requests = amounts.times(items.number, times)
        yield replace(_bought(scope, rule, dataset, name, requests, shared([path], 1)), what=metric)


def _rationales(scope: Scope, teacher: str, asked_in: list[int]) -> Iterator[Work]:
    asked, shards = scope.config.teachers[teacher], scope.config.engine.shards.rationales
    strategies = resolve.strategies_of_teacher(scope.config, teacher)
    datasets, students = scope.config.run.datasets, scope.config.run.students
    tables = [
        layout.at(
            layout.RATIONALES, dataset=dataset, student=student, round=number, teacher=teacher
        )
        for dataset, student in scope.pairs
        for number in asked_in
    ]  # fmt: skip
    parts = []
    for dataset in datasets:
        # Students share answers, but each may find other items hard.
        counts = [
            _wanted(scope, dataset, student, list(strategies.values())) for student in students
        ]
        items = scope.known.rows(dataset, "train")
        number = amounts.least(amounts.total(one.number for one in counts), items.number)
        done = Made(0, 0)
        requests = amounts.times(number, asked.samples)
        parts.append(_bought(scope, "", dataset, ("teachers", teacher), requests, done))
    made = shared(tables, shards)
    if teacher in resolve.choosing_teachers(scope.config):  # which joins what the jobs wrote
        made = Made(*(count * shards for count in jobs_of(tables)))
    whole = replace(
        parts[0],
        step="generate_rationales",
        dataset=None,
        what=teacher,
        jobs=made.jobs,
        left=made.left,
        bound=amounts.worst(part.bound for part in parts),
        rows=amounts.whole(amounts.total(part.rows for part in parts)),
        tokens=amounts.whole(amounts.total(part.tokens for part in parts)),
        requests=amounts.whole(amounts.total(part.requests for part in parts)),
        usd=amounts.total(part.usd for part in parts),
    )
    if asked.own_solutions:
        whole = replace(whole, requests=0, usd=0.0, tokens=0, hours=0.0, hours_left=0.0)
    if asked.is_student:
        whole = _sampled(scope, whole, list(strategies.values()), asked.samples, asked.longest)
    yield replace(whole, download_mb=_teacher_mb(asked) if whole.left else 0.0)


def _likelihoods_of_rationales(scope: Scope, teacher: str, asked_in: list[int]) -> Iterator[Work]:
    """Yield what it takes that students read all rationales of a teacher, to choose by them."""
    asked = scope.config.teachers[teacher]
    strategies = list(resolve.strategies_of_teacher(scope.config, teacher).values())
    for dataset, student in scope.pairs:
        where: dict[str, Any] = {"dataset": dataset, "student": student}
        tables = [
            layout.at(layout.RATIONALES, **where, round=number, teacher=teacher)
            for number in asked_in
        ]
        lengths = scope.known.lengths(dataset, student)
        reads = None if lengths is None else asked.samples * (lengths.cot + asked.expected)
        work = work_of("choose_rationales", jobs_of(tables), what=teacher, **where)
        wanted = _wanted(scope, dataset, student, strategies)
        read = scope.reading(work, "rationales", wanted, (reads, 0))
        # Of the rationales only those are read that are accepted, and not alone.
        yield replace(read, bound="unknown" if wanted.number is None else "at most")


def _sampled(scope: Scope, work: Work, asked: list[Wanted], samples: int, longest: int) -> Work:
    """Fill in what it takes that students write themselves, at most; nobody shares answers."""
    seconds, basis = [], ""
    for dataset, student in scope.pairs:
        lengths = scope.known.lengths(dataset, student)
        reads = 0.0 if lengths is None else lengths.cot
        job = Job("generations", student, scope.sizes[student], reads, longest)
        rate = scope.rates.of(job)
        texts = amounts.times(_wanted(scope, dataset, student, asked).number, samples)
        seconds.append(amounts.times(texts, rate.seconds))
        basis = rate.basis if texts is not None else BEFORE
    return scope.on_device(replace(work, basis=basis), amounts.total(seconds))


def _wanted(scope: Scope, dataset: str, student: str, strategies: list[Any]) -> Count:
    """Count the items whose rationale strategies want; each draw has others."""
    own: dict[str, set[Bucket]] = defaultdict(set)
    drawn: dict[str, list[tuple[frozenset[Bucket], Draw]]] = defaultdict(list)
    for strategy in strategies:
        bought: dict[str, set[Bucket]] = defaultdict(set)
        for stage in strategy.stages:
            bought[strategy.division_of(stage)] |= stage.bought
        for name, buckets in bought.items():
            if strategy.drawn.keeps_buckets:
                own[name] |= buckets
            else:
                seeds = resolve.asking_seeds(scope.config.run.seeds, [strategy])
                drawn[name] += [(frozenset(buckets), strategy.drawn)] * len(seeds)
    totals, trainings = [], scope.trainings[dataset, student]
    for name in own | drawn:
        parts = [*drawn[name], (frozenset(own[name]), AS_DIVIDED)]
        counts = [trainings.members(name, *part) for part in parts]
        whole = trainings.members(name, WHOLE)
        number = amounts.least(amounts.total(one.number for one in counts), whole.number)
        totals.append(Count(number, amounts.worst(one.bound for one in counts)))
    items = scope.known.rows(dataset, "train").number
    total = amounts.total(one.number for one in totals)
    return Count(amounts.least(total, items), amounts.worst(one.bound for one in totals))


def _bought(
    scope: Scope, rule: str, dataset: str, name: Who, requests: float | None, done: Made
) -> Work:
    """Return what requests take; prompts are as long as those of the first student."""
    asked: Asked = getattr(scope.config, name[0])[name[1]]
    lengths = scope.known.lengths(dataset, scope.config.run.students[0])
    prompt = amounts.times(requests, lengths.cot if lengths else None)
    completion = amounts.times(requests, asked.expected)
    usd = None
    if prompt is not None and completion is not None:
        usd = teacher_price(asked, prompt, completion)
    elif asked.free:
        usd = 0.0
    needs = resolve.asking_needs(scope.config, *name)
    return work_of(
        rule,
        done,
        dataset=dataset,
        bound="at most" if requests is not None else "unknown",
        rows=amounts.whole(requests),
        tokens=None if prompt is None else amounts.whole((prompt or 0) + (completion or 0)),
        requests=amounts.whole(requests),
        usd=usd,
        download_mb=_teacher_mb(asked) if done.left else 0.0,
        gpus=needs["gpus"],
        mem_mb=needs["mem_mb"],
        device=scope.rates.device_of(needs["gpus"]) if asked.runs_here else None,
        basis=BEFORE if requests is None else None,
    )


def _teacher_mb(asked: Asked) -> float | None:
    """Return what is fetched of a model that runs in the job, unless its folder is there."""
    model = getattr(asked, "model", "")
    if not asked.runs_here or Path(model).is_dir():
        return 0.0
    parameters = size_in(model)
    return None if parameters is None else parameters * 2 / 1e6
