"""Loss curves of trained models, as a table and as a figure."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from caft.figures.style import PALETTE, pyplot, save

LOSS_COLUMNS = ["step", "epoch", "loss", "validation_loss"]


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
    """Draw the loss of every update and, dotted, the validation loss after each epoch.

    Args:
        tables: from `loss_table`, by title; at least one.
        path_svg: vector figure.
        path_png: the same as pixels.
    """
    figure, axes = pyplot().subplots(
        len(tables), 1, figsize=(6, 0.5 + 2.4 * len(tables)), squeeze=False
    )
    for axis, (title, table) in zip(axes[:, 0], tables.items(), strict=True):
        axis.plot(table["epoch"], table["loss"], color=PALETTE[0], label="training")
        held_out = table[table["validation_loss"].notna()]
        if len(held_out):
            axis.plot(
                held_out["epoch"],
                held_out["validation_loss"],
                "o:",
                color=PALETTE[1],
                label="validation",
            )
        axis.set_title(title, loc="left")
        axis.set_xlabel("epoch")
        axis.set_ylabel("loss (nats per token)")
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False)
    figure.tight_layout()
    save(figure, SimpleNamespace(svg=path_svg, png=path_png))
    pyplot().close(figure)
