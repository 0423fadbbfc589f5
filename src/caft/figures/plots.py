"""Figures, drawn from the tables alone; equal tables give equal files."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from caft.figures.style import BUCKET_COLOURS, RIGHT, WRONG, pyplot, save
from caft.figures.summary import as_trained, plot_buckets, plot_cost, plot_tokens
from caft.mixtures.buckets import BUCKETS

__all__ = ["FIGURES", "plot_accuracy", "plot_complexity", "save"]


def plot_accuracy(summary: pd.DataFrame) -> Any:
    """Draw each strategy's accuracy with interval and by bucket, in its trained mode.

    Args:
        summary: the summary table.

    Returns:
        A matplotlib figure, one row of panels per data set and student.
    """
    rows = as_trained(summary)
    groups = list(rows.groupby(["dataset", "student"], sort=False))
    figure, axes = pyplot().subplots(
        len(groups), 2, figsize=(10, 0.9 + 2.6 * len(groups)), squeeze=False, sharey="row"
    )
    for (overall, by_bucket), ((dataset, student), part) in zip(axes, groups, strict=True):
        part = part.iloc[::-1]
        position = np.arange(len(part))
        reach = [part["accuracy"] - part["accuracy_low"], part["accuracy_high"] - part["accuracy"]]
        overall.errorbar(part["accuracy"], position, xerr=reach, fmt="o", color="black", capsize=3)
        overall.set_yticks(position, part["strategy"] + " (" + part["mode"] + ")")
        overall.set_xlabel("accuracy, 95% interval")
        overall.set_title(f"{dataset}, {student}, {part['n'].iloc[0]} items", loc="left")
        for offset, bucket in zip((0.25, 0.0, -0.25), BUCKETS, strict=True):
            by_bucket.barh(
                position + offset,
                part[f"accuracy_{bucket}"],
                0.22,
                color=BUCKET_COLOURS[bucket],
                label=bucket,
            )
        by_bucket.set_xlabel("accuracy by bucket of the item")
        by_bucket.legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, 1.12), ncols=3)
        for axis in (overall, by_bucket):
            axis.set_xlim(0, 1)
            axis.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    return figure


def plot_complexity(scores: Mapping[str, pd.DataFrame], metric: str) -> Any:
    """Draw how complexity is distributed over right and wrong answers, warm-up items left out.

    Args:
        scores: scores tables by title.
        metric: column to draw.

    Returns:
        A matplotlib figure, one panel per table.
    """
    figure, axes = pyplot().subplots(
        len(scores), 1, figsize=(6, 0.5 + 2.8 * len(scores)), squeeze=False
    )
    for axis, (title, table) in zip(axes[:, 0], scores.items(), strict=True):
        known = table[(table["status"] == "ok") & ~table["warm_up"] & table[metric].notna()]
        right = known["correct"].astype(bool)
        edges = (
            np.linspace(known[metric].min(), known[metric].max() + 1e-9, 25) if len(known) else 25
        )
        drawn = {
            f"right ({right.sum()})": (known[metric][right], RIGHT),
            f"wrong ({(~right).sum()})": (known[metric][~right], WRONG),
        }
        for label, (values, colour) in drawn.items():
            axis.hist(values, bins=edges, color=colour, alpha=0.6, label=label)
        axis.set_title(title, loc="left")
        axis.set_xlabel(metric.replace("_", " ") + (" (nats)" if "entropy" in metric else ""))
        axis.set_ylabel("items")
        axis.legend(frameon=False, title="student's own answer")
    figure.tight_layout()
    return figure


FIGURES = {
    "accuracy": plot_accuracy,
    "cost": plot_cost,
    "buckets": plot_buckets,
    "tokens": plot_tokens,
}
"""Figures of the summary, by name."""
