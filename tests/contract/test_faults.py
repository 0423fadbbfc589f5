"""The provider against a server that fails in every way a server fails."""

import logging
import os
import threading
import time
from collections import Counter

import pytest
from asking import CANARY, SPEC, ask, ask_one, make, request, requests, teacher
from scripted_server import FAULTS, ScriptedServer, question, reply

from caft.errors import ConfigError, TeacherError


def failing(fault, times):
    """Return a script: the fault so many times for each question, then an answer."""
    return lambda request, asked: fault if asked < times else reply("so [[B]]")


def always(*result):
    return lambda request, asked: result if len(result) > 1 else result[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_repeated_until_there_is_an_answer(fault):
    with ScriptedServer(failing(fault, 2)) as server:
        asked = teacher(server, timeout_s=1.0 if fault == "hang" else 30)
        (answer,) = ask(asked, [request("q0")]).values()
    assert (answer.text, answer.finish_reason) == ("so [[B]]", "stop")
    assert (server.asked["q0"], asked.retries) == (3, 2)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_becomes_an_error_after_all_attempts(fault):
    with ScriptedServer(always(fault)) as server:
        answer = ask_one(server, timeout_s=0.5 if fault == "hang" else 30, attempts=3)
    assert (answer.finish_reason, answer.text, server.asked["q0"]) == ("error", "", 3)
    assert answer.raw["error"]


def test_a_server_that_is_not_there_becomes_an_error():
    asked = make({**SPEC, "attempts": 2})
    (answer,) = ask(asked, [request("q0")]).values()
    assert "connection to scripted at http://127.0.0.1:9/v1 failed" in answer.raw["error"]


def test_a_wait_that_the_server_asks_for_is_kept():
    wait = (429, {"Retry-After": "1"}, {"error": {"message": "later"}})
    with ScriptedServer(failing(wait, 1)) as server:
        ask_one(server, max_wait_s=60)
    first, second = server.arrivals
    assert 1.0 <= second - first < 4


def test_a_longer_wait_than_allowed_is_cut():
    wait = (503, {"Retry-After": "3600"}, {})
    with ScriptedServer(failing(wait, 1)) as server:
        ask_one(server, max_wait_s=0.1)
    assert server.arrivals[1] - server.arrivals[0] < 30


def test_every_kind_of_fault_is_told_once(caplog):
    with caplog.at_level(logging.WARNING), ScriptedServer(failing("500", 1)) as server:
        ask(teacher(server), requests(10))
    told = [record.message for record in caplog.records]
    assert told == [
        f"teacher: scripted at {server.url} answered 500 (broken); such requests are repeated"
    ]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "check the key in $CANARY_KEY"),
        (402, "add credit to the account of the key in $CANARY_KEY"),
        (404, "check base_url and model"),
    ],
)
def test_a_status_that_is_never_one_items_stops_the_run_at_once(status, told, monkeypatch):
    monkeypatch.setenv("CANARY_KEY", CANARY)
    refusal = (status, {}, {"error": {"message": "not like this"}})
    with (
        ScriptedServer(always(*refusal)) as server,
        pytest.raises(TeacherError) as caught,
    ):
        ask(teacher(server, api_key_env="CANARY_KEY", concurrency=1), requests(50))
    assert str(caught.value).startswith(
        f"scripted at {server.url} answered {status} (not like this)"
    )
    assert told in str(caught.value)
    assert sum(server.asked.values()) == 1


def test_an_empty_account_stops_the_run_though_its_status_is_that_of_a_rate_limit():
    empty = (429, {}, {"error": {"code": "insufficient_quota", "message": "pay"}})
    with ScriptedServer(always(*empty)) as server, pytest.raises(TeacherError, match="add credit"):
        ask_one(server)


def test_a_redirection_is_not_followed():
    moved = (307, {"Location": "https://example.org/v1"}, {})
    with (
        ScriptedServer(always(*moved)) as server,
        pytest.raises(TeacherError, match="points to https://example.org/v1: give the final"),
    ):
        ask_one(server)


