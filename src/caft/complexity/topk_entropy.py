"""Entropy from the top-k log-probabilities of an endpoint; never mixed with full-vocabulary ones.

An endpoint tells the k most probable first tokens only (k is 20 at most, as a rule). What the
others contribute is unknown, so the value is a lower bound, and the covered mass says how much of
the distribution was seen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from caft.complexity import Metric
from caft.complexity.values import explained, rows_of
from caft.prompting.thought import answer_start, split_thought

if TYPE_CHECKING:
    import pandas as pd

    from caft.complexity.settings import MetricSettings


def compute(table: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings) -> pd.DataFrame:
    """Return a lower bound of the first token's entropy, nats, with the covered mass.

    Args:
        table: item_id with `top_logprobs` (list of natural logarithms) or with `raw` (what the
            endpoint answered, JSON text or parsed); a row per item.
        items: the items that want a value.
        settings: none.

    Returns:
        item_id, value, reason, covered_mass (0..1). The reason is `no_logprobs` where the answer
        has none, `not_asked` without an answer.
    """
    import pandas as pd

    rows = rows_of(table, items)
    lists = rows["raw"].map(first_logprobs) if "raw" in rows else rows["top_logprobs"]
    bounds = [entropy_bound(values) for values in lists]
    status = pd.Series("ok", index=table["item_id"]).reindex(rows.index)
    value = pd.Series([bound for bound, _ in bounds], index=rows.index, dtype=float)
    found = explained(value, status, "not_asked", "no_logprobs")
    return found.assign(covered_mass=[mass for _, mass in bounds])


def entropy_bound(logprobs: Any) -> tuple[float, float]:
    """Return a lower bound of the entropy, nats, and the probability of the listed tokens.

    The listed tokens contribute -Σ p ln p. The others share r = 1 - Σ p; each has at most the
    smallest listed probability and at most r, so they contribute -r ln min(p_k, r) or more. Without
    that part an item whose probability is spread over thousands of tokens would look easy.

    Args:
        logprobs: of the most probable tokens, in any order; None or empty where unknown. What is no
            finite number stands for nothing, and so does -9999, for "hardly ever".

    Returns:
        (NaN, NaN) where they are unknown.
    """
    import numpy as np

    if np.ndim(logprobs) != 1 or not np.size(logprobs):
        return float("nan"), float("nan")
    finite = np.asarray(logprobs, dtype=float)
    p = np.exp(np.minimum(finite[np.isfinite(finite)], 0.0))
    p = p[p > 0]
    if not p.size:
        return float("nan"), float("nan")
    rest = max(0.0, 1.0 - p.sum())
    bound = -(p * np.log(p)).sum()
    if rest > 0:
        bound -= rest * np.log(min(p.min(), rest))
    return float(bound) + 0.0, float(min(p.sum(), 1.0))


def first_logprobs(raw: Any) -> list[float] | None:
    """Return the top log-probabilities at the first token of an OpenAI-style answer.

    Tokens of a thought before the answer do not count, nor do tokens that are white space.

    Args:
        raw: a chat completion as JSON text or parsed, requested with `logprobs` and
            `top_logprobs`.

    Returns:
        None where it has none.
    """
    try:
        choice = (json.loads(raw) if isinstance(raw, str) else raw)["choices"][0]
        entries = [entry for entry in choice["logprobs"]["content"] if isinstance(entry, dict)]
        top = entries[_first_of_answer(entries, choice.get("message") or {})]["top_logprobs"]
        found = [_number(entry.get("logprob")) for entry in top]
    except (TypeError, KeyError, IndexError, AttributeError, ValueError, RecursionError):
        return None
    return [number for number in found if number is not None] or None


def _first_of_answer(entries: list[dict[str, Any]], message: dict[str, Any]) -> int:
    """Return which token the answer begins with.

    Raises:
        ValueError: if no answer was begun.
    """
    texts = [str(entry.get("token") or "") for entry in entries]
    written = "".join(texts)
    content = message.get("content")
    answer = (split_thought(content)[1] or "") if isinstance(content, str) else ""
    start = answer_start(written)
    if answer.strip() and (
        start is None or not written[start:].lstrip().startswith(answer.strip())
    ):
        # Thinking without marks is among the tokens, or marks that were left out of the content.
        found = written.rfind(answer.strip())
        start = found if found >= 0 else start
    is_read = bool(message) and not isinstance(content, list)
    if start is None or (is_read and not answer.strip()):
        raise ValueError("no answer was begun")
    end = 0
    for place, text in enumerate(texts):
        end += len(text)
        if end > start and (text.strip() or not written.strip()):
            return place
    return 0


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


METRIC = Metric(frozenset({"topk"}), "topk", compute)
