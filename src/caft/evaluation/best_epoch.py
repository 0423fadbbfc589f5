"""The best epoch of a trained model, chosen on the validation split; the test split is not read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from caft.errors import TrainingError
from caft.evaluation.evaluate import Way, evaluate_model
from caft.evaluation.settings import Evaluation
from caft.evaluation.together import Question, answer_together
from caft.prompting.asked import Asked
from caft.running.blocks import Cache
from caft.students.opened import Subject
from caft.students.whole import read_record

SPLIT = "validation"


def choose_epoch(
    asked: Asked,
    student: Subject,
    model_file: Path,
    mode: str,
    settings: Evaluation,
    cache: Cache,
) -> tuple[int, pd.DataFrame, list[str]]:
    """Answer the validation split with the weights of every epoch and choose the most accurate.

    Args:
        asked: the question set and its prompt variant; items of the test split are dropped before
            anything else.
        student: the untuned student.
        model_file: the trained model's `model.json`; its epochs lie under `epochs/<n>/`.
        mode: that the model was trained for.
        settings: how the model is asked and read.
        cache: of finished blocks of answers.

    Returns:
        The epoch, the first of equally accurate ones; a row per epoch: n, correct, accuracy; and
        the blocks of answers that say so.

    Raises:
        TrainingError: if the model kept no epochs or there is no validation item.
    """
    items = asked.items[asked.items["split"] != "test"].reset_index(drop=True)
    asked = replace(asked, items=items)
    epochs = read_record(model_file)["epochs"]
    if not epochs:
        raise TrainingError(f"{model_file}: kept no epochs; set training.keep_epochs: true.")
    if not (items["split"] == SPLIT).any():
        raise TrainingError("the data set has no validation items to choose an epoch with.")
    folder = model_file.parent / "epochs"
    subjects = {
        epoch: replace(student, trained_file=folder / str(epoch) / "model.json") for epoch in epochs
    }
    if settings.engine == "vllm":
        answer_together([Question(asked, mode)], SPLIT, [*subjects.values()], settings, cache)
    rows: list[dict[str, Any]] = []
    blocks: list[str] = []
    for epoch, subject in subjects.items():
        predictions, _, run = evaluate_model(asked, Way(SPLIT, mode), subject, settings, cache)
        right = int(predictions["correct"].sum())
        counts = {"n": len(predictions), "correct": right, "accuracy": right / len(predictions)}
        rows.append(
            {"epoch": epoch, **counts, "seconds": run["seconds"], "energy_wh": run.get("energy_wh")}
        )
        blocks += run["blocks"]
    best = max(rows, key=lambda row: row["correct"])  # the first of equal ones
    return best["epoch"], pd.DataFrame(rows), blocks
