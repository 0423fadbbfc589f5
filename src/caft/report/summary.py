"""The comparison: one row per data set, student, strategy and mode, with intervals and costs."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caft.analysis.comparisons import compare_all, difference_interval, mean_interval, seed_spread
from caft.analysis.intervals import Estimate, roc_auc
from caft.complexity import METRICS
from caft.config.modes import View, views, weights_of
from caft.config.resolve import buckets_used, metric_of, metric_table, scorer_of
from caft.config.rounds import rounds_used
from caft.mixtures.buckets import BUCKETS
from caft.report.costs import (
    AMOUNTS,
    COUNTS,
    choice_of_epoch,
    complexity_costs,
    energy,
    saved,
    teacher_costs,
    training_costs,
)
from caft.report.spend import read_rationales
from caft.tables import parquet
from caft.tables.files import read_json

_REFERENCES = ("base", "sft", "distill", "random_same_size")
_SAME = [
    *("dataset", "student", "strategy", "mode", "shots", "checkpoint", "trained_mode", "n"),
]
_SAVED = [
    *("target_tokens_one_pass", "target_tokens", "all_tokens", "teacher_completion_tokens"),
]
_STAR = {True: "*", False: ""}


def summarize(config: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compare all strategies of a run, reading the tables that the run has written.

    Args:
        config: the prepared configuration.

    Returns:
        Per strategy and mode, over all training seeds: accuracy, differences and costs; the same
        per training seed; and every pair of strategies with its test. Columns are described in
        docs/summary.md.
    """
    run = config["run"]
    pairs = [
        _Pair(config, dataset, student)
        for dataset in run["datasets"]
        for student in run["students"]
    ]
    summary = pd.DataFrame([row for pair in pairs for row in pair.rows()])
    runs = pd.concat([pair.runs for pair in pairs], ignore_index=True)
    return summary, runs, pd.concat([pair.comparisons() for pair in pairs], ignore_index=True)


