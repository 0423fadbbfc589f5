"""Accuracy of each strategy in its trained mode."""

from typing import Any

import pandas as pd

from caft.figures import Figure
from caft.figures.style import WIDTH, names_of, point, pyplot, span
from caft.figures.summary import as_trained


def plot_accuracy(summary: pd.DataFrame) -> Any:
    """Draw each strategy's accuracy with its interval, in its trained mode.

    Args:
        summary: the summary table.

    Returns:
        A matplotlib figure, one panel per data set and student.
    """
    rows = as_trained(summary)
    groups = list(rows.groupby(["dataset", "student"], sort=False))
    figure, axes = pyplot().subplots(
        len(groups),
        1,
        figsize=(WIDTH, 0.3 + sum(0.7 + 0.27 * len(part) for _, part in groups)),
        squeeze=False,
        sharex=True,
        layout="constrained",
        height_ratios=[2 + len(part) for _, part in groups],
    )
    for axis, ((dataset, student), part) in zip(axes[:, 0], groups, strict=True):
        part = part.iloc[::-1]
        for place, (_, row) in enumerate(part.iterrows()):
            style = point(row["strategy"])
            # Lines of their own: an interval need not hold the value, as error bars must.
            ends = row["accuracy_low"], row["accuracy_high"]
            axis.hlines(place, *ends, color=style["color"], linewidth=2)
            axis.plot(row["accuracy"], place, linestyle="none", markersize=5, **style)
            text = f"{row['accuracy']:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"
            axis.annotate(
                text,
                (1, place),
                (6, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                color="0.25",
            )
        axis.set_yticks(range(len(part)), names_of(part))
        axis.set(xlim=span(rows), ylim=(-0.6, len(part) - 0.4))
        axis.set_title(f"{dataset}, {student}, {part['n'].iloc[0]} items", loc="left")
        axis.grid(axis="x")
    axes[-1, 0].set_xlabel("accuracy, 95% interval")
    return figure


FIGURE = Figure(plot_accuracy, "accuracy.rst", "Summary", "Plotting accuracy by strategy")
