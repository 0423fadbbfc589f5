"""What an endpoint sent back, read without a server."""

import json
import logging
import re
import time
from email.utils import formatdate

import pytest

from caft.shown import line
from caft.store.record import RECORD, encode
from caft.teacher import Answer, Request
from caft.teacher.endpoint import replies
from caft.teacher.endpoint.replies import (
    Fault,
    brief,
    read_answer,
    read_answer_body,
    read_json_body,
    redact,
    retry_after,
)
from caft.teacher.reading.body import Unreadable, read_body
from caft.teacher.reading.reply import is_expected, is_same_model
from caft.teacher.records import read_back, to_answer, to_record
from caft.teacher.settings import Prices
from caft.teacher.tally import Tally, tell_oddities, tell_unexpected

SECRET = "sk-0123456789"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-5", 0.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_nothing_usable(header, seconds):
    assert retry_after(header) == seconds


def test_retry_after_may_be_a_date_to_come():
    assert 55 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60


def test_a_secret_is_replaced_at_any_depth():
    value = {SECRET: [f"key {SECRET}!", {"a": SECRET, "n": 1}], "b": None}
    assert redact(value, SECRET) == {
        "[redacted]": ["key [redacted]!", {"a": "[redacted]", "n": 1}],
        "b": None,
    }


@pytest.mark.parametrize("secret", [None, "", "short"])
def test_what_is_no_secret_is_left_alone(secret):
    assert redact("a short text", secret) == "a short text"


def test_a_message_is_one_short_printable_line_without_the_secret():
    assert (
        brief(f"bad\n\tkey  {SECRET}\x1b[31m\ud83d", SECRET)
        == r"bad key [redacted]\u001b[31m\ud83d"
    )
    assert len(brief("x" * 9999, SECRET)) == 302


@pytest.mark.parametrize("text", ["\x00" * 100_000, "a\x00 " * 100_000, "=\ud83d\n" * 100_000])
def test_of_a_long_text_no_more_is_escaped_than_is_shown(text, monkeypatch):
    read = []
    monkeypatch.setattr(replies, "line", lambda text: read.append(len(text)) or line(text))
    assert brief(text, SECRET) == line(" ".join(text.split()))[:300] + " …"
    assert sum(read) <= 301


@pytest.mark.parametrize("body", [b"", b" \n", b"[1]", b"null", b'{"a": ', b"<html>", b"[" * 99999])
def test_a_body_that_is_no_object_is_a_fault(body):
    with pytest.raises(Fault, match="the body was"):
        read_json_body(body, None)


def test_an_escaped_secret_is_found_as_well():
    body = b'{"message": "key sk\\u002d0123456789"}'
    assert read_json_body(body, SECRET) == {"message": "key [redacted]"}


ASKED = Request("k", "i", [{"role": "user", "content": "q"}], {}, 0, None, "big", "")
PRICES = Prices(prompt=1.0, completion=10.0, entered="2026-11-01")


