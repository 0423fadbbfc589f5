"""A server that the job starts itself is always ended, with everything it has started."""

import logging
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from asking import SPEC, ask, make, request, requests
from driver import collect
from test_kills import processes  # noqa: F401 - a fixture

import caft.teacher.endpoint.guard
from caft.errors import TeacherError
from caft.teacher.endpoint.vllm_server import serving

SCRIPT = Path(__file__).with_name("own_server.py")


def spec(pids, manner="good", **changed):
    """Return the config of a teacher whose server writes its pids to a file."""
    command = [sys.executable, str(SCRIPT), "{port}", str(pids), manner]
    own = {"command": command, "health": "/health", "path": "/v1", "start_timeout_s": 30}
    common = {
        key: SPEC[key]
        for key in SPEC
        if key not in ("base_url", "api_key_env", "batch", "batch_poll_s")
    }
    return {**common, **own, "provider": "vllm_server", **changed}


def alive(pids):
    """Return which of the processes named in a file still run."""
    return [
        int(pid)
        for pid in pids.read_text().split()
        if psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != "zombie"
    ]


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def pids(tmp_path):
    """Return a file for pids; nothing that it names outlives the test."""
    path = tmp_path / "pids"
    yield path
    for pid in alive(path) if path.exists() else []:
        psutil.Process(pid).kill()


@pytest.mark.parametrize("manner", ["good", "slow"])
def test_the_server_is_started_asked_and_ended(pids, manner):
    teacher = make(spec(pids, manner))
    got = ask(teacher, requests(20))
    assert {answer.text for answer in got.values()} == {"so [[1]]"}
    assert {answer.cost_usd for answer in got.values()} == {0.0}
    assert alive(pids) == []


def test_nothing_is_started_when_nothing_has_to_be_asked(pids):
    teacher = make(spec(pids))
    assert ask(teacher, []) == ask(teacher, [None]) == {}
    assert teacher.identify({}) == ("scripted", "")
    assert not pids.exists()


def test_prices_of_ones_own_machine_count(pids):
    prices = {"prompt": 1.0, "cached": None, "completion": 1.0}
    teacher = make(spec(pids, prices=prices))
    (answer,) = ask(teacher, [request("q0")]).values()
    assert answer.cost_usd == pytest.approx(10e-6)


def test_the_server_is_ended_when_the_consumer_stops_or_fails(pids):
    answers = make(spec(pids)).answer(requests(50))
    next(answers)
    assert len(alive(pids)) == 2
    answers.close()
    assert alive(pids) == []


def test_a_server_that_ends_early_is_reported_with_the_end_of_its_output(pids):
    teacher = make(spec(pids, "dies"))
    with pytest.raises(TeacherError, match=r"(?s)ended with status 1; .*ends with:\nno such model"):
        ask(teacher, requests(2))
    assert alive(pids) == []


def test_a_program_that_is_not_there_is_reported(pids):
    teacher = make(spec(pids, command=["no-such-program", "{port}"]))
    with pytest.raises(TeacherError, match="no-such-program: No such file"):
        ask(teacher, requests(2))


def test_a_server_that_never_is_healthy_is_given_up_and_ended(pids):
    teacher = make(spec(pids, "sick", start_timeout_s=6))
    with pytest.raises(TeacherError, match="with 200 within 6 s; check teachers.<name>.command"):
        ask(teacher, requests(2))
    assert alive(pids) == []


def test_a_server_that_dies_while_it_is_asked_is_reported_and_what_it_answered_kept(pids):
    teacher = make(spec(pids, "later", concurrency=1, attempts=2, breaker=2))
    got = []
    with pytest.raises(TeacherError, match=r"(?s)ended with status 3; .*out of memory"):
        for batch in teacher.answer(requests(20)):
            got += batch
    assert [answer.finish_reason for answer in got] == ["stop"] * 3 + ["error"] * 2
    assert alive(pids) == []


def test_the_output_of_the_server_lies_beside_the_log_of_the_job(pids, tmp_path):
    handler = logging.FileHandler(tmp_path / "job.log")
    logging.getLogger("caft").addHandler(handler)
    try:
        with pytest.raises(TeacherError, match=r"job\.server\.log"):
            ask(make(spec(pids, "dies")), requests(1))
    finally:
        logging.getLogger("caft").removeHandler(handler)
        handler.close()
    output = (tmp_path / "job.server.log").read_text(encoding="utf-8")
    assert output == "no such model \\u001b[2J\\u202e ü\n"  # not what a terminal would obey


