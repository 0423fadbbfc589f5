"""Metrics of the next-token distribution: the forward pass computes them, a column of scores each.

`cross_entropy` and `answer_entropy` need the answer, so they cannot predict mistakes on new
questions.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    """Next-token distributions of a batch of items, from one forward pass, on its device.

    Attributes:
        log_probs: over the full vocabulary, float32, shape (n_items, vocabulary).
        options: log-probabilities of the option labels, shape (n_items, most options): -inf behind
            the last one of an item, and for open questions.
        gold: position of the gold option, or the first gold token of an open question, shape
            (n_items,).
        later: logits at the other tokens of open answers, shape (n_tokens, vocabulary); the token
            that ends the turn is no token of the answer.
        later_of: the item of each of them, shape (n_tokens,).
    """

    log_probs: Any
    options: Any
    gold: Any
    later: Any = None
    later_of: Any = None

    @cached_property
    def entropies(self) -> Any:
        """Entropy over the full vocabulary, nats, per item."""
        return entropies(self.log_probs)

    @cached_property
    def counts(self) -> Any:
        """Number of options, per item; 0 for open questions."""
        return self.options.isfinite().sum(-1)

    def chosen(self, of_options: Any, of_open: Any) -> Any:
        """Take the first for items with options, the second for open questions."""
        return of_options.where(self.counts > 0, of_open)


def entropies(log_probs: Any) -> Any:
    """Return -Σ p ln p over the last dimension, nats."""
    return -(log_probs.exp() * log_probs).sum(-1)


def single_token_entropy(batch: Distributions) -> Any:
    """Return h = -Σ p ln p over the full vocabulary, nats (Goncharov et al., arXiv 2506.21220)."""
    return batch.entropies


def option_entropy(batch: Distributions) -> Any:
    """Return -Σ q ln q / ln K, q the renormalised option probabilities, in 0..1; NaN if open."""
    q = batch.options.log_softmax(-1)
    q = q.where(batch.options.isfinite(), 0.0)  # what is no option adds 1 · 0
    found = -(q.exp() * q).sum(-1) / batch.counts.double().log().float()
    return batch.chosen(found, float("nan"))


def margin(batch: Distributions) -> Any:
    """Return p2 - p1 in -1..0: of the option labels, or of all tokens for open questions.

    The margin between the two most probable answers, negated so that larger means more complex.
    """
    found = [part.exp().topk(2).values for part in (batch.options, batch.log_probs)]
    return batch.chosen(*(values[:, 1] - values[:, 0] for values in found))


def cross_entropy(batch: Distributions) -> Any:
    """Return -ln p(gold), nats: of the gold label, or of an open answer's first token."""
    option = batch.gold.where(batch.counts > 0, 0)
    found = batch.options.gather(1, option[:, None])[:, 0]
    return -batch.chosen(found, batch.log_probs.gather(1, batch.gold[:, None])[:, 0])


def answer_entropy(batch: Distributions) -> Any:
    """Return the mean entropy over the gold answer's tokens, nats, each after the true ones before.

    The single-token entropy of a number or a text is about its first token only, often a sign or a
    first digit.
    """
    total, count = batch.entropies.double(), batch.gold.new_ones(len(batch.gold))
    if batch.later is not None:
        found = entropies(batch.later.log_softmax(-1)).double()
        total = total.index_add(0, batch.later_of, found)
        count = count.index_add(0, batch.later_of, count.new_ones(len(batch.later_of)))
    return total / count


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
