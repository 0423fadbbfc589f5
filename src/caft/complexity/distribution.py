"""Metrics of the next-token distribution: the forward pass computes them, a column of scores each.

`cross_entropy` and `answer_entropy` need the answer, so they cannot predict mistakes on new
questions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from caft.complexity import Metric
from caft.complexity.values import from_column

if TYPE_CHECKING:
    import pandas as pd

    from caft.complexity import InPass
    from caft.complexity.settings import MetricSettings


@dataclass(frozen=True)
class Distributions:
    """Next-token distributions of a batch of items, from one forward pass.

    Attributes:
        log_probs: over the full vocabulary, float32, shape (n_items, vocabulary).
        option_log_probs: per item, of its option labels, shape (n_options,); None for open
            questions.
        gold: per item, position of the gold option, or the first gold token of an open question.
        later: per item, logits at the answer's other tokens, shape (n_tokens - 1, vocabulary); the
            token that ends the turn is no token of the answer.
    """

    log_probs: Any
    option_log_probs: list[Any]
    gold: list[int]
    later: list[Any] = field(default_factory=list)

    @cached_property
    def entropies(self) -> list[float]:
        """Entropy over the full vocabulary, nats, per item."""
        found: list[float] = entropies(self.log_probs).tolist()
        return found


def entropies(log_probs: Any) -> Any:
    """Return -Σ p ln p over the last dimension, nats."""
    return -(log_probs.exp() * log_probs).sum(-1)


def single_token_entropy(batch: Distributions) -> list[float | None]:
    """Return h = -Σ p ln p over the full vocabulary, nats (Goncharov et al., arXiv 2506.21220)."""
    return [*batch.entropies]


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


def margin(batch: Distributions) -> list[float | None]:
    """Return p2 - p1 in -1..0: of the option labels, or of all tokens for open questions.

    The margin between the two most probable answers, negated so that larger means more complex.
    """
    values: list[float | None] = []
    for log_probs, options in zip(batch.log_probs, batch.option_log_probs, strict=True):
        first, second = (log_probs if options is None else options).exp().topk(2).values
        values.append(float(second - first))
    return values


def cross_entropy(batch: Distributions) -> list[float | None]:
    """Return -ln p(gold), nats: of the gold label, or of an open answer's first token."""
    return [
        -float(log_probs[gold] if options is None else options[gold])
        for log_probs, options, gold in zip(
            batch.log_probs, batch.option_log_probs, batch.gold, strict=True
        )
    ]


def answer_entropy(batch: Distributions) -> list[float | None]:
    """Return the mean entropy over the gold answer's tokens, nats, each after the true ones before.

    The single-token entropy of a number or a text is about its first token only, often a sign or a
    first digit.
    """
    return [
        (first + float(entropies(later.log_softmax(-1)).sum())) / (1 + len(later))
        for first, later in zip(batch.entropies, batch.later, strict=True)
    ]


def _metric(
    in_pass: InPass, needs: str = "forward", unit: str = "nats", otherwise: str = "no_value"
) -> Metric:
    """Declare a metric that is the column of the scores that has the function's name."""
    column = in_pass.__name__

    def compute(
        scores: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
    ) -> pd.DataFrame:
        return from_column(scores, items, column, "not_scored", otherwise)

    return Metric(frozenset(needs.split()), "scores", compute, unit, in_pass)


METRICS = {
    "single_token_entropy": _metric(single_token_entropy),
    "option_entropy": _metric(option_entropy, unit="share of ln K", otherwise="open_question"),
    "margin": _metric(margin, unit="probability"),
    "cross_entropy": _metric(cross_entropy, "forward label"),
    "answer_entropy": _metric(answer_entropy, "forward label"),
}
