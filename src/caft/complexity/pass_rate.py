"""How seldom drawn chains of thought are right. It reads the label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caft.complexity import Metric
from caft.complexity.values import explained

if TYPE_CHECKING:
    import pandas as pd

    from caft.complexity.settings import MetricSettings


def compute(samples: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings) -> pd.DataFrame:
    """Return 1 - share of right answers among an item's samples, 0..1.

    A sample without a readable answer is wrong; one with a status other than ok does not count.

    Args:
        samples: the generations table of several samples.
        items: the items that want a value.
        settings: none.
    """
    usable = samples[samples["status"] == "ok"]
    wrong = 1 - usable["correct"].astype(bool).groupby(usable["item_id"]).mean()
    status = samples.groupby("item_id")["status"].first()
    status[wrong.index] = "ok"
    order = items["item_id"]
    return explained(wrong.reindex(order), status.reindex(order), "not_generated", "no_value")


METRIC = Metric(frozenset({"samples", "label"}), "samples", compute, "share wrong")
