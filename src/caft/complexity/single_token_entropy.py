"""Single-token answer entropy (Goncharov et al., arXiv 2506.21220)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from caft.complexity import Distributions
from caft.complexity.values import from_column


def entropies(log_probs: Any) -> Any:
    """Return -Σ p ln p over the last dimension, nats."""
    return -(log_probs.exp() * log_probs).sum(-1)


def single_token_entropy(batch: Distributions) -> Any:
    """Return h = -Σ p ln p over the full vocabulary, nats, shape (n_items,)."""
    return entropies(batch.log_probs)


def compute(scores: pd.DataFrame, items: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the scores' column as item_id, value, reason."""
    return from_column(scores, items, "single_token_entropy", "not_scored", "no_value")
