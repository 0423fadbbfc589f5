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
    source_of,
    teachers_of,
    warm_up_file,
)
from caft.config.rounds import round_of, strategy_of
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


def behind(config: Configuration, name: str) -> dict[str, Strategy]:
    """Return the stages of other strategies that a strategy cannot do without.

    Their models score its buckets or write its rationales, or do so for one that does.

    Args:
        config: the prepared configuration.
        name: of the strategy.

    Returns:
        By model, such as `sft.1`, the strategy of the model cut off behind that stage.
    """
    found: dict[str, Strategy] = {}
    waiting = _models_of(config, config.strategies[name])
    while waiting:
        if (model := waiting.pop()) not in found:
            strategy, _, stage = model.partition(".")
            whole = config.strategies[strategy]
            found[model] = whole.model_copy(update={"stages": whole.stages[: int(stage)]})
            waiting |= _models_of(config, found[model])
    return dict(sorted(found.items()))


def _models_of(config: Configuration, strategy: Strategy) -> set[str]:
    """Return the stages that score a strategy's buckets or write for it, by their models' names."""
    scorers = [config.metrics[metric].scored_with for metric in metrics_of(config, strategy)]
    samplers = [config.teachers[teacher].sampler for teacher in teachers_of(config, strategy)]
    return {model for model in (*scorers, *samplers) if model and strategy_of(model)}


def teacher_costs(
    config: Configuration,
    name: str,
    rationales: Mapping[str, pd.DataFrame],
    buckets: Mapping[str, pd.DataFrame],
    seed: int,
) -> dict[str, Any]:
    """Return what a strategy's items cost at its teachers, rejected answers included.

    What the stages `behind` it were taught with is among the answers and their costs, each answer
    once; the items are those of its own stages.

    Args:
        config: the prepared configuration.
        name: of the strategy.
        rationales: rationales tables by teacher.
        buckets: buckets tables by name.
        seed: of training and of random membership; models behind it are of the run's first seed.
    """
    written = _Written(config, rationales, buckets)
    own = written.tables(config.strategies[name], seed)
    first = config.run.seeds[0]
    others = [written.tables(strategy, first) for strategy in behind(config, name).values()]
    every = [one for tables in (own, *others) for one in tables]
    asked, sampled = (
        paid_answers(_joined([table for by_student, table in every if by_student == itself]))
        for itself in (False, True)
    )
    own_items = _joined([table for _, table in own])
    return {
        "rationale_items": own_items["item_id"].nunique(),
        "accepted_items": own_items.loc[own_items["accepted"].eq(True), "item_id"].nunique(),
        "teacher_requests": len(asked),
        "teacher_prompt_tokens": total_tokens(asked, "prompt_tokens"),
        "teacher_completion_tokens": total_tokens(asked, "completion_tokens"),
        "cost_usd": total_cost(asked),
        "self_answers": len(sampled),
        "self_tokens": total_tokens(sampled, "completion_tokens"),
        "self_seconds": float(sampled["seconds"].sum()),
    }


class _Written:
    """What the teachers of a run wrote, and which of it a strategy trains on."""

    def __init__(
        self,
        config: Configuration,
        rationales: Mapping[str, pd.DataFrame],
        buckets: Mapping[str, pd.DataFrame],
    ):
        self.config, self.rationales, self.buckets = config, rationales, buckets
        self.solved_by = solved_in(rationales)

    def tables(self, strategy: Strategy, seed: int) -> list[tuple[bool, pd.DataFrame]]:
        """Return a strategy's part of each teacher's table, and whether that is the student."""
        found = []
        for teacher, asked in asked_by(self.config, strategy).items():
            wanted = wanted_rationales(self.buckets, asked, seed, self.solved_by)
            table = self.rationales[teacher]
            itself = self.config.teachers[teacher].is_student
            found.append((itself, table[table["item_id"].isin(wanted)]))
        return found


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    nothing = pd.DataFrame(columns=parquet.SCHEMAS["rationales"].names)
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
    of the rationale that the student finds most likely. What the stages `behind` the strategy took
    of all this is in it.

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
    others = behind(config, name)
    every = [config.strategies[name], *others.values()]
    metrics = list(dict.fromkeys(one for part in every for one in metrics_of(config, part)))
    made = (metric_table(config, dataset, student, metric) for metric in metrics)
    sources = dict.fromkeys(path for path in made if path)
    chosen = _chosen_rationales(config, dataset, student, name)
    runs = [read_json(layout.run_of(path)) for path in [*sources, *chosen]]
    tuned = _records(_scoring_stages(plan, config.run.seeds[0], others, set(own)))
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
    """Return the tables of rationales, behind a strategy too, that the student has chosen from."""
    choosing = set(choosing_teachers(config))
    where = {"dataset": dataset, "student": student}
    found = set()
    for one, strategy in {name: config.strategies[name], **behind(config, name)}.items():
        for teacher in choosing.intersection(teachers_of(config, strategy)):
            number = round_of(config, strategy_of(one) or one)
            found.add(layout.at(layout.RATIONALES, **where, round=number, teacher=teacher))
    return sorted(found)


def warm_up_files(config: Configuration, dataset: str, student: str, name: str) -> list[str]:
    """Return the records of the warm-ups that a strategy starts from, is scored or taught with.

    Those that the stages `behind` it need are among them.
    """
    where = {"dataset": dataset, "student": student}
    files: set[str | None] = set()
    for part in (config.strategies[name], *behind(config, name).values()):
        if part.start == "warm_up":
            files.add(layout.at(layout.WARM_UP, **where, prompt=config.prompt))
        files |= {warm_up_file(config, **where, metric=one) for one in metrics_of(config, part)}
        files |= {sampler_file(config, **where, teacher=one) for one in teachers_of(config, part)}
    return sorted(file for file in files if file)


def _scoring_stages(
    plan: Plan, seed: int, scorers: Iterable[str], own: set[str]
) -> list[PlannedStage]:
    """The stages, of the seed that scores, behind models that score; none of the strategy's own."""
    stages: dict[str, PlannedStage] = {}
    for scorer in scorers:
        strategy, _, count = scorer.partition(".")
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


def choice_of_epoch(
    dataset: str, student: str, digest: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the jobs that answered the validation split with every epoch, and their blocks."""
    path = layout.at(layout.SELECTION, dataset=dataset, student=student, digest=digest)
    selection = read_json(path)
    return list(selection["epochs"]), list(selection.get("blocks", []))


def saved(amount: float, reference: float) -> float:
    """Return the share that is saved against a reference; NaN without one or if it is 0."""
    return 1 - amount / reference if reference > 0 else float("nan")
