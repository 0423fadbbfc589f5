"""Accuracy by bucket of the item, in every mode."""

from typing import Any

import numpy as np
import pandas as pd

from caft.figures import Figure
from caft.figures.style import BUCKET_COLOURS, WIDTH, pyplot, short
from caft.mixtures.buckets import BUCKETS


def plot_buckets(summary: pd.DataFrame) -> Any:
    """Draw accuracy by bucket of the item with intervals, one column of panels per mode.

    Args:
        summary: the summary table.

    Returns:
        A matplotlib figure, one row of panels per data set and student; pale bars are answers in
        another mode than the strategy was trained for.
    """
    groups = list(summary.groupby(["dataset", "student"], sort=False))
    modes = list(dict.fromkeys(summary["mode"]))
    strategies = summary["strategy"].nunique()
    figure, axes = pyplot().subplots(
        len(groups),
        len(modes),
        figsize=(WIDTH, 0.9 + (0.8 + 0.42 * strategies) * len(groups)),
        squeeze=False,
        sharey="row",
        sharex=True,
        layout="constrained",
    )
    for line, ((dataset, student), part) in zip(axes, groups, strict=True):
        for axis, mode in zip(line, modes, strict=True):
            _bucket_panel(axis, part[part["mode"] == mode])
            axis.set_title(f"asked: {mode}", loc="left")
        line[0].set_title(f"{dataset}, {student}\nasked: {modes[0]}", loc="left")
    axes[-1, 0].set_xlabel("accuracy, 95% interval")
    handles = [
        pyplot().Rectangle((0, 0), 1, 1, color=BUCKET_COLOURS[name], label=_bucket(summary, name))
        for name in BUCKETS
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    note = "pale: not the mode that the strategy was trained for"
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8)
    return figure


def _bucket(summary: pd.DataFrame, name: str) -> str:
    counts = summary[f"n_{name}"].unique()
    return f"{name} ({counts[0]} items)" if len(counts) == 1 else name


def _bucket_panel(axis: Any, part: pd.DataFrame) -> None:
    from matplotlib.patheffects import withStroke

    part = part.iloc[::-1]
    position = np.arange(len(part))
    own = (part["mode"] == part["trained_mode"]) | (part["strategy"] == "base")
    for offset, name in zip((0.27, 0.0, -0.27), BUCKETS, strict=True):
        colours = [(BUCKET_COLOURS[name], alpha) for alpha in np.where(own, 1.0, 0.4)]
        column = f"accuracy_{name}"
        axis.barh(position + offset, part[column], 0.25, color=colours)
        # Lines of their own: an interval need not hold the value, as error bars must.
        ends = part[f"{column}_low"], part[f"{column}_high"]
        lines = axis.hlines(position + offset, *ends, color="0.25", linewidth=1)
        lines.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    axis.set_yticks(position, [short(name) for name in part["strategy"]])
    axis.set(xlim=(0, 1), ylim=(-0.6, len(part) - 0.4))
    axis.grid(axis="x", alpha=0.3)


FIGURE = Figure(plot_buckets, "buckets.rst", "Summary", "Plotting accuracy by bucket and mode")
