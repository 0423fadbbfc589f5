"""What servers on one's own machine were seen to answer, from the wire to rationales and entropies.

The shapes are those of `transformers serve` 5.23 and of llama.cpp's server of October 2026.
"""

import json
import logging

import pytest
from driver import collect
from scripted_server import ScriptedServer, question
from test_first_tokens import ITEMS, ask

from caft.complexity.compute import compute_metric
from caft.complexity.settings import MetricSettings
from caft.errors import TeacherError

PRICES = {"prompt": 1.0, "cached": 0.1, "completion": 10.0, "entered": "2026-11-01"}
MODEL = "data/models/student"


def by_transformers(text, finish="stop", prompt=38, completion=8):
    return {
        "id": "803bc9a8-681e-4290-a390-71c35aa16dfd",
        "choices": [
            {
                "finish_reason": finish,
                "index": 0,
                "message": {"content": text, "role": "assistant"},
            }
        ],
        "created": 1795793125,
        "model": f"{MODEL}@main",
        "object": "chat.completion",
        "usage": {
            "completion_tokens": completion,
            "prompt_tokens": prompt,
            "total_tokens": prompt + completion,
        },
    }


def by_llama_cpp(text, finish="stop", cached=0, logprobs=None):
    choice = {
        "finish_reason": finish,
        "index": 0,
        "message": {"role": "assistant", "content": text},
    }
    if logprobs:
        choice["logprobs"] = {"content": logprobs}
    return {
        "choices": [choice],
        "created": 1795793379,
        "model": MODEL,
        "system_fingerprint": "b0-unknown",
        "object": "chat.completion",
        "usage": {
            "completion_tokens": 8,
            "prompt_tokens": 38,
            "total_tokens": 46,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
        "id": "chatcmpl-w9spVPIJ3qUX4geHDQyKXQB1gggsWwrn",
        "timings": {"cache_n": cached, "prompt_n": 38 - cached, "predicted_n": 8},
    }


def stream(deltas, end):
    """Return the chunks of `transformers serve`: usage stands in the one that says the ending."""
    chunks = [{"choices": [{"delta": {"content": delta}, "index": 0}]} for delta in deltas]
    lines = [f"data: {json.dumps({'model': MODEL, **chunk})}\n\n" for chunk in [*chunks, end]]
    return "".join(lines).encode()


def collected(folder, sent, count=1, **changed):
    script = sent if callable(sent) else lambda request, times: (200, {}, sent)
    with ScriptedServer(script) as server:
        spec = {"base_url": server.url, "model": MODEL, "prices": PRICES, **changed}
        return collect(spec, folder, count), server.asked


@pytest.mark.parametrize(
    ("sent", "reason", "tokens", "cost"),
    [
        (by_transformers("One. [[1]]"), None, (38, 8), 38e-6 + 80e-6),
        (by_transformers("One. [[1", "length"), "truncated", (38, 8), 38e-6 + 80e-6),
        # A prompt beyond the context is not refused; the model falls silent.
        (by_transformers("", "stop", 9031, 1), "unparsed", (9031, 1), 9031e-6 + 10e-6),
        (by_llama_cpp("One. [[1]]"), None, (38, 8), 38e-6 + 80e-6),
        (by_llama_cpp("One. [[1]]", cached=37), None, (38, 8), 1e-6 + 3.7e-6 + 80e-6),
        (by_llama_cpp("One. [[1", "length"), "truncated", (38, 8), 38e-6 + 80e-6),
        (
            stream(
                ["One. ", "[[1]]"],
                {
                    "choices": [{"delta": {}, "index": 0, "finish_reason": "stop"}],
                    "usage": {"completion_tokens": 5, "prompt_tokens": 32, "total_tokens": 37},
                },
            ),
            None,
            (32, 5),
            32e-6 + 50e-6,
        ),
    ],
)
def test_an_answer_is_read_whole_with_its_tokens_and_no_other_model_is_told(
    tmp_path, caplog, sent, reason, tokens, cost
):
    caplog.set_level(logging.WARNING, "caft")
    row = collected(tmp_path, sent)[0].iloc[0]
    assert row["reason"] == reason
    assert (row["prompt_tokens"], row["completion_tokens"]) == tokens
    assert row["cost_usd"] == pytest.approx(cost)
    assert caplog.messages == []


def test_a_stream_of_llama_cpp_tells_no_usage_and_costs_nobody_knows_what(tmp_path):
    sent = stream(
        ["One. ", "[[1]]"],
        {
            "choices": [{"finish_reason": "stop", "index": 0, "delta": {}}],
            "timings": {"cache_n": 24, "prompt_n": 7, "predicted_n": 3},
        },
    )
    row = collected(tmp_path, sent)[0].iloc[0]
    assert (row["text"], row["reason"]) == ("One. [[1]]", None)
    assert row[["prompt_tokens", "completion_tokens", "cost_usd"]].isna().all()


def test_a_prompt_beyond_the_context_of_llama_cpp_is_a_row(tmp_path):
    too_long = {
        "error": {
            "code": 400,
            "message": "request (1617 tokens) exceeds the available context size (1024 tokens), "
            "try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 1617,
            "n_ctx": 1024,
        }
    }

    def script(request, times):
        is_long = question(request) == "q1"
        return (400, {}, too_long) if is_long else (200, {}, by_llama_cpp("[[1]]"))

    table, asked = collected(tmp_path, script, 4)
    assert table.dropna(subset="reason").set_index("item_id")["reason"].to_dict() == {
        "q1": "too_long"
    }
    assert set(asked.values()) == {1}


@pytest.mark.parametrize(
    ("status", "body", "check"),
    [
        (400, {"detail": f"Server is pinned to '{MODEL}'; requested 'other'."}, "model"),
        (404, {"detail": "Not Found"}, "base_url"),
        (
            404,
            {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}},
            "base_url",
        ),
        (422, {"detail": "Unexpected fields in the request: {'foo_bar'}"}, "extra_body"),
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "top_logprobs requires logprobs to be set to true",
                    "type": "invalid_request_error",
                }
            },
            "extra_body",
        ),
    ],
)
def test_what_is_wrong_with_every_request_stops_the_run_at_the_first(tmp_path, status, body, check):
    with ScriptedServer(lambda request, times: (status, {}, body)) as server:
        spec = {"base_url": server.url, "concurrency": 1, "extra_body": {"top_logprobs": 5}}
        with pytest.raises(TeacherError, match=f"answered {status}.*check.*{check}"):
            collect(spec, tmp_path, 30)
        assert sum(server.asked.values()) == 1


def test_the_log_probabilities_of_llama_cpp_bound_an_entropy(letters, student, tmp_path):
    top = [
        {"id": 34, "token": "2", "bytes": [50], "logprob": -1.8516340255737305},
        {"id": 10345, "token": "Two", "bytes": [84, 119, 111], "logprob": -2.20413875579834},
        {"id": 504, "token": "The", "bytes": [84, 104, 101], "logprob": -2.226874351501465},
    ]
    sent = by_llama_cpp("2", "length", 37, [top[0] | {"top_logprobs": top}])
    with ScriptedServer(lambda request, times: (200, {}, sent)) as server:
        asking_for = {"logprobs": True, "top_logprobs": 3}
        table = ask(server, letters, student, tmp_path, model=MODEL, extra_body=asking_for)
    found = compute_metric("topk_entropy", MetricSettings(), table, ITEMS)
    assert found["covered_mass"].tolist() == pytest.approx([0.3750, 0.3750], abs=1e-3)
    assert (found["value"] > 1.9).all()
