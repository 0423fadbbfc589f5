"""The whole analysis of one student on one data set: what is read, and every table made of it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from caft.analysis import metric_tables
from caft.analysis.metric_tables import ALL, Judging
from caft.analysis.outcomes import read_calibration, read_outcome
from caft.tables import parquet


@dataclass(frozen=True)
class Study:
    """The metrics of a student on a data set, and what it got wrong.

    Attributes:
        metrics: metrics tables by name, in the order of the config.
        outcome: path of the table that says which items are wrong.
        wrong: what it says, from `caft.analysis.metric_tables.wrong_answers`.
        reads_label: metrics that read the gold answer.
        split: the split that is judged; None for all.
    """

    metrics: dict[str, pd.DataFrame]
    outcome: str
    wrong: pd.Series
    reads_label: Collection[str]
    split: str | None


def read_study(
    metrics: Mapping[str, str], outcome: str, reads_label: Collection[str], split: str | None
) -> Study:
    """Read the tables of metrics, given as paths by name, and of the outcome; else as `Study`."""
    tables = {name: parquet.read("metrics", path) for name, path in metrics.items()}
    return Study(tables, outcome, read_outcome(outcome), reads_label, split)


def tables_of(
    study: Study, items: pd.DataFrame, buckets: pd.DataFrame, judging: Judging
) -> dict[str, pd.DataFrame]:
    """Return every table of the analysis by name (`caft.analysis.TABLES`).

    Args:
        study: the metrics, and what they are judged by.
        items: the items table.
        buckets: the buckets table.
        judging: how they are judged.
    """
    metrics, wrong, split = study.metrics, study.wrong, study.split
    labelled, seen = study.reads_label, metric_tables.warm_up_items(metrics)
    return {
        "metric_quality": metric_tables.metric_quality(
            metrics, items, wrong, judging, reads_label=labelled, split=split
        ),
        "metric_correlation": metric_tables.metric_correlation(metrics, split),
        "bucket_composition": metric_tables.bucket_composition(buckets, items),
        "bucket_accuracy": metric_tables.bucket_accuracy(buckets, wrong, seen),
        "complexity_accuracy": metric_tables.complexity_accuracy(
            metrics, wrong, reads_label=labelled, split=split
        ),
        "calibration": read_calibration(study.outcome, items, seen, split),
    }


def save_tables(
    tables: Mapping[str, pd.DataFrame], folder: Path, dataset: str, student: str
) -> None:
    """Write each table as CSV and Parquet, with the data set and the student in front."""
    for name, table in tables.items():
        named = metric_tables.name_rows(table, dataset, student)
        metric_tables.save_table(named, folder / f"{name}.csv", folder / f"{name}.parquet")


def read_tables(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    """Read saved tables by name."""
    return {Path(path).stem: pd.read_parquet(path) for path in paths}


def render(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return how well each metric does overall, as text."""
    quality = tables["metric_quality"]
    shown = ["metric", "n", "n_missing", "reads_label", "roc_auc", "roc_auc_low", "roc_auc_high"]
    overall = quality.loc[quality["category"] == ALL, shown]
    return overall.to_string(index=False, float_format="%.3f")
