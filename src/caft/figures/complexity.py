"""How complexity is distributed over the student's right and wrong answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from caft.figures.style import RIGHT, WRONG, pyplot


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
