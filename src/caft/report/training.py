"""What training looked like, for people: loss curves, and samples of what was trained on."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import pandas as pd

from caft.figures.training import LOSS_COLUMNS, loss_table
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

Plan = Mapping[str, Mapping[str, Any]]


def stages_of(plan: Plan) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield strategy, seed and stage of every trained stage, with its entry in the plan."""
    for strategy, entry in plan.items():
        for seed, trained in entry["seeds"].items():
            for number, stage in enumerate(trained["stages"], start=1):
                yield {"strategy": strategy, "seed": int(seed), "stage": number}, stage


def losses_of_run(plan: Plan) -> pd.DataFrame:
    """Return the losses of every stage, one row per update.

    Args:
        plan: strategies with the stages of every training seed.

    Returns:
        strategy, seed, stage, model, step, epoch, loss, validation_loss (nats per target token).
    """
    parts = []
    for where, stage in stages_of(plan):
        table = loss_table(read_json(f"results/models/{stage['model']}/model.json"))
        parts.append(table.assign(**where, model=stage["model"]))
    columns = ["strategy", "seed", "stage", "model", *LOSS_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def curves(losses: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the loss curves of the first training seed, by title; equal models once."""
    first = losses[losses["seed"] == losses["seed"].min()]
    return {
        f"{part['strategy'].iloc[0]}, stage {part['stage'].iloc[0]}": part
        for _, part in first.drop_duplicates(["model", "step"]).groupby("model", sort=False)
    }


def sample_page(plan: Plan, tokenizer: Any) -> str:
    """Return an HTML page with the first rows of each stage and what of them carries loss.

    Args:
        plan: strategies with the stages of every training seed; the first one's are shown.
        tokenizer: of the student.
    """
    parts, shown = [_HEAD], set()
    for where, stage in stages_of(plan):
        if stage["mixture"] in shown:
            continue
        shown.add(stage["mixture"])
        rows = parquet.read("mixtures", f"data/mixtures/rows/{stage['mixture']}.parquet")
        title = f"{where['strategy']}, stage {where['stage']}: {len(rows)} rows"
        parts.append(f"<h2>{escape(title)}</h2>\n")
        # One of each target, where a stage mixes them.
        sample = rows.groupby("target", sort=True).head(_SAMPLE)
        encoded = encode_mixture(sample, tokenizer)
        parts += [f"<pre>{_marked(row, tokenizer)}</pre>\n" for row in encoded]
    return "".join([*parts, "</body></html>\n"])


def _marked(row: dict[str, list[int]], tokenizer: Any) -> str:
    """Render a row's tokens as text, those with loss marked."""
    first = next(place for place, label in enumerate(row["labels"]) if label != IGNORED)
    prompt, target = (
        escape(tokenizer.decode(ids)) for ids in (row["input_ids"][:first], row["labels"][first:])
    )
    return f"{prompt}<mark>{target}</mark>"
