"""What all metrics return: a value per item, and a reason wherever there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def rows_of(table: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Return a table's rows in the order of the items, by item_id; null for items it lacks."""
    return table.set_index("item_id").reindex(items["item_id"])


def explained(
    value: pd.Series, status: pd.Series, absent: str, otherwise: str | pd.Series
) -> pd.DataFrame:
    """Keep the values of rows whose status is ok, and say why the others have none.

    Args:
        value: numbers, by item_id.
        status: of the same rows; null where the table has no such row.
        absent: reason of the items that the table lacks.
        otherwise: reason of the null values of rows that are ok.

    Returns:
        item_id, value, reason; the reason is null exactly where there is a value.
    """
    import pandas as pd

    status = status.astype(object)
    value = value.astype(float).where(status == "ok")
    reason = status.mask(status == "ok", otherwise).fillna(absent).mask(value.notna())
    return pd.DataFrame({"value": value, "reason": reason}).rename_axis("item_id").reset_index()


def from_column(
    table: pd.DataFrame, items: pd.DataFrame, column: str, absent: str, otherwise: str
) -> pd.DataFrame:
    """Return a column of a table with a status as a metric; arguments as in `explained`."""
    rows = rows_of(table, items)
    return explained(rows[column], rows["status"], absent, otherwise)
