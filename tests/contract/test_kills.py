"""Answers are never lost or bought twice, whenever the process is killed."""

import multiprocessing
import random
import time

import pytest
from driver import collect
from scripted_server import FAULTS, ScriptedServer, draws, question, reply

from caft.store import Store
from caft.store.check import check
from caft.store.given_up import noted

CALLS, SLOTS, KILLS = 600, 30, 20
USAGE = (7, 3)
RECOVERABLE = [name for name in FAULTS if name != "hang"]  # the hang waits for its timeout


@pytest.fixture(scope="module")
def processes():
    """Real processes, forked from one that has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["caft.teacher.collect", "openai", "stamina", "httpx2"])
    return context


def with_faults(seed, share):
    """Return a script: that share of the questions meets each fault, once."""
    drawn = random.Random(seed)
    fates = {f"q{number}": drawn.random() for number in range(CALLS)}

    def script(request, asked):
        fault = int(fates[question(request)] / share)
        if not asked and fault < len(RECOVERABLE):
            return RECOVERABLE[fault]
        if not asked and fault == len(RECOVERABLE):
            return "hang"
        return reply(f"answer {asked} to {question(request)} [[1]]", usage=USAGE)

    return script


def stored(folder):
    """Return question and text of every stored answer."""
    store = Store(folder)
    records = store.get(store.keys()).values()
    return {record["text"].split(" ")[3]: record["text"] for record in records}


def billed(server):
    """Return requests and tokens on the bill: of every answer, whether or not anybody got it."""
    before = -1
    while before < (now := sum(server.answered.values())):
        before = now
        time.sleep(0.1)  # what was on the wire is answered, too
    return now, now * sum(USAGE)


def counted(folder):
    """Return requests and tokens of what is stored, and the most of what is unknown."""
    rows = Store(folder).table(["prompt_tokens", "completion_tokens"]).to_pylist()
    lost = list(noted(folder))
    return (
        (len(rows), sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)),
        (sum(one.requests for one in lost), sum(one.tokens for one in lost)),
    )


def test_twenty_kills_lose_no_answer_and_buy_none_twice(processes, tmp_path, capsys):
    drawn = random.Random(20)
    spec = {"concurrency": SLOTS, "timeout_s": 0.5, "breaker": 600, "attempts": 20}
    durable, lost, again, in_flight, kills = {}, 0, 0, 0, 0
    started = time.monotonic()
    with ScriptedServer(with_faults(3, 0.05), draws("exponential:0.02")) as server:
        while True:
            before, wanted = len(server.requests), drawn.randint(5, 55)
            job = processes.Process(
                target=collect, args=({**spec, "base_url": server.url}, tmp_path, CALLS)
            )
            job.start()
            while kills < KILLS and job.is_alive() and len(server.requests) < before + wanted:
                time.sleep(0.001)
            if kills < KILLS:
                assert job.is_alive(), "the work was done before all kills"
                time.sleep(drawn.uniform(0, 0.02))
                job.kill()
                kills += 1
            job.join()
            asked = {question(request) for _, request in server.requests[before:]}
            again += len(asked & durable.keys())
            now = stored(tmp_path)
            lost += sum(now.get(name) != text for name, text in durable.items())
            durable = now
            open_ = asked - durable.keys()
            assert len(open_) <= SLOTS
            bill, (known, unknown) = billed(server), counted(tmp_path)
            for billed_, known_, unknown_ in zip(bill, known, unknown, strict=True):
                assert known_ <= billed_ <= known_ + unknown_
            if job.exitcode == 0:
                break
            assert job.exitcode == -9
            in_flight += len(open_)
        twice = sum(count - 1 for count in server.answered.values() if count > 1)
    report = check(tmp_path)
    with capsys.disabled():
        print(
            f"\n{CALLS} calls, {kills} kills in {time.monotonic() - started:.0f} s: {lost} answers "
            f"lost, {again} asked again though durable, {twice} bought twice, {in_flight} in "
            f"flight at the kills, {len(report.damage)} torn files, {len(report.torn)} torn lines, "
            f"{len(server.requests)} requests; billed {bill[0]}, counted {known[0]}, unknown "
            f"{unknown[0]}"
        )
    assert kills == KILLS
    assert len(durable) == CALLS
    assert (lost, again, len(report.damage)) == (0, 0, 0)
    assert twice <= in_flight
