"""A job that is told to stop while it buys: what is on the wire arrives, nothing more is sent."""

import os
import re
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import openai  # noqa: F401
import pytest
from asking import SPEC
from batch_server import BatchServer
from driver import items, prompts
from scripted_server import ScriptedServer, reply
from test_store_writers import small_disk  # noqa: F401

from caft.running.jobs import job
from caft.running.settings import Engine
from caft.store import Store
from caft.store.given_up import noted
from caft.teacher.acceptance import Policy
from caft.teacher.asking import Setup, open_asking
from caft.teacher.collect import collect_rationales
from caft.teacher.sections import read_teacher


class Job:
    """A job in a fork of this process, which has the libraries loaded, that buys forty answers."""

    def __init__(self, spec, folder, student):
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                code = run(spec, folder, student)
            finally:
                os._exit(code)

    def send(self, number):
        os.kill(self.pid, number)

    def wait(self, seconds=200):
        """Return the exit status."""
        deadline = time.monotonic() + seconds
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.pid = None
        return os.waitstatus_to_exitcode(ended[1])


def run(spec, folder, student):
    """Be the job; return its exit status."""
    sys.stdout = sys.stderr = (folder / "output.txt").open("w", buffering=1)
    # A shell in the background ignores SIGINT, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = str(folder / "job.log")
    teacher, files = read_teacher(spec), student / "student.json"
    setup = Setup("teachers.big", teacher, Engine(), files, folder / "store")
    given = SimpleNamespace(log=[log], rule="ask", threads=1, resources={}, wildcards={})
    try:
        with job(given), open_asking(setup, None) as asking:
            collect_rationales(items(40), prompts(40), asking, Policy("marked", None))
    except SystemExit as end:
        return end.code
    return 0


@contextmanager
def buying(server, folder, student, **changed):
    """A job under way; it ends with the body."""
    spec = {**SPEC, "base_url": server.url, "concurrency": 4, "timeout_s": 60.0, **changed}
    process = Job(spec, folder, student)
    try:
        yield process
    finally:
        if process.pid:
            process.send(signal.SIGKILL)
            process.wait()


def until(condition):
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def said(folder):
    file = folder / "output.txt"  # the job makes it once it has started
    return file.read_text() if file.exists() else ""


def stored(folder):
    return Store(folder / "store").table(["key"])["key"].to_pylist()


