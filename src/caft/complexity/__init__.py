"""Complexity metrics: one file each (or per family), one registry; larger is more complex."""

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
    """What a metric needs, and how its values come out of which table.

    Attributes:
        needs: any of `forward` (one forward pass), `generation` (one greedy chain of thought),
            `samples` (several drawn ones), `label` (reads the gold answer), `rationale` (reads the
            reference rationale where there is one), `judge`, `topk` (log-probabilities of an
            endpoint), `import` (a file of the user's).
        source: the table it is computed from: scores, generations, samples, likelihoods,
            judgements, topk or imported.
        compute: `module:function`, called with (table, items, settings); returns item_id, value and
            reason, a row per item in their order.
        unit: of its values.
    """

    needs: frozenset[str]
    source: str
    compute: str
    unit: str


def _metric(needs: str, source: str, compute: str, unit: str = "nats") -> Metric:
    return Metric(frozenset(needs.split()), source, f"caft.complexity.{compute}", unit)


METRICS: dict[str, Metric] = {
    "single_token_entropy": _metric("forward", "scores", "single_token_entropy:compute"),
    "option_entropy": _metric("forward", "scores", "option_entropy:compute", "share of ln K"),
    "margin": _metric("forward", "scores", "margin:compute", "probability"),
    "cross_entropy": _metric("forward label", "scores", "cross_entropy:compute"),
    "answer_entropy": _metric("forward label", "scores", "answer_entropy:compute"),
    "cot_mean": _metric("generation", "generations", "cot:mean"),
    "cot_max": _metric("generation", "generations", "cot:maximum"),
    "cot_answer_entropy": _metric("generation", "generations", "cot:answer_entropy"),
    "cot_max_minus_answer": _metric("generation", "generations", "cot:max_minus_answer"),
    "cot_probability_gap": _metric(
        "generation", "generations", "cot:probability_gap", "probability"
    ),
    "cot_sentence_mean_of_means": _metric(
        "generation", "generations", "cot:sentence_mean_of_means"
    ),
    "cot_sentence_max_of_means": _metric("generation", "generations", "cot:sentence_max_of_means"),
    "cot_sentence_mean_of_maxes": _metric(
        "generation", "generations", "cot:sentence_mean_of_maxes"
    ),
    "cot_mix": _metric("generation", "generations", "cot:mix"),
    "reasoning_length": _metric("generation", "generations", "cot:reasoning_length", "tokens"),
    "pass_rate": _metric("samples label", "samples", "pass_rate:compute", "share wrong"),
    "ifd": _metric("forward label rationale", "likelihoods", "ifd:compute", "ratio of losses"),
    "topk_entropy": _metric("topk", "topk", "topk_entropy:compute"),
    "judge_education_level": _metric("judge", "judgements", "judged:education_level", "level"),
    "judge_reasoning_steps": _metric("judge", "judgements", "judged:reasoning_steps", "level"),
    "imported": _metric("import", "imported", "imported:compute", "as in the file"),
}