class _Pair:
    """Everything known about one student on one data set."""

    def __init__(self, config: dict[str, Any], dataset: str, student: str):
        self.config, self.names = config, {"dataset": dataset, "student": student}
        self.views, self.folder = views(config), f"{dataset}/{student}"
        self.checkpoints = config["run"]["checkpoints"]
        self.plan = read_plan(config, dataset, student)
        self.predictions = {
            (model, view.name): parquet.read(
                "predictions", self._prediction_path(model, view.name, "parquet")
            )
            .set_index("item_id")
            .sort_index()
            for model in self._evaluated()
            for view in self.views
        }
        self.buckets = {
            name: parquet.read("buckets", f"data/buckets/{self.folder}/{name}.parquet")
            for name in buckets_used(config)
        }
        self.answers = {
            teacher: read_rationales(config, dataset, student, teacher)
            for teacher in sorted({entry["teacher"] or "" for entry in self.plan.values()} - {""})
        }
        self.runs = pd.DataFrame(
            [
                self._run(name, seed, view, checkpoint)
                for name in config["run"]["strategies"]
                for seed in self._seeds(name)
                for view in self.views
                for checkpoint in self._checkpoints(name)
            ]
        )

    def _evaluated(self) -> set[str]:
        return {
            weights_of(seed["final"], checkpoint)
            for entry in self.plan.values()
            for seed in entry["seeds"].values()
            for checkpoint in self.checkpoints
        }

    def _prediction_path(self, model: str, view: str, suffix: str) -> str:
        return f"results/predictions/{self.folder}/{model}.{view}.{suffix}"

    def _seeds(self, name: str) -> list[str]:
        """The training seeds of a strategy; the untuned student has only one answer to an item."""
        seeds = list(self.plan[name]["seeds"])
        return seeds if self.plan[name]["seeds"][seeds[0]]["stages"] else seeds[:1]

    def _checkpoints(self, name: str) -> list[str]:
        """The checkpoints of a strategy; the untuned student has only one."""
        trained = self.plan[name]["seeds"][self._seeds(name)[0]]["stages"]
        return self.checkpoints if trained else self.checkpoints[:1]

    def _correct(self, name: str, view: str, checkpoint: str) -> np.ndarray:
        """What a strategy got right, shape (n_seeds, n_items), items in the order of their id."""
        finals = [self.plan[name]["seeds"][seed]["final"] for seed in self._seeds(name)]
        models = [weights_of(final, checkpoint) for final in finals]
        answers = [self.predictions[model, view]["correct"] for model in models]
        return np.array([answer.to_numpy(dtype=bool) for answer in answers])

    def _as_trained(self, name: str, shots: int) -> str | None:
        """The view that asks a strategy as it was trained, with so many worked examples."""
        mode = self.plan[name]["trained_mode"]
        fitting = (view.name for view in self.views if (view.mode, view.shots) == (mode, shots))
        return next(fitting, None)

    def _run(self, name: str, seed: str, view: View, checkpoint: str) -> dict[str, Any]:
        entry = self.plan[name]
        trained = entry["seeds"][seed]
        model = weights_of(trained["final"], checkpoint)
        predictions = self.predictions[model, view.name]
        correct = predictions["correct"].to_numpy(dtype=bool)[None]
        return {
            **self.names,
            "strategy": name,
            "mode": view.mode,
            "shots": view.shots,
            "checkpoint": checkpoint,
            "trained_mode": entry["trained_mode"],
            "seed": int(seed) if trained["stages"] else None,
            "n": len(predictions),
            **_spread("accuracy", mean_interval(correct)),
            **self._by_bucket(name, correct),
            "invalid_rate": float(predictions["invalid"].mean()),
            **self._costs(name, seed, model, view.name, checkpoint),
            "model": trained["final"],
        }

    def _bucket(self, name: str) -> pd.Series:
        """The bucket of each reported item under a strategy's definition, in order of the id."""
        table = self.buckets[self.plan[name]["buckets"]].set_index("item_id")["bucket"]
        predictions = next(iter(self.predictions.values()))
        return table.reindex(predictions.index)

    def _by_bucket(self, name: str, correct: np.ndarray) -> dict[str, Any]:
        bucket = self._bucket(name).to_numpy()
        shares: dict[str, Any] = {}
        for one in BUCKETS:
            shares |= _spread(f"accuracy_{one}", mean_interval(correct[:, bucket == one]))
        return {**shares, **{f"n_{one}": int((bucket == one).sum()) for one in BUCKETS}}

    def rows(self) -> list[dict[str, Any]]:
        return [
            self._row(name, view, checkpoint)
            for name in self.config["run"]["strategies"]
            for view in self.views
            for checkpoint in self._checkpoints(name)
        ]

    def _select(self, name: str, view: View, checkpoint: str) -> pd.DataFrame:
        wanted = {"strategy": name, "mode": view.mode, "shots": view.shots}
        found = self.runs
        for column, value in {**wanted, "checkpoint": checkpoint}.items():
            found = found[found[column] == value]
        return found

    def _row(self, name: str, view: View, checkpoint: str) -> dict[str, Any]:
        runs = self._select(name, view, checkpoint)
        correct = self._correct(name, view.name, checkpoint)
        first = runs.iloc[0]
        return {
            **{column: first[column] for column in _SAME},
            "n_seeds": len(runs),
            **_spread("accuracy", mean_interval(correct)),
            "accuracy_sd": seed_spread(correct)[1],
            **self._by_bucket(name, correct),
            "invalid_rate": runs["invalid_rate"].mean(),
            **self._differences(correct, view, checkpoint),
            **{column: round(runs[column].mean()) for column in COUNTS},
            **{column: runs[column].mean(skipna=False) for column in AMOUNTS},
            **self._savings(runs, view),
        }

    def _savings(self, runs: pd.DataFrame, view: View) -> dict[str, float]:
        """Which share of `distill`'s tokens a strategy does without, under each definition."""
        whole = self._select("distill", view, self.checkpoints[0])
        return {
            f"saved_{column}": saved(runs[column].mean(), whole[column].mean()) for column in _SAVED
        }

    def _differences(self, correct: np.ndarray, view: View, checkpoint: str) -> dict[str, float]:
        """Paired differences to the references: asked alike, and asked as each was trained."""
        found: dict[str, float] = {}
        for reference in _REFERENCES:
            known = reference in self.plan
            pairs = {f"vs_{reference}": view.name if known else None}
            if reference != "base":
                trained = self._as_trained(reference, view.shots) if known else None
                pairs[f"vs_{reference}_as_trained"] = trained
            for name, other in pairs.items():
                estimate = (
                    difference_interval(correct, self._correct(reference, other, checkpoint))
                    if other
                    else Estimate(float("nan"), float("nan"), float("nan"))
                )
                found.update(_spread(name, estimate))
        return found

    def comparisons(self) -> pd.DataFrame:
        """Every pair of strategies, asked alike and each as it was trained."""
        names = self.config["run"]["strategies"]
        families = [(view.mode, view.shots, dict.fromkeys(names, view.name)) for view in self.views]
        for shots in dict.fromkeys(view.shots for view in self.views):
            asked = {name: self._as_trained(name, shots) for name in names}
            trained = {name: view for name, view in asked.items() if view}
            if len(trained) == len(names):
                families.append(("as_trained", shots, trained))
        found = []
        for checkpoint in self.checkpoints:
            for mode, shots, modes in families:
                correct = {name: self._correct(name, modes[name], checkpoint) for name in names}
                where = {**self.names, "mode": mode, "shots": shots, "checkpoint": checkpoint}
                table = compare_all(correct, self.config["run"]["relevant_difference"])
                found.append(pd.DataFrame(where, index=table.index).join(table))
        return pd.concat(found, ignore_index=True)

    def _costs(
        self, name: str, seed: str, model: str, view: str, checkpoint: str
    ) -> dict[str, Any]:
        trained, strategy = self.plan[name]["seeds"][seed], self.config["strategies"][name]
        training, records = training_costs(trained)
        own = [stage["model"] for stage in trained["stages"]]
        knowing, scorings = complexity_costs(
            self.config, **self.names, name=name, plan=self.plan, own=own
        )
        answering = read_json(self._prediction_path(model, view, "run.json"))
        choosing = (
            choice_of_epoch(**self.names, digest=own[-1]) if own and checkpoint == "best" else []
        )
        training["train_seconds"] += sum(run["seconds"] for run in choosing)
        found = {
            **training,
            **teacher_costs(
                self.answers.get(self.plan[name]["teacher"]), self.buckets, strategy, int(seed)
            ),
            **knowing,
            "evaluate_seconds": answering["seconds"],
            "energy_wh": energy([*scorings, *records, *choosing, answering]),
        }
        return {column: found[column] for column in (*COUNTS, *AMOUNTS)}


