"""The shipped workflow, stopped while answers are bought: none that was asked for is lost."""

import copy
import os
import re
import signal
import time

import pytest
from harness import Project
from scripted_server import ScriptedServer, addends, reply

LOG = "logs/generate_rationales/mine.tiny.1.big.log"
ITEMS = 24


def solve(request, times):
    return reply(f"[[{sum(addends(request))}]]")


@pytest.fixture(scope="module")
def server():
    with ScriptedServer(solve) as server:
        yield server


@pytest.fixture(scope="module")
def project(config, server, tmp_path_factory):
    changed = copy.deepcopy(config)
    changed["students"]["tiny"]["warm_up"] = None
    changed["run"] |= {"strategies": ["distill"], "modes": ["cot"]}
    asked = {"provider": "openai", "base_url": server.url, "model": "big", "api_key_env": None}
    changed["teachers"] = {"big": {**asked, "concurrency": 2}}
    changed["strategies"] = {"distill": {"teacher": "big"}}
    project = Project(tmp_path_factory.mktemp("stops") / "project", changed, ("--cores", "1"))
    project.run("buckets")
    return project


def stopped(project, server, stop):
    """Start a run and stop it once it has asked for some more; return what it said."""
    server.latency = lambda question: 1.0
    file, before = project.folder / "output.txt", server.asked.total()
    with file.open("w") as output:
        # A shell in the background ignores SIGINT, and its children inherit that.
        taken = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = project.start("rationales", output=output)
        signal.signal(signal.SIGINT, taken)
        deadline = time.monotonic() + 300
        while server.asked.total() < before + 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        stop(process.pid)
        assert process.wait(200)
    server.latency = lambda question: 0.0
    return file.read_text()


STOPS = {
    "Ctrl-C": lambda pid: os.killpg(pid, signal.SIGINT),
    "SIGTERM to Snakemake alone": lambda pid: os.kill(pid, signal.SIGTERM),
    "SIGTERM to all": lambda pid: os.killpg(pid, signal.SIGTERM),
}


@pytest.mark.parametrize("stop", STOPS)
def test_what_is_on_the_wire_is_stored_and_the_log_says_so(project, server, stop):
    said = stopped(project, server, STOPS[stop])
    log = (project.folder / LOG).read_text()
    stored = project.stored_keys()
    assert server.asked.total() == len(stored) == len(set(stored)) < ITEMS
    for text in (said, log):
        assert "Interrupted: " in text
        assert "nothing on the wire is lost; the same command goes on" in text
        assert not re.search("KeyboardInterrupt|Traceback|unexpected", text)


def test_the_next_run_waits_for_what_a_job_of_a_killed_one_stores(project, server):
    stopped(project, server, lambda pid: os.kill(pid, signal.SIGKILL))
    project.run("rationales")
    stored = project.stored_keys()
    assert server.asked.total() == len(stored) == len(set(stored)) == ITEMS


def test_nothing_is_asked_when_the_store_cannot_be_written(project, server, tmp_path):
    other = Project(tmp_path / "project", project.config, ("--cores", "1"))
    before = server.asked.total()
    (other.folder / "data").mkdir()
    (other.folder / "data/store").write_text("")
    refused = other.run("rationales", succeeds=False)
    assert "cannot write into data/store: a file is where a folder should be" in refused.output
    assert "move it away, and run again" in refused.output
    assert not refused.rules
    assert server.asked.total() == before
