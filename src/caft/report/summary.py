"""The comparison: one row per data set, student, strategy and mode, with intervals and costs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from caft import layout
from caft.analysis.comparisons import compare_all, difference_interval, mean_interval, seed_spread
from caft.analysis.intervals import UNKNOWN, Estimate
from caft.config.model import Configuration
from caft.config.modes import View, views
from caft.config.resolve import buckets_used, resolved_strategies, teachers_used
from caft.config.rounds import rounds_used, taught
from caft.mixtures.buckets import BUCKETS
from caft.mixtures.plan import Plan, PlannedStrategy, read_plan
from caft.report.costs import (
    AMOUNTS,
    ANSWERING,
    COUNTS,
    EPOCHS,
    SELF,
    choice_of_epoch,
    complexity_costs,
    energy,
    epochs_by_bucket,
    saved,
    teacher_costs,
    training_costs,
)
from caft.report.predictions import (
    answering_costs,
    choice_of_threshold,
    per_question,
    read_predictions,
)
from caft.report.results import REFERENCES
from caft.report.spend import read_rationales
from caft.tables import parquet

_SAME = [
    "dataset", "student", "strategy", "mode", "shots", "checkpoint", "trained_mode", "n",
]  # fmt: skip
_SAVED = [
    "target_tokens_one_pass", "target_tokens", "all_tokens", "teacher_completion_tokens",
]  # fmt: skip


@dataclass(frozen=True)
class Results:
    """What a run wrote about one student on one data set.

    Attributes:
        dataset: its name.
        student: its name.
        plan: of all rounds.
        predictions: by model and name of the view, indexed by item_id, in its order.
        buckets: buckets tables by name.
        rationales: rationales tables by teacher.
        thresholds: of the views of mode `adaptive`, by model and name of the view, in nats.
    """

    dataset: str
    student: str
    plan: Plan
    predictions: dict[tuple[str, str], pd.DataFrame]
    buckets: dict[str, pd.DataFrame]
    rationales: dict[str, pd.DataFrame]
    thresholds: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """The wildcards of its paths."""
        return {"dataset": self.dataset, "student": self.student}


@dataclass(frozen=True)
class Asked:
    """A strategy asked in one way, with the weights of one checkpoint."""

    strategy: str
    view: View
    checkpoint: str


def summarize(
    config: Configuration, every: Iterable[Results]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compare all strategies of a run.

    Args:
        config: the prepared configuration.
        every: the results of each student on each data set, as `read_all` reads them.

    Returns:
        Per strategy and mode, over all training seeds: accuracy, differences and costs; the same
        per training seed; and every pair of strategies with its test. Columns are described in
        docs/summary.md.
    """
    rows: list[dict[str, Any]] = []
    all_runs: list[pd.DataFrame] = []
    comparisons: list[pd.DataFrame] = []
    for results in every:
        asked = list(ways_of_asking(config, results.plan))
        runs = runs_table(config, results)
        rows += [_row(config, results, runs, one) for one in asked]
        all_runs.append(runs)
        comparisons.append(comparisons_table(config, results))
    return (
        pd.DataFrame(rows),
        pd.concat(all_runs, ignore_index=True),
        pd.concat(comparisons, ignore_index=True),
    )


def read_all(config: Configuration) -> list[Results]:
    """Read what the run wrote about each student on each data set."""
    return [
        read_results(config, dataset, student)
        for dataset in config.run.datasets
        for student in config.run.students
    ]


def read_results(config: Configuration, dataset: str, student: str, texts: bool = False) -> Results:
    """Read what the run wrote about one student on one data set; `texts` as `read_predictions`."""
    names = {"dataset": dataset, "student": student}
    rounds = rounds_used(config)
    plan = read_plan(layout.at(layout.PLAN, **names, round=number) for number in rounds)
    models = {
        layout.weights_of(final, checkpoint)
        for final in plan.finals()
        for checkpoint in config.run.checkpoints
    }
    predictions, thresholds = read_predictions(config, names, models, texts)
    return Results(
        dataset,
        student,
        plan,
        predictions,
        buckets={
            name: parquet.read("buckets", layout.at(layout.BUCKETS, **names, buckets=name))
            for name in buckets_used(config)
        },
        rationales={
            asked.teacher: read_rationales(dataset, student, asked) for asked in taught(config)
        },
        thresholds=thresholds,
    )


