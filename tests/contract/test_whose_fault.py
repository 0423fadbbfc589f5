"""One item's trouble is one item's; the endpoint's own stops the run; what passes is no data."""

import pandas as pd
import pytest
from asking import SPEC, ask, make, requests, teacher
from batch_server import BatchServer
from driver import items, prompts
from scripted_server import ScriptedServer, question, reply

from caft.errors import TeacherError
from caft.store import Store
from caft.teacher.acceptance import Policy
from caft.teacher.asking import Asking
from caft.teacher.collect import collect_rationales
from caft.teacher.judge import judge_items
from caft.teacher.settings import JudgeKeys

FILTERED = (400, {}, {"error": {"message": "filtered by policy", "code": "content_filter"}})
TOO_LONG = (400, {}, {"error": {"message": "maximum context length is 4096 tokens"}})
FLAGGED = (403, {}, {"error": {"message": "your input was flagged"}})
ODD = (422, {}, {"detail": "cannot process"})
BARE = (403, {}, b"Forbidden")
ODD_KIND = (418, {}, {"error": "no tea in this"})
GOOD = reply("so [[1]]")


def refusing(result, *names):
    return lambda request, times: result if question(request) in names else GOOD


def collect(server, folder, count, error_share=0.0, **changed):
    spec = {**SPEC, "base_url": server.url, **changed}
    with Store(folder) as store:
        asking = Asking(make(spec, folder), store, path="teachers.big", error_share=error_share)
        return collect_rationales(items(count), prompts(count), asking, Policy("marked", None))


def reasons(table):
    return table.dropna(subset=["reason"]).set_index("item_id")["reason"].to_dict()


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (FILTERED, "refused"),
        (TOO_LONG, "too_long"),
        (FLAGGED, "refused"),
        ((413, {}, b"too large"), "too_long"),
        (ODD, "refused"),
        (BARE, "refused"),
        (ODD_KIND, "refused"),
        ((200, {}, {"error": {"message": "input flagged", "code": 403}}), "refused"),
        ((200, {}, {"error": {"message": "input filtered", "code": "content_filter"}}), "refused"),
        (
            (200, {}, {"base_resp": {"status_code": 1026, "status_msg": "input sensitive"}}),
            "refused",
        ),
    ],
)
@pytest.mark.parametrize(("bad", "concurrency"), [("q3", 4), ("q0", 1), ("q39", 8)])
def test_a_refused_item_is_a_row_and_is_not_sent_again(tmp_path, result, reason, bad, concurrency):
    with ScriptedServer(refusing(result, bad)) as server:
        table = collect(server, tmp_path, 40, concurrency=concurrency)
        assert reasons(table) == {bad: reason}
        assert " answered 4" in table.set_index("item_id").loc[bad, "error"]
        assert server.asked[bad] <= 2
        before = sum(server.asked.values())
        collect(server, tmp_path, 41, concurrency=concurrency)
        assert sum(server.asked.values()) == before + 1


def test_many_refused_items_between_others_do_not_stop_the_run(tmp_path):
    bad = [f"q{number}" for number in range(0, 240, 2)]
    with ScriptedServer(refusing(ODD, *bad)) as server:
        table = collect(server, tmp_path, 240)
    assert reasons(table) == dict.fromkeys(bad, "refused")


@pytest.mark.parametrize(
    "result", [ODD, BARE, (400, {}, {"error": {"message": "bad request"}}), ODD_KIND]
)
def test_where_nothing_but_refusals_comes_the_run_stops_and_nothing_is_stored(tmp_path, result):
    with (
        ScriptedServer(lambda request, times: result) as server,
        pytest.raises(TeacherError, match="the first 20 requests were all refused, the last with"),
    ):
        collect(server, tmp_path, 200)
    assert sum(server.asked.values()) <= 20 + SPEC["concurrency"]
    assert Store(tmp_path).keys() == set()


def test_a_row_of_refusals_after_answers_stops_the_run(tmp_path):
    def script(request, times):
        return GOOD if int(question(request)[1:]) < 30 else FLAGGED

    with (
        ScriptedServer(script) as server,
        pytest.raises(TeacherError, match="100 requests in a row were all refused, the last with"),
    ):
        collect(server, tmp_path, 1000, concurrency=1)
    assert sum(server.asked.values()) == 130


