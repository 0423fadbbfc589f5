"""Margin between the two most probable answers, negated so that larger means more complex."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from caft.complexity import Distributions
from caft.complexity.values import from_column


def margin(batch: Distributions) -> list[float]:
    """Return p2 - p1 in -1..0: of the option labels, or of all tokens for open questions."""
    values = []
    for log_probs, options in zip(batch.log_probs, batch.option_log_probs, strict=True):
        first, second = (log_probs if options is None else options).exp().topk(2).values
        values.append(float(second - first))
    return values


def compute(scores: pd.DataFrame, items: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the scores' column as item_id, value, reason."""
    return from_column(scores, items, "margin", "not_scored", "no_value")