def ways_of_asking(config: Configuration, plan: Plan) -> Iterator[Asked]:
    """Yield how each strategy was asked, in the order of the summary."""
    for name in config.run.strategies:
        for view in views(config):
            for checkpoint in _checkpoints(config, plan.strategies[name]):
                yield Asked(name, view, checkpoint)


def _checkpoints(config: Configuration, planned: PlannedStrategy) -> list[str]:
    """The checkpoints of a strategy; the untuned student has only one."""
    checkpoints: list[str] = list(config.run.checkpoints)
    return checkpoints if planned.first.stages else checkpoints[:1]


def seeds_of(planned: PlannedStrategy) -> list[int]:
    """The training seeds of a strategy; the untuned student has only one answer to an item."""
    seeds = list(planned.seeds)
    return seeds if planned.first.stages else seeds[:1]


def runs_table(config: Configuration, results: Results) -> pd.DataFrame:
    """Return accuracy and costs per training seed: what the summary is the mean of."""
    return pd.DataFrame(
        [
            _run(config, results, Asked(name, view, checkpoint), seed)
            for name in config.run.strategies
            for seed in seeds_of(results.plan.strategies[name])
            for view in views(config)
            for checkpoint in _checkpoints(config, results.plan.strategies[name])
        ]
    )


def _run(config: Configuration, results: Results, asked: Asked, seed: int) -> dict[str, Any]:
    planned = results.plan.strategies[asked.strategy]
    trained = planned.seeds[seed]
    model = layout.weights_of(trained.final, asked.checkpoint)
    predictions = results.predictions[model, asked.view.name]
    correct = predictions["correct"].to_numpy(dtype=bool)[None]
    return {
        **results.names,
        "strategy": asked.strategy,
        "mode": asked.view.mode,
        "shots": asked.view.shots,
        "checkpoint": asked.checkpoint,
        "trained_mode": planned.trained_mode,
        "seed": seed if trained.stages else None,
        "n": len(predictions),
        **mean_interval(correct).named("accuracy"),
        **_by_bucket(results, planned.buckets, correct),
        "invalid_rate": float(predictions["invalid"].mean()),
        "too_long_rate": float((predictions["finish_reason"] == "too_long").mean()),
        **_costs(config, results, asked, seed),
        "model": trained.final,
    }


def _costs(config: Configuration, results: Results, asked: Asked, seed: int) -> dict[str, Any]:
    planned = results.plan.strategies[asked.strategy]
    trained = planned.seeds[seed]
    training, records = training_costs(trained)
    knowing, scorings = complexity_costs(
        config,
        **results.names,
        name=asked.strategy,
        plan=results.plan,
        own=[stage.model for stage in trained.stages],
    )
    model = layout.weights_of(trained.final, asked.checkpoint)
    answering = answering_costs(results.names, model, asked.view, results.predictions)
    chosen = trained.stages and asked.checkpoint == "best"
    epochs, blocks = choice_of_epoch(**results.names, digest=trained.final) if chosen else ([], [])
    # A threshold may be chosen from the very answers that chose the epoch.
    choosing = [*epochs, *choice_of_threshold(config, results.names, model, asked.view, blocks)]
    training["train_seconds"] += sum(run["seconds"] for run in choosing)
    found = {
        "fallback": _fallback(config, asked.strategy),
        **epochs_by_bucket(trained, config.strategies[asked.strategy]),
        **training,
        **teacher_costs(config, asked.strategy, results.rationales, results.buckets, seed),
        **knowing,
        "evaluate_seconds": answering["seconds"],
        **per_question(
            results.predictions[model, asked.view.name],
            answering["seconds"],
            config.students[results.student].usd_per_million_tokens,
        ),
        "energy_wh": energy([*scorings, *records, *choosing, answering]),
    }
    columns = ["fallback", *EPOCHS, *COUNTS, *AMOUNTS, *ANSWERING, *_self_columns(config)]
    return {column: found[column] for column in columns}


