"""The comparison: one row per data set, student, strategy and mode, with intervals and costs."""

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from caft import __version__, tables
from caft.buckets import BUCKETS
from caft.complexity import METRICS
from caft.config import buckets_used, metric_of, metric_table
from caft.files import read_json
from caft.mixtures import parts_of
from caft.statistics import Estimate, accuracy_interval, paired_difference, roc_auc
from caft.teacher.spend import paid_answers, total_cost

_REFERENCES = ("base", "sft", "distill", "random_same_size")
_STAR = {True: "*", False: ""}
_LIBRARIES = (
    "snakemake",
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "pandas",
    "numpy",
    "pyarrow",
)


def summarize(config: dict[str, Any]) -> pd.DataFrame:
    """Compare all strategies of a run, reading the tables that the run has written.

    Args:
        config: the prepared configuration.

    Returns:
        One row per data set, student, strategy and mode; columns are described in docs/summary.md.
    """
    run = config["run"]
    rows = [
        row
        for dataset in run["datasets"]
        for student in run["students"]
        for row in _Pair(config, dataset, student).rows()
    ]
    return pd.DataFrame(rows)


class _Pair:
    """Everything known about one student on one data set."""

    def __init__(self, config: dict[str, Any], dataset: str, student: str):
        self.config, self.dataset, self.student = config, dataset, student
        self.plan = read_json(f"data/mixtures/{dataset}/{student}/plan.json")
        self.modes = config["run"]["modes"]
        self.predictions = {
            (model, mode): tables.read(
                "predictions", self._prediction_path(model, mode, "parquet")
            ).set_index("item_id")
            for model in {strategy["final"] for strategy in self.plan.values()}
            for mode in self.modes
        }

    def _prediction_path(self, model: str, mode: str, suffix: str) -> str:
        return f"results/predictions/{self.dataset}/{self.student}/{model}.{mode}.{suffix}"

    def rows(self) -> list[dict[str, Any]]:
        names = self.config["run"]["strategies"]
        return [self._row(name, mode) for name in names for mode in self.modes]

    def _row(self, name: str, mode: str) -> dict[str, Any]:
        strategy = self.plan[name]
        predictions = self.predictions[strategy["final"], mode]
        return {
            "dataset": self.dataset,
            "student": self.student,
            "strategy": name,
            "mode": mode,
            "trained_mode": strategy["trained_mode"],
            "n": len(predictions),
            **_spread("accuracy", accuracy_interval(predictions["correct"])),
            **self._by_bucket(predictions, strategy["buckets"]),
            "invalid_rate": float(predictions["invalid"].mean()),
            **self._differences(predictions, mode),
            **self._costs(name, mode),
            "model": strategy["final"],
            "seed": self.config["seed"],
        }

    def _by_bucket(self, predictions: pd.DataFrame, buckets: str) -> dict[str, Any]:
        table = tables.read(
            "buckets", f"data/buckets/{self.dataset}/{self.student}/{buckets}.parquet"
        )
        bucket = table.set_index("item_id")["bucket"].reindex(predictions.index)
        shares: dict[str, Any] = {}
        for name in BUCKETS:
            correct = predictions["correct"][bucket == name]
            shares.update(_spread(f"accuracy_{name}", accuracy_interval(correct)))
        return {**shares, **{f"n_{name}": int((bucket == name).sum()) for name in BUCKETS}}

    def _differences(self, predictions: pd.DataFrame, mode: str) -> dict[str, float]:
        """Paired differences to the references: asked alike, and asked as each was trained."""
        found: dict[str, float] = {}
        for reference in _REFERENCES:
            other = self.plan.get(reference)
            trained = other["trained_mode"] if other else mode
            pairs = [(f"vs_{reference}", mode)]
            if reference != "base":
                pairs.append((f"vs_{reference}_as_trained", trained))
            for name, other_mode in pairs:
                known = other and (other["final"], other_mode) in self.predictions
                estimate = (
                    self._paired(predictions, self.predictions[other["final"], other_mode])
                    if other and known
                    else Estimate(float("nan"), float("nan"), float("nan"))
                )
                found.update(_spread(name, estimate))
        return found

    def _paired(self, predictions: pd.DataFrame, other: pd.DataFrame) -> Estimate:
        reference = other["correct"].reindex(predictions.index)
        return paired_difference(predictions["correct"], reference, self.config["seed"])

    def _costs(self, name: str, mode: str) -> dict[str, Any]:
        strategy = self.plan[name]
        stages = strategy["stages"]
        records = [read_json(f"results/models/{stage['model']}/model.json") for stage in stages]
        return {
            "items": len({item for stage in stages for item in stage["item_ids"]}),
            "target_tokens_one_pass": sum(stage["target_tokens_one_pass"] for stage in stages),
            "target_tokens": sum(stage["target_tokens"] for stage in stages),
            "all_tokens": sum(stage["all_tokens"] for stage in stages),
            **self._teacher_costs(strategy),
            **self._scoring_costs(name),
            "train_seconds": sum(record["seconds"] for record in records),
            "evaluate_seconds": read_json(
                self._prediction_path(strategy["final"], mode, "run.json")
            )["seconds"],
        }

    def _teacher_costs(self, strategy: dict[str, Any]) -> dict[str, Any]:
        """What the strategy's own items cost at the teacher, rejected answers included."""
        asked = pd.DataFrame(columns=tables.SCHEMAS["rationales"].names)
        if strategy["teacher"]:
            table = tables.read(
                "rationales",
                f"data/rationales/{self.dataset}/{self.student}/{strategy['teacher']}.parquet",
            )
            asked = paid_answers(table[table["item_id"].isin(strategy["wanted"])])
        return {
            "teacher_requests": len(asked),
            "teacher_prompt_tokens": int(asked["prompt_tokens"].sum()),
            "teacher_completion_tokens": int(asked["completion_tokens"].sum()),
            "cost_usd": total_cost(asked),
        }

    def _scoring_costs(self, name: str) -> dict[str, Any]:
        """What knowing the complexity cost; nothing for strategies that do not use it."""
        strategy = self.config["strategies"][name]
        names = (
            "score_seconds",
            "warm_up_items",
            "warm_up_target_tokens",
            "warm_up_all_tokens",
            "warm_up_seconds",
        )
        if not uses_complexity(strategy) and strategy["start"] != "warm_up":
            return dict.fromkeys(names, 0)
        metric = self.config["buckets"][strategy["buckets"]]["metric"]
        source = metric_table(self.config, self.dataset, self.student, metric)
        run: dict[str, Any] = {"seconds": 0, "warm_up": {}}
        if source:
            run = read_json(source.with_suffix(".run.json"))
        warm_up = [
            run["warm_up"].get(key, 0) for key in ("rows", "target_tokens", "all_tokens", "seconds")
        ]
        return dict(zip(names, [run["seconds"], *warm_up], strict=True))


