"""A small config: base, sft and complexity_aware on forty sums with a tiny random student."""

import pytest
from harness import questions, write_questions

RECIPE = {"learning_rate": 0.01, "batch_size": 8, "lora": {"r": 2}}


@pytest.fixture(scope="session")
def config(student, tmp_path_factory):
    """A config of three strategies on a file of sums, by quantiles."""
    file = tmp_path_factory.mktemp("data") / "sums.jsonl"
    write_questions(file, questions())
    columns = {"question": "question", "answer": "answer", "id": "id", "rationale": "why"}
    return {
        "run": {
            "datasets": ["mine"],
            "students": ["tiny"],
            "strategies": ["base", "sft", "complexity_aware"],
        },
        "datasets": {
            "mine": {
                "adapter": "file",
                "path": str(file),
                "columns": columns,
                "answer_kind": "numeric",
                "splits": {"train": 0.6, "validation": 0.0, "test": 0.4},
            }
        },
        "students": {"tiny": {"path": str(student), "warm_up": {"items": 6, "epochs": 1}}},
        "training": RECIPE,
        "evaluation": {"max_new_tokens": {"direct": 4, "cot": 8}},
        "engine": {"device": "cpu", "threads": 1, "mem_mb": 1000},
    }