def completion(content="so [[B]]", finish="stop", usage=(7, 3), **message):
    reply = {"model": "big", "choices": [{"message": {"content": content, **message}}]}
    reply["choices"][0]["finish_reason"] = finish
    if usage:
        reply["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return reply


def read(reply, prices=None, **changed):
    return read_answer(reply, ASKED, prices, 0.5, **changed)


def record_of(reply, prices=None, **columns):
    """Return the stored record of a reply; `columns` are what it was read as when it came."""
    (body,) = encode([{**to_record(ASKED, read(reply, prices), "rationale"), **columns}])
    return json.loads(body)


WHOLE = json.dumps(completion()).encode()


@pytest.mark.parametrize(
    "body",
    [
        WHOLE,
        b" \n" + WHOLE + b"\r\n",
        b"\xef\xbb\xbf" + WHOLE,
        json.dumps(completion()).encode("utf-16"),
        b": PROCESSING\n\n: PROCESSING\n\n" + WHOLE,
        b"event: message\nid: 7\ndata: " + WHOLE + b"\n\ndata: [DONE]\n\n",
        b"data:" + WHOLE + b"\n\n",
        WHOLE + b"\n[DONE]",
        WHOLE + b"\n<!-- served by proxy -->",
        b'{"status": "queued"}\n{"status": "working"}\n' + WHOLE,
        b")]}',\n" + WHOLE,
        b"[" + WHOLE + b"]",
        json.dumps(json.dumps(completion())).encode(),
    ],
)
def test_a_reply_is_found_in_a_body_that_is_no_bare_json(body):
    reply = read_body(body)
    assert reply["choices"] == completion()["choices"]
    assert reply["usage"] == completion()["usage"]


def chunk(delta, finish=None, **more):
    return {
        "model": "big",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    } | more


@pytest.mark.parametrize(
    ("chunks", "text", "reasoning", "finish", "tokens"),
    [
        (
            [
                chunk({"role": "assistant", "content": ""}),
                chunk({"content": "so "}),
                chunk({"content": "[[B]]"}),
                chunk({}, "stop"),
                {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
            ],
            *("so [[B]]", None, "stop", 3),
        ),
        (
            [
                chunk({"reasoning_content": "may"}),
                chunk({"reasoning_content": "be", "content": None}),
                chunk({"content": "[[B]]"}, "length", usage=None),
            ],
            *("[[B]]", "maybe", "length", None),
        ),
        (
            [
                chunk({"content": "<think>[[A]]"}),
                chunk({"content": "</think>[[B]]"}),
                chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 7, "completion_tokens": 3}}),
            ],
            *("[[B]]", "[[A]]", "stop", 3),
        ),
        (
            [
                chunk({"content": [{"type": "thinking", "thinking": "[[A]]"}]}),
                chunk({"content": "[[B]]"}),
                chunk({}, "stop"),
            ],
            *("[[B]]", "[[A]]", "stop", None),
        ),
        (
            [
                chunk({"thinking": "[["}),
                chunk({"thinking": "A]]", "thinking_blocks": [{"thinking": "x"}]}),
                chunk({"content": "[[B]]"}, "stop"),
            ],
            *("[[B]]", "[[A]]", "stop", None),
        ),
        ([chunk({"content": "so [["})], "so [[", None, "(none)", None),
        ([chunk({"content": "so [[B]]"}, "stop")], "so [[B]]", None, "stop", None),
        ([chunk({"content": "so"}), {"error": {"code": 502}}], "so", None, "broken_off", None),
    ],
)
def test_chunks_of_a_stream_are_joined(chunks, text, reasoning, finish, tokens):
    lines = ["data: " + json.dumps(one) for one in chunks] + ["data: [DONE]"]
    body = "\n\n: ping\n\n".join(lines).encode()
    raw = read_answer_body(body, None)
    answer = read(raw)
    assert (answer.text, answer.reasoning, answer.finish_reason) == (text, reasoning, finish)
    assert answer.completion_tokens == tokens
    assert raw["body"] == body.decode()  # as it came
    assert to_answer(record_of(raw)).text == text


@pytest.mark.parametrize("index", [0, 1, "0", None])
def test_the_pieces_of_one_choice_are_joined_however_choices_are_counted(index):
    chunks = [chunk({"content": "so "}), chunk({"content": "[[B]]"}, "stop")]
    for one in chunks:
        one["choices"][0]["index"] = index
    last = {"delta": {}, "finish_reason": "stop"}
    body = "\n".join("data: " + json.dumps(one) for one in [*chunks, {"choices": [last]}])
    assert read(read_answer_body(body.encode(), None)).text == "so [[B]]"


def test_pieces_of_several_choices_are_not_mixed_in_any_order():
    pieces = [(1, "[[A]]", None), (0, "so ", None), (1, "", "length"), (0, "[[B]]", "stop")]
    choices = [
        {"index": index, "delta": {"content": text}, "finish_reason": finish}
        for index, text, finish in pieces
    ]
    chunks = [{"choices": choices[:2]}, {"choices": choices[2:]}]
    body = "\n".join("data: " + json.dumps(one) for one in chunks)
    answer = read(read_answer_body(body.encode(), None))
    assert (answer.text, answer.finish_reason) == ("so [[B]]", "stop")


