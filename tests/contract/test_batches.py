"""The batch interface: submitted once, collected across restarts."""

import json
import time

import pytest
from asking import CANARY, ask, request, requests, teacher
from batch_server import BatchServer
from driver import collect
from scripted_server import reply
from test_kills import processes  # noqa: F401 - a fixture

import caft.teacher.endpoint.batch
from caft.errors import TeacherError
from caft.store import Store


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


def test_a_refused_batch_stops_the_run_with_its_reason_and_is_forgotten(tmp_path):
    with (
        BatchServer(status="failed") as server,
        pytest.raises(TeacherError, match=r"refused batch batch_2 \(too many tokens enqueued\)"),
    ):
        ask(batch_teacher(server, tmp_path), requests(2))
    assert states(tmp_path) == []


def test_many_requests_go_into_several_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(caft.teacher.endpoint.batch, "_MOST_REQUESTS", 3)
    with BatchServer() as server:
        assert len(ask(batch_teacher(server, tmp_path), requests(8))) == 8
    assert [len(known["lines"]) for known in server.batches.values()] == [3, 3, 2]
    monkeypatch.setattr(caft.teacher.endpoint.batch, "_MOST_BYTES", 500)
    with BatchServer() as server:
        assert len(ask(batch_teacher(server, tmp_path), requests(3))) == 3
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
