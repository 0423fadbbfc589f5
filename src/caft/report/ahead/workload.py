"""The work of a run before anything of it is done: every job, model and answer is counted once.

It follows the rules of the workflow. What a checkpoint decides later (who is hard, which mixtures
are equal) is counted from what is known now, and says so: `exact`, `about` or `at most`.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from caft import layout
from caft.config import modes, resolve, rounds
from caft.figures import FIGURES
from caft.mixtures.settings import AS_DIVIDED, Bucket, Draw, Wanted
from caft.report.ahead import amounts
from caft.report.ahead.known import UNKNOWN, Count, Known
from caft.report.ahead.rates import Job, Rates
from caft.report.ahead.sizes import (
    download_mb,
    model_mb,
    size_in,
    size_of,
    student_mb,
    work_mb,
)
from caft.report.ahead.trainings import WHOLE, PlannedTraining, Trainings, updates_of
from caft.report.ahead.work import BEFORE, Made, Work, jobs_of, scaled, shared, work_of
from caft.report.costs import warm_up_files
from caft.teacher.money.budget import teacher_price
from caft.teacher.settings import Asked

_SECONDS_PER_HOUR = 3600
PART_OF_RULE: dict[str, resolve.PartOfRun] = {
    **dict.fromkeys(["warm_up_student", "train_stage"], "training"),
    **dict.fromkeys(["select_epoch", "answer_student", "evaluate_model"], "evaluation"),
}
"""Whose resources a rule's jobs ask for before those of the student."""
Who = tuple[Literal["teachers", "judges"], str]
"""Who is asked: the section, and the name in it."""


def count_work(known: Known, rates: Rates) -> list[Work]:
    """Count the work of a whole run, in the order of its steps.

    Args:
        known: what there is of the run, and its configuration.
        rates: how fast work goes.
    """
    return list(_Workload(known, rates).all())