@pytest.mark.parametrize("empty", [{"content": None}, {"content": ""}, None, {}])
def test_the_choice_with_a_content_is_the_answer(empty):
    reply = completion()
    reply["choices"].insert(0, {"message": empty, "finish_reason": "stop"})
    assert read(reply).text == "so [[B]]"


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"error": {"message": "Overloaded"}}\n\n',
        b': PROCESSING\n\n{"error": {"message": "Provider returned error"}}',
        b'{"status": "working"}\n{"error": "upstream failed"}\n',
        b'<html><script>x = {"error": "bad gateway"}</script></html>',
        b'<!doctype html><script>x = {"choices": [{"value": 1}]}</script>',
    ],
)
def test_an_error_or_a_page_is_no_answer_whatever_stands_around_it(body):
    with pytest.raises(Fault):
        read(read_answer_body(body, None))


RESPONSE = {
    "object": "response",
    "status": "completed",
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "[[A]]"}]},
        {"type": "web_search_call", "action": {"query": "[[C]]"}},
        {"type": "message", "content": [{"type": "output_text", "text": "so [[B]]"}]},
    ],
    "usage": {"input_tokens": 7, "output_tokens": 3},
}
MESSAGE = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "thinking", "thinking": "[[A]]"}, {"type": "text", "text": "so [[B]]"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 7, "output_tokens": 3},
}
CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
DENIAL = [{"type": "message", "content": [{"type": "refusal", "refusal": "so [[B]]"}]}]


