"""The batch interface: submitted once, collected across restarts."""

import json
import time
from datetime import UTC, datetime

import pytest
from asking import CANARY, ask, request, requests, teacher
from batch_server import BatchServer
from driver import collect
from scripted_server import reply
from test_kills import processes  # noqa: F401 - a fixture

from caft.cli import main
from caft.errors import TeacherError
from caft.store import Store
from caft.store.given_up import noted


def batch_teacher(server, folder, **changed):
    return teacher(server, batch=True, store=str(folder), **changed)


def states(folder):
    return [json.loads(path.read_text()) for path in (folder / "batches").glob("*.json")]


def test_each_answer_comes_to_its_request_whatever_the_order(tmp_path):
    def line(key, body):
        return reply(f"answer to {body['messages'][-1]['content']}")

    with BatchServer(line) as server:
        got = ask(batch_teacher(server, tmp_path), requests(5))
    assert {key: answer.text for key, answer in got.items()} == {
        f"key of q{number}": f"answer to q{number}" for number in range(5)
    }
    assert server.submitted == [f"key of q{number}" for number in range(5)]
    assert states(tmp_path) == []


def test_a_batch_is_what_the_interface_wants(tmp_path):
    with BatchServer() as server:
        ask(
            batch_teacher(server, tmp_path, seed=3), [request("q0", sample=1, decoding={"seed": 3})]
        )
    (known,) = server.batches.values()
    assert known["batch"]["endpoint"] == "/v1/chat/completions"
    assert known["batch"]["completion_window"] == "24h"
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": "q0"}]
    assert known["lines"] == [
        {
            "custom_id": "key of q0",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "scripted", "messages": messages, "seed": 4},
        }
    ]


def test_a_batch_costs_its_share_of_the_price(tmp_path):
    prices = {"prompt": 1.0, "cached": None, "completion": 10.0, "batch_share": 0.5}
    with BatchServer(lambda key, body: reply("a", usage=(1000, 100))) as server:
        (answer,) = ask(batch_teacher(server, tmp_path, prices=prices), requests(1)).values()
    assert answer.cost_usd == pytest.approx(0.5 * (1000e-6 + 1000e-6))


OTHER = {**reply("so [[B]]", usage=(1000, 100)), "model": "other"}
EMPTY = reply("", usage=(1000, 0))
NO_CHOICES = {"choices": None, "usage": {"prompt_tokens": 1000, "completion_tokens": 0}}


@pytest.mark.parametrize(
    ("body", "tokens", "cost"),
    [
        (OTHER, 1100, 0.001),
        (EMPTY, 1000, 0.0005),
        (NO_CHOICES, 1100, 0.0),  # 0 tokens without a total: it may have thought all it may
    ],
)
def test_a_paid_reply_that_is_no_answer_counts_as_given_up(tmp_path, body, tokens, cost):
    prices = {"prompt": 1.0, "cached": None, "completion": 10.0, "batch_share": 0.5}
    wanted = {"expect_model": "scripted", "prices": prices}

    def line(key, sent):
        return body if key == "key of q1" else {**reply("a"), "model": "scripted"}

    with BatchServer(line) as server:
        got = ask(batch_teacher(server, tmp_path, **wanted), requests(3))
    assert [got[f"key of q{n}"].finish_reason for n in range(3)] == ["stop", "error", "stop"]
    (lost,) = noted(tmp_path)
    assert (lost.model_id, lost.requests, lost.tokens) == ("scripted", 1, tokens)
    assert lost.cost_usd == pytest.approx(cost)
    assert states(tmp_path) == []


def test_a_reply_without_usage_counts_with_the_most_that_it_can_have_taken(tmp_path):
    with BatchServer(lambda key, body: {"choices": []}) as server:
        ask(batch_teacher(server, tmp_path), requests(2))
    (lost,) = noted(tmp_path)
    assert lost.requests == 2
    assert lost.tokens > 2 * 100  # the longest answers, and the prompts


def test_a_refusal_inside_a_reply_is_not_on_the_bill(tmp_path):
    overloaded = {"error": {"code": 503, "message": "overloaded"}}
    with BatchServer(lambda key, body: overloaded) as server:
        ask(batch_teacher(server, tmp_path), requests(1))
    assert list(noted(tmp_path)) == []


