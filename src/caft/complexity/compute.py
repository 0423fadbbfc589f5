"""From the tables that a model, a judge or a user made to metrics tables: no model is needed."""

import numpy as np
import pandas as pd

from caft.complexity import METRICS
from caft.complexity.settings import MetricSettings


def compute_metric(
    name: str, settings: MetricSettings, table: pd.DataFrame, items: pd.DataFrame
) -> pd.DataFrame:
    """Compute one metric of every item.

    Args:
        name: a key of `METRICS`.
        settings: of the metric (`weights`, `column`, `join` …); most read none.
        table: of the kind that the metric's `source` names.
        items: the items table.

    Returns:
        The metrics table, a row per item in their order. A number that is not finite becomes null
        with the reason `non_finite`; every null has a reason.
    """
    found = METRICS[name].compute(table, items, settings)
    infinite = np.isinf(found["value"])
    return found.assign(
        value=found["value"].mask(infinite),
        reason=found["reason"].astype(object).mask(infinite, "non_finite"),
        split=items["split"].to_numpy(),
        warm_up=found["item_id"].isin(_seen(table)),
    )


def _seen(table: pd.DataFrame) -> set[str]:
    """Return the items of the warm-up sample, for tables that a student made."""
    if "warm_up" not in table:
        return set()
    return set(table.loc[table["warm_up"].eq(True), "item_id"])
