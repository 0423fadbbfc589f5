"""Scores of the user's own or published ones, joined to the items from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from caft import layout
from caft.complexity import Metric

if TYPE_CHECKING:
    import pandas as pd

    from caft.complexity.settings import MetricSettings


def import_metric(
    settings: MetricSettings, items: pd.DataFrame, downloads: Path = Path(layout.DOWNLOADS)
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Read a file of scores and join them to the items.

    Args:
        settings: `path` of a Parquet, CSV, TSV or JSONL file (`format` where the suffix does not
            tell) or `hub`, `column` of the values and how `caft.complexity.reading` reads them,
            `where` (optional: rows whose columns have these values, such as `{model: phi-4}`), and
            `join`: `item_id` or `source_id` with the column `id` (by default of the same name), or
            `question` with `columns: {question, options}`, whose options may be left out.
        items: the items table.
        downloads: folder for a data set of the hub.

    Returns:
        The metrics table; the rows that gave no value (row, key, value, reason); and the counts.

    Raises:
        ConfigError: if a column is missing, none of its cells is a number, or no row fits any item.
        ItemError: if the file cannot be read.
    """
    from caft.complexity.compute import compute_metric
    from caft.complexity.joining import join, read_rows

    rows = read_rows(settings, downloads)
    joined = join(rows, items, settings)
    return compute_metric("imported", settings, rows, items), joined.problems, joined.counts


def compute(table: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings) -> pd.DataFrame:
    """Return the joined values as item_id, value, reason; the table is from `joining.read_rows`."""
    from caft.complexity.joining import join

    return join(table, items, settings).values


METRIC = Metric(frozenset({"import"}), "imported", compute, "as in the file")
