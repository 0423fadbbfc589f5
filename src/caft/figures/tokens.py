"""What each strategy processes in training and what its teacher writes, in tokens."""

from typing import Any

import numpy as np
import pandas as pd

from caft.figures import Figure
from caft.figures.style import PALETTE, WIDTH, pyplot, short

_TOKENS = {
    "one pass over the targets": "#08519c",
    "further epochs": "#6baed6",
    "prompts, all epochs": "#c6dbef",
    "warm-up before scoring": "#fdae6b",
}


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
        figsize=(WIDTH, 1.2 + (0.6 + 0.26 * strategies) * len(groups)),
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
        ncols=2,
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


def _stack(axis: Any, parts: pd.DataFrame, colours: dict[str, str]) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    position, start = np.arange(len(parts)), np.zeros(len(parts))
    for name, colour in colours.items():
        axis.barh(position, parts[name], 0.7, left=start, color=colour)
        start = start + parts[name].to_numpy(dtype=float)
    unknown, start = np.isnan(start), np.nan_to_num(start)
    for place, total in zip(position, start, strict=True):
        text = EngFormatter(places=1, sep="").format_eng(total) if total >= 1000 else f"{total:.0f}"
        text = "unknown" if unknown[place] else text
        axis.annotate(text, (total, place), (3, 0), textcoords="offset points", va="center")
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlim(0, 1.25 * max(start.max(), 1))
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)


FIGURE = Figure(plot_tokens, "tokens.rst", "Summary", "Plotting tokens of training and teacher")
