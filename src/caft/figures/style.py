"""What all figures share: settings, colours that colour-blind readers can tell apart, files."""

from typing import Any

from caft.shown import line
from caft.tables.files import atomic_path

RIGHT, WRONG = "#2c7fb8", "#d95f0e"
# Okabe & Ito (2008), without yellow, which is too light for lines.
PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"]
BUCKET_COLOURS = {"easy": "#9ecae1", "medium": "#4292c6", "hard": "#084594"}
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
            "axes.spines.top": False,
            "axes.spines.right": False,
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


def save(figure: Any, output: Any) -> None:
    """Save a figure as `output.svg` and `output.png`."""
    for path, kind in ((output.svg, "svg"), (output.png, "png")):
        metadata = {"Date": None} if kind == "svg" else None
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)