@pytest.mark.parametrize(
    ("reply", "reasoning", "finish"),
    [
        (RESPONSE, "[[A]]", "stop"),
        (RESPONSE | CUT, "[[A]]", "length"),
        (RESPONSE | {"output": DENIAL}, None, "refusal"),
        (RESPONSE | {"status": "in_progress"}, "[[A]]", "in_progress"),
        (MESSAGE, "[[A]]", "stop"),
        (MESSAGE | {"stop_reason": "max_tokens"}, "[[A]]", "length"),
        (MESSAGE | {"stop_reason": None}, "[[A]]", "(none)"),
    ],
)
def test_a_reply_of_another_interface_is_read_too(reply, reasoning, finish):
    for answer in (read(reply), to_answer(record_of(reply))):
        assert (answer.text, answer.reasoning) == ("so [[B]]", reasoning)
        assert (answer.finish_reason, answer.completion_tokens) == (finish, 3)


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [{"message": {"content": "so [[B',
        b'{"choices": [{"message": {"content": "so [[B]]"}, "finish_reason": "st',
        b"so [[B]]",
        b"\x1f\x8b\x08\x00 gibberish",
        b'data: {"choices": [{"delta": {"content": "so',
        b'{"choices": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_cannot_be_read_is_one_answer_kept_as_it_came(body):
    assert isinstance(read_body(body), Unreadable)
    raw = read_answer_body(body, None)
    assert raw == {"body": body.decode("utf-8", "replace")}
    answer = to_answer(record_of(raw, PRICES), PRICES)
    assert (answer.text, answer.finish_reason, answer.cost_usd) == ("", "unreadable", None)


@pytest.mark.parametrize(
    "body", [b"", b" \n", b": PROCESSING\n\n", b"data: [DONE]\n\n", b"<html>", b"[1]", b"null"]
)
def test_what_is_no_answer_is_a_fault(body):
    with pytest.raises(Fault, match="the body was no answer"):
        read_answer_body(body, None)


@pytest.mark.parametrize(
    "wrapped",
    [
        {"data": completion()},
        {"success": True, "errors": [], "result": completion()},
        {"code": 0, "message": "ok", "data": completion()},
        {"code": 0, "data": {"response": completion()}},
        {"output": {"choices": completion()["choices"]}, "usage": completion()["usage"]},
    ],
)
def test_a_reply_that_a_gateway_has_wrapped_is_read_and_kept_as_it_came(wrapped):
    body = json.dumps(wrapped).encode()
    raw = read_answer_body(body, None)
    assert raw["body"] == body.decode()
    for answer in (read(raw), to_answer(record_of(raw))):
        assert (answer.text, answer.finish_reason) == ("so [[B]]", "stop")
        assert (answer.prompt_tokens, answer.completion_tokens) == (7, 3)


@pytest.mark.parametrize(
    ("texts", "finish"), [(["so [[", "B]]"], "stop"), (["so ", "", "[[B]]"], "length")]
)
def test_pieces_of_the_older_interface_are_joined(texts, finish):
    pieces = [{"index": 0, "text": text, "finish_reason": None} for text in texts]
    pieces[-1]["finish_reason"] = finish
    lines = ["data: " + json.dumps({"choices": [piece]}) for piece in pieces]
    answer = read(read_answer_body("\n\n".join(lines).encode(), None))
    assert (answer.text, answer.finish_reason) == ("so [[B]]", finish)


def test_a_secret_is_found_in_a_body_that_is_kept_as_text():
    for secret in (SECRET, "sk\\u002D0123456789", "sk-01\\u00323456789"):
        raw = read_answer_body(b'{"choices": [{"message": "key ' + secret.encode(), SECRET)
        assert raw == {"body": '{"choices": [{"message": "key [redacted]'}


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "<think>[[A]]</think>\n[[B]]"}, "[[B]]", "[[A]]"),
        ({"content": "[[A]]</think>[[B]]"}, "[[B]]", "[[A]]"),
        ({"content": "[[B]]", "reasoning_content": "[[A]]"}, "[[B]]", "[[A]]"),
        ({"content": None, "reasoning_content": "[[A]]"}, "", "[[A]]"),
        ({"content": "", "reasoning": "[[A]]"}, "", "[[A]]"),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "[[A]]"}]}, "", "[[A]]"),
        (
            {
                "content": [
                    {"type": "reasoning", "text": "[[A]]"},
                    {"type": "text", "text": "[[B]]"},
                ]
            },
            *("[[B]]", "[[A]]"),
        ),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "[[A]]"}]},
                    {"type": "output_text", "text": "[[B]]"},
                ]
            },
            *("[[B]]", "[[A]]"),
        ),
        ({"content": [{"thought": True, "text": "[[A]]"}, {"text": "[[B]]"}]}, "[[B]]", "[[A]]"),
        ({"content": ["so ", {"text": "[[B]]"}, None, 7]}, "so [[B]]", None),
        ({"content": [{"type": "text", "text": {"value": "[[B]]"}}]}, "[[B]]", None),
        (
            {
                "content": [
                    {"type": "analysis", "text": "[["},
                    {"type": "text", "channel": "commentary", "text": "A]]"},
                    {"type": "text", "channel": "final", "text": "[[B]]"},
                ]
            },
            *("[[B]]", "[[A]]"),
        ),
        # What was searched, quoted or given to a tool is neither.
        (
            {
                "content": [
                    {"reasoning": "[[A]]"},
                    {"type": "web_search_tool_result", "content": [{"content": "[[A]]"}]},
                    {"type": "tool_result", "content": "[[A]]"},
                    {"type": "document", "text": "[[A]]"},
                    {"type": "text", "text": "[[B]]"},
                    {"type": "citation", "text": "[[A]]"},
                ]
            },
            *("[[B]]", None),
        ),
        ({"content": "[[B]]", "thinking_blocks": [{"thinking": "[[A]]"}]}, "[[B]]", "[[A]]"),
        ({"content": "[[B]]", "reasoning": "", "reasoning_content": None}, "[[B]]", None),
    ],
)
def test_thinking_never_stands_in_the_text(message, text, reasoning):
    reply = completion()
    reply["choices"][0]["message"] = message
    answer = read(reply)
    assert (answer.text, answer.reasoning, answer.finish_reason) == (text, reasoning, "stop")


def test_a_thought_that_was_never_closed_is_truncated_and_no_answer():
    answer = read(completion("<think>so [[B]]"))
    assert (answer.text, answer.reasoning) == ("", "so [[B]]")
    assert answer.finish_reason == "length"


@pytest.mark.parametrize("place", ["reply", "choice", "message"])
@pytest.mark.parametrize("finish", ["stop", None, "error"])
def test_an_error_beside_a_text_is_an_answer_that_broke_off(place, finish):
    reply = completion(finish=finish)
    (choice,) = reply["choices"]
    owner = {"reply": reply, "choice": choice, "message": choice["message"]}[place]
    owner["error"] = {"code": 502, "message": "upstream died"}
    answer = read(reply)
    assert (answer.text, answer.finish_reason) == ("so [[B]]", "broken_off")


