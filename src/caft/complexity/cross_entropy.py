"""Cross-entropy of the gold answer. It reads the label: never a predictor of correctness."""

from caft.complexity import Distributions


def cross_entropy(batch: Distributions) -> list[float]:
    """Return -ln p(gold), nats: of the gold label, or of an open answer's first token."""
    return [
        -float(log_probs[gold] if options is None else options[gold])
        for log_probs, options, gold in zip(
            batch.log_probs, batch.option_log_probs, batch.gold, strict=True
        )
    ]
