"""What follows from the configuration."""

from collections.abc import Iterable
from typing import Any, Literal

from caft import layout
from caft.analysis.ranking import Ranker
from caft.complexity import METRICS
from caft.complexity.settings import MetricSettings
from caft.config.model import Configuration
from caft.mixtures.recipe import Recipe
from caft.mixtures.settings import ResolvedStrategy, Strategy, Wanted
from caft.running.settings import Resources
from caft.teacher.settings import Asked

# Of a warm-up, whatever the stages do: it is short, and no validation rows are at hand.
_WARM_UP = {"method": "lora", "loss": "nll", "early_stopping": None, "keep_epochs": False}
GIVEN = frozenset({"imported", "items"})
"""Sources of metrics whose values nobody computes: they stand in a file or with the questions."""
STUDENTS_TABLES = {
    "scores": layout.SCORES,
    "generations": layout.GENERATIONS,
    "samples": layout.SAMPLES,
    "likelihoods": layout.LIKELIHOODS,
}
"""The tables that a student's model makes, by the source of metrics."""


def teacher_of(config: Configuration, named: str | None) -> str:
    """Return the teacher that a part of the config names, or else the common one."""
    return named or config.teacher or ""


def recipe_of(config: Configuration, own: dict[str, Any]) -> Recipe:
    """Return the training recipe with a strategy's own keys laid over the common ones."""
    common = config.training.plain()
    recipe = {**common, **own, "lora": {**common["lora"], **own.get("lora", {})}}
    return Recipe.model_validate(
        {name: recipe[name] for name in Recipe.model_fields if name in recipe}
    )


def warm_up_recipe(config: Configuration) -> Recipe:
    """Return the training recipe of warm-ups, which no strategy changes."""
    return recipe_of(config, _WARM_UP)


def chosen(config: Configuration) -> dict[str, Strategy]:
    """Return the strategies of this run, by name, in the order of `run.strategies`."""
    return {name: config.strategies[name] for name in config.run.strategies}


def teachers_of(config: Configuration, strategy: Strategy) -> list[str]:
    """Return the teachers of a strategy, in the order of its parts."""
    common = teacher_of(config, strategy.teacher)
    parts = (part for stage in strategy.stages for part in stage.parts_or_itself)
    return list(dict.fromkeys(name for part in parts for name in part.teachers(common)))


def asked_by(config: Configuration, strategy: Strategy) -> dict[str, Wanted]:
    """Return what of a strategy each of its teachers is asked for, by their names."""
    common = teacher_of(config, strategy.teacher)
    return {name: strategy.asked_of(name, common) for name in teachers_of(config, strategy)}


def strategies_of_teacher(config: Configuration, teacher: str) -> dict[str, Wanted]:
    """Return what the strategies of this run ask of a teacher, by name, if they ask it at all."""
    return {
        name: strategy.asked_of(teacher, teacher_of(config, strategy.teacher))
        for name, strategy in chosen(config).items()
        if teacher in teachers_of(config, strategy)
    }


def resolved_strategies(config: Configuration) -> dict[str, ResolvedStrategy]:
    """Return the strategies of this run with teacher, fallback policy and recipe filled in."""
    resolved = {}
    for name, strategy in chosen(config).items():
        common = teacher_of(config, strategy.teacher)
        fallbacks = {one: config.teachers[one].fallback for one in teachers_of(config, strategy)}
        resolved[name] = ResolvedStrategy(
            **{
                **dict(strategy),
                "recipe": recipe_of(config, strategy.training),
                "teacher": common if common in fallbacks else None,
                "fallback": fallbacks.pop(common, "drop"),
                "fallbacks": fallbacks or None,
            }
        )
    return resolved


def trains_on_thoughts(config: Configuration) -> bool:
    """Tell whether any strategy of this run trains on a teacher's reasoning."""
    return any(strategy.needs_reasoning for strategy in chosen(config).values())


