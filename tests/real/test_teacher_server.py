"""A real server, started by the provider, writes rationales with the real student."""

import sys

import pandas as pd
import pytest

from caft.prompting.chat import Chat
from caft.prompting.prompts import build_messages
from caft.prompting.settings import Prompt
from caft.store import Store
from caft.students.folders import load_tokenizer
from caft.teacher import Here, make_teacher
from caft.teacher.acceptance import Policy
from caft.teacher.asking import Asking
from caft.teacher.collect import collect_rationales
from caft.teacher.sections import read_teacher

SUMS = {"2 + 3": "5", "9 - 4": "5", "1 + 1": "2", "8 - 6 + 1": "3"}
LIMIT = 24


@pytest.fixture(scope="module")
def items():
    rows = [
        {
            "item_id": f"i{number}",
            "question": f"Calculate {question}.",
            "options": None,
            "answer": answer,
            "answer_kind": "numeric",
            "reference_rationale": None,
        }
        for number, (question, answer) in enumerate(SUMS.items())
    ]
    return pd.DataFrame(rows)


def spec(model):
    """Return the config of a teacher that is served by `transformers serve`."""
    serve = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
    return {
        "provider": "vllm_server",
        "command": [*serve, "--host", "127.0.0.1", "--port", "{port}", "--device", "cpu"],
        "health": "/health",
        "path": "/v1",
        "start_timeout_s": 300,
        "model": str(model),
        "revision": "",
        "max_tokens_field": "max_tokens",
        "max_new_tokens": LIMIT,
        "temperature": 0.0,
        "top_p": None,
        "stop": None,
        "seed": None,
        "extra_body": {},
        "concurrency": 2,
        "requests_per_minute": None,
        "tokens_per_minute": None,
        "timeout_s": 120,
        "attempts": 3,
        "backoff_s": 1.0,
        "max_wait_s": 5,
        "breaker": 3,
        "prices": None,
        "expected_completion_tokens": 20,
    }


def test_a_real_server_is_started_asked_once_per_item_and_ended(
    items, real_student, shipped, tmp_path
):
    pytest.importorskip("uvicorn", reason="transformers[serving] is not installed")
    tokenizer = load_tokenizer(real_student)
    variant = Prompt.model_validate(shipped["prompts"]["letters"])

    prompts = {
        item["item_id"]: build_messages(item, variant, "cot") for item in items.to_dict("records")
    }

    def collect(**changed):
        teacher = make_teacher(
            read_teacher({**spec(real_student), **changed}), tokenizer, Here(tmp_path)
        )
        with Store(tmp_path) as store:
            return collect_rationales(items, prompts, Asking(teacher, store), Policy("any", None))

    table = collect()
    assert set(table["finish_reason"]) <= {"stop", "length"}
    assert table["text"].str.len().gt(0).all()
    assert (table["cost_usd"] == 0).all()
    expected = [
        len(Chat(tokenizer).prompt(prompts[item_id], "cot")) for item_id in items["item_id"]
    ]
    assert list(table["prompt_tokens"]) == expected
    assert table["completion_tokens"].between(1, LIMIT).all()
    again = collect(command=["no-such-program", "{port}"])
    pd.testing.assert_frame_equal(table, again)