def test_what_is_under_way_when_the_run_stops_is_yielded_before_the_error():
    def script(request, asked):
        return (402, {}, {}) if question(request) == "q7" else reply("so [[B]]")

    got = []
    with (
        ScriptedServer(script, lambda question: 0.05 if question == "q7" else 0.3) as server,
        pytest.raises(TeacherError, match="add credit"),
    ):
        for batch in teacher(server, concurrency=8).answer(requests(100)):
            got += batch
    assert sorted(answer.key for answer in got) == [f"key of q{number}" for number in range(7)]
    assert sum(server.asked.values()) == 8


def test_nothing_is_repeated_after_the_run_has_stopped():
    def script(request, asked):
        return (402, {}, {}) if question(request) == "q1" else "500"

    later = {"q0": 0.0, "q1": 0.1, "q2": 0.3}
    with ScriptedServer(script, later.get) as server, pytest.raises(TeacherError):
        ask(teacher(server, concurrency=3, backoff_s=30, max_wait_s=60), requests(3))
    assert server.asked == {"q0": 1, "q1": 1, "q2": 1}


def test_lost_requests_in_a_row_stop_the_run_and_what_was_bought_is_kept():
    def script(request, asked):
        return reply("so [[B]]") if int(question(request)[1:]) < 5 else "500"

    got = []
    with (
        ScriptedServer(script) as server,
        pytest.raises(TeacherError, match="3 requests in a row failed, the last with: scripted at"),
    ):
        for batch in teacher(server, attempts=2, breaker=3, concurrency=1).answer(requests(50)):
            got += batch
    assert [answer.finish_reason for answer in got] == ["stop"] * 5 + ["error"] * 3
    assert sum(server.asked.values()) == 5 + 3 * 2


@pytest.mark.parametrize(("good", "bad", "settled"), [(30, 3, 3), (30, 30, 5)])
def test_refusals_behind_the_last_answer_settle_few_items(good, bad, settled):
    def script(request, asked):
        fine = int(question(request)[1:]) < good
        return reply("so [[B]]") if fine else (403, {}, "Forbidden")

    with ScriptedServer(script) as server:
        got = ask(teacher(server, concurrency=1), requests(good + bad))
    endings = Counter(answer.finish_reason for answer in got.values())
    assert endings == Counter(stop=good, refused=settled, error=bad - settled)


def test_an_answer_between_lost_requests_keeps_the_run_going():
    def script(request, asked):
        return reply("so [[B]]") if int(question(request)[1:]) % 3 == 0 else "500"

    with ScriptedServer(script) as server:
        got = ask(teacher(server, attempts=1, breaker=3, concurrency=1), requests(30))
    assert sum(answer.finish_reason == "error" for answer in got.values()) == 20


@pytest.mark.parametrize(
    ("sent", "text", "finish_reason"),
    [
        (reply(""), "", "stop"),
        (reply(None), "", "stop"),
        (reply(None, "length"), "", "length"),
        (reply("cut", "length"), "cut", "length"),
        (reply("", "content_filter"), "", "content_filter"),
        (reply("so [[C]]"), "so [[C]]", "stop"),
        (reply("Paris is [[12]]"), "Paris is [[12]]", "stop"),
        (reply("so [[B]]", None), "so [[B]]", "(none)"),
        (reply(None, "tool_calls"), "", "tool_calls"),
        (reply(None, "stop", refusal="I will not"), "I will not", "refusal"),
        (reply([{"text": "so "}, {"text": "[[B]]"}]), "so [[B]]", "stop"),
        (reply("ü 😀 \u2028"), "ü 😀 \u2028", "stop"),
    ],
)  # fmt: skip
def test_what_was_paid_for_is_an_answer(sent, text, finish_reason):
    with ScriptedServer(always(sent)) as server:
        answer = ask_one(server)
    assert (answer.text, answer.finish_reason) == (text, finish_reason)
    assert (answer.prompt_tokens, answer.completion_tokens) == (7, 3)
    assert answer.raw == sent
    assert server.asked["q0"] == 1


