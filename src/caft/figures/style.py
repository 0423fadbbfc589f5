"""What all figures share: size, colours that colour-blind readers can tell apart, labels, files."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from caft.shown import line
from caft.tables.files import atomic_path

WIDTH = 6.4  # inches: on a page of one column, or half as wide on a screen, text stays readable
RIGHT, WRONG = "#2c7fb8", "#d95f0e"
# Okabe & Ito (2008), without yellow, which is too light for lines.
PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"]
BUCKET_COLOURS = {"easy": "#9ecae1", "medium": "#4292c6", "hard": "#084594"}
CONTROL = "random_same_size"
_TRAINED, _UNTRAINED = "#0072b2", "#595959"
_LEAST, _EDGE = (
    0.2,
    0.02,
)  # of an axis of accuracies: its least length, and what is left beyond 0 and 1
_LONGEST = 34  # characters of a name


def pyplot() -> Any:
    """Return matplotlib's pyplot, set up so that equal tables give equal files."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {
            # Without a fixed salt the identifiers inside an SVG change with every run.
            "svg.hashsalt": "caft",
            "font.size": 9,
            "axes.titlesize": 9,
            "axes.labelcolor": "0.25",
            "axes.edgecolor": "0.5",
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.color": "0.25",
            "ytick.color": "0.25",
            "grid.color": "0.85",
            "legend.frameon": False,
            # A light card, whatever the page around it looks like.
            "savefig.facecolor": "white",
            # Names come from users: a dollar sign in one is a dollar sign.
            "text.parse_math": False,
        }
    )
    from matplotlib import pyplot as module

    return module


def short(name: str) -> str:
    """Show a name as a label, cut if it is too long."""
    name = line(name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def names_of(rows: pd.DataFrame) -> list[str]:
    """Return what rows of the summary are called: strategy and mode, the random control as such."""
    return [
        f"{short(strategy)} ({mode})" + ("\nrandom control" if strategy == CONTROL else "")
        for strategy, mode in zip(rows["strategy"], rows["mode"], strict=True)
    ]


def point(strategy: str) -> dict[str, Any]:
    """Return how the point of a strategy looks: the random control and the base are no methods."""
    if strategy == CONTROL:
        return {"marker": "s", "color": PALETTE[1], "markerfacecolor": "white"}
    return {"marker": "o", "color": _UNTRAINED if strategy == "base" else _TRAINED}


def span(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the part of an axis that shows all accuracies and intervals, and not too little."""
    shown = rows[["accuracy", "accuracy_low", "accuracy_high"]]
    low, high = (0.0, 1.0) if shown.empty else (shown.min().min(), shown.max().max())
    pad = max(0.06 * (high - low), (_LEAST - high + low) / 2)
    return max(low - pad, 0.0 - _EDGE), min(high + pad, 1.0 + _EDGE)


def words(axis: Any, texts: Iterable[tuple[str, str]], above: int = 4) -> None:
    """Write words in their colours over a panel's upper right corner: they are its legend.

    Args:
        axis: the panel.
        texts: words and colours, from left to right.
        above: points between the panel and the words.
    """
    place: Any = axis
    where, anchor = (1.0, 1.0), (0, above)
    for text, colour in reversed(list(texts)):
        place = axis.annotate(
            text,
            where,
            anchor,
            xycoords="axes fraction" if place is axis else place,
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=colour,
            fontweight="bold",
        )
        where, anchor = (0.0, 0.0), (-8, 0)


def save(figure: Any, output: Any) -> None:
    """Save a figure as `output.svg` and `output.png`."""
    for path, kind in ((output.svg, "svg"), (output.png, "png")):
        metadata = {"Date": None} if kind == "svg" else None
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)
