"""What a strategy took on its own: tokens, money, time and energy, from the records of its jobs."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from caft import layout
from caft.complexity import METRICS
from caft.config.model import Configuration
from caft.config.resolve import (
    asked_by,
    choosing_teachers,
    kind_of,
    metric_table,
    parts_of,
    sampler_file,
    scorer_of,
    source_of,
    teachers_of,
    warm_up_file,
)
from caft.config.rounds import round_of
from caft.mixtures.buckets import BUCKETS
from caft.mixtures.plan import Plan, PlannedStage, Trained
from caft.mixtures.rows import solved_in, wanted_rationales
from caft.mixtures.settings import Strategy
from caft.report.spend import paid_answers, total_cost, total_tokens
from caft.running.meter import add
from caft.tables import parquet
from caft.tables.files import read_json

COUNTS = [
    "items", "target_tokens_one_pass", "target_tokens", "all_tokens", "rationale_items",
    "accepted_items", "teacher_requests",
    "teacher_prompt_tokens", "teacher_completion_tokens",
    "metric_prompt_tokens", "metric_completion_tokens",
    "warm_up_items", "warm_up_target_tokens", "warm_up_all_tokens",
]  # fmt: skip
SELF = ["self_answers", "self_tokens", "self_seconds"]
"""What the student wrote as its own teacher; columns of runs in which it is one."""
EPOCHS = [f"epochs_{name}" for name in BUCKETS]
AMOUNTS = [
    "cost_usd", "metric_cost_usd", "score_seconds", "warm_up_seconds", "train_seconds",
    "evaluate_seconds", "energy_wh",
]  # fmt: skip
ANSWERING = ["written_tokens", "thought_tokens", "seconds_per_1000", "usd_per_1000"]


def training_costs(trained: Trained) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what training took, and the records of its stages.

    Args:
        trained: the plan of a strategy with one training seed.
    """
    records = _records(trained.stages)
    return {
        "items": trained.items,
        "target_tokens_one_pass": sum(stage.target_tokens_one_pass for stage in trained.stages),
        # As trained: an early end is not in the plan.
        "target_tokens": sum(record["target_tokens"] for record in records),
        "all_tokens": sum(record["all_tokens"] for record in records),
        "train_seconds": sum(record["seconds"] for record in records),
    }, records


def epochs_by_bucket(trained: Trained, strategy: Strategy) -> dict[str, float]:
    """Return how often training passes over the rows of each bucket, in all stages together."""
    passes = dict.fromkeys(EPOCHS, 0.0)
    for stage, planned in zip(strategy.stages, trained.stages, strict=True):
        for part in stage.parts_or_itself:
            for bucket in part.buckets:
                passes[f"epochs_{bucket}"] += planned.epochs
    return passes


def _records(stages: Iterable[PlannedStage]) -> list[dict[str, Any]]:
    return [read_json(layout.at(layout.MODEL, digest=stage.model)) for stage in stages]


def teacher_costs(
    config: Configuration,
    name: str,
    rationales: Mapping[str, pd.DataFrame],
    buckets: Mapping[str, pd.DataFrame],
    seed: int,
) -> dict[str, Any]:
    """Return what a strategy's own items cost at its teachers, rejected answers included.

    Args:
        config: the prepared configuration.
        name: of the strategy.
        rationales: rationales tables by teacher.
        buckets: buckets tables by name.
        seed: of training and of random membership.
    """
    nothing = pd.DataFrame(columns=parquet.SCHEMAS["rationales"].names)
    tables: dict[bool, list[pd.DataFrame]] = {False: [], True: []}
    solved_by = solved_in(rationales)
    for teacher, strategy in asked_by(config, config.strategies[name]).items():
        table = rationales[teacher]
        wanted = wanted_rationales(buckets, strategy, seed, solved_by)
        itself = config.teachers[teacher].is_student
        tables[itself].append(table[table["item_id"].isin(wanted)])
    own = _joined([*tables[False], *tables[True]], nothing)
    asked, sampled = (paid_answers(_joined(tables[itself], nothing)) for itself in (False, True))
    return {
        "rationale_items": own["item_id"].nunique(),
        "accepted_items": own.loc[own["accepted"].eq(True), "item_id"].nunique(),
        "teacher_requests": len(asked),
        "teacher_prompt_tokens": total_tokens(asked, "prompt_tokens"),
        "teacher_completion_tokens": total_tokens(asked, "completion_tokens"),
        "cost_usd": total_cost(asked),
        "self_answers": len(sampled),
        "self_tokens": total_tokens(sampled, "completion_tokens"),
        "self_seconds": float(sampled["seconds"].sum()),
    }