def read_plan(config: dict[str, Any], dataset: str, student: str) -> dict[str, Any]:
    """Read the models of all strategies of a data set and student, from all rounds."""
    folder = Path(f"data/mixtures/{dataset}/{student}")
    return {
        name: entry
        for number in rounds_used(config)
        for name, entry in read_json(folder / str(number) / "plan.json").items()
    }


def _spread(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def complexity_table(config: dict[str, Any]) -> pd.DataFrame:
    """Tell how well each metric ranks the items that the scored student itself got wrong.

    Items whose answers the scored model has seen are left out: those of the warm-up sample, and for
    a model that a strategy has trained all but the test split. Metrics that read the label are left
    out as well: they cannot predict anything.

    Returns:
        One row per data set, student, scorer, prompt and metric: n, the student's accuracy, ROC AUC
        with interval.
    """
    names = sorted({config["buckets"][name]["metric"] for name in buckets_used(config)})
    rows: list[dict[str, Any]] = []
    for dataset in config["run"]["datasets"]:
        for student in config["run"]["students"]:
            paths = {metric_table(config, dataset, student, name): name for name in names}
            for path, name in paths.items():
                if path and path.parts[1] == "scores":
                    prompt = metric_of(config, name)["prompt"]
                    scorer = scorer_of(config, student, name)
                    where = {"dataset": dataset, "student": student}
                    where |= {"scorer": scorer, "prompt": prompt}
                    scores = parquet.read("scores", path)
                    if "." in scorer:
                        scores = scores[scores["split"] == "test"]
                    rows += [{**where, **row} for row in rank_metrics(scores, config["seed"])]
    return pd.DataFrame(rows)


def rank_metrics(scores: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Return the ROC AUC of each label-free metric against the student's own errors."""
    usable = scores[(scores["status"] == "ok") & ~scores["warm_up"]]
    rows = []
    for name, metric in METRICS.items():
        if not metric.in_pass or "label" in metric.needs:
            continue
        known = usable[usable[name].notna()]
        if known.empty:
            continue
        wrong = ~known["correct"].astype(bool)
        rows.append(
            {
                "metric": name,
                "n": len(known),
                "student_accuracy": float(1 - wrong.mean()),
                "answer_valid": float(known["answer_valid"].astype(bool).mean()),
                **_spread("roc_auc", roc_auc(known[name], wrong, seed=seed)),
            }
        )
    return rows


def model_index(config: dict[str, Any]) -> pd.DataFrame:
    """List the trained models of a run: which strategy and stage each digest is."""
    frames = []
    for dataset in config["run"]["datasets"]:
        for student in config["run"]["students"]:
            for number in rounds_used(config):
                table = pd.read_csv(
                    f"data/mixtures/{dataset}/{student}/{number}/index.csv",
                    dtype={"model": str, "parent": str},
                )
                table.insert(0, "student", student)
                table.insert(0, "dataset", dataset)
                frames.append(table)
    return pd.concat(frames)


def as_prompted(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the first number of worked examples and the first checkpoint of a run.

    These are what figures and tables for papers show; all others are in the summary itself.
    """
    first = summary.iloc[0]
    return summary[
        (summary["shots"] == first["shots"]) & (summary["checkpoint"] == first["checkpoint"])
    ]


def render(summary: pd.DataFrame) -> str:
    """Render the summary for a terminal: accuracy with interval, differences and costs."""
    summary = as_prompted(summary)
    shown = pd.DataFrame(
        {
            "strategy": summary["strategy"],
            "mode": summary["mode"] + (summary["mode"] == summary["trained_mode"]).map(_STAR),
            "accuracy": [_interval(row, "accuracy") for _, row in summary.iterrows()],
            "easy": summary["accuracy_easy"].map("{:.2f}".format),
            "medium": summary["accuracy_medium"].map("{:.2f}".format),
            "hard": summary["accuracy_hard"].map("{:.2f}".format),
            "vs base": [_interval(row, "vs_base") for _, row in summary.iterrows()],
            "vs distill*": [
                _interval(row, "vs_distill_as_trained") for _, row in summary.iterrows()
            ],
            "teacher tokens": summary["teacher_completion_tokens"],
        }
    )
    parts = []
    for (dataset, student), rows in shown.groupby(
        [summary["dataset"], summary["student"]], sort=False
    ):
        count = summary.loc[rows.index[0], "n"]
        parts.append(
            f"{dataset}, {student}, {count} items, 95% intervals, * = the mode it was trained for"
        )
        parts.append(rows.to_string(index=False))
    return "\n".join(parts)


def _interval(row: pd.Series, name: str) -> str:
    if pd.isna(row[name]):
        return "-"
    sign = "+" if name.startswith("vs") else ""
    return (
        f"{row[name]:{sign}.3f} [{row[f'{name}_low']:{sign}.2f}, {row[f'{name}_high']:{sign}.2f}]"
    )