def uses_complexity(strategy: dict[str, Any]) -> bool:
    """Tell whether a strategy treats buckets differently, so that items must be scored."""
    if strategy["membership"] == "random":
        return False
    return any(
        set(part["buckets"]) != set(BUCKETS)
        for stage in strategy["stages"]
        for part in parts_of(stage)
    )


def _spread(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def complexity_table(config: dict[str, Any]) -> pd.DataFrame:
    """Tell how well each metric ranks the items that the scored student itself got wrong.

    Items of the warm-up sample are left out: the student has seen their answers. Metrics that read
    the label
    are left out as well: they cannot predict anything.

    Returns:
        One row per data set, student, prompt and metric: n, the student's accuracy, ROC AUC with
        interval.
    """
    names = sorted({config["buckets"][name]["metric"] for name in buckets_used(config)})
    rows: list[dict[str, Any]] = []
    for dataset in config["run"]["datasets"]:
        for student in config["run"]["students"]:
            paths = {metric_table(config, dataset, student, name): name for name in names}
            for path, name in paths.items():
                if path and path.parts[1] == "scores":
                    prompt = metric_of(config, name)["prompt"]
                    where = {"dataset": dataset, "student": student, "prompt": prompt}
                    rows += [
                        {**where, **row}
                        for row in rank_metrics(tables.read("scores", path), config["seed"])
                    ]
    return pd.DataFrame(rows)


def rank_metrics(scores: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Return the ROC AUC of each label-free metric against the student's own errors."""
    usable = scores[(scores["status"] == "ok") & ~scores["warm_up"]]
    rows = []
    for name, metric in METRICS.items():
        if metric.source != "scores" or "label" in metric.needs:
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
            table = pd.read_csv(
                f"data/mixtures/{dataset}/{student}/index.csv", dtype={"model": str, "parent": str}
            )
            table.insert(0, "student", student)
            table.insert(0, "dataset", dataset)
            frames.append(table)
    return pd.concat(frames)


def provenance(config: dict[str, Any]) -> dict[str, Any]:
    """Describe what made the results: config, versions, hashes of inputs, machine."""
    run = config["run"]
    return {
        "caft": __version__,
        "commit": _commit(),
        "config": config,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "datasets": {
            name: {
                **tables.footer(f"data/items/{name}.parquet"),
                "report": read_json(f"data/items/{name}.report.json"),
            }
            for name in run["datasets"]
        },
        "students": {
            name: read_json(f"data/models/{name}/student.json") for name in run["students"]
        },
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def render(summary: pd.DataFrame) -> str:
    """Render the summary for a terminal: accuracy with interval, differences and costs."""
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