def test_a_byte_that_is_no_utf8_costs_one_character():
    body = b'{"choices": [{"message": {"content": "a\xff [[B]]"}, "finish_reason": "stop"}]}'
    with ScriptedServer(always(200, {}, body)) as server:
        assert ask_one(server).text == "a\ufffd [[B]]"


def test_a_body_of_ten_megabytes_is_kept():
    long = "word " * 2_000_000
    with ScriptedServer(always(reply(long))) as server:
        assert ask_one(server, timeout_s=30).text == long


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_apart_from_the_answer(field):
    with ScriptedServer(always(reply("so [[B]]", **{field: "hmm"}))) as server:
        answer = ask_one(server)
    assert (answer.text, answer.reasoning) == ("so [[B]]", "hmm")


def test_tokens_that_the_endpoint_does_not_tell_are_unknown_and_so_is_their_cost():
    with ScriptedServer(always(reply("so [[B]]", usage=None, reasoning="a b c"))) as server:
        answer = ask_one(server, prices=PRICES)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cost_usd) == (None,) * 3


PRICES = {"prompt": 1.0, "cached": 0.5, "completion": 10.0, "entered": "2026-11-01"}


@pytest.mark.parametrize(
    ("usage", "prices", "cost"),
    [
        ({}, PRICES, 700e-6 + 3000e-6),
        ({"prompt_tokens_details": {"cached_tokens": 600}}, PRICES, 100e-6 + 300e-6 + 3000e-6),
        ({"prompt_cache_hit_tokens": 600}, PRICES, 100e-6 + 300e-6 + 3000e-6),
        ({"prompt_tokens_details": None}, PRICES, 700e-6 + 3000e-6),
        ({"cost": 0.25}, PRICES, 0.25),
        ({"cost": 0}, PRICES, 0),
        ({"cost": 0.25}, None, 0.25),
        ({}, None, None),
    ],
)
def test_the_cost_is_what_the_endpoint_reports_or_what_the_prices_say(usage, prices, cost):
    sent = reply("so [[B]]", usage=(700, 300))
    sent["usage"] |= usage
    with ScriptedServer(always(sent)) as server:
        assert ask_one(server, prices=prices).cost_usd == pytest.approx(cost)


def test_the_request_is_what_the_config_says():
    changed = {
        "max_tokens_field": "max_completion_tokens",
        "temperature": 0.7,
        "stop": ["END"],
        "seed": 5,
        "extra_body": {"reasoning": {"effort": "low"}},
    }
    with ScriptedServer() as server:
        asked = teacher(server, **changed)
        ask(asked, [request("q0", sample=2, decoding=asked.decoding)])
    assert server.requests[0][1] == {
        "model": "scripted",
        "messages": [{"role": "system", "content": "Think."}, {"role": "user", "content": "q0"}],
        "max_completion_tokens": 100,
        "temperature": 0.7,
        "stop": ["END"],
        "seed": 7,
        "reasoning": {"effort": "low"},
    }


def test_what_is_not_set_is_not_sent_and_not_part_of_the_key():
    changed = {"temperature": None, "top_p": None}
    assert make({**SPEC, **changed}).decoding == {"max_tokens": 100}


@pytest.mark.parametrize(
    ("temperature", "varies"), [(None, True), (0.0, False), (0, False), (0.5, True)]
)
def test_samples_vary_unless_the_temperature_is_zero(temperature, varies):
    assert make({**SPEC, "temperature": temperature}).varies is varies


