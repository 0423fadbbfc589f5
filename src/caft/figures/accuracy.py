"""Accuracy of each strategy, overall and by bucket, in its trained mode."""

from typing import Any

import numpy as np
import pandas as pd

from caft.figures import Figure
from caft.figures.style import BUCKET_COLOURS, pyplot
from caft.figures.summary import as_trained
from caft.mixtures.buckets import BUCKETS


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


FIGURE = Figure(
    plot_accuracy, "accuracy.rst", "Summary", "Plotting accuracy by strategy and bucket"
)
