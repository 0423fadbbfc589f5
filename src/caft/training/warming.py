"""The warm-up: a short answer-only tuning that makes a weak student's scores mean something."""

from pathlib import Path
from typing import Any

import pandas as pd

from caft.mixtures.rows import count_tokens, mixture_table, split_over_long
from caft.mixtures.stages import stage_spec
from caft.mixtures.warm_up import warm_up_rows, warm_up_sample
from caft.students.folders import load_tokenizer, precision_of
from caft.tables.files import read_json
from caft.tables.hashing import digest
from caft.training.records import DONE_FILE, is_trained
from caft.training.stage import train_stage


def warm_up(
    items: pd.DataFrame,
    student_file: Path,
    folder: Path,
    settings: dict[str, Any],
    variant: dict[str, Any],
    recipe: dict[str, Any],
    engine: dict[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Tune the student on a few bare answers of the training split, for scoring alone.

    Nothing is trained if the folder holds the model already: a table of items that was written
    again has the same sample.

    Args:
        items: the items table.
        student_file: the student's `student.json`.
        folder: where the adapter goes.
        settings: `items` and `epochs` of the warm-up.
        variant: the prompt variant that will be scored.
        recipe: training settings of warm-ups.
        engine: device settings.
        seed: of the sample and the training.

    Returns:
        The training record with `sample` (item ids) and `digest`.
    """
    student = read_json(student_file)
    tokenizer = load_tokenizer(student_file.parent)
    sample = warm_up_sample(items, settings["items"], seed)
    rows, _ = split_over_long(
        count_tokens(warm_up_rows(items, sample, variant, seed), tokenizer),
        min(recipe["max_length"], student["context"]),
        recipe["max_overlong_share"],
        "warm_up",
    )
    precision = precision_of(engine)
    spec = stage_spec(None, rows, recipe, settings["epochs"], seed, student["revision"], precision)
    about = {"sample": sorted(sample), "digest": digest(spec)}
    if is_trained(folder):
        record = read_json(folder / DONE_FILE)
        if digest(record["spec"]) == about["digest"]:
            return {**record, **about}
    record = train_stage(
        mixture_table(rows),
        student_file.parent,
        folder,
        recipe,
        settings["epochs"],
        seed,
        engine,
        spec=spec,
    )
    return {**record, **about}