def teachers_used(config: Configuration) -> list[str]:
    """Return the teachers that this run's strategies need."""
    return sorted(
        {name for strategy in chosen(config).values() for name in teachers_of(config, strategy)}
    )


def choosing_teachers(config: Configuration) -> list[str]:
    """Return the teachers of this run whose answers are chosen by what the student finds likely."""
    used = teachers_used(config)
    return [name for name in used if config.teachers[name].choose == "most_likely"]


def ways(config: Configuration) -> list[str]:
    """Return where the questions of this run go, a line for each teacher and judge elsewhere."""
    metrics = [config.metrics[name] for name in {*metrics_used(config), *metrics_analysed(config)}]
    teachers = {*teachers_used(config), *(one.teacher for one in metrics if one.teacher)}
    judges = {one.judge for one in metrics if one.judge}
    asked: dict[str, Asked] = {
        **{f"teacher {name}": config.teachers[name] for name in sorted(teachers)},
        **{f"judge {name}": config.judges[name] for name in sorted(judges)},
    }
    return [f"{who}: {section.way}" for who, section in asked.items() if section.way]


def asking_seeds(seeds: list[int], strategies: Iterable[Wanted]) -> list[int]:
    """Return the training seeds that decide what strategies ask of a teacher.

    Only what is drawn by chance differs from seed to seed: without it the first stands for all, so
    that a further seed asks nothing again.
    """
    return seeds if any(strategy.drawn.by_chance for strategy in strategies) else seeds[:1]


def metric_of(config: Configuration, name: str) -> MetricSettings:
    """Return a metric's settings with its kind and prompt filled in."""
    given = config.metrics[name]
    filled = {"metric": kind_of(config, name), "prompt": prompt_of(config, name)}
    return given.model_copy(update=filled)


def source_of(config: Configuration, metric: str) -> str:
    """Return which table a metric is computed from."""
    return METRICS[kind_of(config, metric)].source


def kind_of(config: Configuration, metric: str) -> str:
    """Return what is computed under a metric's name: a key of the registry."""
    given = config.metrics[metric]
    return given.metric or ("combine" if given.combine else metric)


def parts_of(config: Configuration, metric: str) -> list[str]:
    """Return the metrics that one is made of: those that it combines, or else itself."""
    combine = config.metrics[metric].combine
    return sorted(combine.metrics) if combine else [metric]


def scored_student(config: Configuration, student: str, metric: str) -> str:
    """Return the student whose model scores a metric: another one, or the student itself."""
    return config.metrics[metric].model or student


def students_used(config: Configuration) -> list[str]:
    """Return the students of this run, and those that only score its buckets' metrics."""
    models = (config.metrics[name].model for name in metrics_used(config))
    return list(dict.fromkeys([*config.run.students, *(model for model in models if model)]))


def prompt_of(config: Configuration, metric: str) -> str:
    """Return the prompt variant that a metric's student is asked with."""
    return config.metrics[metric].prompt or config.prompt


def prompts_used(config: Configuration) -> set[str]:
    """Return the prompt variants that this run asks students and teachers with."""
    metrics = {*metrics_used(config), *metrics_analysed(config)}
    return {
        config.prompt,
        *(prompt_of(config, name) for name in metrics),
        *(config.teachers[name].prompt for name in teachers_used(config)),
    }


def scorer_of(config: Configuration, student: str, metric: str) -> str:
    """Return which model scores a metric: `base`, `warm_up`, or a stage such as `sft.1`."""
    scorer = config.metrics[metric].scored_with
    if scorer != "default":
        return scorer
    model = scored_student(config, student, metric)
    return "warm_up" if config.students[model].warm_up else "base"


def own_scorer(config: Configuration, dataset: str, student: str, metric: str) -> str | None:
    """Return which of a student's models scores a metric; None where no student or another does."""
    own = metric_table(config, dataset, student, metric) and not config.metrics[metric].model
    return scorer_of(config, student, metric) if own else None


