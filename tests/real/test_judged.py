"""Published labels of a judge, as metrics, against published answers: what docs/judge.md shows."""

import pandas as pd
import pytest

from caft.analysis.intervals import roc_auc
from caft.complexity import judged

LEVELS_OF_THREE = {"graduate_and_postgraduate": "graduate"}


@pytest.mark.parametrize(
    ("model", "variant", "question", "count", "expected"),
    [
        ("qwen2.5-3b-instruct", "numbers_old", "education_level", 3827, 0.539),
        ("qwen2.5-3b-instruct", "numbers_old", "reasoning_steps", 3481, 0.559),
        ("phi-4-mini-instruct", "numbers_fallback", "education_level", 1630, 0.494),
        ("phi-4-mini-instruct", "numbers_fallback", "reasoning_steps", 1476, 0.568),
    ],
)
def test_published_levels_hardly_tell_wrong_answers_from_right_ones(
    reference_data, model, variant, question, count, expected
):
    scores = pd.read_parquet(reference_data / "published_scores.parquet")
    rows = scores[(scores["model"] == model) & (scores["variant"] == variant)]
    rows = rows[rows[question].notna()]
    labels = rows[question].replace(LEVELS_OF_THREE)
    table = pd.DataFrame({"item_id": rows["item_id"], "label": labels})
    found = getattr(judged, question)(table.assign(question=question, status="ok"), rows, {})
    assert len(found) == count
    auc = roc_auc(found["value"].to_numpy(), ~rows["correct"].to_numpy(dtype=bool), draws=100)
    assert auc.value == pytest.approx(expected, abs=5e-4)
