"""Accuracy against the tokens that each model writes, with the curve of adaptive thinking."""

from typing import Any

import pandas as pd

from caft import layout
from caft.figures import Figure
from caft.figures.style import PALETTE, WIDTH, pyplot, short, span

_COLUMNS = 2
_MODES = {"direct": "o", "cot": "s", "adaptive": "D"}
_OWN, _CHANCE, _CUT = PALETTE[0], PALETTE[1], "0.45"
_LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "threshold": ("thinks where unsure", {"color": _OWN, "linewidth": 1.6}),
    "random": ("thinks at random", {"color": _CHANCE, "linewidth": 1.2, "linestyle": "--"}),
    "cap": ("chain, cut", {"color": _CUT, "linewidth": 1.2, "linestyle": ":"}),
}


def plot_answering(table: pd.DataFrame) -> Any:
    """Draw accuracy against tokens written per answer, a panel per data set, student and strategy.

    Args:
        table: the answering table.

    Returns:
        A matplotlib figure. Points are modes, pale ones those of the other strategies; the lines
        are adaptive thinking with its interval, as much thinking drawn at random, and chains cut.
    """
    panels = [
        (part, strategy)
        for _, part in table.groupby(["dataset", "student"], sort=False)
        for strategy in dict.fromkeys(part["strategy"])
    ]
    lines = -(-len(panels) // _COLUMNS)
    figure, axes = pyplot().subplots(
        lines,
        _COLUMNS,
        figsize=(WIDTH, 0.8 + 2.3 * lines),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for axis, (part, strategy) in zip(axes.flat, panels, strict=False):
        _panel(axis, part, part[part["strategy"] == strategy])
        where = f"{part['dataset'].iloc[0]}, {part['student'].iloc[0]}"
        axis.set_title(f"{where}\n{short(strategy)}", loc="left")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy, 95% interval")
    for axis in axes.flat[max(0, len(panels) - _COLUMNS) : len(panels)]:
        axis.set_xlabel("tokens written per answer")
    axes[0, 0].set_ylim(*span(table))
    figure.legend(handles=_legend(table), loc="outside upper left", ncols=3, frameon=False)
    return figure


def _panel(axis: Any, everything: pd.DataFrame, own: pd.DataFrame) -> None:
    for line, (_, style) in _LINES.items():
        curve = own[own["line"] == line].sort_values("written_tokens")
        axis.plot(curve["written_tokens"], curve["accuracy"], zorder=2, **style)
        if line == "threshold":
            bounds = curve["accuracy_low"], curve["accuracy_high"]
            axis.fill_between(curve["written_tokens"], *bounds, color=_OWN, alpha=0.12, zorder=1)
    for mode, marker in _MODES.items():
        rows = everything[everything["line"] == mode]
        look = {"marker": marker, "linestyle": "none"}
        axis.plot(
            rows["written_tokens"], rows["accuracy"], color="0.8", markersize=4, zorder=1, **look
        )
        for _, row in own[own["line"] == mode].iterrows():
            place = row["written_tokens"]
            # A line of its own: an interval need not hold the value, as error bars must.
            axis.vlines(
                place, row["accuracy_low"], row["accuracy_high"], color="0.2", linewidth=1, zorder=3
            )
            axis.plot(place, row["accuracy"], color="0.2", markersize=6, zorder=4, **look)
    axis.set_xlim(left=0)
    axis.grid()


def _legend(table: pd.DataFrame) -> list[Any]:
    from matplotlib.lines import Line2D

    shown = set(table["line"])
    points = [
        Line2D([], [], color="0.2", marker=marker, linestyle="none", label=mode)
        for mode, marker in _MODES.items()
        if mode in shown
    ]
    return points + [
        Line2D([], [], label=label, **style)
        for line, (label, style) in _LINES.items()
        if line in shown
    ]


FIGURE = Figure(
    plot_answering,
    "answering.rst",
    "Summary",
    "Plotting accuracy against the tokens that models write",
    layout.ANSWERING,
)
