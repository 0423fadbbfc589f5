"""Single-token answer entropy (Goncharov et al., arXiv 2506.21220)."""

from typing import Any

from caft.complexity import Distributions


def single_token_entropy(batch: Distributions) -> Any:
    """Return h = -Σ p ln p over the full vocabulary, nats, shape (n_items,)."""
    log_probs = batch.log_probs
    return -(log_probs.exp() * log_probs).sum(-1)