def test_failed_and_missing_lines_are_errors_with_their_reason(tmp_path):
    def line(key, body):
        if key == "key of q1":
            return 400, {"error": {"message": f"too long, {CANARY}"}}
        return None if key == "key of q2" else reply("a")

    with BatchServer(line, status="expired") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_KEY", CANARY)
        got = ask(batch_teacher(server, tmp_path, api_key_env="CANARY_KEY"), requests(3))
    reasons = {key: answer.raw.get("error") for key, answer in got.items()}
    assert reasons["key of q0"] is None
    assert "too long, [redacted]" in reasons["key of q1"]
    assert "ended without an answer" in reasons["key of q2"]
    assert [got[f"key of q{n}"].finish_reason for n in range(3)] == ["stop", "error", "error"]


def results_of(server, lines):
    """Let a server write the file of results: `lines` makes them, given the custom ids."""

    def written(path, *rest):
        known = list(server.batches.values())[-1]
        made = lines([line["custom_id"] for line in known["lines"]])
        return 200, {}, b"\n".join(json.dumps(line).encode() for line in made)

    server.routes["GET", "files"] = written


def failed(key):
    return {"custom_id": key, "response": {"status_code": 500, "body": {"error": "boom"}}}


@pytest.mark.parametrize("tries", ["good failed", "failed good", "failed good failed"])
def test_an_answer_counts_although_its_request_has_failed_before_or_after(tmp_path, tries):
    good = {"response": {"status_code": 200, "body": reply("so [[B]]")}}
    line = {"good": lambda key: {"custom_id": key, **good}, "failed": failed}
    with BatchServer() as server:
        results_of(server, lambda keys: [line[one](key) for key in keys for one in tries.split()])
        got = ask(batch_teacher(server, tmp_path), requests(2))
    assert [answer.text for answer in got.values()] == ["so [[B]]"] * 2
    assert len(server.submitted) == 2


@pytest.mark.parametrize(
    "line",
    [
        {"response": {"status_code": 200, "body": {"data": reply("so [[B]]")}}},
        {"response": {"status_code": None, "body": {"result": {"data": reply("so [[B]]")}}}},
        {"response": {"status_code": 0, "body": reply("so [[B]]")}},
        {"response": {"status_code": 200, "body": "data: " + json.dumps(reply("so [[B]]"))}},
        {"response": reply("so [[B]]")},
        {"response": None, "body": reply("so [[B]]")},
    ],
)
def test_a_line_of_another_shape_is_an_answer_and_bought_once(tmp_path, line):
    with BatchServer() as server:
        results_of(server, lambda keys: [{"custom_id": key, **line} for key in keys])
        got = ask(batch_teacher(server, tmp_path), requests(2))
    assert [answer.text for answer in got.values()] == ["so [[B]]"] * 2
    assert len(server.submitted) == 2


def test_a_status_beside_the_response_says_whether_a_request_is_asked_again(tmp_path):
    def lines(keys):
        good = {"response": {"status_code": 200, "body": reply("so [[B]]")}}
        slow = {"status_code": 429, "error": {"message": "slow down"}}
        return [{"custom_id": key, **(slow if key in keys[1:] else good)} for key in keys]

    with BatchServer() as server:
        results_of(server, lines)
        got = ask(batch_teacher(server, tmp_path), requests(3))
    assert [answer.text for answer in got.values()] == ["so [[B]]"] * 3
    assert len(server.submitted) == 3 + 2 + 1


def test_a_refused_batch_stops_the_run_with_its_reason_and_is_forgotten(tmp_path):
    with (
        BatchServer(status="failed") as server,
        pytest.raises(TeacherError, match=r"refused batch batch_2 \(the model is not known\)"),
    ):
        ask(batch_teacher(server, tmp_path), requests(2))
    assert states(tmp_path) == []


def sizes(server):
    return [len(known["lines"]) for known in server.batches.values()]


def test_many_requests_go_into_several_batches(tmp_path):
    with BatchServer() as server:
        assert len(ask(batch_teacher(server, tmp_path, batch_max_requests=3), requests(8))) == 8
    assert sizes(server) == [3, 3, 2]
    with BatchServer() as server:
        assert len(ask(batch_teacher(server, tmp_path, batch_max_mb=0.0005), requests(3))) == 3
    assert len(server.batches) == 2


def test_what_the_budget_has_no_room_for_goes_into_a_later_batch(tmp_path):
    settled = []

    def stream():
        for number, one in enumerate(requests(5)):
            while number >= len(settled) + 3:
                yield None
            yield one

    with BatchServer() as server:
        for batch in batch_teacher(server, tmp_path).answer(stream()):
            settled += batch
    assert [len(known["lines"]) for known in server.batches.values()] == [3, 2]


