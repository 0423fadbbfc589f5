import pytest

from caft.store.given_up import Note, noted
from caft.teacher import Answer, Owed, Request
from caft.teacher.money.budget import Budget, Spending, exceeded, price, show, teacher_price
from caft.teacher.sections import read_teacher
from caft.teacher.settings import Prices

PRICES = {"prompt": 0.4, "cached": 0.1, "completion": 2.0}
ENDPOINT = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
SERVER = {"provider": "vllm_server", "model": "m", "command": ["serve", "{port}"]}


def request(key):
    return Request(key, "i", [], {}, 0, None, "m", "")


def answer(key, prompt=10, completion=5, cost=0.01, finish="stop"):
    return Answer(key, "", None, finish, prompt, completion, cost, 0.0, {})


def budget(**limits):
    return Budget(limits, Spending(), lambda request: Spending(1, 100, 0.05))


def test_spendings_add_up():
    assert Spending(1, 20, 0.5) + Spending(2, 30, 0.25) == Spending(3, 50, 0.75)
    assert Spending(3, 50, 0.75) - Spending(2, 30, 0.25) == Spending(1, 20, 0.5)


@pytest.mark.parametrize(
    ("prices", "tokens", "batch", "expected"),
    [
        (PRICES, (1_000_000, 0, 0), False, 0.4),
        (PRICES, (1_000_000, 250_000, 0), False, 0.325),
        (PRICES, (0, 0, 500_000), False, 1.0),
        (PRICES, (1_000_000, 0, 500_000), True, 0.7),
        (PRICES | {"batch_share": 0.25}, (1_000_000, 0, 500_000), True, 0.35),
        (PRICES | {"batch_share": 0.25}, (1_000_000, 0, 500_000), False, 1.4),
        (PRICES | {"cached": None}, (1_000_000, 250_000, 0), False, 0.4),
        ({"prompt": 0.4, "completion": 2.0}, (1_000_000, 250_000, 0), False, 0.4),
        (PRICES | {"cached": 0.0}, (1_000_000, 1_000_000, 0), False, 0.0),
        (None, (1_000_000, 0, 500_000), False, None),
    ],
)
def test_tokens_have_a_price_per_million(prices, tokens, batch, expected):
    prices = prices and Prices(**prices)
    assert price(prices, *tokens, batch=batch) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (ENDPOINT | {"prices": PRICES, "batch": False}, 2.4),
        (ENDPOINT | {"prices": PRICES, "batch": True}, 1.2),
        (ENDPOINT | {"prices": None}, None),
        (SERVER | {"prices": None}, 0.0),
        (SERVER | {"prices": PRICES}, 2.4),
        ({"provider": "local", "model": "a"}, 0.0),
        ({"provider": "reference"}, 0.0),
    ],
)
def test_without_prices_only_the_users_own_machine_costs_nothing(spec, expected):
    assert teacher_price(read_teacher(spec), 1_000_000, 1_000_000) == expected


@pytest.mark.parametrize(
    "limits", [{"max_requests": 2}, {"max_tokens": 299}, {"max_cost_usd": 0.149}]
)
def test_a_reservation_holds_the_worst_case_until_it_is_settled(limits):
    own = budget(**limits)
    assert [own.reserve(request(key)) for key in "abc"] == [True, True, False]
    assert own.under_way == 2
    own.settle(answer("a"))
    assert own.under_way == 1
    assert own.spent == Spending(1, 15, 0.01)


def test_what_was_set_aside_and_not_used_makes_room():
    own = budget(max_tokens=200)
    assert own.reserve(request("a")) and own.reserve(request("b"))
    assert not own.reserve(request("c"))
    own.settle(answer("a", prompt=60, completion=40))
    assert not own.reserve(request("c"))
    own.settle(answer("b", prompt=0, completion=0))
    assert own.reserve(request("c"))


def test_an_error_takes_nothing():
    own = budget(max_requests=1)
    assert own.reserve(request("a"))
    own.settle(answer("a", finish="error"))
    assert own.spent == Spending()
    assert own.reserve(request("b"))


