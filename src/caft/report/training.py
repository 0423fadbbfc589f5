"""What training looked like, for people: loss curves."""

import pandas as pd

from caft import layout
from caft.figures.training import LOSS_COLUMNS, loss_table
from caft.mixtures.plan import Plan
from caft.tables.files import read_json


def losses_of_run(plan: Plan) -> pd.DataFrame:
    """Return the losses of every stage, one row per update.

    Args:
        plan: of one data set and student, all rounds.

    Returns:
        strategy, seed, stage, model, step, epoch, loss, validation_loss (nats per target token).
    """
    parts = []
    for place, stage in plan.stages():
        table = loss_table(read_json(layout.at(layout.MODEL, digest=stage.model)))
        parts.append(table.assign(**place._asdict(), model=stage.model))
    columns = ["strategy", "seed", "stage", "model", *LOSS_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def curves(losses: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the loss curves of the first training seed, by title; equal models once."""
    first = losses[losses["seed"] == losses["seed"].min()]
    return {
        f"{part['strategy'].iloc[0]}, stage {part['stage'].iloc[0]}": part
        for _, part in first.drop_duplicates(["model", "step"]).groupby("model", sort=False)
    }
