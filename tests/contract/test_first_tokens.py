"""Log-probabilities of an endpoint: asked once per item, and an entropy of their own."""

import math

import pandas as pd
import pytest
from asking import SPEC
from scripted_server import ScriptedServer, reply

from caft.complexity.compute import compute_metric
from caft.complexity.settings import MetricSettings
from caft.errors import ConfigError
from caft.running.settings import Engine
from caft.teacher.asking import Setup
from caft.teacher.first_tokens import ask_first_tokens
from caft.teacher.sections import read_teacher

ENGINE = Engine(device="cpu")
ITEMS = pd.DataFrame(
    {
        "item_id": ["a", "b"],
        "question": ["Is it A?", "Is it B?"],
        "options": [["yes", "no"], ["yes", "no"]],
        "answer": ["A", "B"],
        "answer_kind": "choice",
        "reference_rationale": None,
        "split": "test",
    }
)


def with_logprobs(*probabilities):
    top = [{"token": str(n), "logprob": math.log(p)} for n, p in enumerate(probabilities)]
    body = reply("A", finish_reason="length")
    body["choices"][0]["logprobs"] = {"content": [{"token": "A", "top_logprobs": top}]}
    return body


def ask(server, letters, student, folder, **changed):
    spec = {**SPEC, "base_url": server.url, **changed}
    setup = Setup("teachers.big", read_teacher(spec), ENGINE, student / "student.json", folder)
    return ask_first_tokens(ITEMS, setup, letters, 1)


def test_each_item_is_asked_once_and_gets_an_entropy_with_its_covered_mass(
    letters, student, tmp_path
):
    def script(request, times):
        sure = "Is it A?" in request["messages"][-1]["content"]
        return with_logprobs(1.0) if sure else with_logprobs(0.5, 0.25)

    with ScriptedServer(script) as server:
        ask(server, letters, student, tmp_path)
        table = ask(server, letters, student, tmp_path)
        assert sum(server.asked.values()) == 2
    found = compute_metric("topk_entropy", MetricSettings(), table, ITEMS)
    assert found["value"].tolist() == pytest.approx([0.0, 1.5 * math.log(2)])
    assert found["covered_mass"].tolist() == pytest.approx([1.0, 0.75])


def test_an_item_without_logprobs_says_so(letters, student, tmp_path):
    def script(request, times):
        sure = "Is it A?" in request["messages"][-1]["content"]
        return with_logprobs(1.0) if sure else reply("B")

    with ScriptedServer(script) as server:
        table = ask(server, letters, student, tmp_path)
    assert (
        compute_metric("topk_entropy", MetricSettings(), table, ITEMS)["reason"][1] == "no_logprobs"
    )


def test_an_endpoint_without_any_logprobs_is_an_error_that_says_what_to_set(
    letters, student, tmp_path
):
    with (
        ScriptedServer() as server,
        pytest.raises(ConfigError, match=r"teachers\.big: .* set extra_body"),
    ):
        ask(server, letters, student, tmp_path)