def _self_columns(config: Configuration) -> list[str]:
    """The columns of what the student wrote as its own teacher, in runs in which it is one."""
    return SELF if any(config.teachers[name].is_student for name in teachers_used(config)) else []


def _fallback(config: Configuration, strategy: str) -> str | None:
    """What becomes of items without an accepted rationale; None where nobody is asked for one."""
    planned = resolved_strategies(config)[strategy]
    parts = (part for stage in planned.stages for part in stage.parts_or_itself)
    last = (names[-1] for part in parts if (names := part.teachers(planned.teacher or "")))
    return " + ".join(dict.fromkeys(planned.fallback_of(name) for name in last)) or None


def _by_bucket(results: Results, definition: str, correct: np.ndarray) -> dict[str, Any]:
    """Accuracy and number of the reported items in each bucket of a definition."""
    items = next(iter(results.predictions.values())).index
    table = results.buckets[definition].set_index("item_id")["bucket"]
    bucket = table.reindex(items).to_numpy()
    shares: dict[str, Any] = {}
    for name in BUCKETS:
        shares |= mean_interval(correct[:, bucket == name]).named(f"accuracy_{name}")
    return {**shares, **{f"n_{name}": int((bucket == name).sum()) for name in BUCKETS}}


def _whole(count: float) -> float:
    """Round a mean of counts; NaN stays, as the sum of counts of which one is unknown."""
    return count if np.isnan(count) else round(count)


def _row(
    config: Configuration, results: Results, runs: pd.DataFrame, asked: Asked
) -> dict[str, Any]:
    """One row of the summary: what one way of asking gave, over all training seeds."""
    own, correct = _select(runs, asked), correct_answers(results, asked)
    first = own.iloc[0]
    return {
        **{column: first[column] for column in _SAME},
        "n_seeds": len(own),
        **mean_interval(correct).named("accuracy"),
        "accuracy_sd": seed_spread(correct)[1],
        **_by_bucket(results, results.plan.strategies[asked.strategy].buckets, correct),
        "invalid_rate": own["invalid_rate"].mean(),
        "too_long_rate": own["too_long_rate"].mean(),
        **_differences(config, results, asked),
        "fallback": first["fallback"],
        **{column: own[column].mean() for column in EPOCHS},
        **{column: _whole(own[column].mean(skipna=False)) for column in COUNTS},
        **{column: own[column].mean(skipna=False) for column in (*AMOUNTS, *ANSWERING)},
        **_savings(config, runs, asked),
        **{column: own[column].mean(skipna=False) for column in _self_columns(config)},
    }


def _select(runs: pd.DataFrame, asked: Asked) -> pd.DataFrame:
    return runs[
        (runs["strategy"] == asked.strategy)
        & (runs["mode"] == asked.view.mode)
        & (runs["shots"] == asked.view.shots)
        & (runs["checkpoint"] == asked.checkpoint)
    ]


def correct_answers(results: Results, asked: Asked) -> np.ndarray:
    """What a strategy got right, shape (n_seeds, n_items), items in the order of their id."""
    answers = []
    for seed in seeds_of(results.plan.strategies[asked.strategy]):
        final = results.plan.final(asked.strategy, seed)
        model = layout.weights_of(final, asked.checkpoint)
        answers.append(results.predictions[model, asked.view.name]["correct"])
    return np.array([answer.to_numpy(dtype=bool) for answer in answers])