class _Workload:
    def __init__(self, known: Known, rates: Rates):
        self.known, self.rates, self.config = known, rates, known.config
        self.pairs = [
            (dataset, student)
            for dataset in self.config.run.datasets
            for student in self.config.run.students
        ]
        self.students = resolve.students_used(self.config)
        self.sizes = {name: size_of(name, self.config.students[name]) for name in self.students}
        self.trainings = {pair: Trainings(known, *pair) for pair in self.pairs}

    def all(self) -> Iterator[Work]:
        yield from self.sources()
        yield from self.warm_ups()
        yield from self.measuring()
        yield from self.asking()
        yield from self.training()
        yield from self.evaluating()
        yield from self.reporting()

    # Question sets and students

    def sources(self) -> Iterator[Work]:
        for name in self.config.run.datasets:
            rows, path = self.known.rows(name), layout.at(layout.ITEMS, dataset=name)
            section = self.config.datasets[name]
            yield work_of(
                "ingest_items",
                jobs_of([path]),
                dataset=name,
                bound=rows.bound,
                rows=amounts.whole(rows.number),
                download_mb=0.0 if section.reads_here or Path(path).is_file() else None,
                basis=None if rows.number is not None else f"rows: {BEFORE}",
            )
        for name in self.students:
            size, student = self.sizes[name], self.config.students[name]
            done = jobs_of([layout.at(layout.STUDENT, student=name)])
            stays, kept = student_mb(student, size), download_mb(student, size)
            fetched = kept if done.left else 0.0
            yield work_of(
                "prepare_student",
                done,
                student=name,
                bound="exact" if student.path else "unknown" if fetched is None else "about",
                download_mb=fetched,
                disk_mb=None if stays is None or kept is None else stays + kept,
                mem_mb=4000,
                basis=f"size {size.basis}" if size.parameters else "size unknown offline",
            )

    def warm_ups(self) -> Iterator[Work]:
        files: dict[str, str] = {}
        for dataset, student in self.pairs:
            for name in self.config.run.strategies:
                found = warm_up_files(self.config, dataset, student, name)
                files |= dict.fromkeys(found, dataset)
            for metric in resolve.metrics_used(self.config):
                if file := resolve.warm_up_file(self.config, dataset, student, metric):
                    files[file] = dataset
        for file, dataset in files.items():
            student, prompt = Path(file).parts[-3:-1]
            warm_up = self.config.students[student].warm_up
            if warm_up is None:
                continue
            rows = self.known.rows(dataset, "train")
            number = warm_up.items if rows.number is None else min(warm_up.items, rows.number)
            lengths = self.known.lengths(dataset, student)
            each = None if lengths is None else lengths.direct + lengths.answer
            stage = PlannedTraining(
                prompt,
                file,
                resolve.warm_up_recipe(self.config),
                warm_up.epochs,
                Count(number, "exact" if rows.bound == "exact" else "at most"),
                UNKNOWN if each is None else Count(number * each * warm_up.epochs, "about"),
                None,
            )
            yield self._trained("warm_up_student", dataset, student, stage, [file])

    # Complexity

    def measuring(self) -> Iterator[Work]:
        counted: set[str] = set()  # one model may score for several students
        for dataset, student in self.pairs:
            tables: dict[str, str] = {}
            metrics = dict.fromkeys(resolve.metrics_used(self.config))
            for teacher in resolve.teachers_used(self.config):
                for number in rounds.rounds_used(self.config):
                    for ranker in rounds.demanded(
                        self.config, teacher, number, dataset, student
                    ).values():
                        metrics |= dict.fromkeys([ranker.metric, self.config.analysis.outcome])
            for metric in metrics:
                if table := resolve.metric_table(self.config, dataset, student, metric):
                    tables.setdefault(table, metric)
            for table, metric in tables.items():
                if table not in counted:
                    yield self._measured(dataset, student, table, metric)
            counted |= tables.keys()
            where: dict[str, str] = {"dataset": dataset, "student": student}
            used = [metric for metric in metrics if self._needs_metric_table(metric)]
            values = [layout.at(layout.METRICS, **where, metric=metric) for metric in used]
            yield work_of("compute_metric", jobs_of(values), **where)
            names = resolve.buckets_used(self.config)
            divided = [layout.at(layout.BUCKETS, **where, buckets=name) for name in names]
            yield work_of("assign_buckets", jobs_of(divided), **where)

    def _needs_metric_table(self, metric: str) -> bool:
        """Tell whether a metric's values are computed: of buckets, or imported as an outcome."""
        if metric in resolve.metrics_used(self.config):
            return True
        return resolve.source_of(self.config, metric) == "imported"

    def _measured(self, dataset: str, student: str, table: str, metric: str) -> Work:
        source = resolve.source_of(self.config, metric)
        rule, mode, times = {
            "scores": ("score_items", "direct", 1),
            "generations": ("generate_chains", "cot", 1),
            "samples": ("sample_chains", "cot", self.config.metrics[metric].samples or 1),
            "likelihoods": ("measure_likelihoods", "cot", 1),
        }[source]
        writes = 0 if source in ("scores", "likelihoods") else self._most(mode) * times
        shards = self.config.engine.shards
        number = shards.scores if source == "scores" else shards.generations
        scorer = resolve.scorer_of(self.config, student, metric)
        model = resolve.scored_student(self.config, student, metric)
        lengths = self.known.lengths(dataset, model)
        reads = None if lengths is None else lengths.prompt(mode) * times
        what, where = f"{metric}, {scorer}", {"dataset": dataset, "student": model}
        work = work_of(rule, shared([table], number), what=what, **where)
        items = self.known.rows(dataset)
        return self._asked(work, source, items, (reads, writes))

    def _asked(
        self, work: Work, kind: str, items: Count, tokens: tuple[float | None, float]
    ) -> Work:
        """Fill in what reading and writing for items takes; `tokens` are read and written each.

        What is written is at most so much, unless this student's answers have been counted here.
        """
        reads, most = tokens
        student = work.student or ""
        rate = self.rates.of(Job(kind, student, self.sizes[student], reads or 0.0, most))
        writes = most if rate.writes is None else min(rate.writes, most)
        each = None if reads is None else reads + writes
        unknown = items.number is None or (reads is None and "table of" in rate.basis)
        bound = items.bound
        if most and items.number is not None:
            counted = rate.writes is not None and items.bound in ("exact", "about")
            bound = "about" if counted else "at most"
        count = items.number if items.number is not None else None
        return self._on_device(
            replace(
                work,
                bound=bound,
                rows=amounts.whole(count),
                tokens=amounts.whole(amounts.times(count, each)),
                basis=BEFORE if unknown else rate.basis,
            ),
            None if unknown else amounts.times(count, rate.seconds),
        )

    def _on_device(self, work: Work, seconds: float | None) -> Work:
        part = PART_OF_RULE.get(work.step)
        needs = resolve.student_needs(self.config, work.student or "", part)
        # A rate of each mode has been measured for whole tables, whatever was in them.
        hours = None if seconds is None else seconds / _SECONDS_PER_HOUR
        left = work.left / work.jobs if work.jobs else 0.0
        return replace(
            work,
            hours=hours,
            hours_left=None if hours is None and left else (hours or 0.0) * left,
            device=self.rates.device_of(needs["gpus"]),
            gpus=needs["gpus"],
            mem_mb=needs["mem_mb"],
        )

    # Teachers and judges

    def asking(self) -> Iterator[Work]:
        for metric in resolve.metrics_used(self.config):
            yield from self._asked_for_metric(metric)
        for taught in rounds.taught(self.config):
            yield from self._rationales(taught.teacher, taught.rounds)
            if taught.teacher in resolve.choosing_teachers(self.config):
                yield from self._likelihoods_of_rationales(taught.teacher, taught.rounds)

    def _asked_for_metric(self, metric: str) -> Iterator[Work]:
        source, settings = resolve.source_of(self.config, metric), self.config.metrics[metric]
        for dataset in self.config.run.datasets:
            items = self.known.rows(dataset)
            if source == "judgements":
                name: Who = ("judges", settings.judge or "")
                path = layout.at(layout.JUDGEMENTS, dataset=dataset, judge=settings.judge)
                judge = self.config.judges[settings.judge or ""]
                rule, times = "judge_items", len(getattr(judge, "questions", [None]))
            elif source == "topk":
                name = ("teachers", settings.teacher or "")
                path = layout.at(layout.FIRST_TOKENS, dataset=dataset, metric=metric)
                rule, times = "ask_first_tokens", 1
            else:
                continue
            requests = amounts.times(items.number, times)
            yield replace(
                self._bought(rule, dataset, name, requests, shared([path], 1)), what=metric
            )

    def _rationales(self, teacher: str, asked_in: list[int]) -> Iterator[Work]:
        asked, shards = self.config.teachers[teacher], self.config.engine.shards.rationales
        strategies = resolve.strategies_of_teacher(self.config, teacher)
        datasets, students = self.config.run.datasets, self.config.run.students
        tables = [
            layout.at(
                layout.RATIONALES, dataset=dataset, student=student, round=number, teacher=teacher
            )
            for dataset, student in self.pairs
            for number in asked_in
        ]  # fmt: skip
        parts = []
        for dataset in datasets:
            # Students share answers, but each may find other items hard.
            counts = [
                self._wanted(dataset, student, list(strategies.values())) for student in students
            ]
            items = self.known.rows(dataset, "train")
            number = amounts.least(amounts.total(one.number for one in counts), items.number)
            done = Made(0, 0)
            requests = amounts.times(number, asked.samples)
            parts.append(self._bought("", dataset, ("teachers", teacher), requests, done))
        made = shared(tables, shards)
        if teacher in resolve.choosing_teachers(self.config):  # which joins what the jobs wrote
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
            whole = self._sampled(whole, list(strategies.values()), asked.samples, asked.longest)
        yield replace(whole, download_mb=self._teacher_mb(asked) if whole.left else 0.0)

    def _likelihoods_of_rationales(self, teacher: str, asked_in: list[int]) -> Iterator[Work]:
        """Yield what it takes that students read all rationales of a teacher, to choose by them."""
        asked = self.config.teachers[teacher]
        strategies = list(resolve.strategies_of_teacher(self.config, teacher).values())
        for dataset, student in self.pairs:
            where: dict[str, Any] = {"dataset": dataset, "student": student}
            tables = [
                layout.at(layout.RATIONALES, **where, round=number, teacher=teacher)
                for number in asked_in
            ]
            lengths = self.known.lengths(dataset, student)
            reads = None if lengths is None else asked.samples * (lengths.cot + asked.expected)
            work = work_of("choose_rationales", jobs_of(tables), what=teacher, **where)
            wanted = self._wanted(dataset, student, strategies)
            read = self._asked(work, "rationales", wanted, (reads, 0))
            # Of the rationales only those are read that are accepted, and not alone.
            yield replace(read, bound="unknown" if wanted.number is None else "at most")

    def _sampled(self, work: Work, asked: list[Wanted], samples: int, longest: int) -> Work:
        """Fill in what it takes that students write themselves, at most; nobody shares answers."""
        seconds, basis = [], ""
        for dataset, student in self.pairs:
            lengths = self.known.lengths(dataset, student)
            reads = 0.0 if lengths is None else lengths.cot
            job = Job("generations", student, self.sizes[student], reads, longest)
            rate = self.rates.of(job)
            texts = amounts.times(self._wanted(dataset, student, asked).number, samples)
            seconds.append(amounts.times(texts, rate.seconds))
            basis = rate.basis if texts is not None else BEFORE
        return self._on_device(replace(work, basis=basis), amounts.total(seconds))

    def _wanted(self, dataset: str, student: str, strategies: list[Any]) -> Count:
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
                    seeds = resolve.asking_seeds(self.config.run.seeds, [strategy])
                    drawn[name] += [(frozenset(buckets), strategy.drawn)] * len(seeds)
        totals, trainings = [], self.trainings[dataset, student]
        for name in own | drawn:
            parts = [*drawn[name], (frozenset(own[name]), AS_DIVIDED)]
            counts = [trainings.members(name, *part) for part in parts]
            whole = trainings.members(name, WHOLE)
            number = amounts.least(amounts.total(one.number for one in counts), whole.number)
            totals.append(Count(number, amounts.worst(one.bound for one in counts)))
        items = self.known.rows(dataset, "train").number
        total = amounts.total(one.number for one in totals)
        return Count(amounts.least(total, items), amounts.worst(one.bound for one in totals))

    def _bought(
        self, rule: str, dataset: str, name: Who, requests: float | None, done: Made
    ) -> Work:
        """Return what requests take; prompts are as long as those of the first student."""
        asked: Asked = getattr(self.config, name[0])[name[1]]
        lengths = self.known.lengths(dataset, self.config.run.students[0])
        prompt = amounts.times(requests, lengths.cot if lengths else None)
        completion = amounts.times(requests, asked.expected)
        usd = None
        if prompt is not None and completion is not None:
            usd = teacher_price(asked, prompt, completion)
        elif asked.free:
            usd = 0.0
        needs = resolve.asking_needs(self.config, *name)
        return work_of(
            rule,
            done,
            dataset=dataset,
            bound="at most" if requests is not None else "unknown",
            rows=amounts.whole(requests),
            tokens=None if prompt is None else amounts.whole((prompt or 0) + (completion or 0)),
            requests=amounts.whole(requests),
            usd=usd,
            download_mb=self._teacher_mb(asked) if done.left else 0.0,
            gpus=needs["gpus"],
            mem_mb=needs["mem_mb"],
            device=self.rates.device_of(needs["gpus"]) if asked.runs_here else None,
            basis=BEFORE if requests is None else None,
        )

    @staticmethod
    def _teacher_mb(asked: Asked) -> float | None:
        """Return what is fetched of a model that runs in the job, unless its folder is there."""
        model = getattr(asked, "model", "")
        if not asked.runs_here or Path(model).is_dir():
            return 0.0
        parameters = size_in(model)
        return None if parameters is None else parameters * 2 / 1e6

    # Training

    def training(self) -> Iterator[Work]:
        for dataset, student in self.pairs:
            where = {"dataset": dataset, "student": student}
            plans = [
                layout.at(layout.PLAN, **where, round=number)
                for number in rounds.rounds_used(self.config)
            ]
            yield work_of("build_mixtures", jobs_of(plans), **where)
            for stage in self.trainings[dataset, student].models().values():
                path = layout.at(layout.MODEL, digest=stage.model)
                files = [path] if isinstance(stage.model, str) else [""]
                yield self._trained("train_stage", dataset, student, stage, files)

    def _trained(
        self, step: str, dataset: str, student: str, stage: PlannedTraining, files: list[str]
    ) -> Work:
        size, recipe, tokens = self.sizes[student], stage.recipe, stage.tokens.number
        rate = self.rates.of(Job("train", student, size))
        seconds = amounts.times(tokens, rate.seconds)
        checkpoints = self.config.training.checkpoint_minutes is not None
        half = self.rates.trains_in_half(student)
        work = work_of(
            step,
            jobs_of(files),
            dataset=dataset,
            student=student,
            what=stage.what,
            bound=amounts.worst([stage.rows.bound, stage.tokens.bound]),
            rows=amounts.whole(stage.rows.number),
            updates=stage.updates
            or updates_of(
                recipe, stage.rows.number, amounts.times(tokens, 1 / stage.epochs), stage.epochs
            ),
            tokens=amounts.whole(tokens),
            disk_mb=model_mb(recipe, size, stage.epochs, half),
            work_mb=work_mb(recipe, size, checkpoints, half),
            basis=BEFORE if tokens is None else rate.basis,
        )
        return self._on_device(work, seconds)

    # Answers of the models, and what is made of them

    def evaluating(self) -> Iterator[Work]:
        run, shards = self.config.run, self.config.engine.shards.evaluation
        for dataset, student in self.pairs:
            finals = self.trainings[dataset, student].finals()
            if "best" in run.checkpoints:
                for model, stage in finals.items():
                    if stage:
                        yield self._chosen(dataset, student, model, stage)
            if resolve.one_engine(self.config):
                answered = layout.at(layout.ANSWERED, dataset=dataset, student=student)
                where: dict[str, str] = {"dataset": dataset, "student": student}
                # Its answers are counted with the jobs that find them.
                yield self._on_device(work_of("answer_student", jobs_of([answered]), **where), None)
            trained = [model for model, stage in finals.items() if stage]
            names = [*([None] if None in finals else []), *trained * len(run.checkpoints)]
            checkpoints = [None, *run.checkpoints] if None in finals else run.checkpoints
            for view in modes.asked_views(self.config):
                paths = [
                    layout.at(
                        layout.PREDICTIONS, dataset=dataset, student=student, mode=view.name,
                        model=layout.weights_of(model, which or "last"),
                    )
                    for which in checkpoints
                    for model in self._digests(finals, which)
                ]  # fmt: skip
                work = work_of(
                    "evaluate_model",
                    shared(paths, shards),
                    dataset=dataset,
                    student=student,
                    what=f"{view.name}, {len(names)} models",
                )
                items = self.known.rows(dataset, view.split or run.split)
                lengths = self.known.lengths(dataset, student, view.shots)
                reads = None if lengths is None else lengths.prompt(view.mode)
                each = self._asked(
                    work, f"predictions {view.mode}", items, (reads, self._most(view.mode))
                )
                yield scaled(each, len(names))

    def _digests(self, finals: dict[Any, PlannedTraining | None], which: str | None) -> list[str]:
        """Return the names of models at a checkpoint; of None the untuned student alone.

        A model that is not planned yet has none, and no file.
        """
        if which is None:
            return ["base"]
        return [
            stage.model if isinstance(stage.model, str) else f"(stage {number})"
            for number, stage in enumerate(finals.values())
            if stage
        ]

    def _chosen(self, dataset: str, student: str, model: Any, stage: PlannedTraining) -> Work:
        path = layout.at(layout.SELECTION, dataset=dataset, student=student, digest=model)
        files = [path] if isinstance(model, str) else [""]
        epochs = math.ceil(stage.epochs)
        where = {"dataset": dataset, "student": student}
        work = work_of("select_epoch", jobs_of(files), what=stage.what, **where)
        items = self.known.rows(dataset, "validation")
        times = Count(amounts.times(items.number, epochs), items.bound)
        lengths = self.known.lengths(dataset, student)
        # The longer mode: which one a model was trained for hardly changes the sum.
        reads = None if lengths is None else lengths.cot
        return self._asked(work, "predictions cot", times, (reads, self._most("cot")))

    def reporting(self) -> Iterator[Work]:
        figures = [layout.at(layout.FIGURE, name=name, suffix="svg") for name in FIGURES]
        if resolve.plotted_metric(self.config):
            figures.append(layout.at(layout.FIGURE, name="complexity", suffix="svg"))
        if any(strategy.stages for strategy in resolve.chosen(self.config).values()):
            figures += [
                layout.at(layout.LOSSES_SVG, dataset=dataset, student=student)
                for dataset, student in self.pairs
            ]
        tables = [layout.TEACHER_SPEND, layout.SUMMARY, layout.SUMMARY_MARKDOWN]
        pages = [layout.OVERVIEW, layout.EXPLORER]
        pages += [
            layout.at(layout.SAMPLES_PAGE, dataset=dataset, student=student, round=number)
            for dataset, student in self.pairs
            for number in rounds.rounds_used(self.config)
        ]
        yield work_of(
            "report", jobs_of([*figures, *tables, *pages]), what="tables, figures and pages"
        )

    def _most(self, mode: str) -> int:
        return self.config.evaluation.max_new_tokens.of(mode)
