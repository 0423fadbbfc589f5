"""What a judge says that an item demands, as a number; the gold answer is not read.

The levels are ordered, not measured: only their order means something. Source: arXiv 2503.01688,
2506.21220, with the levels of `caft.complexity.judge_questions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caft.complexity import Metric
from caft.complexity.values import explained, rows_of

if TYPE_CHECKING:
    import pandas as pd

    from caft.complexity import Compute
    from caft.complexity.settings import MetricSettings


def education_level(
    table: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return the level of education: 0 high school and easier, 1 undergraduate, 2 graduate, 3 post.

    Args:
        table: a judgements table.
        items: the items that want a value.
        settings: none.

    Returns:
        item_id, value, reason; a row per item in their order. Where the judgement is not `ok`, the
        value is null and the reason its status, or `not_judged`.
    """
    return _levels(table, items, "education_level")


def reasoning_steps(
    table: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return the amount of reasoning: 0 low, 1 medium, 2 high; as `education_level` otherwise."""
    return _levels(table, items, "reasoning_steps")


def _levels(table: pd.DataFrame, items: pd.DataFrame, question: str) -> pd.DataFrame:
    from caft.complexity.judge_questions import QUESTIONS

    rows = rows_of(table[table["question"] == question], items)
    number = {name: float(place) for place, name in enumerate(QUESTIONS[question].levels)}
    return explained(rows["label"].map(number), rows["status"], "not_judged", "unknown_level")


def _metric(compute: Compute, question: str) -> Metric:
    return Metric(frozenset({"judge"}), "judgements", compute, "level", question=question)


METRICS = {
    "judge_education_level": _metric(education_level, "education_level"),
    "judge_reasoning_steps": _metric(reasoning_steps, "reasoning_steps"),
}
