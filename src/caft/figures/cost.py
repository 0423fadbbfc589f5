"""Accuracy against what the teacher cost, with the Pareto front."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from caft.figures import Figure
from caft.figures.labels import Points, label_points
from caft.figures.style import WIDTH, point, pyplot, span
from caft.figures.summary import as_trained

_GAP = 0.04  # least distance of two points, as a share of the panel's width
_COSTS = {
    "teacher_completion_tokens": "tokens the teacher wrote",
    "paid_usd": "paid to teacher and judge, USD",
}


def plot_cost(summary: pd.DataFrame) -> Any:
    """Draw accuracy against what the teacher cost, in tokens and, where money was paid, in USD.

    Args:
        summary: the summary table.

    Returns:
        A matplotlib figure, a panel per data set, student and cost. Rings and the line mark the
        Pareto front of the point estimates; strategies of unknown cost are left out of a panel.
    """
    rows = as_trained(summary)
    rows = rows.assign(paid_usd=rows["cost_usd"] + rows["metric_cost_usd"])
    costs = [name for name in _COSTS if name == next(iter(_COSTS)) or (rows[name] > 0).any()]
    panels = [
        (f"{dataset}, {student}, {part['n'].iloc[0]} items", part, cost)
        for (dataset, student), part in rows.groupby(["dataset", "student"], sort=False)
        for cost in costs
    ]
    figure, axes = pyplot().subplots(
        len(panels),
        1,
        figsize=(WIDTH, 0.4 + 3.4 * len(panels)),
        squeeze=False,
        layout="constrained",
    )
    drawn = []
    for axis, (title, part, cost) in zip(axes[:, 0], panels, strict=True):
        drawn.append((axis, _cost_panel(axis, part, cost)))
        axis.set_title(title, loc="left")
        axis.set_ylabel("accuracy, 95% interval")
    note = "rings and line: Pareto front; points of nearly the same cost are drawn side by side"
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8)
    figure.draw_without_rendering()  # where everything stands is known from here on
    for axis, points in drawn:
        label_points(axis, points)
    return figure


def pareto_front(costs: ArrayLike, accuracies: ArrayLike) -> np.ndarray:
    """Tell which points no other one beats: none is as cheap and as accurate, and better in one.

    Args:
        costs: any unit, shape (n,).
        accuracies: same shape.

    Returns:
        Booleans, shape (n,).
    """
    cost, accuracy = np.asarray(costs, dtype=float), np.asarray(accuracies, dtype=float)
    no_worse = (cost[:, None] <= cost) & (accuracy[:, None] >= accuracy)
    better = (cost[:, None] < cost) | (accuracy[:, None] > accuracy)
    return np.logical_not((no_worse & better).any(axis=0))


def _cost_panel(axis: Any, part: pd.DataFrame, cost: str) -> Points:
    """Draw a panel; return the points whose cost is known."""
    known = part[part[cost].notna()]
    values = known[cost].to_numpy(dtype=float)
    places, edge, ticks = _places(values)
    front = pareto_front(values, known["accuracy"])
    steps = np.flatnonzero(front)[np.argsort(places[front])]
    accuracy = known["accuracy"].to_numpy()
    axis.plot(
        *(places[steps], accuracy[steps]),
        color="0.6",
        drawstyle="steps-post",
        linewidth=1,
        zorder=1,
    )
    ring = {"marker": "o", "s": 140, "facecolors": "none", "edgecolors": "0.3"}
    axis.scatter(places[front], accuracy[front], linewidths=1, zorder=2, **ring)
    bounds = known[["accuracy_low", "accuracy_high"]].to_numpy()
    for place, strategy, value, (low, high) in zip(
        places, known["strategy"], accuracy, bounds, strict=True
    ):
        style = point(strategy)
        axis.vlines(place, low, high, color=style["color"], linewidth=1.2, zorder=3)
        axis.plot(place, value, markersize=6, linestyle="none", zorder=4, **style)
    if edge is not None:
        axis.axvline(edge, color="0.5", linewidth=0.8, linestyle=":")
    axis.set_xticks(list(ticks.values()), list(ticks))
    axis.set_xlabel(_COSTS[cost] + (" (log scale)" if len(ticks) > 1 else ""))
    axis.grid()
    axis.margins(x=0.06)
    # A strip beside the dearest points, for their labels.
    left, right = axis.get_xlim()
    axis.set(xlim=(left, right + 0.25 * (right - left)), ylim=span(known))
    return Points(known, places, steps)


def _places(costs: np.ndarray) -> tuple[np.ndarray, float | None, dict[str, float]]:
    """Place costs along a log axis with a strip of its own for zero; equal ones side by side.

    Returns:
        Places of shape (n,); the strip's right edge, None if there are not both kinds of cost; and
        the ticks' places by label.
    """
    paid, places = costs > 0, np.zeros(len(costs))
    free = int((~paid).sum())
    if not paid.any():
        return _side_by_side(places, 1.0), None, {"0": 0.0}
    logs = np.log10(costs[paid])
    # At least three tenths of a decade, or a single cost would have no scale at all.
    width = max(np.ptp(logs), 0.3) / (1 - _GAP * min(len(costs) + 3, 20))
    gap = _GAP * width
    places[paid] = _side_by_side(logs, gap)
    ticks = _ticks(logs.min() - gap / 2, logs.max() + gap / 2)
    if not free:
        return places, None, ticks
    edge = places[paid].min() - 1.5 * gap
    strip = edge - (free / 2 + 0.5) * gap
    places[~paid] = _side_by_side(np.full(free, strip), gap)
    return places, float(edge), {"0": strip, **ticks}


def _side_by_side(places: np.ndarray, gap: float) -> np.ndarray:
    """Move points as little as possible (least squares) so that all are `gap` apart."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(len(places))
    moved = np.empty(len(places))
    moved[order] = isotonic_regression(places[order] - steps).x + steps
    return moved


def _ticks(low: float, high: float) -> dict[str, float]:
    """Return round numbers between two powers of ten, by label, three or more if there are."""
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(np.arange(1, 10, 0.1))):
        places = np.log10([step * 10.0**decade for decade in decades for step in steps])
        places = places[(places >= low) & (places <= high)]
        if len(places) >= 3:
            break
    shown = places[:: max(1, len(places) // 4)]
    return {_engineering(10**place): float(place) for place in shown}


def _engineering(value: float) -> str:
    from matplotlib.ticker import EngFormatter

    return f"{value:.3g}" if 1e-5 < value < 1 else EngFormatter(sep="").format_eng(value)


FIGURE = Figure(plot_cost, "cost.rst", "Summary", "Plotting accuracy against the teacher's cost")
