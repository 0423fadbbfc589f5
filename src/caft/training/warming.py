"""The warm-up: a short answer-only tuning that makes a weak student's scores mean something."""

from pathlib import Path
from typing import Any

from caft.mixtures.recipe import Recipe
from caft.mixtures.rows import count_tokens, mixture_table, split_over_long
from caft.mixtures.stages import Draft, stage_spec
from caft.mixtures.warm_up import warm_up_rows, warm_up_sample
from caft.prompting.asked import Asked
from caft.running.settings import Engine
from caft.students.folders import load_chat
from caft.students.settings import WarmUp
from caft.tables.files import read_json
from caft.tables.hashing import digest
from caft.training.records import DONE_FILE, is_trained
from caft.training.stage import StageJob, train_stage


def warm_up(
    asked: Asked,
    student_file: Path,
    folder: Path,
    settings: WarmUp,
    recipe: Recipe,
    engine: Engine,
) -> dict[str, Any]:
    """Tune the student on a few bare answers of the training split, for scoring alone.

    Nothing is trained if the folder holds the model already: a table of items that was written
    again has the same sample.

    Args:
        asked: the items, the prompt variant that will be scored, and the seed of the sample and the
            training.
        student_file: the student's `student.json`.
        folder: where the adapter goes.
        settings: of the warm-up.
        recipe: training settings of warm-ups.
        engine: device settings.

    Returns:
        The training record with `sample` (item ids) and `digest`.
    """
    student = read_json(student_file)
    sample = warm_up_sample(asked.items, settings.items, asked.seed)
    rows, over_long = split_over_long(
        count_tokens(
            warm_up_rows(asked.items, sample, asked.variant, asked.seed),
            load_chat(student_file.parent),
        ),
        min(recipe.max_length, student["context"]),
        recipe.max_overlong_share,
        "warm_up",
    )
    epochs = settings.epochs
    draft = Draft(rows, over_long, 0, None, recipe, epochs)
    spec = stage_spec(None, draft, epochs, asked.seed, student["revision"], engine.precision)
    about = {"sample": sorted(sample), "digest": digest(spec)}
    if is_trained(folder):
        record = read_json(folder / DONE_FILE)
        if digest(record["spec"]) == about["digest"]:
            return {**record, **about}
    job = StageJob(mixture_table(rows), student_file.parent, recipe, epochs, asked.seed, spec=spec)
    record = train_stage(job, folder, engine)
    return {**record, **about}
