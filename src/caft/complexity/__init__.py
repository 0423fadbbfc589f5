"""Complexity metrics: one file each, one registry; larger is more complex."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Distributions:
    """Next-token distributions of a batch of items, from one forward pass.

    Attributes:
        log_probs: over the full vocabulary, float32, shape (n_items, vocabulary).
        option_log_probs: per item, of its option labels, shape (n_options,); None for open
            questions.
        gold: per item, position of the gold option, or the first gold token of an open question.
    """

    log_probs: Any
    option_log_probs: list[Any]
    gold: list[int]


@dataclass(frozen=True)
class Metric:
    """What a metric needs and where it is stored.

    Attributes:
        needs: any of `forward` (one forward pass), `label` (reads the gold answer).
        column: of the scores table.
    """

    needs: frozenset[str]
    column: str


METRICS: dict[str, Metric] = {
    "single_token_entropy": Metric(frozenset({"forward"}), "single_token_entropy"),
    "option_entropy": Metric(frozenset({"forward"}), "option_entropy"),
    "margin": Metric(frozenset({"forward"}), "margin"),
    "cross_entropy": Metric(frozenset({"forward", "label"}), "cross_entropy"),
}