def stop_after_submission(server, asked, wanted):
    server.down = True
    with pytest.raises(TeacherError):
        ask(asked, wanted)
    server.down = False


def test_a_submitted_batch_is_collected_by_the_next_run(tmp_path):
    with BatchServer() as server:
        stop_after_submission(server, batch_teacher(server, tmp_path), requests(4))
        assert [state["batch"] for state in states(tmp_path)] == ["batch_2"]
        assert len(ask(batch_teacher(server, tmp_path), requests(6))) == 6
    assert server.submitted == [f"key of q{number}" for number in range(6)]
    assert states(tmp_path) == []


def test_a_fault_while_a_batch_is_made_makes_no_second_one(tmp_path):
    faults = iter([(500, {}, {}), (429, {}, {})])
    with BatchServer() as server:
        server.created = lambda batch: next(faults, None)
        assert len(ask(batch_teacher(server, tmp_path), requests(2))) == 2
    assert len(server.batches) == 1


def test_answers_that_no_longer_are_wanted_are_kept_for_the_run_that_wants_them(tmp_path):
    with BatchServer(lambda key, body: reply(f"answer to {key}")) as server:
        stop_after_submission(server, batch_teacher(server, tmp_path), requests(4))
        assert len(ask(batch_teacher(server, tmp_path), [request("q1")])) == 1
        (state,) = states(tmp_path)
        assert sorted(state["answers"]) == ["key of q0", "key of q2", "key of q3"]
        server.files.clear()
        got = ask(batch_teacher(server, tmp_path), requests(4)[2:])
        assert got["key of q3"].text == "answer to key of q3"
        assert [list(state["answers"]) for state in states(tmp_path)] == [["key of q0"]]
    assert len(server.submitted) == 4


def test_an_open_batch_is_collected_also_when_the_rest_is_asked_online(tmp_path):
    settled = []

    def stream():
        for number, one in enumerate(requests(6)):
            while number >= len(settled) + 3:
                yield None
            yield one

    with BatchServer() as server:
        stop_after_submission(server, batch_teacher(server, tmp_path), requests(4))
        for batch in teacher(server, store=str(tmp_path)).answer(stream()):
            settled += batch
    assert sorted(answer.key for answer in settled) == [f"key of q{n}" for n in range(6)]
    assert server.asked == {"q4": 1, "q5": 1}
    assert states(tmp_path) == []


def test_another_model_has_batches_of_its_own(tmp_path):
    with BatchServer() as server:
        stop_after_submission(server, batch_teacher(server, tmp_path), requests(2))
        assert len(ask(batch_teacher(server, tmp_path, model="other"), requests(2))) == 2
    assert len(server.submitted) == 4


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "token_limit_exceeded", "message": "no more"}),
        (429, {"message": "Enqueued token limit reached for m. Limit: 90,000 enqueued tokens."}),
        (413, b"<html>413 Request Entity Too Large</html>"),
        (400, {"message": "The batch input file exceeds the maximum of 3 requests"}),
        (422, {"code": "file_too_large", "message": "File is too large. Maximum size is 1 MB."}),
        (400, {"message": "batch file has too many lines"}),
    ],
)
def test_a_refusal_for_size_or_what_is_enqueued_makes_smaller_batches(tmp_path, status, error):
    body = error if isinstance(error, bytes) else {"error": error}
    with BatchServer() as server:
        server.refuse = lambda lines: (status, {}, body) if len(lines) > 3 else None
        assert len(ask(batch_teacher(server, tmp_path), requests(10))) == 10
    assert max(sizes(server)) <= 3 and sum(sizes(server)) == 10
    assert states(tmp_path) == []


def test_an_upload_that_is_too_large_makes_smaller_batches(tmp_path):
    with BatchServer() as server:
        upload = server.routes[("POST", "files")]

        def at_most(path, headers, body):
            return (413, {}, b"too large") if len(body) > 1500 else upload(path, headers, body)

        server.routes[("POST", "files")] = at_most
        assert len(ask(batch_teacher(server, tmp_path), requests(10))) == 10
    assert len(server.batches) > 1 and sum(sizes(server)) == 10


