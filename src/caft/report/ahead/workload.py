"""The work of a run before anything of it is done: every job, model and answer is counted once.

It follows the rules of the workflow. What a checkpoint decides later (who is hard, which mixtures
are equal) is counted from what is known now, and says so: `exact`, `about` or `at most`.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caft import layout
from caft.config import modes, resolve, rounds
from caft.figures import FIGURES
from caft.report.ahead import amounts
from caft.report.ahead.asking import asking
from caft.report.ahead.known import UNKNOWN, Count, Known
from caft.report.ahead.rates import Job, Rates
from caft.report.ahead.scope import Scope
from caft.report.ahead.sizes import download_mb, model_mb, student_mb, work_mb
from caft.report.ahead.trainings import PlannedTraining, updates_of
from caft.report.ahead.work import BEFORE, Work, jobs_of, scaled, shared, work_of
from caft.report.costs import warm_up_files


def count_work(known: Known, rates: Rates) -> list[Work]:
    """Count the work of a whole run, in the order of its steps.

    Args:
        known: what there is of the run, and its configuration.
        rates: how fast work goes.
    """
    scope = Scope(known, rates)
    steps = (_sources, _warm_ups, _measuring, asking, _training, _evaluating, _reporting)
    return [work for step in steps for work in step(scope)]


def _sources(scope: Scope) -> Iterator[Work]:
    for name in scope.config.run.datasets:
        rows, path = scope.known.rows(name), layout.at(layout.ITEMS, dataset=name)
        section = scope.config.datasets[name]
        yield work_of(
            "ingest_items",
            jobs_of([path]),
            dataset=name,
            bound=rows.bound,
            rows=amounts.whole(rows.number),
            download_mb=0.0 if section.reads_here or Path(path).is_file() else None,
            basis=None if rows.number is not None else f"rows: {BEFORE}",
        )
    for name in scope.students:
        size, student = scope.sizes[name], scope.config.students[name]
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


def _warm_ups(scope: Scope) -> Iterator[Work]:
    files: dict[str, str] = {}
    for dataset, student in scope.pairs:
        for name in scope.config.run.strategies:
            found = warm_up_files(scope.config, dataset, student, name)
            files |= dict.fromkeys(found, dataset)
        for metric in resolve.metrics_used(scope.config):
            if file := resolve.warm_up_file(scope.config, dataset, student, metric):
                files[file] = dataset
    for file, dataset in files.items():
        student, prompt = Path(file).parts[-3:-1]
        warm_up = scope.config.students[student].warm_up
        if warm_up is None:
            continue
        rows = scope.known.rows(dataset, "train")
        number = warm_up.items if rows.number is None else min(warm_up.items, rows.number)
        lengths = scope.known.lengths(dataset, student)
        each = None if lengths is None else lengths.direct + lengths.answer
        stage = PlannedTraining(
            prompt,
            file,
            resolve.warm_up_recipe(scope.config),
            warm_up.epochs,
            Count(number, "exact" if rows.bound == "exact" else "at most"),
            UNKNOWN if each is None else Count(number * each * warm_up.epochs, "about"),
            None,
        )
        yield _trained(scope, "warm_up_student", dataset, student, stage, [file])


def _measuring(scope: Scope) -> Iterator[Work]:
    counted: set[str] = set()  # one model may score for several students
    for dataset, student in scope.pairs:
        tables: dict[str, str] = {}
        metrics = dict.fromkeys(resolve.metrics_used(scope.config))
        for teacher in resolve.teachers_used(scope.config):
            for number in rounds.rounds_used(scope.config):
                for ranker in rounds.demanded(
                    scope.config, teacher, number, dataset, student
                ).values():
                    metrics |= dict.fromkeys([ranker.metric, scope.config.analysis.outcome])
        for metric in metrics:
            if table := resolve.metric_table(scope.config, dataset, student, metric):
                tables.setdefault(table, metric)
        for table, metric in tables.items():
            if table not in counted:
                yield _measured(scope, dataset, student, table, metric)
        counted |= tables.keys()
        where: dict[str, str] = {"dataset": dataset, "student": student}
        used = [metric for metric in metrics if _needs_metric_table(scope, metric)]
        values = [layout.at(layout.METRICS, **where, metric=metric) for metric in used]
        yield work_of("compute_metric", jobs_of(values), **where)
        names = resolve.buckets_used(scope.config)
        divided = [layout.at(layout.BUCKETS, **where, buckets=name) for name in names]
        yield work_of("assign_buckets", jobs_of(divided), **where)


def _needs_metric_table(scope: Scope, metric: str) -> bool:
    """Tell whether a metric's values are computed: of buckets, or imported as an outcome."""
    if metric in resolve.metrics_used(scope.config):
        return True
    return resolve.source_of(scope.config, metric) == "imported"


