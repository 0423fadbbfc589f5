"""What is bought once is not bought again, and what the server says does not give the key away."""

import json
import logging
import threading

import pytest
from asking import CANARY, SPEC, make
from driver import items, prompts
from scripted_server import ScriptedServer, question, reply

from caft.cli import main
from caft.store import Store
from caft.teacher.acceptance import Policy
from caft.teacher.asking import Asking
from caft.teacher.collect import collect_rationales


def collect(server, folder, asked, parser="marked", samples=1, **changed):
    spec = {**SPEC, "base_url": server.url, **changed}
    with Store(folder) as store:
        return collect_rationales(
            asked,
            prompts(len(asked)),
            Asking(make(spec, folder), store),
            Policy(parser, None, samples=samples),
        )


def calls(server):
    return sum(server.asked.values())


def test_only_a_new_row_is_asked_for(tmp_path):
    with ScriptedServer(lambda request, asked: reply("so [[1]]")) as server:
        collect(server, tmp_path, items(20))
        assert calls(server) == 20
        collect(server, tmp_path, items(21))
        assert calls(server) == 21
        collect(server, tmp_path, items(21)[::-1])
        collect(server, tmp_path, items(21), concurrency=3, attempts=1, timeout_s=9.0)
        collect(server, tmp_path, items(21), parser="answer_is")
        prices = {"prompt": 1.0, "cached": None, "completion": 1.0}
        collect(server, tmp_path, items(21), prices=prices, requests_per_minute=60)
        assert calls(server) == 21


def test_exactly_what_was_dropped_is_asked_again(tmp_path):
    with ScriptedServer(lambda request, asked: reply(f"so [[{asked}]]")) as server:
        first = collect(server, tmp_path, items(6))
        keys = list(first["key"][:2])
        drop = ["store", "drop", "--store", str(tmp_path), "--key", *keys]
        assert main(drop) == 0
        collect(server, tmp_path, items(6))
        assert calls(server) == 6
        assert main([*drop, "--remove"]) == 0
        again = collect(server, tmp_path, items(6))
        assert sorted(again["key"][again["parsed"] == "1"]) == sorted(keys)
        collect(server, tmp_path, items(6))
        assert calls(server) == 8
    assert Store(tmp_path).table(["key"]).num_rows == 8  # the bill has both


def test_another_server_for_the_same_model_is_not_asked_again(tmp_path):
    with ScriptedServer() as first, ScriptedServer() as second:
        collect(first, tmp_path, items(5))
        collect(second, tmp_path, items(5))
        assert (calls(first), calls(second)) == (5, 0)
        collect(second, tmp_path, items(5), revision="2")
        collect(second, tmp_path, items(5), temperature=0.5)
        assert calls(second) == 10


def test_a_rejected_answer_is_followed_by_samples_with_seeds_of_their_own(tmp_path):
    def script(request, asked):
        return reply("so [[1]]" if asked == 2 else "so [[7]]")

    with ScriptedServer(script) as server:
        sampling = {"temperature": 1.0, "seed": 40}
        table = collect(server, tmp_path, items(1), samples=5, **sampling)
        assert [body["seed"] for _, body in server.requests] == [40, 41, 42]
        again = collect(server, tmp_path, items(1), samples=5, **sampling)
        assert calls(server) == 3
    assert list(table["accepted"]) == list(again["accepted"]) == [False, False, True]


def test_an_answer_is_durable_before_its_slot_asks_again(tmp_path):
    known, early = set(), []
    lock = threading.Lock()

    class Watched(Store):
        def append(self, records):
            records = list(records)
            super().append(records)
            with lock:
                known.update(record["key"] for record in records)

    with ScriptedServer(lambda request, asked: reply("so [[1]]")) as server:
        server.on_request = lambda: early.append(calls(server) - len(known))
        teacher = make({**SPEC, "base_url": server.url, "concurrency": 4})
        with Watched(tmp_path) as store:
            asking = Asking(teacher, store)
            collect_rationales(items(40), prompts(40), asking, Policy("marked", None))
    assert len(known) == 40
    assert max(early) <= 4


@pytest.mark.parametrize("status", [200, 500])
def test_an_echoed_key_is_neither_in_the_store_nor_in_the_log(tmp_path, monkeypatch, status):
    monkeypatch.setenv("CANARY_KEY", CANARY)
    handler = logging.FileHandler(tmp_path / "log")
    logging.getLogger().addHandler(handler)
    echo = {**reply(f"{CANARY} [[1]]"), "error": {"message": CANARY}}

    def script(request, asked):
        return reply("[[1]]") if question(request) == "q0" and asked else (status, {}, echo)

    try:
        with ScriptedServer(script) as server:
            table = collect(server, tmp_path / "store", items(4), api_key_env="CANARY_KEY")
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    store = Store(tmp_path / "store")
    kept = json.dumps(store.get(store.keys()))
    assert len(store.keys()) == (4 if status == 200 else 1)
    assert CANARY not in kept + (tmp_path / "log").read_text() + table.to_csv()