@pytest.mark.parametrize(
    "errors",
    [
        {"data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]},
        [{"code": "token_limit_exceeded", "message": None}],
        {"message": "too many enqueued tokens"},
        "the input file is too large",
    ],
)
def test_a_batch_that_failed_for_its_size_is_submitted_in_parts(tmp_path, errors):
    with BatchServer() as server:

        def judged(known):
            if len(known["lines"]) > 2:
                return 200, {}, {**known["batch"], "status": "FAILED", "errors": errors}

        server.judged = judged
        assert len(ask(batch_teacher(server, tmp_path), requests(7))) == 7
    assert sizes(server)[0] == 7 and max(size for size in sizes(server)[-3:]) <= 2
    assert states(tmp_path) == []


def test_what_the_account_has_no_room_for_waits_until_a_batch_has_ended(tmp_path):
    with BatchServer() as server:

        def refuse(lines):
            open_ = [
                k["lines"] for k in server.batches.values() if k["batch"]["status"] != "completed"
            ]
            if sum(map(len, open_)) + len(lines) > 5:
                return 400, {}, {"error": {"message": "Enqueued token limit reached"}}

        server.refuse = refuse
        got = ask(batch_teacher(server, tmp_path, batch_max_requests=3), requests(20))
        assert len(got) == 20
    assert sum(sizes(server)) == 20  # each was taken once
    assert sizes(server)[0] == 3  # one that was refused beside others was not halved


def test_one_request_that_no_batch_takes_is_a_row_and_the_others_go_on(tmp_path):
    def refuse(lines):
        if any(line["custom_id"] == "key of q3" for line in lines):
            return 413, {}, {"error": {"message": "request too large"}}

    with BatchServer() as server:
        server.refuse = refuse
        got = ask(batch_teacher(server, tmp_path), requests(6))
    reasons = {key: answer.finish_reason for key, answer in got.items()}
    assert reasons.pop("key of q3") == "error"
    assert set(reasons.values()) == {"stop"} and len(reasons) == 5


def test_an_account_without_any_room_ends_the_job_with_what_to_do(tmp_path):
    with BatchServer() as server:
        server.refuse = lambda lines: (429, {}, {"error": {"message": "Enqueued limit reached"}})
        with pytest.raises(TeacherError, match="refused even a batch of one request .*Run again"):
            ask(batch_teacher(server, tmp_path), requests(4))
    assert states(tmp_path) == []


def test_a_limit_of_requests_per_minute_is_waited_for_and_halves_nothing(tmp_path):
    faults = iter([(429, {}, {"error": {"message": "Too many requests: rate limit exceeded"}})] * 2)
    with BatchServer() as server:
        server.refuse = lambda lines: next(faults, None)
        assert len(ask(batch_teacher(server, tmp_path), requests(5))) == 5
    assert sizes(server) == [5]


@pytest.mark.parametrize("running", ["IN_PROGRESS", "in progress", "JOB_STATE_RUNNING", "Queued"])
@pytest.mark.parametrize("ended", ["COMPLETED", "succeeded", "ended", "JOB_STATE_SUCCEEDED"])
def test_states_are_known_in_all_spellings(tmp_path, running, ended):
    with BatchServer(status=ended) as server:
        server.odd = lambda batch: {
            **batch,
            "status": running if batch["status"] == "in_progress" else batch["status"],
            "request_counts": None,
        }
        assert len(ask(batch_teacher(server, tmp_path), requests(3))) == 3


@pytest.mark.parametrize("word", ["dreaming", None, 7])
def test_an_unknown_state_is_named_and_does_not_last_for_ever(tmp_path, caplog, word):
    with BatchServer(polls=10**9) as server:
        server.odd = lambda batch: {**batch, "status": word}
        with pytest.raises(TeacherError, match="which caft does not know, for .*store batches"):
            ask(batch_teacher(server, tmp_path, batch_patience_s=0.2), requests(2))
        assert caplog.text.count("does not know the state") == 1
        server.polls, server.odd = 0, lambda batch: {**batch, "status": "completed"}
        for known in server.batches.values():
            server._end(known)
        assert len(ask(batch_teacher(server, tmp_path), requests(2))) == 2
    assert len(server.submitted) == 2


@pytest.mark.parametrize("status", [404, 410])
def test_a_gone_batch_is_named_with_the_way_out_and_then_asked_again(tmp_path, capsys, status):
    with BatchServer() as server:
        server.judged = lambda known: (status, {}, {"error": {"message": "No batch found"}})
        for _ in range(2):
            with pytest.raises(TeacherError, match="caft store batches --forget batch_2 --store"):
                ask(batch_teacher(server, tmp_path), requests(3))
        assert len(server.submitted) == 3
        server.judged = lambda known: None
        assert main(["store", "batches", "--store", str(tmp_path)]) == 0
        assert capsys.readouterr().out.startswith("batch_2  3 requests  20")
        forget = ["store", "batches", "--store", str(tmp_path), "--forget", "batch_2"]
        assert list(noted(tmp_path)) == []
        assert main(forget) == 0 and main(forget) == 1
        (lost,) = noted(tmp_path)
        assert (lost.model_id, lost.requests) == ("scripted", 3)
        assert 300 < lost.tokens < 2000  # 100 tokens for each answer, and its line at most
        assert main(["store", "batches", "--store", str(tmp_path)]) == 0
        assert "no open batches" in capsys.readouterr().out
        assert len(ask(batch_teacher(server, tmp_path), requests(3))) == 3
    assert len(server.submitted) == 6


def test_a_gone_output_file_leaves_the_other_batches_their_answers(tmp_path):
    with BatchServer() as server:
        content = server.routes[("GET", "files")]
        gone = []

        def without_first(path, headers, body):
            gone[:] = gone or [path]
            return (
                (404, {}, {"error": {"message": "No such File"}})
                if path in gone
                else content(path, headers, body)
            )

        server.routes[("GET", "files")] = without_first
        came = []
        with pytest.raises(TeacherError, match="has the output file file-.* no more"):
            for batch in batch_teacher(server, tmp_path, batch_max_requests=2).answer(
                iter(requests(6))
            ):
                came += batch
        assert len(came) == 4
    assert [len(state["keys"]) for state in states(tmp_path)] == [2]


@pytest.mark.parametrize("status", ["completed", "ended"])
def test_a_batch_that_has_ended_without_any_file_is_not_taken_for_empty(tmp_path, status):
    with (
        BatchServer(line=lambda key, body: None, status=status) as server,
        pytest.raises(TeacherError, match="names no file of answers"),
    ):
        ask(batch_teacher(server, tmp_path), requests(2))
    assert len(states(tmp_path)) == 1


@pytest.mark.parametrize(
    "reply", [(405, {}, {}), (404, {}, b"no such page"), (200, {}, {"object": "list"})]
)
def test_an_endpoint_that_does_not_list_its_batches_can_be_asked(tmp_path, reply):
    with BatchServer() as server:
        server.listed = lambda: reply
        assert len(ask(batch_teacher(server, tmp_path), requests(3))) == 3
        faults = iter([(429, {}, {"error": {"message": "slow down"}})])
        server.refuse = lambda lines: next(faults, None)
        assert len(ask(batch_teacher(server, tmp_path), [request("later")])) == 1
    assert len(server.submitted) == 4


def test_whether_an_unlisted_batch_was_made_is_left_to_a_person(tmp_path):
    with BatchServer() as server:
        server.listed = lambda: (405, {}, {})
        server.created = lambda batch: (500, {}, {})
        for _ in range(2):
            with pytest.raises(TeacherError, match="does not list its batches.*--forget"):
                ask(batch_teacher(server, tmp_path), requests(3))
            time.sleep(0.05)
        assert len(server.submitted) == 3
        server.created = lambda batch: None
        (state,) = states(tmp_path)
        forget = ["store", "batches", "--store", str(tmp_path), "--forget", state["uuid"]]
        assert main(forget) == 0
        assert len(ask(batch_teacher(server, tmp_path), requests(3))) == 3
    assert len(server.submitted) == 6


@pytest.mark.parametrize("created_at", ["2020-01-01T00:00:00Z", None, "soon", 1.6e12])
def test_a_lost_batch_is_found_by_its_file_where_the_list_has_no_metadata(tmp_path, created_at):
    def lose(batch):
        batch |= {"metadata": None, "input_file_id": "file-1", "created_at": created_at}
        return 500, {}, {}

    with BatchServer() as server:
        server.created = lose
        assert len(ask(batch_teacher(server, tmp_path), requests(2))) == 2
    assert len(server.batches) == 1


def from_day(at):
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)


