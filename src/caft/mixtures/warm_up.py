"""The warm-up's training table: bare answers of a few items."""

import pandas as pd

from caft.mixtures.rows import NO_RATIONALES, Materials, stage_rows
from caft.mixtures.settings import StageRows
from caft.prompting.settings import Prompt
from caft.tables.hashing import unit_interval


def warm_up_sample(items: pd.DataFrame, count: int, seed: int) -> list[str]:
    """Draw the warm-up's training items; the draw depends on each item alone."""
    training = items.loc[items["split"] == "train", "item_id"]
    return sorted(training, key=lambda item_id: unit_interval("warm_up", seed, item_id))[:count]


def warm_up_rows(
    items: pd.DataFrame, sample: list[str], variant: Prompt, seed: int
) -> pd.DataFrame:
    """Build the warm-up's answer-only rows."""
    everything = StageRows(buckets=["easy"], target="answer")
    bucket = pd.Series("easy", index=sample)
    materials = Materials(items, variant, seed)
    rows, _ = stage_rows(materials, bucket, everything, NO_RATIONALES, "drop")
    return rows
