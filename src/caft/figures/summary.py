"""Figures of the comparison's costs and buckets, drawn from the summary alone."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from caft.figures.style import BUCKET_COLOURS, PALETTE, pyplot, short
from caft.mixtures.buckets import BUCKETS

_MARKERS = "os^DvPX<>p"
_GAP = 0.04  # least distance of two points, as a share of the panel's width
_COSTS = {
    "teacher_completion_tokens": "tokens the teacher wrote",
    "paid_usd": "paid to teacher and judge, USD",
}
_TOKENS = {
    "one pass over the targets": "#08519c",
    "further epochs": "#6baed6",
    "prompts, all epochs": "#c6dbef",
    "warm-up before scoring": "#fdae6b",
}


def as_trained(summary: pd.DataFrame) -> pd.DataFrame:
    """Return each strategy in the mode it was trained for, the untuned student in all modes.

    A strategy that was not asked in its own mode is kept in the modes that it was asked in.
    """
    own = summary["mode"] == summary["trained_mode"]
    asked = own.groupby([summary[name] for name in ("dataset", "student", "strategy")])
    return summary[own | (summary["strategy"] == "base") | ~asked.transform("any")]


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
        figsize=(2.8 + 3.6 * len(modes), 1.2 + (0.6 + 0.5 * strategies) * len(groups)),
        squeeze=False,
        sharey="row",
        sharex=True,
        layout="constrained",
    )
    for line, ((dataset, student), part) in zip(axes, groups, strict=True):
        for axis, mode in zip(line, modes, strict=True):
            _bucket_panel(axis, part[part["mode"] == mode])
            axis.set_title(f"asked: {mode}", loc="right", fontsize=9)
        line[0].set_title(f"{dataset}, {student}", loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("accuracy, 95% interval")
    handles = [
        pyplot().Rectangle((0, 0), 1, 1, color=BUCKET_COLOURS[name], label=_bucket(summary, name))
        for name in BUCKETS
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    note = "pale: not the mode that the strategy was trained for"
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8)
    return figure


def plot_tokens(summary: pd.DataFrame) -> Any:
    """Draw what each strategy processes in training and what its teacher writes, in tokens.

    Args:
        summary: the summary table.

    Returns:
        A matplotlib figure, one row of two panels per data set and student.
    """
    groups = list(summary.groupby(["dataset", "student"], sort=False))
    strategies = summary["strategy"].nunique()
    figure, axes = pyplot().subplots(
        len(groups),
        2,
        figsize=(10.5, 1.1 + (0.6 + 0.28 * strategies) * len(groups)),
        squeeze=False,
        sharey="row",
        width_ratios=(3, 2),
        layout="constrained",
    )
    for (training, teacher), ((dataset, student), part) in zip(axes, groups, strict=True):
        table = part.drop_duplicates("strategy").set_index("strategy").iloc[::-1]
        _stack(training, token_parts(table), _TOKENS)
        written = table[["teacher_completion_tokens"]]
        _stack(teacher, written, {"teacher_completion_tokens": PALETTE[2]})
        training.set_yticks(range(len(table)), [short(str(name)) for name in table.index])
        training.set_title(f"{dataset}, {student}", loc="left")
    axes[-1, 0].set_xlabel("tokens processed in training")
    axes[-1, 1].set_xlabel("tokens the teacher wrote")
    figure.legend(
        handles=[
            pyplot().Rectangle((0, 0), 1, 1, color=colour, label=name)
            for name, colour in _TOKENS.items()
            if token_parts(summary)[name].any()
        ],
        loc="outside upper right",
        ncols=4,
        frameon=False,
    )
    return figure


def token_parts(rows: pd.DataFrame) -> pd.DataFrame:
    """Part the tokens that training processes so that they add up.

    Args:
        rows: rows of the summary.

    Returns:
        Same index; with less than one epoch the first part is what was seen of one pass.
    """
    first = rows[["target_tokens_one_pass", "target_tokens"]].min(axis=1)
    parts = (
        first,
        rows["target_tokens"] - first,
        rows["all_tokens"] - rows["target_tokens"],
        rows["warm_up_all_tokens"],
    )
    return pd.DataFrame(dict(zip(_TOKENS, parts, strict=True)))


def _labels(rows: pd.DataFrame) -> Iterable[str]:
    return rows["strategy"] + " (" + rows["mode"] + ")"


def _style(place: int) -> dict[str, Any]:
    return {"marker": _MARKERS[place % len(_MARKERS)], "color": PALETTE[place % len(PALETTE)]}


def _bucket(summary: pd.DataFrame, name: str) -> str:
    counts = summary[f"n_{name}"].unique()
    return f"{name} ({counts[0]} items)" if len(counts) == 1 else name


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


def _stack(axis: Any, parts: pd.DataFrame, colours: dict[str, str]) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    position, start = np.arange(len(parts)), np.zeros(len(parts))
    for name, colour in colours.items():
        axis.barh(position, parts[name], 0.7, left=start, color=colour)
        start = start + parts[name].to_numpy(dtype=float)
    for place, total in zip(position, start, strict=True):
        text = EngFormatter(places=1, sep="").format_eng(total) if total >= 1000 else f"{total:.0f}"
        axis.annotate(text, (total, place), (3, 0), textcoords="offset points", va="center")
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlim(0, 1.15 * max(start.max(), 1))
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