@pytest.mark.parametrize(
    "told",
    [{"errors": [{"message": "died"}]}, {"base_resp": {"status_code": 1027, "status_msg": "no"}}],
)
def test_an_error_is_one_in_other_dialects_too(told):
    assert read(completion() | told).finish_reason == "broken_off"


@pytest.mark.parametrize(
    "told", [{"errors": []}, {"errors": None}, {"base_resp": {"status_code": 0}}, {"base_resp": 7}]
)
def test_no_error_is_none_in_other_dialects(told):
    assert read(completion() | told).finish_reason == "stop"


@pytest.mark.parametrize(
    "error",
    [
        {"code": 0, "message": "overloaded"},
        {"code": 502, "message": ""},
        {"code": 0, "message": "success", "type": "timeout"},
        {"failed": True},
    ],
)
def test_an_error_of_which_any_field_tells_something_is_one(error):
    assert read(completion() | {"error": error}).finish_reason == "broken_off"


@pytest.mark.parametrize(
    "error",
    [
        *(None, {}, "", False, 0, "success", [{}]),
        {"message": "", "type": "", "param": "", "code": None},
        {"code": 0, "message": "success"},
        {"code": "200", "message": "OK", "details": []},
    ],
)
def test_no_error_is_none(error):
    assert read(completion() | {"error": error}).finish_reason == "stop"


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": [{"error": {"message": "overloaded"}}]},
        completion("", "stop", (7, 0)),
        completion(None, "stop", None),
        completion(" ", None, (0, 0)),
        completion("", "error", None),
        completion([], "end_turn", None),
        completion("", None, None) | {"error": {"message": "overloaded"}},
        {"choices": []},
        {"object": "response", "status": "queued", "output": []},
        {"type": "message", "role": "assistant", "content": [], "stop_reason": None},
        {"error": {"message": "overloaded"}},
        {"message": "Unauthorized"},
        {"code": 429, "message": "slow down", "text": "slow down"},
        {},
    ],
)
def test_an_empty_answer_is_a_fault_that_is_asked_again(reply):
    with pytest.raises(Fault):
        read(reply)


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        (completion("", "stop", (7, 3)), "stop"),
        (completion("", "length", None), "length"),
        (completion(None, "content_filter", None), "content_filter"),
        (completion([{"type": "refusal", "refusal": "No."}]), "refusal"),
        ({"choices": [], "usage": {"completion_tokens": 3}}, "unreadable"),
        ({"choices": [{"text": "so [[B]]", "finish_reason": "stop"}]}, "stop"),
        ({"choices": [{"message": "so [[B]]", "finish_reason": "stop"}]}, "stop"),
        ({"choices": [None, completion()["choices"][0]]}, "stop"),
        ({"choices": completion()["choices"][0]}, "stop"),
        ({"message": {"content": "so [[B]]"}, "done_reason": "stop"}, "stop"),
        ({"choices": ["so [[B]]"]}, "unreadable"),
        ({"choices": [{"answer": "so [[B]]"}]}, "unreadable"),
    ],
)
def test_what_was_paid_for_is_kept_though_it_holds_no_text(reply, finish):
    assert read(reply).finish_reason == finish


def test_a_stored_reply_is_read_anew_with_the_prices_of_today():
    text = "<think>[[A]]</think>[[B]]"
    old = {"text": text, "reasoning": None, "finish_reason": "end_turn", "cost_usd": None}
    record = record_of(completion(text, "end_turn", (1000, 500)), **old)
    answer = to_answer(record, PRICES)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("[[B]]", "[[A]]", "stop")
    assert answer.cost_usd == pytest.approx(1000e-6 + 5000e-6)


def test_an_answer_out_of_a_batch_has_the_price_of_batches_later_too():
    record = record_of(completion(usage=(1000, 500)), seconds=0.0)
    assert to_answer(record, PRICES).cost_usd == pytest.approx((1000e-6 + 5000e-6) / 2)


