"""A column of the items, such as how hard people find a question: a yardstick for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caft.complexity import Metric

if TYPE_CHECKING:
    import pandas as pd

    from caft.complexity.settings import MetricSettings


def compute(table: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings) -> pd.DataFrame:
    """Return the values of the items' own column as item_id, value, reason; both tables are items.

    Raises:
        ConfigError: if the items have no such column, or nothing in it is a number.
    """
    import pandas as pd

    from caft.complexity.reading import read_value, require_number
    from caft.errors import ConfigError
    from caft.tables.parquet import records

    name = str(settings.column)
    if name not in items:
        raise ConfigError(
            f"metrics.<name>.column: the items have no column {name!r}; keep it with "
            f"columns.more of their data set: {{{name}: COLUMN OF THE FILE}}."
        )
    rows = records(items)
    found = [read_value(row[name], row, settings) for row in rows]
    require_number(
        f"the items' column {name!r}",
        [row[name] for row in rows],
        [one["value"] for one in found],
    )
    read = pd.DataFrame(found, columns=["value", "reason"], dtype=object)
    read.insert(0, "item_id", items["item_id"].to_numpy())
    return read.astype({"value": float})


METRIC = Metric(frozenset({"column"}), "items", compute, "as in the items")
