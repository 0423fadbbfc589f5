"""Aggregates of the token statistics of one greedy chain of thought (arXiv 2506.21220).

All tokens of the text count, the marked answer's among them; the token that ends the turn does not.
A text that was cut counts as far as it goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caft.complexity import Metric
from caft.complexity.settings import MetricSettings, Weights
from caft.complexity.values import explained, rows_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from caft.complexity import Compute

_EQUAL = Weights(mean=1 / 3, max=1 / 3, answer=1 / 3)


def mean(generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings) -> pd.DataFrame:
    """Return the mean entropy of the tokens, nats."""
    return _of_texts(generations, items, lambda row: row.entropies.mean())


def maximum(
    generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return the largest entropy of a token, nats."""
    return _of_texts(generations, items, lambda row: row.entropies.max())


def answer_entropy(
    generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return the entropy where the text inside the first `[[...]]` begins, nats; null without."""
    return _of_texts(generations, items, _answer, "no_answer")


def max_minus_answer(
    generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return |largest entropy - entropy at the answer|, nats; null without a marked answer."""
    return _of_texts(
        generations, items, lambda row: abs(row.entropies.max() - _answer(row)), "no_answer"
    )


def probability_gap(
    generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return the mean of 1 - (p1 - p2), 0..1.

    The gap between the two most probable tokens is large where the student is sure; taken from 1,
    larger means more complex as everywhere.
    """
    return _of_texts(generations, items, lambda row: 1 - row.gaps.mean())


def sentence_mean_of_means(
    generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return the mean over sentences of their mean entropy, nats."""
    return _of_texts(
        generations, items, lambda row: _mean([part.mean() for part in _sentences(row)])
    )


def sentence_max_of_means(
    generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return the largest mean entropy of a sentence, nats."""
    return _of_texts(generations, items, lambda row: max(part.mean() for part in _sentences(row)))


def sentence_mean_of_maxes(
    generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return the mean over sentences of their largest entropy, nats."""
    return _of_texts(
        generations, items, lambda row: _mean([part.max() for part in _sentences(row)])
    )


def mix(generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings) -> pd.DataFrame:
    """Return a weighted sum of mean, largest and answer entropy, nats.

    Args:
        generations: the generations table.
        items: the items that want a value.
        settings: `weights` of `mean`, `max` and `answer`, a third each where there are none. One
            that is left out is 0; with `answer` 0 no marked answer is needed.
    """
    given = settings.weights
    weights = given if given and given.plain() else _EQUAL

    def mixed(row: Any) -> float:
        value = (weights.mean or 0) * row.entropies.mean()
        value += (weights.max or 0) * row.entropies.max()
        return value + weights.answer * _answer(row) if weights.answer else value

    return _of_texts(generations, items, mixed, "no_answer")


def reasoning_length(
    generations: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return the number of generated tokens; of a text that was cut, where it was cut."""
    rows = rows_of(generations, items)
    value = rows["tokens"].map(len, na_action="ignore")
    return explained(value, rows["status"], "not_generated", "no_tokens")


def _of_texts(
    generations: pd.DataFrame,
    items: pd.DataFrame,
    measure: Callable[[Any], float],
    otherwise: str = "no_tokens",
) -> pd.DataFrame:
    """Apply a measure, NaN where it does not exist, to every text with tokens.

    Returns:
        item_id, value, reason; the reason is the status of a text that has no statistics,
        `no_tokens` if nothing was written, `not_generated` without a text, else `otherwise`.
    """
    import numpy as np
    import pandas as pd

    rows = rows_of(generations, items)
    written = (rows["status"] == "ok") & rows["tokens"].map(len, na_action="ignore").gt(0)
    measured = [float(measure(row)) for row in rows[written].itertuples()]
    value = pd.Series(measured, index=rows.index[written], dtype=float).reindex(rows.index)
    reason = pd.Series(np.where(written, otherwise, "no_tokens"), index=rows.index)
    return explained(value, rows["status"], "not_generated", reason)


def _answer(row: Any) -> float:
    import pandas as pd

    return float("nan") if pd.isna(row.answer_start) else row.entropies[int(row.answer_start)]


def _sentences(row: Any) -> list[np.ndarray]:
    import numpy as np

    return np.split(row.entropies, row.sentence_ends[:-1])


def _mean(values: list[Any]) -> float:
    import numpy as np

    return float(np.mean(values))


def _metric(compute: Compute, unit: str = "nats") -> Metric:
    return Metric(frozenset({"generation"}), "generations", compute, unit)


METRICS = {
    "cot_mean": _metric(mean),
    "cot_max": _metric(maximum),
    "cot_answer_entropy": _metric(answer_entropy),
    "cot_max_minus_answer": _metric(max_minus_answer),
    "cot_probability_gap": _metric(probability_gap, "probability"),
    "cot_sentence_mean_of_means": _metric(sentence_mean_of_means),
    "cot_sentence_max_of_means": _metric(sentence_max_of_means),
    "cot_sentence_mean_of_maxes": _metric(sentence_mean_of_maxes),
    "cot_mix": _metric(mix),
    "reasoning_length": _metric(reasoning_length, "tokens"),
}
