"""How well each complexity metric ranks the items that the scored student got wrong."""

from typing import Any

import pandas as pd

from caft import layout
from caft.analysis.intervals import Estimate
from caft.analysis.ranking import (
    area_doubts,
    describe_answers,
    mend,
    rank_metrics,
    unseen,
    warning,
)
from caft.config.model import Configuration
from caft.config.resolve import (
    buckets_used,
    kind_of,
    metric_table,
    own_scorer,
    prompt_of,
    scorer_of,
    source_of,
)
from caft.tables import parquet
from caft.tables.files import read_json

_COMPLEXITY = [
    "dataset", "student", "scorer", "prompt", "metric", "n", "student_accuracy", "answer_valid",
    "roc_auc", "roc_auc_low", "roc_auc_high", "chance", "commonest_answer", "valid_mass", "warning",
]  # fmt: skip


def complexity_table(config: Configuration) -> pd.DataFrame:
    """Tell how well each metric ranks the items that the scored student itself got wrong.

    Items whose answers the scored model has seen are left out. Metrics that read the label are left
    out as well: they cannot predict anything.

    Returns:
        One row per data set, student, scorer, prompt and metric. Columns are described in
        docs/summary.md.
    """
    names = sorted({config.buckets[name].metric for name in buckets_used(config)})
    rows: list[dict[str, Any]] = []
    for dataset in config.run.datasets:
        items = parquet.read("items", layout.at(layout.ITEMS, dataset=dataset))
        for student in config.run.students:
            paths = {metric_table(config, dataset, student, name): name for name in names}
            for path, name in paths.items():
                own = not config.metrics[name].model  # else another one's errors would be shown
                if path and own and source_of(config, name) == "scores":
                    prompt = prompt_of(config, name)
                    scorer = scorer_of(config, student, name)
                    where = {"dataset": dataset, "student": student}
                    where |= {"scorer": scorer, "prompt": prompt}
                    scores = unseen(parquet.read("scores", path), "." in scorer)
                    found = _rows(scores, items, mend(student, scorer, name), config.seed)
                    rows += [{**where, **row} for row in found]
    return pd.DataFrame(rows, columns=_COMPLEXITY)


def thresholds_table(config: Configuration) -> pd.DataFrame:
    """Tell what the thresholds of each bucket definition were drawn from.

    Returns:
        One row per data set, student and bucket definition. Columns are described in
        docs/summary.md.
    """
    rows = [
        _thresholds(config, dataset, student, name)
        for dataset in config.run.datasets
        for student in config.run.students
        for name in buckets_used(config)
    ]
    return pd.DataFrame(rows)


def _thresholds(config: Configuration, dataset: str, student: str, buckets: str) -> dict[str, Any]:
    where = {"dataset": dataset, "student": student, "buckets": buckets}
    metric = config.buckets[buckets].metric
    report = read_json(layout.at(layout.BUCKETS_REPORT, **where))
    table = parquet.read("metrics", layout.at(layout.METRICS, **where, metric=metric))
    behind = table[(table["split"] == "train") & table["value"].notna()]
    made = metric_table(config, dataset, student, metric)
    return {
        **where,
        "metric": metric,
        "kind": kind_of(config, metric),
        "scorer": own_scorer(config, dataset, student, metric),
        "prompt": prompt_of(config, metric) if made else None,
        "lower": report["lower"],
        "upper": report["upper"],
        "items": len(behind),
        "seen_by_warm_up": int(behind["warm_up"].eq(True).sum()),
    }


def _rows(
    scores: pd.DataFrame, items: pd.DataFrame, mended: str, seed: int
) -> list[dict[str, Any]]:
    answered = describe_answers(scores, items)
    if answered is None:
        return []
    found = {
        "chance": answered.chance,
        "commonest_answer": answered.commonest_share,
        "valid_mass": answered.valid_mass,
    }
    rows = rank_metrics(scores, seed)
    for row in rows:
        area = Estimate(row["roc_auc"], row["roc_auc_low"], row["roc_auc_high"])
        doubts = [*area_doubts(row["metric"], area), *answered.doubts()]
        row |= {**found, "warning": warning(doubts, mended)}
    return rows
