"""Scores of the real student on real MMLU-Pro items, against an independent computation."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from caft.datasets import load, read_section
from caft.datasets.ingest import ingest
from caft.prompting.settings import Prompt

BENCHMARK = Path(__file__).parents[2] / "benchmarks/scoring/agreement.py"
ITEMS = 16  # the benchmark takes more


@pytest.fixture(scope="module")
def items(reference_data):
    columns = {"question": "question", "options": "options", "answer": "answer", "id": "item_id"}
    spec = {
        "adapter": "file",
        "path": str(reference_data / "mmlu_pro_items.parquet"),
        "columns": columns,
        "limit": ITEMS,
    }
    settings = read_section({**spec, "splits": {"train": 0.5, "test": 0.5}})
    return ingest(load(settings, 1, Path("unused")), settings.splits, 1, "mmlu_pro", 0.1).items


def test_real_scores_agree_with_full_float64_logits_row_by_row(items, real_student, shipped):
    spec = importlib.util.spec_from_file_location("agreement", BENCHMARK)
    agreement = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agreement)
    variant = Prompt.model_validate(shipped["prompts"]["letters"])
    table = agreement.compare_with_row_by_row(items, real_student, variant)
    assert len(table) == ITEMS
    assert table["difference"].max() <= 1e-3
    assert table["same_argmax"].all()


def test_batching_and_row_order_change_nothing(items, real_student, shipped):
    from caft.complexity.forward import score_items
    from caft.prompting.asked import Asked
    from caft.students.folders import load_chat, load_model
    from caft.students.opened import Loaded

    loaded = Loaded(load_model(real_student), load_chat(real_student), 8192)
    asked = Asked(items, Prompt.model_validate(shipped["prompts"]["letters"]), 1)
    one = pd.DataFrame(score_items(asked.prompts("direct"), loaded, token_budget=1))
    turned = replace(asked, items=items[::-1])
    many = pd.DataFrame(score_items(turned.prompts("direct"), loaded, token_budget=3000))
    both = one.merge(many, on="item_id")
    difference = both["single_token_entropy_x"] - both["single_token_entropy_y"]
    assert difference.abs().max() <= 1e-3
    assert (both["answer_token_x"] == both["answer_token_y"]).all()