def test_a_key_is_looked_for_only_when_something_has_to_be_asked(monkeypatch):
    monkeypatch.delenv("CANARY_KEY", raising=False)
    asked = make({**SPEC, "api_key_env": "CANARY_KEY"})
    assert asked.identify({}) == ("scripted", "")
    assert ask(asked, []) == {}
    with pytest.raises(ConfigError, match="the environment has no CANARY_KEY: set it"):
        ask(asked, [request("q0")])


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("CANARY_KEY", CANARY + "\nX: y")
    with pytest.raises(ConfigError, match="CANARY_KEY holds blanks") as caught:
        ask(make({**SPEC, "api_key_env": "CANARY_KEY"}), [request("q0")])
    assert CANARY not in str(caught.value)


def test_the_key_is_sent_and_the_ambient_openai_settings_change_nothing(monkeypatch):
    monkeypatch.setenv("CANARY_KEY", f" {CANARY}\n")
    ambient = {
        "OPENAI_API_KEY": "ambient-key-1",
        "OPENAI_ADMIN_KEY": "ambient-key-2",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/ambient",
        "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer ambient-key-3",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    with ScriptedServer() as server:
        ask_one(server, api_key_env="CANARY_KEY")
        ask_one(server)
    (first, _), (second, _) = server.requests
    assert (first["authorization"], second["authorization"]) == (f"Bearer {CANARY}", "Bearer none")
    assert "ambient" not in str(server.requests)


@pytest.mark.parametrize("status", [200, 401, 429, 500])
def test_a_key_that_the_server_echoes_is_kept_nowhere(status, monkeypatch, caplog):
    monkeypatch.setenv("CANARY_KEY", CANARY)
    echo = {"error": {"message": f"bad key {CANARY}"}} if status != 200 else {}
    echo |= reply(f"your key is {CANARY} [[B]]", note={CANARY: [CANARY]})
    script = always(status, {"X-Echo": CANARY}, echo)
    with caplog.at_level(logging.DEBUG), ScriptedServer(script) as server:
        try:
            seen = repr(ask_one(server, api_key_env="CANARY_KEY", attempts=2))
        except TeacherError as error:
            seen = str(error)
    assert "[redacted]" in seen
    assert CANARY not in seen + caplog.text


@pytest.mark.parametrize(
    "url", [f"https://me:{CANARY}@host/v1", f"https://host/v1?key={CANARY}", "host/v1"]
)
def test_a_base_url_with_more_than_an_address_is_refused_without_being_shown(url):
    with pytest.raises(ConfigError, match="base_url") as caught:
        make({**SPEC, "base_url": url})
    assert CANARY not in str(caught.value)


def test_a_short_key_of_a_local_server_is_not_cut_out_of_answers(monkeypatch):
    monkeypatch.setenv("LOCAL_KEY", "token")
    with ScriptedServer(always(reply("the token [[B]]"))) as server:
        assert ask_one(server, api_key_env="LOCAL_KEY").text == "the token [[B]]"


def test_as_many_requests_are_under_way_as_there_are_slots():
    with ScriptedServer(latency=lambda question: 0.02) as server:
        assert len(ask(teacher(server, concurrency=8), requests(64))) == 64
    assert server.most == 8


def test_a_slow_answer_holds_up_no_other():
    with ScriptedServer(latency=lambda question: 1.0 if question == "q0" else 0.0) as server:
        got = list(ask(teacher(server, concurrency=8), requests(50)))
    assert got.index("key of q0") > 20


def test_a_slot_is_free_only_when_the_next_batch_is_asked_for():
    with ScriptedServer() as server:
        answers = teacher(server, concurrency=4).answer(requests(50))
        got = next(answers)
        deadline = time.monotonic() + 20
        while sum(server.asked.values()) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        assert sum(server.asked.values()) == 4
        got += next(answers)
        answers.close()
    assert 2 <= len(got) <= 8


def test_requests_that_have_to_wait_for_a_settlement_are_asked_after_it():
    settled = []

    def stream():
        for number, one in enumerate(requests(6)):
            while number >= len(settled) + 2:
                yield None
            yield one

    with ScriptedServer() as server:
        for batch in teacher(server).answer(stream()):
            settled += batch
    assert len(settled) == 6
    assert server.most <= 2


def test_the_stream_ends_when_there_is_no_room_and_nothing_under_way():
    def stream():
        yield from requests(3)
        while True:
            yield None

    with ScriptedServer() as server:
        assert len(ask(teacher(server), stream())) == 3
        assert ask(teacher(server), iter([None])) == {}


def test_an_error_in_the_stream_of_requests_is_raised_after_what_was_bought():
    def stream():
        yield from requests(3)
        raise RuntimeError("no more")

    got = []
    with ScriptedServer() as server, pytest.raises(RuntimeError, match="no more"):
        for batch in teacher(server, concurrency=1).answer(stream()):
            got += batch
    assert len(got) == 3
    with ScriptedServer() as server, pytest.raises(RuntimeError, match="no more"):
        ask(teacher(server, concurrency=8), stream())


def test_a_consumer_that_stops_ends_the_thread_and_the_connections():
    def script(request, asked):
        return reply("b") if question(request) == "q0" else "hang"

    with ScriptedServer(script) as server:
        for _ in teacher(server).answer(requests(20)):
            break
        deadline = time.monotonic() + 5
        while any(thread.name == "caft-teacher" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_requests_per_minute_are_kept_without_a_burst():
    with ScriptedServer() as server:
        ask(teacher(server, requests_per_minute=600, concurrency=30), requests(30))
    assert server.arrivals[-1] - server.arrivals[0] >= 1.5
    for start, end in zip(server.arrivals, server.arrivals[21:], strict=False):
        assert end - start >= 0.5


def test_tokens_per_minute_are_kept_also_by_requests_larger_than_a_second():
    # A request counts as 2 + 50 tokens, 60 flow in a second.
    with ScriptedServer() as server:
        ask(teacher(server, tokens_per_minute=3600), requests(3))
        assert 1.4 <= server.arrivals[2] - server.arrivals[0] <= 5
        server.arrivals.clear()
        ask(teacher(server, tokens_per_minute=12_000, expected_completion_tokens=298), requests(2))
        assert 1.2 <= server.arrivals[1] - server.arrivals[0] <= 5


def test_neither_key_nor_openai_is_needed_to_make_the_teacher():
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from asking import *\n"
        "teacher = make({**SPEC, 'api_key_env': 'NO_SUCH_KEY'})\n"
        "assert teacher.identify({}) == ('scripted', '')\n"
        "assert not {'openai', 'httpx2', 'stamina', 'torch'} & set(sys.modules)"
    )
    folder = os.path.dirname(__file__)
    subprocess.run([sys.executable, "-c", code, folder], check=True)


@pytest.mark.parametrize(
    ("script", "changed", "advice"),
    [
        (
            (429, {"Retry-After": "3600"}, {"error": {"message": "quota of this hour"}}),
            {},
            r"asks to wait 3600 s, more than max_wait_s \(0.05\); run again then, or raise max",
        ),
        ("hang", {"timeout_s": 0.05}, "raise timeout_s, or lower concurrency or max_new_tokens"),
        (reply("so [[B]]"), {"expect_model": "big"}, "model alone .*, or correct expect_model"),
        ("503", {}, "run again when the endpoint is well, or raise attempts or breaker"),
    ],
)
def test_a_run_that_stops_after_lost_requests_says_what_mends_that_fault(script, changed, advice):
    with (
        ScriptedServer(lambda request, asked: script) as server,
        pytest.raises(TeacherError, match=f"3 requests in a row failed.*{advice}"),
    ):
        ask(teacher(server, breaker=3, attempts=1, concurrency=1, **changed), requests(5))


def test_an_address_where_nothing_listens_is_to_be_checked():
    with ScriptedServer() as server:
        pass
    with pytest.raises(TeacherError, match="in a row failed.*check base_url, the proxy"):
        ask(teacher(server, breaker=2, attempts=1, concurrency=1), requests(3))
