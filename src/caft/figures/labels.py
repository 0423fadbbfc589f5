"""Names beside the points that they are of, none over another one, a point or an interval."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from caft.figures.style import names_of, point

_SIZE = 8  # points
_FREE = 7  # pixels around a point
_NEAR = 16  # pixels; a label further away has a line to its point


class Points(NamedTuple):
    """What is labelled.

    Attributes:
        rows: strategy, mode, accuracy and its interval, of each point.
        places: of the points, across.
        steps: those that a line of steps joins, in its order.
    """

    rows: pd.DataFrame
    places: np.ndarray
    steps: np.ndarray


class Box(NamedTuple):
    """A rectangle on the figure, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Return the area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def outside(self, other: "Box") -> float:
        """Return the area that the other one does not cover."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(other)


def label_points(axis: Any, points: Points) -> None:
    """Write each name where it covers least, as near to its point as that allows.

    Args:
        axis: panel whose layout is settled.
        points: to be named.
    """
    rows, places, _ = points
    renderer = axis.figure.canvas.get_renderer()
    to_points = 72 / axis.figure.dpi
    frame = Box(*axis.get_window_extent(renderer).extents)
    dots = axis.transData.transform(np.c_[places, rows["accuracy"]])
    taken = [Box(*(dot - _FREE), *(dot + _FREE)) for dot in dots]
    lines = list(_lines(axis, points))
    names = names_of(rows)
    # Those at the right have least room beside them.
    for place in np.argsort(-places, kind="stable"):
        colour = point(rows["strategy"].iloc[place])["color"]
        style = {"fontsize": _SIZE, "color": colour, "linespacing": 1.0}
        trial = axis.text(0, 0, names[place], **style)
        size = trial.get_window_extent(renderer)
        trial.remove()
        spots = list(_spots(dots[place], size.width, size.height))
        others = taken[:place] + taken[place + 1 :]
        cost = [
            2 * sum(spot.overlap(box) for box in taken)
            + 3 * sum(spot.overlap(box) for box in lines)
            + 4 * sum(dash.overlap(box) for dash in _leader(dots[place], spot) for box in others)
            + 5 * spot.outside(frame)
            + 3 * far
            for spot, far in spots
        ]
        spot, far = spots[int(np.argmin(cost))]
        taken.append(spot)
        lines += _leader(dots[place], spot) if far > _NEAR else []
        offset = np.array([spot.left, spot.bottom]) - dots[place]
        axis.annotate(
            names[place],
            (places[place], rows["accuracy"].iloc[place]),
            tuple(offset * to_points),
            textcoords="offset points",
            arrowprops=_line_to(dots[place], spot) if far > _NEAR else None,
            zorder=5,
            **style,
        ).set_in_layout(False)


def _nearest(dot: np.ndarray, spot: Box) -> np.ndarray:
    return np.clip(dot, spot[:2], spot[2:])


def _line_to(dot: np.ndarray, spot: Box) -> dict[str, Any]:
    """Return the line from the nearest place of a label to its point."""
    size = np.subtract(spot[2:], spot[:2])
    where = (_nearest(dot, spot) - spot[:2]) / size
    look = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.7}
    return {**look, "relpos": tuple(where), "shrinkA": 0, "shrinkB": 4}


def _leader(dot: np.ndarray, spot: Box) -> list[Box]:
    """Return what that line covers, as little boxes, from outside the point on."""
    end = _nearest(dot, spot)
    middles = [dot + share * (end - dot) for share in np.linspace(0.3, 0.95, 8)]
    return [Box(*(middle - 1.5), *(middle + 1.5)) for middle in middles]


def _lines(axis: Any, points: Points) -> Iterator[Box]:
    """Yield where intervals and steps are drawn."""
    rows, places, steps = points
    across, up = places[steps], rows["accuracy"].to_numpy()[steps]
    parts = [
        *zip(places, rows["accuracy_low"], places, rows["accuracy_high"], strict=True),
        *zip(across, up, across[1:], up, strict=False),
        *zip(across[1:], up, across[1:], up[1:], strict=False),
    ]
    for left, bottom, right, top in parts:
        start, end = axis.transData.transform([(left, bottom), (right, top)])
        yield Box(*(start - 2), *(end + 2))


def _spots(dot: np.ndarray, width: float, height: float) -> Iterator[tuple[Box, float]]:
    """Yield where a label may stand, and how far that is from beside its point."""
    for away in range(0, 24):
        for sign in (1, -1):
            shift = 0.5 * away * height
            bottom = dot[1] + sign * shift - height / 2
            sides = [dot[0] + 10, dot[0] - 10 - width]
            # Above and below it may begin, end or be centred over the point.
            if shift >= height / 2 + 9:
                sides += [dot[0] - width / 2, dot[0] - 4, dot[0] + 4 - width]
            for left in sides:
                yield Box(left, bottom, left + width, bottom + height), shift