def finish(server, folder, student, **changed):
    """Give the same command again."""
    with buying(server, folder, student, **changed) as process:
        assert process.wait() == 0, said(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_stores_what_is_on_the_wire_and_the_same_command_buys_the_rest(
    tmp_path, student, number
):
    with ScriptedServer(lambda request, times: reply("[[1]]"), lambda question: 0.3) as server:
        with buying(server, tmp_path, student) as process:
            until(lambda: server.asked.total() >= 6)
            process.send(number)
            assert process.wait() == 130
        bought = server.asked.total()
        assert bought < 40
        assert len(stored(tmp_path)) == bought
        line = (
            f"Interrupted: {bought} answers stored, nothing on the wire is lost; the same command"
        )
        assert line in said(tmp_path)
        assert line in (tmp_path / "job.log").read_text()
        assert not re.search("KeyboardInterrupt|Traceback|unexpected", said(tmp_path))
        assert list(noted(tmp_path / "store")) == []
        finish(server, tmp_path, student)
    assert server.asked.total() == len(set(stored(tmp_path))) == 40


def test_a_stop_that_comes_twice_at_once_is_one(tmp_path, student):
    with ScriptedServer(lambda request, times: reply("[[1]]"), lambda question: 0.5) as server:
        with buying(server, tmp_path, student) as process:
            until(lambda: server.asked.total() >= 6)
            process.send(signal.SIGTERM)
            time.sleep(0.1)
            process.send(signal.SIGTERM)
            assert process.wait() == 130
        assert len(stored(tmp_path)) == server.asked.total() < 40


def test_a_second_stop_ends_at_once_and_notes_what_is_on_the_wire_as_given_up(tmp_path, student):
    slow = lambda question: 0.0 if question in ("q0", "q1") else 50.0  # noqa: E731
    with ScriptedServer(lambda request, times: reply("[[1]]"), slow) as server:
        with buying(server, tmp_path, student) as process:
            until(lambda: server.now == 4)
            process.send(signal.SIGINT)
            until(lambda: "waiting for" in said(tmp_path))
            started = time.monotonic()
            process.send(signal.SIGINT)
            assert process.wait() == 130
            assert time.monotonic() - started < 30
        assert sum(one.requests for one in noted(tmp_path / "store")) == 4
        assert "on the wire is noted as given up" in said(tmp_path)
        assert not re.search("KeyboardInterrupt|Traceback|unexpected", said(tmp_path))
        server.latency = lambda question: 0.0
        finish(server, tmp_path, student)
    assert len(set(stored(tmp_path))) == 40


def test_a_request_that_hangs_is_waited_for_no_longer_than_its_timeout(tmp_path, student):
    hang = {"q3"}
    with ScriptedServer(lambda request, times: reply("[[1]]")) as server:
        server.answer = lambda request, times: (
            "hang" if request["messages"][-1]["content"] in hang else reply("[[1]]")
        )
        server.latency = lambda question: 0.2
        with buying(server, tmp_path, student, timeout_s=3.0) as process:
            until(lambda: server.asked["q3"])
            process.send(signal.SIGTERM)
            assert process.wait() == 130
        assert server.asked["q3"] == 1
        assert "Interrupted" in said(tmp_path)


def test_a_stop_between_two_attempts_repeats_nothing(tmp_path, student):
    with ScriptedServer(lambda request, times: "503") as server:
        slow = {"backoff_s": 20.0, "max_wait_s": 20.0}
        with buying(server, tmp_path, student, **slow) as process:
            until(lambda: server.asked.total() >= 4)
            time.sleep(0.5)
            process.send(signal.SIGINT)
            assert process.wait(15) == 130
        assert server.asked.total() == 4
        assert "Interrupted: 0 answers stored" in said(tmp_path)


def test_a_kill_while_a_stop_waits_loses_nothing_that_was_stored(tmp_path, student):
    slow = lambda question: 50.0 if question == "q7" else 0.1  # noqa: E731
    with ScriptedServer(lambda request, times: reply("[[1]]"), slow) as server:
        with buying(server, tmp_path, student) as process:
            until(lambda: server.asked["q7"])
            process.send(signal.SIGTERM)
            until(lambda: server.now == 1 and "waiting for" in said(tmp_path))
            time.sleep(1)
            answered = server.answered.total()
            process.send(signal.SIGKILL)
            process.wait()
        assert len(stored(tmp_path)) == answered
        assert sum(one.requests for one in noted(tmp_path / "store")) == 1
        server.latency = lambda question: 0.0
        finish(server, tmp_path, student)
    assert server.asked.total() == 41


def test_a_stop_between_looks_at_a_batch_leaves_it_to_the_next_run(tmp_path, student):
    with BatchServer() as server:
        batch = {"batch": True, "batch_poll_s": 30.0}
        server.polls = 1000
        with buying(server, tmp_path, student, **batch) as process:
            until(lambda: "submitted" in said(tmp_path))
            time.sleep(0.5)
            process.send(signal.SIGTERM)
            assert process.wait(15) == 130
        assert "Interrupted: 0 answers stored, nothing on the wire is lost" in said(tmp_path)


@pytest.mark.parametrize("place", ["store", "store/journals"])
def test_nothing_is_asked_when_a_file_is_in_the_way_of_the_store(tmp_path, student, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("")
    with ScriptedServer(lambda request, times: reply("[[1]]")) as server:
        with buying(server, tmp_path, student) as process:
            assert process.wait() == 1
        assert server.asked.total() == 0
    assert "cannot write" in said(tmp_path)
    assert "check disk and permissions and run again" in said(tmp_path)
    assert len(said(tmp_path).splitlines()) == 3


def test_nothing_is_asked_when_the_disk_is_full(small_disk, tmp_path, student):  # noqa: F811
    (tmp_path / "store").symlink_to(small_disk)
    filled = Path(small_disk, "other")
    with pytest.raises(OSError, match="No space"), filled.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with ScriptedServer(lambda request, times: reply("[[1]]")) as server:
        with buying(server, tmp_path, student) as process:
            assert process.wait() == 1
        assert server.asked.total() == 0
        assert "cannot write: no space left on the disk; free some and run again" in said(tmp_path)