def warm_up_file(config: Configuration, dataset: str, student: str, metric: str) -> str | None:
    """Return the record of the warm-up that scores a metric; None if none does."""
    made = metric_table(config, dataset, student, metric)
    if not made or scorer_of(config, student, metric) != "warm_up":
        return None
    where = {"dataset": dataset, "student": scored_student(config, student, metric)}
    return layout.at(layout.WARM_UP, **where, prompt=prompt_of(config, metric))


def sampler_file(config: Configuration, dataset: str, student: str, teacher: str) -> str | None:
    """Return the record of the warm-up that a teacher is; None if it is none."""
    if config.teachers[teacher].sampler != "warm_up":
        return None
    return layout.at(layout.WARM_UP, dataset=dataset, student=student, prompt=config.prompt)


def metric_table(config: Configuration, dataset: str, student: str, name: str) -> str | None:
    """Return the table of a student that a metric is computed from; None if no student makes it."""
    if (source := source_of(config, name)) not in STUDENTS_TABLES:
        return None
    return layout.at(
        STUDENTS_TABLES[source],
        dataset=dataset,
        student=scored_student(config, student, name),
        scorer=scorer_of(config, student, name),
        prompt=prompt_of(config, name),
        metric=name,
    )


def sampling_of(config: Configuration, metric: str) -> dict[str, Any]:
    """Return how a metric's chains of thought are drawn."""
    return config.metrics[metric].plain("samples", "temperature", "top_p")


def decimals_of(config: Configuration, buckets: str) -> int | None:
    """Return how many decimals count for a bucket definition; None for all of them.

    What a model computes is rounded above the noise of float32 batching; a value that was given is
    what it is, and so is a combination of such values.
    """
    parts = parts_of(config, config.buckets[buckets].metric)
    return None if all(source_of(config, part) in GIVEN for part in parts) else 4


def metrics_analysed(config: Configuration) -> list[str]:
    """Return the names of the metrics that the analysis compares.

    The outcome is one of them, unless it comes from a file and only says what was right.
    """
    outcome = config.analysis.outcome
    known = sorted(config.metrics, key=lambda name: (_place(config, name), name))
    names = dict.fromkeys([*(config.analysis.metrics or known), outcome])
    if source_of(config, outcome) == "imported":
        del names[outcome]
    return list(names)


def _place(config: Configuration, metric: str) -> int:
    """Return the place of a metric's kind in the registry, since keys have no order."""
    kinds, kind = list(METRICS), kind_of(config, metric)
    return kinds.index(kind) if kind in kinds else len(kinds)


def compared_metric(config: Configuration) -> str:
    """Return the metric that all others are compared with: the buckets' own, if it is analysed."""
    names = metrics_analysed(config)
    metric = config.buckets[buckets_used(config)[0]].metric
    return metric if metric in names else names[0]


def labelled_metrics(config: Configuration) -> list[str]:
    """Return the analysed metrics that read the gold answer."""
    return [name for name in metrics_analysed(config) if reads_label(config, name)]


def reads_label(config: Configuration, metric: str) -> bool:
    """Return whether a metric reads the gold answer."""
    return any(
        config.metrics[name].reads_label or "label" in METRICS[kind_of(config, name)].needs
        for name in parts_of(config, metric)
    )


def outcome_table(config: Configuration, dataset: str, student: str) -> str:
    """Return what says which items are wrong: the student's own answers, or an imported column."""
    outcome = config.analysis.outcome
    imported = layout.at(layout.METRICS, dataset=dataset, student=student, metric=outcome)
    return metric_table(config, dataset, student, outcome) or imported


def rankers_of(
    config: Configuration, dataset: str, student: str, strategies: Iterable[Wanted]
) -> dict[str, Ranker]:
    """Return who ranks what strategies buy of a teacher, by bucket definition.

    A metric of the student's own scores is judged by the answers of the same pass, any other by
    those that `analysis.outcome` names.
    """
    names = {name for strategy in strategies for name in strategy.bought_by_rank()}
    return {name: _ranker(config, dataset, student, name) for name in sorted(names)}


