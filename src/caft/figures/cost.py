"""Accuracy against what the teacher cost, with the Pareto front."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from caft.figures import Figure
from caft.figures.style import PALETTE, pyplot, short
from caft.figures.summary import as_trained

_MARKERS = "os^DvPX<>p"
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
        A matplotlib figure, one row of panels per data set and student. Rings and the line mark the
        Pareto front of the point estimates; strategies of unknown cost are left out of a panel.
    """
    rows = as_trained(summary)
    rows = rows.assign(paid_usd=rows["cost_usd"] + rows["metric_cost_usd"])
    costs = [name for name in _COSTS if name == next(iter(_COSTS)) or (rows[name] > 0).any()]
    groups = list(rows.groupby(["dataset", "student"], sort=False))
    figure, axes = pyplot().subplots(
        len(groups),
        len(costs),
        figsize=(3.4 + 4.2 * len(costs), 0.8 + 3.4 * len(groups)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    names = list(dict.fromkeys(_labels(rows)))
    for line, ((dataset, student), part) in zip(axes, groups, strict=True):
        for axis, cost in zip(line, costs, strict=True):
            _cost_panel(axis, part, cost, names)
        line[0].set_title(f"{dataset}, {student}, {part['n'].iloc[0]} items", loc="left")
        line[0].set_ylabel("accuracy, 95% interval")
    handles = [
        pyplot().Line2D([], [], linestyle="none", label=short(name), **_style(place))
        for place, name in enumerate(names)
    ]
    ring = {"marker": "o", "markersize": 12, "markerfacecolor": "none", "color": "0.3"}
    handles.append(pyplot().Line2D([], [], linewidth=1, label="Pareto front", **ring))
    figure.legend(handles=handles, loc="outside right upper", frameon=False, labelspacing=0.9)
    note = "points of nearly the same cost are drawn side by side"
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8)
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


def _labels(rows: pd.DataFrame) -> Iterable[str]:
    return rows["strategy"] + " (" + rows["mode"] + ")"


def _style(place: int) -> dict[str, Any]:
    return {"marker": _MARKERS[place % len(_MARKERS)], "color": PALETTE[place % len(PALETTE)]}


def _cost_panel(axis: Any, part: pd.DataFrame, cost: str, names: list[str]) -> None:
    known = part[part[cost].notna()]
    values = known[cost].to_numpy(dtype=float)
    places, edge, ticks = _places(values)
    front = pareto_front(values, known["accuracy"])
    line = np.flatnonzero(front)[np.argsort(places[front])]
    accuracy = known["accuracy"].to_numpy()
    axis.plot(
        *(places[line], accuracy[line]), color="0.6", drawstyle="steps-post", linewidth=1, zorder=1
    )
    ring = {"marker": "o", "s": 140, "facecolors": "none", "edgecolors": "0.3"}
    axis.scatter(places[front], accuracy[front], linewidths=1, zorder=2, **ring)
    bounds = known[["accuracy_low", "accuracy_high"]].to_numpy()
    for place, label, value, (low, high) in zip(
        places, _labels(known), accuracy, bounds, strict=True
    ):
        style = _style(names.index(label))
        axis.vlines(place, low, high, color=style["color"], linewidth=1.2, zorder=3)
        axis.plot(place, value, markersize=6, linestyle="none", zorder=4, **style)
    if edge is not None:
        axis.axvline(edge, color="0.5", linewidth=0.8, linestyle=":")
    axis.set_xticks(list(ticks.values()), list(ticks))
    axis.set_xlabel(_COSTS[cost] + (" (log scale)" if len(ticks) > 1 else ""))
    axis.grid(alpha=0.3)
    axis.margins(x=0.06)


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
