"""Scoring as a job: load the student, warmed up where asked for, score, describe the run."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from caft.complexity.forward import TOKEN_BUDGET, score_items
from caft.files import read_json
from caft.jobs import Progress
from caft.models import load_model, load_tokenizer, pick_device


def score_with_student(
    items: pd.DataFrame,
    student_file: Path,
    warm_up_file: Path | None,
    variant: dict[str, Any],
    engine: dict[str, Any],
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """Score a question set with a student.

    Args:
        items: the items table.
        student_file: the student's `student.json`.
        warm_up_file: the warm-up's `model.json`, or None to score with the untuned student.
        variant: prompt variant.
        engine: device settings.
        seed: of the few-shot draw.

    Returns:
        The scores table; the provenance for its footer (revision, precision, device, attention,
        batching,
        libraries); and what differs from run to run (seconds).
    """
    clock = Progress("loading and scoring", len(items))
    student = read_json(student_file)
    warm_up = read_json(warm_up_file) if warm_up_file else {"sample": []}
    device, dtype = pick_device(engine)
    adapter = warm_up_file.parent if warm_up_file else None
    model = load_model(student_file.parent, dtype, device, engine["attention"], adapter)
    budget = None if engine["token_budget"] == "auto" else engine["token_budget"]
    tokenizer = load_tokenizer(student_file.parent)
    scores = score_items(items, model, tokenizer, variant, seed, student["context"], budget)
    scores["warm_up"] = scores["item_id"].isin(warm_up["sample"])
    spec = {
        "student": student["revision"],
        "warm_up": warm_up.get("spec"),
        "prompt": variant,
        "dtype": dtype,
        "device": device,
        "attention": engine["attention"],
        "token_budget": budget or TOKEN_BUDGET[device],
        "libraries": {name: version(name) for name in ("torch", "transformers")},
    }
    run = {
        "seconds": round(clock.seconds, 3),
        "items": len(scores),
        "status": scores["status"].value_counts().to_dict(),
        "warm_up": {
            key: warm_up[key]
            for key in ("rows", "target_tokens", "all_tokens", "seconds")
            if key in warm_up
        },
    }
    return scores, spec, run
