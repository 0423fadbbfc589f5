"""Entropy among the option labels only."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from caft.complexity import Distributions
from caft.complexity.values import from_column


def option_entropy(batch: Distributions) -> list[float | None]:
    """Return -Σ q ln q / ln K, q the renormalised option probabilities, in 0..1; None if open."""
    values: list[float | None] = []
    for log_probs in batch.option_log_probs:
        if log_probs is None:
            values.append(None)
            continue
        q = log_probs.log_softmax(-1)
        values.append(float(-(q.exp() * q).sum() / math.log(len(q))))
    return values


def compute(scores: pd.DataFrame, items: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the scores' column as item_id, value, reason."""
    return from_column(scores, items, "option_entropy", "not_scored", "open_question")
