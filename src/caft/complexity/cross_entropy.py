"""Cross-entropy of the gold answer.

It needs the gold answer, so it cannot predict mistakes on new questions.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from caft.complexity import Distributions
from caft.complexity.values import from_column


def cross_entropy(batch: Distributions) -> list[float]:
    """Return -ln p(gold), nats: of the gold label, or of an open answer's first token."""
    return [
        -float(log_probs[gold] if options is None else options[gold])
        for log_probs, options, gold in zip(
            batch.log_probs, batch.option_log_probs, batch.gold, strict=True
        )
    ]


def compute(scores: pd.DataFrame, items: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the scores' column as item_id, value, reason."""
    return from_column(scores, items, "cross_entropy", "not_scored", "no_value")