@pytest.mark.parametrize("late", [1, -20])
@pytest.mark.parametrize("form", [int, str, lambda at: int(at * 1000), from_day])
def test_batches_that_are_older_than_the_lost_one_are_not_looked_through(tmp_path, form, late):
    pages = []

    def lose(batch):
        del server.batches[batch["id"]]
        return 500, {}, {}

    def page():
        pages.append(1)
        at = form(time.time() - 7200 if late < 0 else time.time())
        made = {"id": f"batch_{len(pages)}", "created_at": str(at)}
        return 200, {}, {"data": [made], "has_more": len(pages) % 5 > 0}

    with BatchServer() as server:
        server.created, server.listed = lose, page
        with pytest.raises(TeacherError, match="again and again"):
            ask(batch_teacher(server, tmp_path, attempts=2), requests(2))
    assert len(pages) == (1 if late < 0 else 5)


def test_an_outage_does_not_end_a_job_that_waits(tmp_path, caplog):
    with BatchServer(polls=1) as server:
        down = iter([(503, {}, b"bad gateway")] * 30)  # far more than `attempts`
        server.judged = lambda known: next(down, None)
        assert len(ask(batch_teacher(server, tmp_path, attempts=2), requests(2))) == 2
        assert caplog.text.count("such requests are repeated") == 1
        assert server.submitted == ["key of q0", "key of q1"]


