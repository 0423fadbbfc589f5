"""The best epoch of a trained model, chosen on the validation split; the test split is not read."""

from pathlib import Path
from typing import Any

import pandas as pd

from caft.errors import TrainingError
from caft.evaluation.evaluate import evaluate_model
from caft.running.blocks import Cache
from caft.tables.files import read_json

SPLIT = "validation"


def choose_epoch(
    items: pd.DataFrame,
    student: Path,
    model_file: Path,
    variant: dict[str, Any],
    mode: str,
    settings: dict[str, Any],
    engine: dict[str, Any],
    seed: int,
    cache: Cache,
) -> tuple[int, pd.DataFrame, list[str]]:
    """Answer the validation split with the weights of every epoch and choose the most accurate.

    Args:
        items: the items table; items of the test split are dropped before anything else.
        student: folder of the untuned student.
        model_file: the trained model's `model.json`; its epochs lie under `epochs/<n>/`.
        variant: prompt variant.
        mode: that the model was trained for.
        settings: the `evaluation` section of the config.
        engine: device settings.
        seed: of the few-shot draw.
        cache: of finished blocks of answers.

    Returns:
        The epoch, the first of equally accurate ones; a row per epoch: n, correct, accuracy; and
        the blocks of answers that say so.

    Raises:
        TrainingError: if the model kept no epochs or there is no validation item.
    """
    items = items[items["split"] != "test"].reset_index(drop=True)
    epochs = read_json(model_file)["epochs"]
    if not epochs:
        raise TrainingError(f"{model_file}: kept no epochs; set training.keep_epochs: true.")
    if not (items["split"] == SPLIT).any():
        raise TrainingError("the data set has no validation items to choose an epoch with.")
    rows: list[dict[str, Any]] = []
    blocks: list[str] = []
    for epoch in epochs:
        trained = model_file.parent / "epochs" / str(epoch) / "model.json"
        predictions, _, run = evaluate_model(
            items, SPLIT, student, trained, variant, mode, settings, engine, seed, cache
        )
        right = int(predictions["correct"].sum())
        counts = {"n": len(predictions), "correct": right, "accuracy": right / len(predictions)}
        rows.append(
            {"epoch": epoch, **counts, "seconds": run["seconds"], "energy_wh": run.get("energy_wh")}
        )
        blocks += run["blocks"]
    best = max(rows, key=lambda row: row["correct"])  # the first of equal ones
    return best["epoch"], pd.DataFrame(rows), blocks