def test_refusals_without_clear_words_and_without_any_answer_are_no_data(tmp_path):
    with ScriptedServer(lambda request, times: ODD) as server:
        with pytest.raises(TeacherError, match="3 of 3 have no answer"):
            collect(server, tmp_path, 3)
        server.answer = lambda request, times: GOOD
        assert collect(server, tmp_path, 3)["accepted"].all()


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Unsupported parameter: 'top_p'", "param": "top_p"}},
        {"error": {"message": "Invalid API key"}},
        {"error": {"message": "the model scripted does not exist"}},
    ],
)
def test_what_all_requests_share_stops_the_run_at_the_first_one(tmp_path, body):
    with ScriptedServer(lambda request, times: (400, {}, body)) as server:
        with pytest.raises(TeacherError, match="check"):
            collect(server, tmp_path, 50, concurrency=1)
        assert sum(server.asked.values()) == 1


@pytest.mark.parametrize("status", [424, 425, 498, 499, 529])
def test_what_passes_by_itself_is_repeated(status):
    def script(request, times):
        return (status, {}, {"error": {"message": "later"}}) if times < 2 else GOOD

    with ScriptedServer(script) as server:
        answers = ask(teacher(server), requests(5))
    assert {answer.finish_reason for answer in answers.values()} == {"stop"}
    assert sum(server.asked.values()) == 15


@pytest.mark.parametrize("fault", ["500", "reset", "malformed", "hang"])
def test_items_without_an_answer_fail_the_job_and_the_next_run_asks_exactly_them(tmp_path, fault):
    bad = ["q2", "q7"]
    with ScriptedServer(refusing(fault, *bad)) as server:
        changed = {"attempts": 2, "timeout_s": 1.0 if fault == "hang" else 30}
        with pytest.raises(
            TeacherError, match=r"teachers\.big: 2 of 20 have no answer \("
        ) as caught:
            collect(server, tmp_path, 20, **changed)
        assert "teachers.big.max_error_share to 0.1 or more" in str(caught.value)
        assert len(Store(tmp_path).keys()) == 18
        server.asked.clear()
        server.answer = refusing("500")
        assert collect(server, tmp_path, 20, **changed)["accepted"].all()
        assert sorted(server.asked) == bad


def test_a_share_of_items_may_stay_without_an_answer(tmp_path):
    with ScriptedServer(refusing("500", "q2", "q7")) as server:
        with pytest.raises(TeacherError, match="2 of 20"):
            collect(server, tmp_path, 20, error_share=0.09, attempts=1)
        table = collect(server, tmp_path, 20, error_share=0.1, attempts=1)
    assert reasons(table) == {"q2": "error", "q7": "error"}


def test_a_judge_whose_calls_fail_fails_the_job_and_a_refused_item_has_a_status(tmp_path):
    def script(request, times):
        text = str(request["messages"])
        if "q1" in text:
            return FLAGGED
        if "q2" in text and server.failing:
            return "500"
        return reply("[[9]]" if "Rate that choice" in text else "[[graduate]]")

    asked = items(4).assign(options=None)
    settings = JudgeKeys(questions=["education_level"])

    def judge(server):
        with Store(tmp_path) as store:
            made = make({**SPEC, "base_url": server.url, "attempts": 1}, tmp_path)
            return judge_items(asked, Asking(made, store, error_share=0.0), settings)

    with ScriptedServer(script) as server:
        server.failing = True
        with pytest.raises(TeacherError, match="1 of 4 have no answer"):
            judge(server)
        server.failing, calls = False, sum(server.asked.values())
        table = judge(server)
        assert sum(server.asked.values()) == calls + 2
    assert table["status"].tolist() == ["ok", "refused", "ok", "ok"]
    assert pd.isna(table["label"][1])


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (400, "prompt was filtered by the content policy", "refused"),
        (403, "your input was flagged", "refused"),
        (400, "maximum context length is 4096 tokens", "too_long"),
        (200, "prompt was filtered by the content policy", "refused"),
        (400, "bad request", "error"),
        (500, "overloaded", "error"),
    ],
)
def test_a_prompt_that_is_refused_in_a_batch_is_a_row_with_its_reason(
    tmp_path, status, message, reason
):
    def line(key, body):
        bad = question(body) == "q3"
        return (status, {"error": {"message": message}}) if bad else GOOD

    with BatchServer(line) as server:
        table = collect(server, tmp_path, 8, error_share=1.0, batch=True)
    assert reasons(table) == {"q3": reason}
    assert message in table.set_index("item_id").loc["q3", "error"]
