"""Scoring as a job: load the student, warmed up where asked for, score, describe the run."""

from pathlib import Path
from typing import Any

import pandas as pd

from caft.complexity.forward import TOKEN_BUDGET, score_items
from caft.complexity.scorer import load_scorer
from caft.jobs import Progress


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
        warm_up_file: `model.json` of a warm-up or of a stage, or None to score with the untuned
            student.
        variant: prompt variant.
        engine: device settings.
        seed: of the few-shot draw.

    Returns:
        The scores table; the provenance for its footer (revision, precision, device, attention,
        batching, libraries); and what differs from run to run (seconds).
    """
    clock = Progress("loading and scoring", len(items))
    scorer = load_scorer(student_file, warm_up_file, engine)
    budget = None if engine["token_budget"] == "auto" else engine["token_budget"]
    scores = score_items(
        items, scorer.model, scorer.tokenizer, variant, seed, scorer.context, budget
    )
    scores["warm_up"] = scores["item_id"].isin(scorer.sample)
    spec = {
        **scorer.spec,
        "prompt": variant,
        "token_budget": budget or TOKEN_BUDGET[scorer.spec["device"]],
    }
    run = {
        "seconds": round(clock.seconds, 3),
        "items": len(scores),
        "status": scores["status"].value_counts().to_dict(),
        "warm_up": {
            key: scorer.trained[key]
            for key in ("rows", "target_tokens", "all_tokens", "seconds")
            if key in scorer.trained
        },
    }
    return scores, spec, run
