"""How well each complexity metric ranks the items that the scored student got wrong."""

from typing import Any

import pandas as pd

from caft.analysis.intervals import roc_auc
from caft.complexity import METRICS
from caft.config.model import Configuration
from caft.config.resolve import buckets_used, metric_table, prompt_of, scorer_of, source_of
from caft.tables import parquet


def complexity_table(config: Configuration) -> pd.DataFrame:
    """Tell how well each metric ranks the items that the scored student itself got wrong.

    Items whose answers the scored model has seen are left out: those of the warm-up sample, and for
    a model that a strategy has trained all but the test split. Metrics that read the label are left
    out as well: they cannot predict anything.

    Returns:
        One row per data set, student, scorer, prompt and metric: n, the student's accuracy, ROC AUC
        with interval.
    """
    names = sorted({config.buckets[name].metric for name in buckets_used(config)})
    rows: list[dict[str, Any]] = []
    for dataset in config.run.datasets:
        for student in config.run.students:
            paths = {metric_table(config, dataset, student, name): name for name in names}
            for path, name in paths.items():
                if path and source_of(config, name) == "scores":
                    prompt = prompt_of(config, name)
                    scorer = scorer_of(config, student, name)
                    where = {"dataset": dataset, "student": student}
                    where |= {"scorer": scorer, "prompt": prompt}
                    scores = parquet.read("scores", path)
                    if "." in scorer:
                        scores = scores[scores["split"] == "test"]
                    rows += [{**where, **row} for row in rank_metrics(scores, config.seed)]
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
                **roc_auc(known[name], wrong, seed=seed).named("roc_auc"),
            }
        )
    return rows
