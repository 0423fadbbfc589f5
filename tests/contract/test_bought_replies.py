"""What a reply means, from a real server through the store to the rationale that is trained on."""

import json
import logging

import pytest
from driver import collect
from scripted_server import ScriptedServer, reply

GOOD = "One. [[1]]"  # the items' answer is 1
THINKING = "Maybe [[1]]."
WHOLE = json.dumps(reply(GOOD)).encode()
PRICES = {"prompt": 1.0, "cached": 0.1, "completion": 10.0, "entered": "2026-11-01"}


def as_stream(*deltas):
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
    lines = ["data: " + json.dumps(chunk) + "\n\n" for chunk in chunks]
    return "".join([": ping\n\n", *lines, "data: [DONE]\n\n"]).encode()


def with_error(place, finish="stop"):
    body = reply(GOOD, finish)
    choice = body["choices"][0]
    owner = {"reply": body, "choice": choice, "message": choice["message"]}[place]
    owner["error"] = {"code": 502, "message": "provider disconnected"}
    return body


def rows(sent, folder, runs=2, **changed):
    """Collect a rationale for one item, twice; return its row and how often it was asked for."""
    result = (200, {}, sent) if isinstance(sent, bytes) else sent
    with ScriptedServer(lambda request, times: result) as server:
        spec = {"base_url": server.url, "prices": PRICES, **changed}
        tables = [collect(spec, folder, 1) for _ in range(runs)]
    assert all(table.equals(tables[0]) for table in tables)
    return tables[0].iloc[0], server.asked["q0"]


@pytest.mark.parametrize(
    ("sent", "reason", "text"),
    [
        # Bodies that are no bare JSON.
        (b": PROCESSING\n\n" + WHOLE, None, GOOD),
        (b"\xef\xbb\xbf" + WHOLE, None, GOOD),
        (b"data: " + WHOLE + b"\n\ndata: [DONE]\n\n", None, GOOD),
        (WHOLE + b"\n[DONE]", None, GOOD),
        (b'{"status": "queued"}\n' + WHOLE, None, GOOD),
        (json.dumps({"data": reply(GOOD), "code": 0}).encode(), None, GOOD),
        (as_stream({"content": "One. "}, {"content": "[[1]]"}), None, GOOD),
        (as_stream({"reasoning": THINKING}, {"content": "[[2]]"}), "wrong_answer", "[[2]]"),
        # What nobody can read.
        (WHOLE[:-20], "unreadable", ""),
        (b"One. [[1]]", "unreadable", ""),
        (b"data: " + WHOLE[:40], "unreadable", ""),
        # Thinking in the text, or in parts of it, or instead of it.
        (reply(f"<think>{THINKING}</think>\nIt is 2."), "unparsed", "It is 2."),
        (reply(f"<think>{THINKING}"), "truncated", ""),
        (reply(f"<think>Or [[2]].</think>\n\n{GOOD}"), None, GOOD),
        (reply(f"Or [[2]].</think>{GOOD}"), None, GOOD),
        (reply([{"type": "thinking", "thinking": THINKING}]), "unparsed", ""),
        (reply(f"<|channel|>analysis<|message|>{THINKING}"), "truncated", ""),
        (reply(None, reasoning_content=THINKING), "unparsed", ""),
        (reply("", reasoning_details=[{"text": THINKING}]), "unparsed", ""),
        # Endings.
        (reply(GOOD, "end_turn"), None, GOOD),
        (reply(GOOD, "STOP"), None, GOOD),
        (reply(GOOD, "MAX_TOKENS"), "truncated", GOOD),
        (reply(GOOD, "model_length"), "truncated", GOOD),
        (reply(GOOD, "content_filter: PROHIBITED_CONTENT"), "refused", GOOD),
        (reply(GOOD, "SAFETY"), "refused", GOOD),
        (reply(GOOD, "abort"), "broken_off", GOOD),
        (reply(GOOD, "insufficient_system_resource"), "broken_off", GOOD),
        (reply(GOOD, "eos_maybe"), "unknown_ending", GOOD),
        (reply(GOOD, None), "unknown_ending", GOOD),
        (with_error("reply", None), "broken_off", GOOD),
        (with_error("choice"), "broken_off", GOOD),
        (with_error("message", "error"), "broken_off", GOOD),
    ],
)  # fmt: skip
def test_a_reply_is_bought_once_and_accepted_or_rejected_for_its_reason(
    sent, reason, text, tmp_path
):
    row, asked = rows(sent, tmp_path)
    assert (row["reason"], row["text"], row["accepted"]) == (reason, text, reason is None)
    assert asked == 1


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 1000.0, "completion_tokens": "500"}, 1000e-6 + 5000e-6),
        (
            {
                "prompt_tokens": 1000,
                "completion_tokens": 500,
                "completion_tokens_details": {"reasoning_tokens": 200},
                "total_tokens": 1700,
            },
            1000e-6 + 7000e-6,
        ),
        (
            {"prompt_tokens": 8, "completion_tokens": 1, "cost": 0, "is_byok": True}
            | {"cost_details": {"upstream_inference_cost": 0.04}},
            0.04,
        ),
        ({"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 990}, 119e-6),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": 10**19, "completion_tokens": 5}, None),
        ({"prompt_tokens": -3, "completion_tokens": float("nan")}, None),
        ({"total_tokens": 1500}, None),
    ],
)
def test_the_cost_of_an_answer_is_right_or_unknown(usage, cost, tmp_path):
    row, _ = rows({**reply(GOOD), "usage": usage}, tmp_path)
    assert row["accepted"]
    assert row["cost_usd"] == pytest.approx(cost) if cost else row.isna()["cost_usd"]


def test_an_odd_answer_costs_its_neighbours_nothing(tmp_path):
    odd = {**reply(GOOD), "usage": {"prompt_tokens": 10**19, "completion_tokens": [5]}}

    def script(request, times):
        return odd if request["messages"][-1]["content"] == "q3" else reply(GOOD)

    with ScriptedServer(script) as server:
        table = collect({"base_url": server.url, "concurrency": 8}, tmp_path, 50)
        assert table["accepted"].all()
        assert sum(server.asked.values()) == 50
        collect({"base_url": server.url}, tmp_path, 50)
        assert sum(server.asked.values()) == 50


def test_an_answer_that_is_empty_is_asked_again(tmp_path):
    def script(request, times):
        return reply("", "stop", (7, 0)) if times < 2 else reply(GOOD)

    with ScriptedServer(script) as server:
        table = collect({"base_url": server.url}, tmp_path, 1)
    assert (table["accepted"][0], server.asked["q0"]) == (True, 3)


@pytest.mark.parametrize("named", ["tiny-fallback", "openai/other", "scripted-mini"])
def test_another_model_is_told_or_an_error(named, tmp_path, caplog):
    sent = reply(GOOD) | {"model": named}
    with caplog.at_level(logging.WARNING):
        row, _ = rows(sent, tmp_path / "any", runs=1)
        assert row["accepted"]
        assert sum(f"{named} answered where scripted" in line for line in caplog.messages) == 1
    row, asked = rows(sent, tmp_path / "one", runs=1, expect_model="scripted", attempts=2)
    assert (row["reason"], row["error"]) == ("error", f"{named} answered, not scripted")
    assert asked == 2


@pytest.mark.parametrize("named", ["scripted", "router/scripted", "scripted-2026-11-01"])
def test_a_prefix_or_a_date_is_no_other_model(named, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        row, _ = rows(reply(GOOD) | {"model": named}, tmp_path, expect_model="scripted")
    assert row["accepted"]
    assert not caplog.messages