def test_an_outage_that_goes_on_ends_the_job_and_the_next_run_collects(tmp_path):
    with BatchServer(polls=1) as server:
        server.judged = lambda known: (503, {}, b"bad gateway")
        with pytest.raises(TeacherError, match="again and again for .*run again later"):
            ask(batch_teacher(server, tmp_path, batch_patience_s=0.2), requests(2))
        server.judged = lambda known: None
        assert len(ask(batch_teacher(server, tmp_path), requests(2))) == 2
    assert len(server.submitted) == 2


def test_looks_that_are_never_answered_do_not_end_a_job_that_waits(tmp_path):
    with BatchServer(polls=4) as server:
        hangs = iter(["hang"] * 3)
        server.judged = lambda known: next(hangs, None)
        got = ask(batch_teacher(server, tmp_path, timeout_s=0.3, attempts=1), requests(2))
        assert len(got) == 2
    assert len(server.submitted) == 2


def test_what_an_expired_batch_left_out_goes_into_another_one(tmp_path):
    def line(key, body):
        number = int(key.removeprefix("key of q"))
        return reply("a") if number % 4 == len(server.batches) % 4 else None

    with BatchServer(line, status="expired") as server:
        got = ask(batch_teacher(server, tmp_path), requests(8))
    assert {answer.finish_reason for answer in got.values()} == {"stop"}
    assert sizes(server) == [8, 6, 4, 2]


@pytest.mark.parametrize("failed", [(500, {"error": {"message": "oops"}}), (429, {})])
def test_a_line_with_a_passing_fault_is_asked_again_and_becomes_a_row_at_last(tmp_path, failed):
    def line(key, body):
        return failed if key == "key of q1" else reply("a")

    with BatchServer(line) as server:
        got = ask(batch_teacher(server, tmp_path), requests(3))
    assert [got[f"key of q{n}"].finish_reason for n in range(3)] == ["stop", "error", "stop"]
    assert sizes(server) == [3, 1]


def test_what_somebody_cancelled_is_not_submitted_again_by_itself(tmp_path):
    def line(key, body):
        return reply("a") if key == "key of q0" else None

    with BatchServer(line, status="cancelled") as server:
        got = ask(batch_teacher(server, tmp_path), requests(3))
        assert [got[f"key of q{n}"].finish_reason for n in range(3)] == ["stop", "error", "error"]
    assert sizes(server) == [3]


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (400, {"code": "content_filter", "message": "the prompt was flagged"}, "refused"),
        (413, {"message": "input too large"}, "too_long"),
        (400, {"message": "maximum context length is 8192 tokens"}, "too_long"),
        (400, {"message": "bad thing"}, "error"),
        (None, {"code": "batch_cancelled", "message": "This batch was cancelled."}, "error"),
    ],
)
def test_a_refused_line_is_a_row_with_its_reason(tmp_path, status, error, reason):
    with BatchServer() as server:
        response = {"status_code": status, "body": {"error": error}} if status else None
        bad = {"custom_id": "key of q1", "response": response, "error": None if status else error}
        content = server.routes[("GET", "files")]
        server.routes[("GET", "files")] = lambda path, *rest: (
            (200, {}, json.dumps(bad).encode())
            if path.split("/")[2] == "bad"
            else content(path, *rest)
        )
        server.line = lambda key, body: None if key == "key of q1" else reply("a")
        server.odd = lambda batch: {**batch, "error_file_id": "bad"}
        got = ask(batch_teacher(server, tmp_path), requests(3))
    assert [got[f"key of q{n}"].finish_reason for n in range(3)] == ["stop", reason, "stop"]
    assert sizes(server) == [3]


ENTRY = {"custom_id": "key of q0", "error": None}


