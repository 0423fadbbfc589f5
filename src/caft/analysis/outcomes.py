"""Which items a student got wrong, from the table that says so."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from caft.analysis.metric_tables import calibration, wrong_answers
from caft.tables import parquet


def read_outcome(path: str | Path) -> pd.Series:
    """Read whether each item was answered wrong, by item_id; unanswered items are absent.

    Args:
        path: a scores table, with the student's own answers; or a metrics table of an imported
            column that is 1 for a right answer and 0 for a wrong one.
    """
    if is_scores(path):
        return wrong_answers(parquet.read("scores", path))
    table = parquet.read("metrics", path)
    return wrong_answers(table.rename(columns={"value": "correct"}))


def read_calibration(
    path: str | Path, items: pd.DataFrame, left_out: Collection[str], split: str | None
) -> pd.DataFrame:
    """Read a scores table for `metric_tables.calibration`; from any other table comes no row."""
    scores = (
        parquet.read("scores", path)
        if is_scores(path)
        else pd.DataFrame(columns=parquet.SCHEMAS["scores"].names)
    )
    return calibration(scores, items, left_out, split=split)


def is_scores(path: str | Path) -> bool:
    """Tell whether a table is a student's scores, and not an imported column."""
    return bool(parquet.footer(path)["table"] == "scores")
