"""What is owed for requests without an answer, how far a budget holds, and when to stop buying."""

import math
from collections import Counter

import pandas as pd
import pytest
from asking import SPEC, make, request
from driver import items, prompts
from scripted_server import ScriptedServer, question, reply
from test_first_tokens import with_logprobs

from caft.errors import BudgetError, StoreError, TeacherError
from caft.running.settings import Engine
from caft.store import Store
from caft.store.given_up import noted
from caft.teacher.acceptance import Policy
from caft.teacher.asking import Asking, Setup, obtain
from caft.teacher.collect import collect_rationales, collect_wanted
from caft.teacher.first_tokens import ask_first_tokens
from caft.teacher.judge import judge_dataset
from caft.teacher.money.budget import Budget, Spending
from caft.teacher.sections import read_judge, read_teacher

GOOD = reply("so [[1]]")
PRICES = {"prompt": 1.0, "completion": 10.0, "entered": "2026-11-01"}


def calls(server):
    return sum(server.asked.values())


def buy(server, folder, count, limits, tokens=100, **changed):
    """Ask for that many items within limits; return the budget and what stopped it."""
    spec = {**SPEC, "base_url": server.url, "attempts": 3, **changed}
    budget = Budget(limits, Spending(), lambda request: Spending(1, tokens, tokens / 1000))
    with Store(folder) as store:
        asking = Asking(make(spec, folder), store, budget)
        try:
            asked = [request(f"q{number}") for number in range(count)]
            obtain(asked, asking, "x", lambda batch: "")
        except TeacherError as error:
            return budget, error
    return budget, None


@pytest.mark.parametrize(
    ("fault", "tokens"),
    [
        ("hang", 100),
        ("reset", 100),
        ("malformed", 100),
        ("empty body", 100),
        ((504, {}, b"gateway"), 100),
        ("500", 0),
        ("429", 0),
        ((424, {}, b"{}"), 0),
    ],
)
def test_every_attempt_that_was_sent_counts(tmp_path, fault, tokens):
    with ScriptedServer(lambda request, times: fault) as server:
        seconds = 0.3 if fault == "hang" else 30
        limits = {"max_requests": 10}
        budget, error = buy(server, tmp_path, 50, limits, timeout_s=seconds, breaker=99)
        assert isinstance(error, BudgetError) and "0 of 50 answers are there" in str(error)
        assert calls(server) <= 10  # a request may be given up before it has arrived
    assert budget.spent == Spending(10, 10 * tokens, pytest.approx(tokens / 100))


def test_an_endpoint_that_is_not_there_takes_nothing(tmp_path):
    class Nobody:
        url = "http://127.0.0.1:9/v1"

    budget, error = buy(Nobody, tmp_path, 5, {"max_requests": 10}, attempts=2)
    assert (budget.spent, error) == (Spending(), None)


@pytest.mark.parametrize(
    "limits", [{"max_tokens": 1000}, {"max_cost_usd": 1.0}, {"max_requests": 10}]
)
@pytest.mark.parametrize("fault", ["hang", "reset", "html"])
def test_a_budget_holds_where_every_second_request_is_given_up(tmp_path, limits, fault):
    def script(request, times):
        return fault if int(question(request)[1:]) % 2 else reply("so [[1]]", usage=(50, 50))

    with ScriptedServer(script) as server:
        seconds = 0.3 if fault == "hang" else 30
        dear = {"prompt": 1000.0, "completion": 1000.0, "entered": "2026-11-01"}
        budget, error = buy(server, tmp_path, 50, limits, timeout_s=seconds, prices=dear)
        assert isinstance(error, BudgetError)
        assert calls(server) <= 10  # a request may be given up before it has arrived
    assert budget.spent == Spending(10, 1000, pytest.approx(1.0))


@pytest.mark.parametrize(
    ("taken", "limit", "most"),
    [
        (lambda number: 20_000, 30_000, 2),
        (lambda number: 2_000, 30_000, 16),
        (lambda number: 100 + 900 * (number % 2), 30_000, 60),
    ],
)
def test_what_answers_really_take_is_learned_from_the_first_ones(tmp_path, taken, limit, most):
    def script(request, times):
        return reply("so [[1]]", usage=(10, taken(int(question(request)[1:])) - 10))

    with ScriptedServer(script) as server:
        budget, _ = buy(server, tmp_path, 200, {"max_tokens": limit}, concurrency=32)
    assert len(Store(tmp_path).keys()) <= most
    assert budget.spent.tokens <= limit + 2 * max(taken(0), taken(1))


@pytest.mark.parametrize("concurrency", [1, 32])
def test_refused_prompts_at_the_start_do_not_hold_up_the_others(tmp_path, concurrency):
    def script(request, times):
        return (400, {}, {"error": "bad"}) if int(question(request)[1:]) < 5 else GOOD

    with ScriptedServer(script) as server:
        _, error = buy(server, tmp_path, 60, {"max_tokens": 10**6}, concurrency=concurrency)
    assert error is None
    ends = Counter(one["finish_reason"] for one in stored(tmp_path))
    assert ends == {"refused": 5, "stop": 55}


