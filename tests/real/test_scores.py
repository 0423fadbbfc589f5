"""Scores of the real student on real MMLU-Pro items, against an independent computation."""

from pathlib import Path

import pytest

from caft.complexity.agreement import compare_with_row_by_row
from caft.datasets import load
from caft.datasets.ingest import ingest

ITEMS = 16  # benchmarks/scoring/agreement.py takes more


@pytest.fixture(scope="module")
def items(reference_data):
    columns = {"question": "question", "options": "options", "answer": "answer", "id": "item_id"}
    spec = {
        "adapter": "file",
        "path": str(reference_data / "mmlu_pro_items.parquet"),
        "columns": columns,
        "limit": ITEMS,
    }
    shares = {"train": 0.5, "validation": 0.0, "test": 0.5}
    return ingest(load(spec, 1, Path("unused")), shares, 1, "mmlu_pro", 0.1).items


def test_real_scores_agree_with_full_float64_logits_row_by_row(items, real_student, shipped):
    table = compare_with_row_by_row(items, real_student, shipped["prompts"]["letters"])
    assert len(table) == ITEMS
    assert table["difference"].max() <= 1e-3
    assert table["same_argmax"].all()


def test_batching_and_row_order_change_nothing(items, real_student, shipped):
    from caft.complexity.forward import score_items
    from caft.students.folders import load_model, load_tokenizer

    model, tokenizer = load_model(real_student), load_tokenizer(real_student)
    variant = shipped["prompts"]["letters"]
    one = score_items(items, model, tokenizer, variant, 1, 8192, token_budget=1)
    many = score_items(items[::-1], model, tokenizer, variant, 1, 8192, token_budget=3000)
    both = one.merge(many, on="item_id")
    difference = both["single_token_entropy_x"] - both["single_token_entropy_y"]
    assert difference.abs().max() <= 1e-3
    assert (both["answer_token_x"] == both["answer_token_y"]).all()