@pytest.mark.parametrize(
    ("owed", "lost"),
    [
        (Owed.NOTHING, Spending()),
        (Owed.REQUEST, Spending(1)),
        (Owed.REQUEST_AND_LATER, Spending(1)),
        (Owed.ALL, Spending(1, 100, 0.05)),
    ],
)
def test_an_attempt_without_an_answer_takes_what_it_owes_and_another_is_set_aside(owed, lost):
    own = budget(max_requests=3)
    own.reserve(request("a"))
    assert own.again(request("a"), owed)
    assert (own.spent, own.lost, own.under_way) == (lost, lost, 1)
    own.settle(answer("a", finish="error"))
    assert (own.spent, own.under_way) == (lost, 0)


def test_an_attempt_is_not_repeated_without_room():
    own = budget(max_tokens=250)
    own.reserve(request("a"))
    assert own.again(request("a"), Owed.ALL)
    assert not own.again(request("a"), Owed.ALL)
    assert (own.spent.tokens, own.under_way) == (200, 0)


def test_a_reservation_grows_by_what_an_answer_took_beyond_its_worst_case():
    own = budget(max_tokens=1000)
    own.reserve(request("a"))
    own.settle(answer("a", prompt=100, completion=300))
    assert [own.reserve(request(key)) for key in "bc"] == [True, False]


def test_answers_within_their_worst_case_make_no_reservation_grow():
    own = budget(max_tokens=300)
    for key in "ab":
        own.reserve(request(key))
        own.settle(answer(key, prompt=60, completion=40))
    assert own.reserve(request("c"))


def test_few_requests_are_under_way_until_answers_have_come():
    own, most = budget(max_tokens=10**6), []
    for number in range(4):
        while not own.probing:
            own.reserve(request(f"{number} {own.under_way}"))
        most.append(own.under_way)
        for key in list(own._reserved):
            own.settle(answer(key))
    assert most == [2, 4, 12, 36]


def test_requests_that_are_asked_once_more_later_do_not_hold_up_others():
    own = budget(max_tokens=10**6)
    for key in "ab":
        own.reserve(request(key))
    assert own.probing
    own.again(request("a"), Owed.REQUEST_AND_LATER)
    assert not own.probing


def test_tokens_that_the_endpoint_did_not_tell_take_what_was_set_aside():
    own = budget(max_tokens=200)
    own.reserve(request("a"))
    own.settle(Answer("a", "", None, "stop", 10, None, 0.01, 0.0, {}))
    assert own.spent == Spending(1, 100, 0.01)


def noting(folder, identity=("m", "1")):
    """Return a budget without limits that notes what is on the wire."""
    note = Note(folder, *identity)
    return Budget({}, Spending(), lambda request: Spending(1, 100, 0.5), note=note)


def send(own, *keys):
    for key in keys:
        assert own.reserve(request(key))
        own.sent(request(key))


def lost(folder, identity=("m", "1")):
    """Return what is noted of a model."""
    return [
        (one.requests, one.tokens, one.cost_usd)
        for one in noted(folder)
        if (one.model_id, one.revision) == identity
    ]


def test_what_is_on_the_wire_is_noted_until_its_answer_is_stored(tmp_path):
    own = noting(tmp_path)
    seen = []
    send(own, "a", "b")
    seen += lost(tmp_path)
    own.settle(answer("a"))
    seen += lost(tmp_path)
    own.settle(answer("b", cost=None))
    seen += lost(tmp_path)
    assert seen == [(2, 200, 1.0), (1, 100, 0.5), (0, 0, 0.0)]


def test_what_is_reserved_and_not_sent_is_not_noted(tmp_path):
    own = noting(tmp_path)
    own.reserve(request("a"))
    assert lost(tmp_path) == []


@pytest.mark.parametrize(
    ("owed", "left"),
    [
        (Owed.NOTHING, (0, 0, 0.0)),
        (Owed.REQUEST, (1, 0, 0.0)),
        (Owed.REQUEST_AND_LATER, (1, 0, 0.0)),
        (Owed.ALL, (1, 100, 0.5)),
    ],
)
def test_what_an_attempt_owes_stays_noted_when_a_later_one_is_answered(tmp_path, owed, left):
    own = noting(tmp_path)
    send(own, "a")
    own.again(request("a"), owed)
    own.sent(request("a"))
    during = lost(tmp_path)
    own.settle(answer("a"))
    assert (during, lost(tmp_path)) == (
        [(left[0] + 1, left[1] + 100, left[2] + 0.5)],
        [left],
    )


