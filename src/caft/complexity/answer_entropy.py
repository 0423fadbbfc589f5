"""Mean entropy over the gold answer's tokens. It reads the label: the answer is put in its place.

The single-token entropy of a number or a text is about its first token only, often a sign or a
first digit. This one is the mean over all its tokens, each after the true ones before it.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from caft.complexity.single_token_entropy import entropies
from caft.complexity.values import from_column


def answer_entropy(first: float, later: Any) -> float:
    """Return the mean entropy over one answer's tokens, nats.

    Args:
        first: entropy at the first token, the single-token entropy.
        later: log-probabilities at the other tokens, shape (n_tokens - 1, vocabulary); the token
            that ends the turn is no token of the answer.
    """
    return (first + float(entropies(later).sum())) / (1 + len(later))


def compute(scores: pd.DataFrame, items: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Return the scores' column as item_id, value, reason."""
    return from_column(scores, items, "answer_entropy", "not_scored", "no_value")
