"""Instruction-following difficulty (Li et al., arXiv 2308.12032). It reads the label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caft.complexity import Metric
from caft.complexity.values import explained, rows_of

if TYPE_CHECKING:
    import pandas as pd

    from caft.complexity.settings import MetricSettings


def compute(
    likelihoods: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings
) -> pd.DataFrame:
    """Return mean loss of the target after the prompt / mean loss of the target alone.

    Near 1 and above the question does not help the student to write the target. Both means are over
    the same tokens. Null where the target alone has no loss.

    Args:
        likelihoods: the likelihoods table.
        items: the items that want a value.
        settings: none.
    """
    rows = rows_of(likelihoods, items)
    alone = rows["unconditioned"].astype(float)
    ratio = rows["conditioned"].astype(float) / alone.where(alone > 0)
    return explained(ratio, rows["status"], "not_measured", "zero_loss")


METRIC = Metric(
    frozenset({"forward", "label", "rationale"}), "likelihoods", compute, "ratio of losses"
)
