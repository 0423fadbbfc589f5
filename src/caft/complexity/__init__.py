"""Complexity metrics: one file each (or per family), one line each here; larger is more complex.

What a metric is, it says in its own file. Those import pandas, numpy and torch where they compute,
so that the configuration can be checked without them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caft.registry import Registry

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from caft.complexity.distribution import Distributions
    from caft.complexity.settings import MetricSettings

    Compute = Callable[[pd.DataFrame, pd.DataFrame, MetricSettings], pd.DataFrame]
    InPass = Callable[[Distributions], Tensor]


@dataclass(frozen=True)
class Metric:
    """What a metric needs, and how its values come out of which table.

    Attributes:
        needs: any of `forward` (one forward pass), `generation` (one greedy chain of thought),
            `samples` (several drawn ones), `label` (reads the gold answer), `rationale` (reads the
            reference rationale where there is one), `judge`, `topk` (log-probabilities of an
            endpoint), `import` (a file of the user's), `column` (of the items themselves),
            `metrics` (others).
        source: the table it is computed from: scores, generations, samples, likelihoods,
            judgements, topk, imported, items or metrics.
        compute: called with (table, items, settings); returns item_id, value and reason, a row per
            item in their order.
        unit: of its values.
        in_pass: where the forward pass itself computes it, what does so, for a batch on its device:
            its values, shape (n_items,), NaN where there is none, are the column of the scores
            table that has the metric's name.
        question: what a judge is asked for it, a key of `caft.complexity.judge_questions`.
    """

    needs: frozenset[str]
    source: str
    compute: "Compute"
    unit: str = "nats"
    in_pass: "InPass | None" = None
    question: str | None = None


METRICS: Registry[Metric] = Registry(
    __name__,
    "METRIC",
    {
        "single_token_entropy": ".distribution:METRICS",
        "option_entropy": ".distribution:METRICS",
        "margin": ".distribution:METRICS",
        "cross_entropy": ".distribution:METRICS",
        "answer_entropy": ".distribution:METRICS",
        "cot_mean": ".cot:METRICS",
        "cot_max": ".cot:METRICS",
        "cot_answer_entropy": ".cot:METRICS",
        "cot_max_minus_answer": ".cot:METRICS",
        "cot_probability_gap": ".cot:METRICS",
        "cot_sentence_mean_of_means": ".cot:METRICS",
        "cot_sentence_max_of_means": ".cot:METRICS",
        "cot_sentence_mean_of_maxes": ".cot:METRICS",
        "cot_mix": ".cot:METRICS",
        "reasoning_length": ".cot:METRICS",
        "pass_rate": ".pass_rate",
        "ifd": ".ifd",
        "topk_entropy": ".topk_entropy",
        "judge_education_level": ".judged:METRICS",
        "judge_reasoning_steps": ".judged:METRICS",
        "imported": ".imported",
        "column": ".column",
        "combine": ".combine",
    },
)
"""Every metric by its name in the config, with the module that declares it."""