def test_a_server_that_ignores_the_request_to_end_is_killed(pids):
    code = "import sys; from caft.teacher.endpoint import guard; "
    code += "guard.GRACE = 0.3; guard.main(sys.argv[1:])"
    command = [sys.executable, str(SCRIPT), "0", str(pids), "stubborn"]
    guard = subprocess.Popen([sys.executable, "-c", code, *command], stdin=subprocess.PIPE)
    wait_until(lambda: pids.exists() and len(alive(pids)) == 2)
    time.sleep(0.3)
    guard.stdin.close()
    assert guard.wait(20) is not None
    assert alive(pids) == []


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_the_server_ends_with_its_guard(pids, signal):
    import signal as signals

    command = [sys.executable, str(SCRIPT), "0", str(pids), "good"]
    module = [sys.executable, "-m", caft.teacher.endpoint.guard.__name__]
    guard = subprocess.Popen([*module, *command], stdin=subprocess.PIPE)
    wait_until(lambda: pids.exists() and len(alive(pids)) == 2)
    server = alive(pids)[0]
    os.kill(guard.pid, getattr(signals, signal))
    guard.wait(20)
    wait_until(lambda: server not in alive(pids))


def test_a_killed_job_leaves_no_server_behind(pids, processes, tmp_path):  # noqa: F811
    job = processes.Process(target=collect, args=(spec(pids), tmp_path / "store", 100_000))
    job.start()
    wait_until(lambda: list(tmp_path.glob("store/journals/*")))
    assert len(alive(pids)) == 2
    job.kill()
    job.join()
    wait_until(lambda: not alive(pids))


@pytest.mark.parametrize("placeholder", [None, "{key}"])
def test_a_server_that_takes_a_key_gets_one_of_its_own(pids, placeholder, caplog):
    command = [sys.executable, str(SCRIPT), "{port}", str(pids), "guarded"]
    command += [placeholder] if placeholder else []
    with caplog.at_level(logging.DEBUG):
        teacher = make(spec(pids, command=command))
        got = ask(teacher, requests(5))
    assert [answer.text for answer in got.values()] == ["so [[1]]"] * 5
    with serving(teacher.settings) as one, serving(teacher.settings) as other:
        assert len(one.secret) > 30 and one.secret != other.secret
        assert one.secret not in repr(one) and one.secret not in os.environ.values()
        (server,) = {psutil.Process(pid) for pid in alive(pids)[:1]}
        assert (other.secret in server.cmdline()) == (placeholder is not None)
        assert server.environ()["VLLM_API_KEY"] == other.secret
        assert other.secret not in " ".join(server.parent().cmdline()), "the guard shows no key"
        with pytest.raises(OSError, match="401"):
            urllib.request.urlopen(f"{one.base_url}/models")
    assert "Bearer" not in caplog.text


def test_a_server_with_another_key_is_an_error_that_names_the_way(pids):
    command = [sys.executable, str(SCRIPT), "{port}", str(pids), "guarded", "a-key-of-its-own"]
    with pytest.raises(TeacherError, match=r"401.*check the key in \$VLLM_API_KEY"):
        ask(make(spec(pids, command=command)), requests(1))


def test_what_takes_a_wrong_key_although_it_was_given_one_is_not_asked(pids):
    command = [sys.executable, str(SCRIPT), "{port}", str(pids), "good", "{key}"]
    with pytest.raises(TeacherError, match=r"takes a wrong one as well, so nothing was asked"):
        ask(make(spec(pids, command=command)), requests(1))
    assert alive(pids) == []


IMPOSTOR = """
import http.server, sys, time
from pathlib import Path
port, asked = Path(sys.argv[1]), Path(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def do_POST(self):
        asked.write_text("asked"); self.do_GET()
    def log_message(self, *words): pass
while not (port.exists() and port.read_text()): time.sleep(0.02)
http.server.ThreadingHTTPServer(("127.0.0.1", int(port.read_text())), Handler).serve_forever()
"""
LOADING = "import sys, time; open(sys.argv[1], 'w').write(sys.argv[2]); time.sleep(60)"
LISTENING = (
    "import socket, sys, time\n"
    "open(sys.argv[1], 'w').write(sys.argv[2])\n"
    "time.sleep(0.5)\n"
    "own = socket.socket(); own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
    "own.bind(('127.0.0.1', int(sys.argv[2]))); own.listen(); time.sleep(60)\n"
)


@pytest.mark.parametrize("own", [LOADING, LISTENING], ids=["loads", "listens beside it"])
def test_a_process_that_takes_the_port_of_the_server_is_not_asked(pids, tmp_path, own):
    port, asked = tmp_path / "port", tmp_path / "asked"
    program = IMPOSTOR
    if own == LISTENING:  # two sockets on one port: the system shares the connections out
        program = program.replace(
            "while not",
            "http.server.ThreadingHTTPServer.allow_reuse_port = True\nwhile not",
        )
    impostor = subprocess.Popen([sys.executable, "-c", program, str(port), str(asked)])
    try:
        command = [sys.executable, "-c", own, str(port), "{port}"]
        with pytest.raises(TeacherError, match="not the server that was started"):
            ask(make(spec(pids, command=command)), requests(1))
        assert not asked.exists()
    finally:
        impostor.kill()
        impostor.wait()
