"""Scoring as a job: open the student, warmed up where asked for, score, describe the run."""

from pathlib import Path
from typing import Any

import pandas as pd

from caft import versions
from caft.complexity.forward import TOKEN_BUDGET, score_items
from caft.prompting.prompts import all_messages
from caft.running.blocks import Cache, block_rows, compute_in_blocks
from caft.running.jobs import Progress
from caft.students.opened import open_scorer


def score_with_student(
    items: pd.DataFrame,
    student_file: Path,
    warm_up_file: Path | None,
    variant: dict[str, Any],
    engine: dict[str, Any],
    seed: int,
    cache: Cache,
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
        cache: where finished blocks of items lie, and which of them are wanted.

    Returns:
        The scores table; the provenance for its footer (revision, precision, device, attention,
        batching, libraries); and what differs from run to run (seconds).
    """
    scorer = open_scorer(student_file, warm_up_file, engine)
    budget = engine["token_budget"]
    budget = TOKEN_BUDGET[scorer.spec["device"]] if budget == "auto" else budget
    spec = {**scorer.spec, "prompt": variant, "token_budget": budget}
    messages = all_messages(items, variant, "direct", seed)

    def score(block: list[int], progress: Progress) -> tuple[pd.DataFrame, dict[str, float]]:
        table = score_items(
            items.iloc[block],
            scorer.model,
            scorer.tokenizer,
            variant,
            seed,
            scorer.context,
            budget,
            [messages[position] for position in block],
            progress,
        )
        return table, {}

    scores = compute_in_blocks(
        "scores",
        block_rows(items, messages),
        score,
        {**scorer.key, **spec},
        versions.SCORES,
        cache,
        ("scoring", "items", 1),
    )
    return scorer.mark(scores.table, items), spec, scores.run
