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
from caft.config.resolve import buckets_used, metric_table, prompt_of, scorer_of, source_of
from caft.tables import parquet


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
                if path and source_of(config, name) == "scores":
                    prompt = prompt_of(config, name)
                    scorer = scorer_of(config, student, name)
                    where = {"dataset": dataset, "student": student}
                    where |= {"scorer": scorer, "prompt": prompt}
                    scores = unseen(parquet.read("scores", path), "." in scorer)
                    found = _rows(scores, items, mend(student, scorer, name), config.seed)
                    rows += [{**where, **row} for row in found]
    return pd.DataFrame(rows)


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