def stored(folder):
    store = Store(folder)
    return list(store.get(store.keys()).values())


def test_answers_of_unknown_usage_take_what_was_set_aside(tmp_path):
    with ScriptedServer(lambda request, times: reply("so [[1]]", usage=None)) as server:
        budget, _ = buy(server, tmp_path, 50, {"max_tokens": 1000})
        assert calls(server) == 10
    assert budget.spent.tokens == 1000


def collect(server, student, letters, folder, count, **changed):
    """Collect rationales as the job does, with its own budget."""
    spec = {**SPEC, "base_url": server.url, "prices": PRICES, "parser": "marked", **changed}
    setup = Setup(
        *("teachers.big", read_teacher(spec), Engine(device="cpu")),
        *(student / "student.json", folder),
    )
    asked = items(count).assign(answer="1", split="train", category=None)
    return collect_wanted(asked, set(asked["item_id"]), setup, letters, 1)


def test_neither_a_restart_nor_another_job_gets_back_what_was_given_up(tmp_path, student, letters):
    def script(request, times):
        return "reset" if times < 2 else GOOD

    with ScriptedServer(script) as server:
        limited = {"budget": {"max_requests": 5}, "attempts": 1, "concurrency": 1}
        with pytest.raises(TeacherError, match="3 of 3 have no answer"):
            collect(server, student, letters, tmp_path, 3, **limited)
        for _ in range(2):
            with pytest.raises(BudgetError):
                collect(server, student, letters, tmp_path, 3, **limited)
        assert calls(server) == 3, "three were given up, and no three more fit into five"
        for path in (tmp_path / "given_up").iterdir():
            path.unlink()
        limited["attempts"] = 3
        collect(server, student, letters, tmp_path, 2, **limited)
        assert calls(server) == 7


def test_what_a_job_without_limits_gave_up_counts_for_one_with_limits(tmp_path, student, letters):
    with ScriptedServer(lambda request, times: "reset") as server:
        with pytest.raises(TeacherError, match="3 of 3 have no answer"):
            free = {"attempts": 1, "concurrency": 1, "prices": None}
            collect(server, student, letters, tmp_path, 3, **free)
        limits = {"max_cost_usd": 0.003}  # 100 tokens at most each, at 10 USD per million
        with pytest.raises(BudgetError):
            collect(server, student, letters, tmp_path, 3, budget=limits, attempts=1)
        assert calls(server) == 3


@pytest.mark.parametrize(
    "sent",
    [
        (401, {}, {"error": "who?"}),
        (404, {}, {"error": {"code": "model_not_found"}}),
        (402, {}, {"error": {"message": "no credit"}}),
    ],
)
def test_what_an_endpoint_turned_down_took_requests_and_no_tokens(tmp_path, student, letters, sent):
    with ScriptedServer(lambda request, times: sent) as server:
        with pytest.raises(TeacherError):
            collect(server, student, letters, tmp_path, 5, concurrency=1)
        lost = list(noted(tmp_path))
        assert [(one.requests, one.tokens) for one in lost] == [(calls(server), 0)]


def test_a_job_that_is_answered_leaves_no_note_of_what_was_on_the_wire(tmp_path, student, letters):
    notes = []

    def script(request, times):
        notes.extend(one.requests for one in noted(tmp_path))
        return GOOD

    with ScriptedServer(script) as server:
        collect(server, student, letters, tmp_path, 20, concurrency=4)
    assert len(notes) == 20 and set(notes) <= set(range(1, 21)) and 0 not in notes
    assert list(noted(tmp_path)) == []


def test_an_answer_that_cannot_be_stored_stays_noted(tmp_path, student, letters, monkeypatch):
    def full(store, records):
        raise StoreError("no space left on the disk")

    monkeypatch.setattr(Store, "append", full)
    with ScriptedServer(lambda request, times: GOOD) as server:
        with pytest.raises(StoreError):
            collect(server, student, letters, tmp_path, 3, concurrency=1)
        assert sum(one.requests for one in noted(tmp_path)) == calls(server) == 1


def test_a_request_that_cannot_be_noted_is_not_sent(tmp_path, student, letters):
    (tmp_path / "given_up").write_text("no folder")
    with ScriptedServer(lambda request, times: GOOD) as server:
        with pytest.raises(StoreError, match="given_up"):
            collect(server, student, letters, tmp_path, 3)
        assert calls(server) == 0


CUT = reply("so [[", "length")
THOUGHT = reply(None, "stop", reasoning_content="3 + 4 [[1]]")
WRONG = reply("so [[2]]")
UNMARKED = reply("It is one.")