def test_without_prices_a_cost_that_was_known_stays_so():
    record = record_of(completion(), PRICES)
    assert to_answer(record).cost_usd == pytest.approx(37e-6)


def test_a_stored_answer_without_a_reply_has_the_same_channels():
    answer = Answer("k", "<think>[[A]]</think>[[B]]", None, "eos", None, 5, 0.0, 0.5, {})
    (body,) = encode([to_record(ASKED, answer, "rationale")])
    read_again = to_answer(json.loads(body))
    assert (read_again.text, read_again.reasoning) == ("[[B]]", "[[A]]")
    assert (read_again.finish_reason, read_again.prompt_tokens) == ("stop", None)


@pytest.mark.parametrize("raw", [None, "", "no JSON", "[1]", "null", '{"choices": 7}'])
def test_a_raw_reply_that_nobody_can_read_leaves_the_columns(raw):
    record = record_of(completion()) | {"raw": raw}
    assert to_answer(record).text == "so [[B]]"


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", False),
        ("openai/gpt-4o", "gpt-4o", True),
        ("gpt-4o", "openrouter/openai/gpt-4o-2024-08-06", True),
        ("claude-sonnet-4", "claude-sonnet-4-20250514", True),
        ("gpt-4", "gpt-4-0613", True),
        ("gemini-2.0-flash", "models/gemini-2.0-flash-001", True),
        ("mistral-large-latest", "mistral-large-2411", True),
        ("deepseek/deepseek-r1:free", "deepseek/deepseek-r1", True),
        ("qwen2.5:7b", "qwen2.5:0.5b", False),
        ("models/smollm2-135m", "models/smollm2-135m@main", True),
        ("Qwen/Qwen2.5-7B@a09a354", "Qwen/Qwen2.5-7B", True),
        ("claude-sonnet-4", "claude-sonnet-4@20250514", True),
        ("models/smollm2@v1", "models/smollm2@v2", False),
        ("smollm2-135m", "smollm2-360m@main", False),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b-instruct", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("big", "tiny-fallback", False),
    ],
)
def test_a_prefix_a_date_or_a_revision_makes_no_other_model(asked, answered, same):
    assert is_same_model(asked, answered) is same


@pytest.mark.parametrize(
    ("expected", "answered", "fits"),
    [
        ("gpt-4o-2024*", "gpt-4o-2024-08-06", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o-2024*", "openai/GPT-4o-2024-08-06", True),
        ("openai/*", "openai/gpt-4o", True),
        ("openai/*", "tiny", False),
        ("gpt-4o-2024*", "openai/gpt-4o-mini", False),
        ("big", "tiny", False),
        ("big", None, False),
    ],
)
def test_an_expected_model_is_a_name_or_a_pattern(expected, answered, fits):
    assert is_expected(expected, answered) is fits
    reply = completion() | {"model": answered}
    if fits:
        assert read(reply, expect=expected).text == "so [[B]]"
    else:
        with pytest.raises(Fault, match=" answered, not " + re.escape(expected)):
            read(reply, expect=expected)


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        (None, None),
        ("big*", "3 stored answers are used that expect_model (big*) would not take: 2 by tiny, 1"),
        (
            "tiny",
            "2 stored answers are used that expect_model (tiny) would not take: 1 by big-2, 1",
        ),
    ],
)
def test_stored_answers_of_models_that_are_not_expected_are_told(caplog, expect, told):
    models = ["big-2", "tiny", "tiny", "other", None]
    stored = [read(completion() | {"model": model}) for model in models]
    with caplog.at_level(logging.WARNING):
        tell_unexpected(stored, expect)
    assert bool(caplog.messages) == bool(told)
    assert all(told in message for message in caplog.messages)


def test_other_models_and_unknown_endings_are_told_once(caplog):
    replies = [completion() | {"model": "tiny"}] * 3 + [completion(finish="maybe")] * 2
    replies += [completion(finish=None), completion(), completion() | {"model": None}]
    told = set()
    with caplog.at_level(logging.WARNING):
        for reply in replies:
            tell_oddities([(ASKED, read(reply))], told)
    first, second, third = (record.message for record in caplog.records)
    assert first.startswith("teacher: tiny answered where big was asked")
    assert second.startswith("teacher: 'maybe' is no known ending of an answer")
    assert third.startswith("teacher: the endpoint does not say how answers ended")