def _measured(scope: Scope, dataset: str, student: str, table: str, metric: str) -> Work:
    source = resolve.source_of(scope.config, metric)
    rule, mode, times = {
        "scores": ("score_items", "direct", 1),
        "generations": ("generate_chains", "cot", 1),
        "samples": ("sample_chains", "cot", scope.config.metrics[metric].samples or 1),
        "likelihoods": ("measure_likelihoods", "cot", 1),
    }[source]
    writes = 0 if source in ("scores", "likelihoods") else scope.most(mode) * times
    shards = scope.config.engine.shards
    number = shards.scores if source == "scores" else shards.generations
    scorer = resolve.scorer_of(scope.config, student, metric)
    model = resolve.scored_student(scope.config, student, metric)
    lengths = scope.known.lengths(dataset, model)
    reads = None if lengths is None else lengths.prompt(mode) * times
    what, where = f"{metric}, {scorer}", {"dataset": dataset, "student": model}
    work = work_of(rule, shared([table], number), what=what, **where)
    items = scope.known.rows(dataset)
    return scope.reading(work, source, items, (reads, writes))


def _training(scope: Scope) -> Iterator[Work]:
    for dataset, student in scope.pairs:
        where = {"dataset": dataset, "student": student}
        plans = [
            layout.at(layout.PLAN, **where, round=number)
            for number in rounds.rounds_used(scope.config)
        ]
        yield work_of("build_mixtures", jobs_of(plans), **where)
        for stage in scope.trainings[dataset, student].models().values():
            path = layout.at(layout.MODEL, digest=stage.model)
            files = [path] if isinstance(stage.model, str) else [""]
            yield _trained(scope, "train_stage", dataset, student, stage, files)


def _trained(
    scope: Scope, step: str, dataset: str, student: str, stage: PlannedTraining, files: list[str]
) -> Work:
    size, recipe, tokens = scope.sizes[student], stage.recipe, stage.tokens.number
    rate = scope.rates.of(Job("train", student, size))
    seconds = amounts.times(tokens, rate.seconds)
    checkpoints = scope.config.training.checkpoint_minutes is not None
    half = scope.rates.trains_in_half(student)
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
    return scope.on_device(work, seconds)


def _evaluating(scope: Scope) -> Iterator[Work]:
    run, shards = scope.config.run, scope.config.engine.shards.evaluation
    for dataset, student in scope.pairs:
        finals = scope.trainings[dataset, student].finals()
        if "best" in run.checkpoints:
            for model, stage in finals.items():
                if stage:
                    yield _chosen(scope, dataset, student, model, stage)
        if resolve.one_engine(scope.config):
            answered = layout.at(layout.ANSWERED, dataset=dataset, student=student)
            where: dict[str, str] = {"dataset": dataset, "student": student}
            # Its answers are counted with the jobs that find them.
            yield scope.on_device(work_of("answer_student", jobs_of([answered]), **where), None)
        trained = [model for model, stage in finals.items() if stage]
        names = [*([None] if None in finals else []), *trained * len(run.checkpoints)]
        checkpoints = [None, *run.checkpoints] if None in finals else run.checkpoints
        for view in modes.asked_views(scope.config):
            paths = [
                layout.at(
                    layout.PREDICTIONS, dataset=dataset, student=student, mode=view.name,
                    model=layout.weights_of(model, which or "last"),
                )
                for which in checkpoints
                for model in _digests(finals, which)
            ]  # fmt: skip
            work = work_of(
                "evaluate_model",
                shared(paths, shards),
                dataset=dataset,
                student=student,
                what=f"{view.name}, {len(names)} models",
            )
            items = scope.known.rows(dataset, view.split or run.split)
            lengths = scope.known.lengths(dataset, student, view.shots)
            reads = None if lengths is None else lengths.prompt(view.mode)
            each = scope.reading(
                work, f"predictions {view.mode}", items, (reads, scope.most(view.mode))
            )
            yield scaled(each, len(names))


def _digests(finals: dict[Any, PlannedTraining | None], which: str | None) -> list[str]:
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


def _chosen(scope: Scope, dataset: str, student: str, model: Any, stage: PlannedTraining) -> Work:
    path = layout.at(layout.SELECTION, dataset=dataset, student=student, digest=model)
    files = [path] if isinstance(model, str) else [""]
    epochs = math.ceil(stage.epochs)
    where = {"dataset": dataset, "student": student}
    work = work_of("select_epoch", jobs_of(files), what=stage.what, **where)
    items = scope.known.rows(dataset, "validation")
    times = Count(amounts.times(items.number, epochs), items.bound)
    lengths = scope.known.lengths(dataset, student)
    # The longer mode: which one a model was trained for hardly changes the sum.
    reads = None if lengths is None else lengths.cot
    return scope.reading(work, "predictions cot", times, (reads, scope.most("cot")))


def _reporting(scope: Scope) -> Iterator[Work]:
    figures = [layout.at(layout.FIGURE, name=name, suffix="svg") for name in FIGURES]
    if resolve.plotted_metric(scope.config):
        figures.append(layout.at(layout.FIGURE, name="complexity", suffix="svg"))
    if any(strategy.stages for strategy in resolve.chosen(scope.config).values()):
        figures += [
            layout.at(layout.LOSSES_SVG, dataset=dataset, student=student)
            for dataset, student in scope.pairs
        ]
    tables = [layout.TEACHER_SPEND, layout.SUMMARY, layout.SUMMARY_MARKDOWN]
    pages = [layout.OVERVIEW, layout.EXPLORER]
    pages += [
        layout.at(layout.SAMPLES_PAGE, dataset=dataset, student=student, round=number)
        for dataset, student in scope.pairs
        for number in rounds.rounds_used(scope.config)
    ]
    yield work_of("report", jobs_of([*figures, *tables, *pages]), what="tables, figures and pages")