def test_a_job_that_leaves_nothing_open_takes_its_note_away(tmp_path):
    for keys in ("", "a", "abc"):
        own = noting(tmp_path)
        send(own, *keys)
        own.settle(*map(answer, keys))
        own.close()
    assert list(tmp_path.glob("given_up/*")) == []


def test_an_answer_that_came_and_was_not_stored_stays_noted(tmp_path):
    own = noting(tmp_path)
    send(own, "a", "b")
    own.settle(answer("a"))
    own.close()
    assert lost(tmp_path) == [(1, 100, 0.5)]


def test_what_was_given_up_is_counted_for_all_jobs_of_a_model(tmp_path):
    for _ in range(2):
        send(noting(tmp_path), "a")
    send(noting(tmp_path, identity=("m", "2")), "a")
    (tmp_path / "given_up" / "older.jsonl").write_text(
        '{"model_id": "m", "revision": "1", "requests": 1, "tokens": 7, "cost_usd": 0.25, '
        '"at": "2026-11-01T00:00:00+00:00"}\n'
        '{"model_id": "m", "revi'
    )
    assert sorted(lost(tmp_path)) == [(1, 7, 0.25), (1, 100, 0.5), (1, 100, 0.5)]
    assert lost(tmp_path, ("other", "1")) == lost(tmp_path / "none") == []


def test_a_note_grows_and_shrinks_within_its_line(tmp_path):
    own = Note(tmp_path, 'a "model"\n', None)
    found = []
    for amounts in ((999_999_999, 10**15 - 1, 9_999_999.5), (1, 2, 1e-9), (0, 0, 0.0)):
        own.write(*amounts)
        found += [(one.requests, one.tokens, one.cost_usd) for one in noted(tmp_path)]
    assert found == [(999_999_999, 10**15 - 1, 9_999_999.5), (1, 2, 1e-9), (0, 0, 0.0)]


def test_an_answer_of_unknown_price_takes_what_was_set_aside():
    own = budget(max_cost_usd=1)
    own.reserve(request("a"))
    own.settle(answer("a", cost=None))
    assert own.spent == Spending(1, 15, 0.05)


def test_a_limit_can_be_reached_exactly():
    own = Budget({"max_cost_usd": 0.3}, Spending(), lambda request: Spending(1, 1, 0.1))
    assert [own.reserve(request(key)) for key in "abcd"] == [True, True, True, False]


def test_without_limits_there_is_always_room():
    own = budget(max_requests=None, max_tokens=None, max_cost_usd=None)
    assert own.limits == {}
    assert all(own.reserve(request(str(number))) for number in range(1000))


def test_a_limit_of_nothing_lets_nothing_through():
    assert not budget(max_cost_usd=0).reserve(request("a"))


def test_looking_again_counts_what_other_jobs_spent_and_keeps_reservations():
    seen = iter([(Spending(4), Spending(3)), (Spending(6), Spending(2))])
    worst = Spending(1, 1, 0.0)
    own = Budget({"max_requests": 10}, Spending(), lambda request: worst, lambda: next(seen))
    own.count_elsewhere(Spending(9))
    assert own.reserve(request("a"))
    own.look_again()
    assert own.spent == Spending(7)
    own.look_again()
    assert own.spent == Spending(8)
    assert own.reserve(request("b"))
    assert not own.reserve(request("c"))


def test_threads_never_reserve_more_than_there_is():
    from concurrent.futures import ThreadPoolExecutor

    own = budget(max_requests=50)
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(own.reserve, [request(str(number)) for number in range(200)]))
    assert sum(given) == own.under_way == 50


def test_the_limits_that_are_exceeded_are_named():
    limits = {"max_requests": 1, "max_tokens": 10, "max_cost_usd": 0.5}
    assert exceeded(limits, Spending(2, 10, 0.6)) == ["max_requests", "max_cost_usd"]


def test_amounts_are_shown_with_their_unit():
    assert show("max_cost_usd", 12.3456) == "12.35 USD"
    assert show("max_tokens", 1234567.0) == "1234567 tokens"