def test_the_progress_says_how_many_answers_are_of_unknown_length():
    answers = [read(completion(), PRICES), read(completion(usage=None), PRICES)]
    line = Tally(None, "accepted").add(answers, [True, False])
    assert (
        line == "10 tokens and 1 answers of unknown length, cost unknown, 0 retries, 50% accepted"
    )


@pytest.mark.parametrize(
    ("content", "other", "used"),
    [
        ("so [[B]]", {}, "so [[B]]"),
        ("half \ud800", {}, "half ?"),
        ("mine", {"raw": '{"choices": [{"message": {"content": "theirs"}}]}'}, "theirs"),
        ("mine", {"received_at": "2026-01-01", "text": "theirs", "raw": "{}"}, "theirs"),
    ],
)
def test_an_answer_is_used_as_the_store_has_it(content, other, used):
    raw = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    asked = Request("k", "i", [], {}, 0, None, "m", "")
    fresh = read_answer(raw, asked, None)
    written = to_record(asked, fresh, "rationale")
    stored = json.loads(encode([written])[0]) | other
    assert read_back(fresh, written, stored).text == used


@pytest.mark.parametrize("opens", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("levels", [150, 900, 100_000])
@pytest.mark.parametrize("where", ["alone", "in a field", "behind a comment", "before a reply"])
def test_what_is_nested_without_end_is_unreadable_or_no_answer(opens, levels, where):
    deep, reply = opens * levels, json.dumps({"choices": [{"message": {"content": "a"}}]})
    body = {
        "alone": deep,
        "in a field": f'{reply[:-1]}, "x": {deep}',
        "behind a comment": f": wait\n\n{deep}",
        "before a reply": f"{deep}\n{reply}",
    }[where]
    try:
        raw = read_answer_body(body.encode(), None)
    except Fault as fault:
        assert len(str(fault)) < 500
    else:
        assert read_answer(raw, ASKED, None).finish_reason in ("unreadable", "(none)")


@pytest.mark.parametrize(
    "part", ['{"a": ', '{"', '{"a": "', "{", '{"a": [1, 2, ', '{"choices": [', '{"a": {"b": ']
)
def test_json_is_looked_for_in_a_bounded_part_of_a_body(part, monkeypatch):
    """The work is counted in characters that are read again, not in seconds."""
    read = []

    class Decoder(json.JSONDecoder):
        def raw_decode(self, s, idx=0):
            try:
                return super().raw_decode(s, idx)
            except json.JSONDecodeError as error:
                read.append((len(s) if error.msg.startswith("Unterminated") else error.pos) - idx)
                raise

    monkeypatch.setattr("caft.teacher.reading.body.json.JSONDecoder", Decoder)
    body = part * 300 + "1, " * 100_000
    assert isinstance(read_body(body.encode()), Unreadable)
    assert sum(read) <= 10 * len(body)


def test_chunks_are_joined_once_whatever_their_number():
    chunk = {"choices": [{"delta": {"content": "ab", "reasoning": [{"text": "c"}]}}]}
    body = f"data: {json.dumps(chunk)}\n\n" * 20_000
    message = read_body(body.encode())["choices"][0]["message"]
    assert message["content"] == "ab" * 20_000
    assert message["reasoning"] == [{"text": "c"}] * 20_000


@pytest.mark.parametrize("odd", [-1.0, float("nan"), float("inf"), -(10**400), 10**400, "many"])
def test_a_cost_that_somebody_stored_counts_only_where_it_can_be_one(odd):
    record = dict.fromkeys(RECORD.names) | {"key": "k", "text": "a", "finish_reason": "stop"}
    record |= {"cost_usd": odd, "prompt_tokens": odd, "completion_tokens": odd, "seconds": odd}
    answer = to_answer(record)
    assert (answer.cost_usd, answer.prompt_tokens, answer.completion_tokens) == (None,) * 3
    assert answer.seconds == 0.0
    assert json.loads(encode([record])[0])["cost_usd"] is None
