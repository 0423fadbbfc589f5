"""A stage to train on a tiny student: rows of different lengths, and the file that plans it."""

import json

import pandas as pd

from caft.mixtures.recipe import Lora, Recipe
from caft.running.settings import Engine
from caft.students.folders import folder_revision
from caft.tables import parquet
from caft.tables.files import write_json

CPU = Engine(device="cpu", dtype="float32")
TINY_RECIPE = Recipe(
    lora=Lora(r=4, alpha=8),
    learning_rate=0.01,
    schedule="constant",
    warmup_share=0.0,
    max_length=512,
    max_overlong_share=0.5,
)
ANSWERS = ["4", "12", "so it is [[7]]", "A", "two"]


def changed(section, **changes):
    """Return a section with some keys changed, checked like one that is read."""
    return type(section).model_validate({**section.plain(), **changes})


def mixture_of(numbers):
    """Return one row per number; prompts and completions differ in length."""
    return pd.DataFrame(
        [
            {
                "item_id": f"i{number}",
                "target": "answer",
                "messages": json.dumps(
                    [{"role": "user", "content": f"what is {number} ?" + " and so" * (number % 5)}]
                ),
                "completion": ANSWERS[number % 5],
            }
            for number in numbers
        ]
    )


def plan_stage(folder, student, recipe, epochs, mixture, validation=None):
    """Write a stage file as the mixtures job does; return its path."""
    parquet.write("mixtures", mixture, folder / "rows.parquet")
    planned = {
        "spec": {
            "recipe": recipe.of_the_model(), "epochs": epochs, "seed": 1, "mixture": "m",
            "parent": None, "student_revision": folder_revision(student),
        },
        "mixture_file": str(folder / "rows.parquet"),
        "student_file": str(student / "student.json"),
        "parent_file": None,
    }  # fmt: skip
    if validation is not None:
        parquet.write("mixtures", validation, folder / "validation.parquet")
        planned["validation_file"] = str(folder / "validation.parquet")
    write_json(folder / "stage.json", planned)
    return folder / "stage.json"