@pytest.mark.parametrize(
    "entry",
    [
        {**ENTRY, "response": {"status_code": "200", "body": reply("good")}},
        {**ENTRY, "response": {"status_code": 201, "body": reply("good")}},
        {**ENTRY, "response": {"body": reply("good")}},
        {**ENTRY, "response": reply("good")},
        {**ENTRY, "response": {"status_code": 200, "body": json.dumps(reply("good"))}},
    ],
)
def test_an_answer_is_read_from_lines_of_all_shapes(tmp_path, entry):
    with BatchServer() as server:
        bad = {"custom_id": "key of q0", "response": None, "error": {"code": "server_error"}}

        def content(path, headers, body):
            if path.split("/")[2] == "out":
                return 200, {}, "\ufeff".encode() + json.dumps(entry).encode() + b"\r\n\n"
            return 200, {}, json.dumps(bad).encode()

        server.routes[("GET", "files")] = content
        server.odd = lambda batch: {**batch, "output_file_id": "out", "error_file_id": "bad"}
        got = ask(batch_teacher(server, tmp_path), requests(1))
    assert got["key of q0"].text == "good"


@pytest.mark.parametrize("cut", [b"<html>sign in</html>", b'{"custom_id": "key', b"[1]\n[2]"])
def test_a_download_that_is_no_result_is_repeated_and_loses_nothing(tmp_path, cut):
    with BatchServer() as server:
        content = server.routes[("GET", "files")]
        first = iter([(200, {}, cut)] * 2)
        server.routes[("GET", "files")] = lambda *got: next(first, None) or content(*got)
        assert len(ask(batch_teacher(server, tmp_path), requests(3))) == 3
    assert len(server.submitted) == 3


PAGE = b"<html><body>502 Bad Gateway</body></html>"
NO_ID = b'{"response": {"status_code": 200}}'


@pytest.mark.parametrize(
    "sent",
    [
        PAGE,
        b"no\nline\nis JSON\n",
        b'{"custom_id": "key of q0", "resp',
        b"[1, 2]\n[3]",
        NO_ID + b"\n" + NO_ID,
        b"\x1f\x8b\x08\x00\xff\xfe",
        b"[" * 5000,
        b"null\n7",
    ],
)
def test_a_file_without_a_readable_line_is_saved_and_ends_the_job_soon(tmp_path, sent, monkeypatch):
    monkeypatch.setenv("KEY", CANARY)
    with BatchServer() as server:
        content, downloads = server.routes[("GET", "files")], []
        server.routes[("GET", "files")] = lambda path, *rest: (
            downloads.append(path) or (200, {}, sent + b" " + CANARY.encode())
        )
        with pytest.raises(TeacherError) as caught:
            ask(batch_teacher(server, tmp_path, api_key_env="KEY"), requests(3))
        told = str(caught.value)
        assert "its files hold no line that can be read" in told
        assert "caft store batches --forget batch_2 --store" in told
        assert len(downloads) == 3
        (saved,) = tmp_path.glob("batches/*.unread")
        assert str(saved) in told
        assert saved.read_text() == sent.decode("utf-8", "replace") + " [redacted]"
        assert CANARY not in told
        server.routes[("GET", "files")] = content
        assert len(ask(batch_teacher(server, tmp_path, api_key_env="KEY"), requests(3))) == 3
    assert len(server.submitted) == 3
    assert not states(tmp_path)