def _joined(tables: list[pd.DataFrame], nothing: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(tables) if tables else nothing


def complexity_costs(
    config: Configuration,
    dataset: str,
    student: str,
    name: str,
    plan: Plan,
    own: Iterable[str],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what scoring took: of items, if the strategy uses their complexity, and of rationales.

    Each table, warm-up and model counts once, however many metrics come from it. The model that
    writes where the student is its own teacher counts like one that scores, and so does the choice
    of the rationale that the student finds most likely.

    Args:
        config: the prepared configuration.
        dataset: its name.
        student: its name.
        name: of the strategy.
        plan: of the data set and student, all rounds.
        own: models of the strategy's own stages: where one of them scores, it is paid already.

    Returns:
        The costs; and the records of the jobs, for their energy.
    """
    strategy = config.strategies[name]
    metrics = metrics_of(config, strategy)
    sources = {
        path: scorer_of(config, student, metric)
        for metric in metrics
        if (path := metric_table(config, dataset, student, metric))
    }
    chosen = _chosen_rationales(config, dataset, student, name)
    runs = [read_json(layout.run_of(path)) for path in [*sources, *chosen]]
    samplers = [config.teachers[teacher].sampler for teacher in teachers_of(config, strategy)]
    models = [*sources.values(), *(one for one in samplers if one)]
    tuned = _records(_scoring_stages(plan, config.run.seeds[0], models, set(own)))
    warm_ups = [read_json(file) for file in warm_up_files(config, dataset, student, name)]
    return {
        "score_seconds": sum(run["seconds"] for run in [*runs, *tuned]),
        **{
            f"warm_up_{'items' if key == 'rows' else key}": sum(run[key] for run in warm_ups)
            for key in ("rows", "target_tokens", "all_tokens", "seconds")
        },
        **_paid(config, dataset, metrics),
    }, [*runs, *tuned, *warm_ups]


def _chosen_rationales(config: Configuration, dataset: str, student: str, name: str) -> list[str]:
    """Return the tables of a strategy's rationales that the student has chosen from."""
    choosing = set(teachers_of(config, config.strategies[name])) & set(choosing_teachers(config))
    where = {"dataset": dataset, "student": student}
    return [
        layout.at(layout.RATIONALES, **where, round=round_of(config, name), teacher=teacher)
        for teacher in sorted(choosing)
    ]


def warm_up_files(config: Configuration, dataset: str, student: str, name: str) -> list[str]:
    """Return the records of the warm-ups that a strategy starts from, is scored or taught with."""
    strategy = config.strategies[name]
    where = {"dataset": dataset, "student": student, "prompt": config.prompt}
    files = [layout.at(layout.WARM_UP, **where) if strategy.start == "warm_up" else None]
    files += [warm_up_file(config, dataset, student, one) for one in metrics_of(config, strategy)]
    files += [sampler_file(config, dataset, student, one) for one in teachers_of(config, strategy)]
    return sorted({file for file in files if file})


def _scoring_stages(
    plan: Plan, seed: int, scorers: Iterable[str], own: set[str]
) -> list[PlannedStage]:
    """The stages, of the seed that scores, behind models that score; none of the strategy's own."""
    stages: dict[str, PlannedStage] = {}
    for scorer in sorted(set(scorers)):
        strategy, dot, count = scorer.partition(".")
        if dot:
            trained = plan.strategies[strategy].seeds[seed].stages
            stages |= {stage.model: stage for stage in trained[: int(count)]}
    return [stage for model, stage in stages.items() if model not in own]


def _paid(config: Configuration, dataset: str, metrics: Iterable[str]) -> dict[str, Any]:
    """What a judge or an endpoint was paid for the metrics of all items."""
    paid = [_paid_for(config, dataset, metric) for metric in metrics]
    return {
        "metric_prompt_tokens": sum(total_tokens(answers, "prompt_tokens") for answers in paid),
        "metric_completion_tokens": sum(
            total_tokens(answers, "completion_tokens") for answers in paid
        ),
        "metric_cost_usd": sum((total_cost(answers) for answers in paid), start=0.0),
    }


def _paid_for(config: Configuration, dataset: str, metric: str) -> pd.DataFrame:
    source = source_of(config, metric)
    if source == "topk":
        path = layout.at(layout.FIRST_TOKENS, dataset=dataset, metric=metric)
        table = parquet.read("topk", path)
        return table[table["key"].notna()]
    if source == "judgements":
        path = layout.at(layout.JUDGEMENTS, dataset=dataset, judge=config.metrics[metric].judge)
        table = parquet.read("judgements", path)
        asked = METRICS[kind_of(config, metric)].question
        return table[(table["question"] == asked) & table["label_key"].notna()]
    return pd.DataFrame(columns=["prompt_tokens", "completion_tokens", "cost_usd"])


def metrics_of(config: Configuration, strategy: Strategy) -> list[str]:
    """Return the measured metrics that draw the buckets of a strategy; none if it uses none."""
    if not strategy.tells_buckets_apart:
        return []
    own = (config.buckets[name].metric for name in strategy.divisions())
    return list(dict.fromkeys(part for metric in own for part in parts_of(config, metric)))


def energy(runs: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the Wh of all jobs, at least one, None if one of them does not tell."""
    return add({"energy_wh": run.get("energy_wh")} for run in runs)["energy_wh"]


def choice_of_epoch(dataset: str, student: str, digest: str) -> list[dict[str, Any]]:
    """Return the jobs that answered the validation split with every epoch of a model."""
    path = layout.at(layout.SELECTION, dataset=dataset, student=student, digest=digest)
    return list(read_json(path)["epochs"])


def saved(amount: float, reference: float) -> float:
    """Return the share that is saved against a reference; NaN without one or if it is 0."""
    return 1 - amount / reference if reference > 0 else float("nan")
