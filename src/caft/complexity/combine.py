"""A weighted sum of several metrics, of their values or of their ranks among the training items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from caft.complexity import Metric

if TYPE_CHECKING:
    import pandas as pd

    from caft.complexity.settings import MetricSettings


def joined(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Lay metrics tables end to end; a column `metric` tells them apart."""
    import pandas as pd

    return pd.concat([table.assign(metric=name) for name, table in tables.items()])


def compute(table: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings) -> pd.DataFrame:
    """Return the weighted sum; null with the reason of the first metric without a value.

    A rank is the share of the training items that are less complex, those that are equally complex
    counted by half: 0 to 1, in no unit. Items of the other splits have a rank among them as well.

    Args:
        table: from `joined`: metrics tables of all the metrics that `combine.metrics` names.
        items: the items that want a value.
        settings: `combine`.

    Returns:
        item_id, value, reason.
    """
    import pandas as pd

    combine = settings.combine
    assert combine is not None
    ids, training = items["item_id"], (items["split"] == "train").to_numpy()
    value = pd.Series(0.0, index=ids, name="value")
    reason = pd.Series(None, index=ids, name="reason", dtype=object)
    for name in sorted(combine.metrics):
        part = table[table["metric"] == name].set_index("item_id").reindex(ids)
        values = part["value"].astype(float)
        reason = reason.where(reason.notna() | values.notna(), part["reason"])
        if combine.by == "rank":
            values = ranks(values, values[training])
        value += combine.metrics[name] * values
    return pd.concat([value, reason], axis=1).reset_index()


def ranks(values: pd.Series, among: pd.Series) -> pd.Series:
    """Return which share of some values is below each value, equal ones counted by half."""
    import numpy as np

    known = np.sort(among.dropna().to_numpy())
    below = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")
    return (values * 0 + below) / (2 * max(len(known), 1))


METRIC = Metric(frozenset({"metrics"}), "metrics", compute, "weighted sum")
