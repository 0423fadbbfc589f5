"""Loss curves of trained models, as a table and as a figure."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from caft.figures.style import PALETTE, WIDTH, pyplot, save, words

LOSS_COLUMNS = ["step", "epoch", "loss", "validation_loss"]
TRAINING, VALIDATION = PALETTE[:2]
_COLUMNS = 3


def loss_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """Tabulate the losses of one trained model.

    Args:
        record: its `training.json` or `model.json`.

    Returns:
        One row per update: step (from 1), epoch (share of passes done), loss and, in the row of
        an epoch's last update, validation_loss; both in nats per target token, NaN where absent.
    """
    rows: dict[int, dict[str, Any]] = {}
    for entry in record["history"]:
        rows.setdefault(entry["step"], {}).update(entry)
    table = pd.DataFrame(list(rows.values()), columns=LOSS_COLUMNS)
    numbers = dict.fromkeys(LOSS_COLUMNS, "float64") | {"step": "int64"}
    return table.astype(numbers).sort_values("step", ignore_index=True)


def plot_losses(
    tables: Mapping[str, pd.DataFrame], path_svg: str | Path, path_png: str | Path
) -> None:
    """Draw the loss of every update and, as points, the validation loss after each epoch.

    One small panel each; all have the same axes.

    Args:
        tables: from `loss_table`, by title; at least one.
        path_svg: vector figure.
        path_png: the same as pixels.
    """
    columns = min(_COLUMNS, len(tables))
    lines = -(-len(tables) // columns)
    figure, axes = pyplot().subplots(
        lines,
        columns,
        figsize=(WIDTH, 0.5 + 1.5 * lines),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for axis, (title, table) in zip(axes.flat, tables.items(), strict=False):
        axis.plot(table["epoch"], table["loss"], color=TRAINING, linewidth=1)
        held_out = table[table["validation_loss"].notna()]
        axis.plot(
            held_out["epoch"], held_out["validation_loss"], "o--", color=VALIDATION, markersize=4
        )
        axis.set_title(title, loc="left", fontsize=8)
        axis.grid()
    axes[0, 0].set_ylim(bottom=0)  # once all are drawn: the axes are shared
    for axis in axes.flat[len(tables) :]:
        axis.set_visible(False)
    for axis in axes.flat[max(len(tables) - columns, 0) : len(tables)]:
        axis.tick_params(labelbottom=True)
    validated = any(table["validation_loss"].notna().any() for table in tables.values())
    named = [("training", TRAINING), *([("validation", VALIDATION)] if validated else [])]
    words(axes[0, 0], named, above=-12)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("loss, nats per token", fontsize=9)
    save(figure, SimpleNamespace(svg=path_svg, png=path_png))
    pyplot().close(figure)