@pytest.mark.parametrize(
    ("sent", "kind", "change"),
    [
        (CUT, "20 truncated", "raise max_new_tokens"),
        (THOUGHT, "20 without content", "switch thinking off"),
        (reply(""), "20 without content", "raise max_new_tokens"),
        (WRONG, "20 wrong_answer", "gold answers"),
        (UNMARKED, "20 unparsed", "choose the parser"),
        (reply("", "content_filter"), "20 refused", "another model"),
        (
            {"candidates": [{"content": "[[1]]"}], "usage": {"completion_tokens": 3}},
            "20 without a reply that caft can read",
            "check whether base_url is that of a chat interface",
        ),
        (reply("", "whatever"), "20 unknown_ending", "says in a known word"),
    ],
)
def test_a_job_stops_where_nothing_that_it_buys_can_be_used(tmp_path, sent, kind, change):
    with ScriptedServer(lambda request, times: sent) as server:
        with Store(tmp_path) as store, pytest.raises(TeacherError) as caught:
            asking = Asking(
                make({**SPEC, "base_url": server.url, "concurrency": 32}, tmp_path),
                *(store, None, "teachers.big"),
            )
            collect_rationales(items(500), prompts(500), asking, Policy("marked", None))
        assert calls(server) == len(Store(tmp_path).keys()) == 20
    told = str(caught.value)
    assert (
        f"teachers.big: none of the first 20 answers that were bought can be used ({kind})" in told
    )
    assert change in told and "teachers.big.stop_after_useless" in told


def stopped(server, folder, patience, first=0, count=100, **policy):
    """Tell whether a job stops early, and how many answers it has bought."""
    before = calls(server)
    with Store(folder) as store:
        made = make({**SPEC, "base_url": server.url}, folder)
        try:
            collect_rationales(
                items(count)[first:],
                prompts(count),
                Asking(made, store, patience=patience),
                Policy("marked", None, **policy),
            )
        except TeacherError:
            return True, calls(server) - before
    return False, calls(server) - before


def test_usable_answers_that_the_store_had_before_do_not_count(tmp_path):
    with ScriptedServer(lambda request, times: GOOD) as server:
        assert stopped(server, tmp_path, 20, count=50) == (False, 50)
        server.answer = lambda request, times: CUT
        assert stopped(server, tmp_path, 20, count=100) == (True, 20)


def test_one_usable_answer_among_the_first_is_enough_and_null_never_stops(tmp_path):
    def script(request, times):
        return GOOD if question(request) == "q7" else CUT

    with ScriptedServer(script) as server:
        assert stopped(server, tmp_path / "a", 20) == (False, 100)
        assert stopped(server, tmp_path / "b", 5) == (True, 5)
        assert stopped(server, tmp_path / "c", None, first=10) == (False, 90)


def test_answers_without_reasoning_are_of_no_use_where_it_is_trained_on(tmp_path):
    thinks = reply("so [[1]]", reasoning_content="Hm.")
    with ScriptedServer(lambda request, times: GOOD) as server:
        assert stopped(server, tmp_path / "a", 20, thoughts=True) == (True, 20)
        assert stopped(server, tmp_path / "b", 20, thoughts=True, fallback="keep") == (True, 20)
        server.answer = lambda request, times: thinks if question(request) == "q7" else GOOD
        assert stopped(server, tmp_path / "c", 20, thoughts=True) == (False, 100)


def test_wrong_answers_that_the_policy_keeps_are_of_use(tmp_path):
    with ScriptedServer(lambda request, times: WRONG) as server:
        assert stopped(server, tmp_path, 20, fallback="keep") == (False, 100)


def test_refused_prompts_are_no_reason_to_stop_once_others_are_answered(tmp_path):
    def script(request, times):
        few = int(question(request)[1:]) % 10 == 0
        return GOOD if few else (400, {}, {"error": {"message": "prompt blocked by a filter"}})

    with ScriptedServer(script) as server:
        assert stopped(server, tmp_path, 20)[0] is False


def test_first_tokens_stop_where_no_answer_has_log_probabilities(tmp_path, student, letters):
    asked = pd.DataFrame(
        {
            "item_id": [f"i{number}" for number in range(60)],
            "question": [f"Is it {number}?" for number in range(60)],
            "options": [["yes", "no"]] * 60,
            "answer": "A",
            "answer_kind": "choice",
            "reference_rationale": None,
            "split": "test",
        }
    )

    def ask(server):
        spec = {**SPEC, "base_url": server.url, "concurrency": 32}
        setup = Setup(
            *("teachers.big", read_teacher(spec), Engine(device="cpu")),
            *(student / "student.json", tmp_path),
        )
        return ask_first_tokens(asked, setup, letters, 1)

    with ScriptedServer(lambda request, times: reply("A")) as server:
        with pytest.raises(TeacherError, match="20 without log-probabilities.*top_logprobs: 20"):
            ask(server)
        assert calls(server) == 20
        server.answer = lambda request, times: with_logprobs(1.0)
        assert ask(server)["top_logprobs"].notna().sum() == 40
        assert math.isclose(calls(server), 60)


def test_a_judge_stops_where_no_level_can_be_read(tmp_path, student):
    asked = items(60).assign(answer="1")
    spec = {**SPEC, "questions": ["education_level"]}
    with ScriptedServer(lambda request, times: reply("graduate, I think")) as server:
        setup = Setup(
            *("judges.strict", read_judge({**spec, "base_url": server.url})),
            *(Engine(device="cpu"), student / "student.json", tmp_path),
        )
        with pytest.raises(TeacherError, match=r"judges\.strict: none of the .*20 unreadable"):
            judge_dataset(asked, setup)
        assert calls(server) == 20