def _savings(config: Configuration, runs: pd.DataFrame, asked: Asked) -> dict[str, float]:
    """Which share of `distill`'s tokens a strategy does without, under each definition."""
    own = _select(runs, asked)
    # Any checkpoint will do: all are of the same training.
    whole = _select(runs, Asked("distill", asked.view, config.run.checkpoints[0]))
    means = {
        column: (own[column].mean(skipna=False), whole[column].mean(skipna=False))
        for column in _SAVED
    }
    return {f"saved_{column}": saved(*pair) for column, pair in means.items()}


def _differences(config: Configuration, results: Results, asked: Asked) -> dict[str, float]:
    """Paired differences to the references: asked alike, and asked as each was trained."""
    correct = correct_answers(results, asked)

    def difference(reference: str, view: View | None) -> Estimate:
        if view is None:
            return UNKNOWN
        return difference_interval(
            correct, correct_answers(results, Asked(reference, view, asked.checkpoint))
        )

    found: dict[str, float] = {}
    for reference in REFERENCES:
        planned = results.plan.strategies.get(reference)
        alike = asked.view if planned else None
        found |= difference(reference, alike).named(f"vs_{reference}")
        if reference != "base":
            trained = _as_trained(config, planned, asked.view.shots) if planned else None
            found |= difference(reference, trained).named(f"vs_{reference}_as_trained")
    return found


def _as_trained(config: Configuration, planned: PlannedStrategy, shots: int) -> View | None:
    """The view that asks a strategy as it was trained, with so many worked examples."""
    wanted = (planned.trained_mode, shots)
    return next((view for view in views(config) if (view.mode, view.shots) == wanted), None)


@dataclass(frozen=True)
class Family:
    """Strategies that are compared with each other, and what each got right.

    Attributes:
        mode: that all were asked in, or `as_trained`.
        shots: worked examples in the prompt.
        checkpoint: `last` or `best`.
        correct: by strategy, booleans of shape (n_seeds, n_items).
    """

    mode: str
    shots: int
    checkpoint: str
    correct: dict[str, np.ndarray]


def families(config: Configuration, results: Results) -> Iterator[Family]:
    """Yield all strategies asked alike, and each as it was trained."""
    names = config.run.strategies
    ways = [(view.mode, view.shots, dict.fromkeys(names, view)) for view in views(config)]
    for shots in dict.fromkeys(view.shots for view in views(config)):
        asked = {name: _as_trained(config, results.plan.strategies[name], shots) for name in names}
        trained = {name: view for name, view in asked.items() if view}
        if len(trained) == len(names):
            ways.append(("as_trained", shots, trained))
    for checkpoint in config.run.checkpoints:
        for mode, shots, asked_in in ways:
            correct = {
                name: correct_answers(results, Asked(name, asked_in[name], checkpoint))
                for name in names
            }
            yield Family(mode, shots, checkpoint, correct)


def comparisons_table(config: Configuration, results: Results) -> pd.DataFrame:
    """Compare every pair of strategies of each family.

    Args:
        config: the prepared configuration.
        results: of one student on one data set.

    Returns:
        The columns are described in docs/summary.md; the pairs of a mode and checkpoint are one
        family of tests.
    """
    relevant, tables = config.run.relevant_difference, []
    for family in families(config, results):
        asked = {"mode": family.mode, "shots": family.shots, "checkpoint": family.checkpoint}
        table = compare_all(family.correct, relevant).assign(relevant_difference=relevant)
        tables.append(pd.DataFrame({**results.names, **asked}, index=table.index).join(table))
    return pd.concat(tables, ignore_index=True)


def model_index(config: Configuration) -> pd.DataFrame:
    """List the trained models of a run: which strategy and stage each digest is."""
    frames = []
    for dataset in config.run.datasets:
        for student in config.run.students:
            for number in rounds_used(config):
                path = layout.at(layout.PLAN_INDEX, dataset=dataset, student=student, round=number)
                table = pd.read_csv(path, dtype={"model": str, "parent": str})
                table.insert(0, "student", student)
                table.insert(0, "dataset", dataset)
                frames.append(table)
    return pd.concat(frames)
