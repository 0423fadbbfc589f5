"""Everything that is drawn, one file each (or per family); no figure computes what it shows.

Equal tables give equal files. What a figure is, it says in its own file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caft import layout
from caft.registry import Registry

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Figure:
    """A figure of one table, and how the report shows it.

    Attributes:
        draw: makes a matplotlib figure of the table.
        caption: file in `workflow/report`.
        category: where the report lists it.
        message: what the job that draws it says.
        table: the path of the table.
    """

    draw: "Callable[[pd.DataFrame], Any]"
    caption: str
    category: str
    message: str
    table: str = layout.SUMMARY


FIGURES: Registry[Figure] = Registry(
    __name__,
    "FIGURE",
    {
        "accuracy": ".accuracy",
        "cost": ".cost",
        "buckets": ".buckets",
        "tokens": ".tokens",
        "answering": ".answering",
    },
)
"""The figures of results by the names of their files, with the module that declares each."""

ANALYSIS_FIGURES = (
    "distributions",
    "roc",
    "category_auc",
    "correlation",
    "complexity_accuracy",
    "calibration",
)
"""What `caft.figures.analysis.draw` draws of one student on one data set."""
