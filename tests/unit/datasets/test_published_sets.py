"""The five published score sets, as their example reads them: made-up rows in their own form."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from caft.complexity.imported import import_metric
from caft.complexity.settings import MetricSettings
from caft.datasets import load, read_section
from caft.datasets.ingest import ingest

EXAMPLE = Path(__file__).parents[3] / "config/examples/labarss.yaml"
CONFIG = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
COUNT = 6
ROWS = pd.DataFrame(
    [
        {
            "question_id": 70 + n,
            "question": f"Question {n}?",
            "options": str([f"o{n}", "it's", 'say "x"', f"p{n}"]),
            "answer": "ABCD"[n % 4],
            "answer_index": n % 4,
            "category": "law",
            "cot_content": "",
            "src": "ori_mmlu-x",
            "base_cluster": "Legal",
        }
        for n in range(COUNT)
    ]
)
LISTS = [[f"o{n}", "it's", 'say "x"', f"p{n}"] for n in range(COUNT)]
ENTROPIES = [json.dumps([0.5, n / 10, 1.5]) for n in range(COUNT)]
SETS = {
    "single-token-entropy": ROWS.assign(
        entropy_ans_qwen2="1", entropy_value_qwen2=[0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    ),
    "chain-of-thought-entropy": ROWS.assign(
        qwen2_entropies=ENTROPIES, qwen2_ans_token_index=[-1, 1, 1, 1, 1, 2]
    ),
    "reasoning-entropy-Qwen3-8B": ROWS.assign(
        options=LISTS, qwen_8b_response="<think>\nhm\n</think>", qwen_8b_ans_token_len=range(6, 12)
    ),
    "education-level": ROWS.assign(
        masj_education_level=["high_school_and_easier", "undergraduate", "graduate"] * 2
    ),
    "reasoning-score": ROWS.assign(masj_reasoning_score=["low", "medium", "high"] * 2),
}
VALUES = {
    "published_entropy": ["zero", 0.25, 0.5, 0.75, 1.0, 1.25],
    "published_chain_entropy": ["no_such_position", 0.1, 0.2, 0.3, 0.4, 1.5],
    "published_trace_length": [6, 7, 8, 9, 10, 11],
    "published_education_level": [0, 1, 2, 0, 1, 2],
    "published_reasoning_score": [0, 1, 2, 0, 1, 2],
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folders that `hf download` makes, and the items of each."""
    folder = tmp_path_factory.mktemp("run")
    for name, rows in SETS.items():
        target = folder / f"published/MMLU-Pro-{name}"
        target.mkdir(parents=True)
        if name in ("chain-of-thought-entropy", "reasoning-entropy-Qwen3-8B"):
            rows.to_parquet(target / "train.parquet")
        else:
            rows.to_csv(target / "train.tsv", sep="\t", index=False)
    return folder


def items_of(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    settings = read_section(CONFIG["datasets"][name])
    raw = load(settings, 1, folder / "downloads")
    return ingest(raw, settings.splits, 1, name, settings.max_bad_share).items


@pytest.mark.parametrize("name", CONFIG["datasets"])
def test_each_set_is_read_as_questions(name, published, monkeypatch):
    items = items_of(name, published, monkeypatch)
    assert items["source_id"].tolist() == [str(70 + n) for n in range(COUNT)]
    assert items["options"].tolist() == LISTS
    assert items["answer"].tolist() == list("ABCDAB")
    assert set(items["category"]) == {"Legal"}


@pytest.mark.parametrize("metric", VALUES)
def test_each_set_is_read_as_a_metric(metric, published, monkeypatch):
    items = items_of("single_token_entropy", published, monkeypatch)
    settings = MetricSettings.model_validate(CONFIG["metrics"][metric])
    assert list(settings.problems()) == [] and len(settings.files()) == 1
    table, _, _ = import_metric(settings, items, published / "downloads")
    found = [row.reason if pd.isna(row.value) else row.value for row in table.itertuples()]
    assert found == VALUES[metric]
