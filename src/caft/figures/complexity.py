"""How complexity is distributed over the student's right and wrong answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from caft.analysis.intervals import Estimate
from caft.figures.style import RIGHT, WIDTH, WRONG, pyplot, words
from caft.mixtures.buckets import BUCKETS


@dataclass(frozen=True)
class Scored:
    """What a panel shows.

    Attributes:
        scores: scores table; those of items that the scoring model has seen are left out.
        thresholds: of the buckets, the lower and the upper one.
        area: ROC AUC of the metric; None where it is not judged.
    """

    scores: pd.DataFrame
    thresholds: tuple[float, float]
    area: Estimate | None


def plot_complexity(scored: Mapping[str, Scored], metric: str) -> Any:
    """Draw how complexity is distributed over right and wrong answers, between its thresholds.

    Args:
        scored: by title.
        metric: column to draw.

    Returns:
        A matplotlib figure, one panel per title.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = pyplot().subplots(
        len(scored),
        1,
        figsize=(WIDTH, 0.4 + 2.7 * len(scored)),
        squeeze=False,
        layout="constrained",
    )
    for axis, (title, one) in zip(axes[:, 0], scored.items(), strict=True):
        table = one.scores
        known = table[(table["status"] == "ok") & table[metric].notna()]
        right = known["correct"].astype(bool)
        edges = (
            np.linspace(known[metric].min(), known[metric].max() + 1e-9, 25) if len(known) else 25
        )
        for values, colour in ((known[metric][right], RIGHT), (known[metric][~right], WRONG)):
            axis.hist(values, edges, color=colour, alpha=0.35)
            axis.hist(values, edges, color=colour, histtype="step", linewidth=1.2)
        axis.margins(y=0.16)
        axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        _thresholds(axis, one.thresholds)
        axis.set_title(f"{title}\n{_area(one.area)}", loc="left")
        words(axis, [(f"right ({right.sum()})", RIGHT), (f"wrong ({(~right).sum()})", WRONG)])
        axis.set_ylabel("items")
        axis.set_xlabel(metric.replace("_", " ") + (" (nats)" if "entropy" in metric else ""))
    return figure


def _area(area: Estimate | None) -> str:
    if area is None or np.isnan(area.value):
        return "ROC AUC not judged"
    return f"ROC AUC {area.value:.2f} [{area.low:.2f}, {area.high:.2f}]; 0.5 is chance"


def _thresholds(axis: Any, thresholds: tuple[float, float]) -> None:
    """Draw the thresholds with their values, and name the buckets between them."""
    left, right = axis.get_xlim()
    lower, upper = thresholds
    bounds = [left, lower, upper, right]
    for name, start, end in zip(BUCKETS, bounds, bounds[1:], strict=False):
        start, end = np.clip((start, end), left, right)
        if end - start > 0.08 * (right - left):
            axis.annotate(
                name,
                ((start + end) / 2, 1),
                (0, -3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                va="top",
                fontstyle="italic",
            )
    for value, side, away in ((lower, "right", -3), (upper, "left", 3)):
        axis.axvline(value, color="0.2", linewidth=1, linestyle="--")
        if left <= value <= right:
            axis.annotate(
                f"{value:.3g}",
                (value, 0.86),
                (away, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha=side,
                fontsize=8,
                va="top",
            )
    axis.set_xlim(left, right)
