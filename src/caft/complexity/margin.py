"""Margin between the two most probable answers, negated so that larger means more complex."""

from caft.complexity import Distributions


def margin(batch: Distributions) -> list[float]:
    """Return p2 - p1 in -1..0: of the option labels, or of all tokens for open questions."""
    values = []
    for log_probs, options in zip(batch.log_probs, batch.option_log_probs, strict=True):
        first, second = (log_probs if options is None else options).exp().topk(2).values
        values.append(float(second - first))
    return values