def _ranker(config: Configuration, dataset: str, student: str, buckets: str) -> Ranker:
    metric = config.buckets[buckets].metric
    own = metric_table(config, dataset, student, metric)
    if own and source_of(config, metric) == "scores" and not config.metrics[metric].model:
        judge, outcome = metric, own
    else:
        judge, outcome = config.analysis.outcome, outcome_table(config, dataset, student)
    scorers = [scorer_of(config, student, name) for name in (*parts_of(config, metric), judge)]
    return Ranker(
        student=student,
        buckets=buckets,
        metric=metric,
        scorer=own_scorer(config, dataset, student, metric),
        trained=any("." in scorer for scorer in scorers),
        reads_label=reads_label(config, metric) and not config.analysis.allow_label,
        values=layout.at(layout.METRICS, dataset=dataset, student=student, metric=metric),
        outcome=outcome,
    )


def plotted_metric(config: Configuration) -> str | None:
    """Return the first bucket metric if a forward pass makes it: its column of the scores table."""
    metric = config.buckets[buckets_used(config)[0]].metric
    kind = kind_of(config, metric)
    return kind if METRICS[kind].in_pass else None


def metrics_used(config: Configuration) -> list[str]:
    """Return the names of the metrics that this run's buckets are drawn by, with their parts."""
    own = {config.buckets[name].metric for name in buckets_used(config)}
    return sorted(own.union(*(parts_of(config, name) for name in own)))


def purchase_of(config: Configuration, buckets: str) -> dict[str, Any] | None:
    """Return what the prices of a budget-driven threshold follow from; None where there is none."""
    hard = config.buckets[buckets].hard
    if not hard:
        return None
    teacher = config.teachers[teacher_of(config, hard.teacher)]
    asked = teacher.plain("provider", "batch", "expected_completion_tokens", "prices")
    asked["prices"].pop("entered", None)  # the day changes no price
    return {"batch": False, **asked, "prompt": config.prompts[teacher.prompt].plain()}


def buckets_used(config: Configuration) -> list[str]:
    """Return the bucket definitions that this run's strategies use."""
    return sorted({name for strategy in chosen(config).values() for name in strategy.divisions()})


def compute_of(config: Configuration, *more: str) -> dict[str, Any]:
    """Return the engine's settings that change results; `more` are further ones of a stage.

    What only says how much a job may take is left out, so that changing it runs nothing again.
    So are threads: they can change the last digit, and nobody wants to pay for that.
    """
    return config.engine.plain("device", "dtype", "attention", *more)


def one_engine(config: Configuration) -> bool:
    """Tell whether one job answers for all models of a student: a start of vLLM takes a minute.

    Jobs that share the items of a table have an engine each.
    """
    return config.evaluation.engine == "vllm" and config.engine.shards.evaluation == 1


PartOfRun = Literal["training", "evaluation"]
"""What has resources of its own, whichever the student."""


def student_needs(
    config: Configuration, student: str, part: PartOfRun | None = None
) -> dict[str, int]:
    """Return the threads, gpus, mem_mb and runtime of a job that runs a student."""
    own = config.engine.own
    sections = [own.students.get(student), getattr(own, part) if part else None]
    return _needs(config, {}, *sections)


def asking_needs(
    config: Configuration, kind: Literal["teachers", "judges"], name: str
) -> dict[str, int]:
    """Return the same of a job that asks: little, unless the model runs in the job."""
    asked: Asked = getattr(config, kind)[name]
    usual = {} if asked.runs_here else vars(asked.needs)
    return _needs(config, usual, getattr(config.engine.own, kind).get(name))


def _needs(config: Configuration, usual: dict[str, int], *own: Resources | None) -> dict[str, int]:
    """Lay what has resources of its own over what is usual, the last one on top."""
    needs = {**config.engine.plain("threads", "gpus", "mem_mb", "runtime"), **usual}
    for section in own:
        needs |= section.plain() if section else {}
    return needs