@pytest.mark.parametrize("sent", [b"", b"\n \n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(("counted", "ends"), [(3, True), (0, False), (None, False), ("?", False)])
def test_an_empty_file_ends_the_job_where_the_endpoint_counts_answers(
    tmp_path, sent, counted, ends
):
    with BatchServer() as server:
        server.routes[("GET", "files")] = lambda path, *rest: (200, {}, sent)
        server.odd = lambda batch: {**batch, "request_counts": {"completed": counted}}
        if ends:
            with pytest.raises(TeacherError, match="nothing at all; 3 requests .*store batches"):
                ask(batch_teacher(server, tmp_path), requests(3))
        else:
            got = ask(batch_teacher(server, tmp_path), requests(3))
            assert {one.finish_reason for one in got.values()} == {"error"}
    assert len(states(tmp_path)) == ends
    assert not list(tmp_path.glob("batches/*.unread"))


@pytest.mark.parametrize("where", ["between", "at the end", "in the file of errors"])
def test_a_file_of_which_half_cannot_be_read_gives_the_rest_and_is_saved(tmp_path, caplog, where):
    with BatchServer() as server:
        content, downloads = server.routes[("GET", "files")], []

        def half(path, headers, body):
            downloads.append(path)
            if path.split("/")[2] == "bad":
                return 200, {}, PAGE
            status, fields, whole = content(path, headers, body)
            lines = whole.splitlines(keepends=True)
            if len(server.batches) == 1 and where != "in the file of errors":
                lines = [PAGE + b"\n", lines[0]] if where == "between" else [lines[0], PAGE]
            return status, fields, b"".join(lines)

        server.routes[("GET", "files")] = half
        if where == "in the file of errors":
            server.odd = lambda batch: {**batch, "error_file_id": "bad"}
        got = ask(batch_teacher(server, tmp_path), requests(2))
        assert {one.finish_reason for one in got.values()} == {"stop"}
        (saved,) = tmp_path.glob("batches/*.unread")
        assert PAGE.decode() in saved.read_text()
        assert len(server.batches) == (1 if where == "in the file of errors" else 2)
    assert f"there are lines that are no results ({saved} has them)" in caplog.text
    lost = sum(one.requests for one in noted(tmp_path))
    assert lost == (0 if where == "in the file of errors" else 1)


@pytest.mark.parametrize("left", [1, 2])
def test_fewer_answers_than_the_endpoint_counts_are_fetched_again(tmp_path, left):
    with BatchServer() as server:
        content = server.routes[("GET", "files")]
        looks = []

        def short(path, headers, body):
            looks.append(path)
            status, fields, whole = content(path, headers, body)
            lines = whole.splitlines(keepends=True)
            return status, fields, b"".join(lines[:left] if len(looks) < 3 else lines)

        server.routes[("GET", "files")] = short
        server.odd = lambda batch: {**batch, "request_counts": {"completed": 3, "failed": None}}
        assert len(ask(batch_teacher(server, tmp_path), requests(3))) == 3
    assert len(server.submitted) == 3 == len(looks)


@pytest.mark.parametrize("wrap", ["job", "batch", "data"])
def test_ids_are_found_where_an_endpoint_wraps_its_objects(tmp_path, wrap):
    with BatchServer() as server:
        server.created = lambda batch: (200, {}, {wrap: batch})
        server.judged = lambda known: (200, {}, {wrap: known["batch"]})
        assert len(ask(batch_teacher(server, tmp_path), requests(2))) == 2


def test_an_address_without_batches_says_so(tmp_path):
    with BatchServer() as server:
        del server.routes[("POST", "files")]
        with pytest.raises(TeacherError, match="takes no batches .*set batch to false"):
            ask(batch_teacher(server, tmp_path), requests(2))
    assert states(tmp_path) == []


@pytest.mark.parametrize("moment", ["before the batch is made", "before its id is recorded"])
def test_a_kill_while_a_batch_is_submitted_buys_nothing_twice(processes, tmp_path, moment):  # noqa: F811
    with BatchServer() as server:
        made = server.routes[("POST", "batches")]
        if moment == "before the batch is made":
            server.routes[("POST", "batches")] = lambda *_: "hang"
        else:
            server.created = lambda batch: "hang"
        spec = {"base_url": server.url, "batch": True, "timeout_s": 60}
        job = processes.Process(target=collect, args=(spec, tmp_path, 5))
        job.start()
        deadline = time.monotonic() + 30
        while not server.files or (moment != "before the batch is made" and not server.batches):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)
        job.kill()
        job.join()
        assert [state["batch"] for state in states(tmp_path)] == [None]
        server.routes[("POST", "batches")], server.created = made, lambda batch: None
        collect(spec, tmp_path, 5)
    assert len(server.submitted) == 5
    assert len(Store(tmp_path).keys()) == 5


def test_a_kill_while_a_batch_runs_buys_nothing_twice(processes, tmp_path):  # noqa: F811
    with BatchServer(polls=10**9) as server:
        spec = {"base_url": server.url, "batch": True}
        job = processes.Process(target=collect, args=(spec, tmp_path, 5))
        job.start()
        deadline = time.monotonic() + 30
        while not any(known["looks"] for known in server.batches.values()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        job.kill()
        job.join()
        (known,) = server.batches.values()
        known["looks"], server.polls = 0, 2
        table = collect(spec, tmp_path, 5)
    assert (len(server.submitted), len(table), len(Store(tmp_path).keys())) == (5, 5, 5)


def test_batch_and_online_share_their_answers(tmp_path):
    with BatchServer() as server:
        batch = collect({"base_url": server.url, "batch": True}, tmp_path, 3)
        online = collect({"base_url": server.url, "batch": False}, tmp_path, 3)
    assert list(batch["key"]) == list(online["key"])
    assert sum(server.asked.values()) == 0
