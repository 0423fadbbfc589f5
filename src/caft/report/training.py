"""What training looked like, for people: loss curves, and samples of what was trained on."""

from html import escape
from typing import Any

import pandas as pd

from caft import layout
from caft.figures.training import LOSS_COLUMNS, loss_table
from caft.mixtures.plan import Plan
from caft.prompting.chat import Chat
from caft.tables import parquet
from caft.tables.files import read_json
from caft.training.rows import IGNORED, encode_mixture

_SAMPLE = 2  # rows of each stage
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Training rows</title><style>
body { font: 14px/1.45 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
pre { white-space: pre-wrap; border: 1px solid #ccc; padding: .7em; color: #777 }
mark { color: #000; background: #d7ecd9 }
</style></head><body>
<h1>What each stage trains on</h1>
<p>The first rows of each stage as the model sees them. Only what is <mark>marked</mark> carries
loss; the rest is the prompt.</p>
"""


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


def sample_page(plan: Plan, chat: Chat) -> str:
    """Return an HTML page with the first rows of each stage and what of them carries loss.

    Args:
        plan: of one data set and student; what the first training seed trains on is shown.
        chat: tokenizer and chat template of the student.
    """
    parts, shown = [_HEAD], set()
    for place, stage in plan.stages():
        if stage.mixture in shown:
            continue
        shown.add(stage.mixture)
        rows = parquet.read("mixtures", layout.at(layout.MIXTURE, mixture=stage.mixture))
        title = f"{place.strategy}, stage {place.stage}: {len(rows)} rows"
        parts.append(f"<h2>{escape(title)}</h2>\n")
        # One of each target, where a stage mixes them.
        sample = rows.groupby("target", sort=True).head(_SAMPLE)
        encoded = encode_mixture(sample, chat)
        parts += [f"<pre>{_marked(row, chat.tokenizer)}</pre>\n" for row in encoded]
    return "".join([*parts, "</body></html>\n"])


def _marked(row: dict[str, list[int]], tokenizer: Any) -> str:
    """Render a row's tokens as text, those with loss marked."""
    first = next(place for place, label in enumerate(row["labels"]) if label != IGNORED)
    prompt, target = (
        escape(tokenizer.decode(ids)) for ids in (row["input_ids"][:first], row["labels"][first:])
    )
    return f"{prompt}<mark>{target}</mark>"
