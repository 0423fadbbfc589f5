import logging
import os
import signal
import subprocess
from types import SimpleNamespace

import pytest

from caft.running import jobs, stops
from caft.running.jobs import Progress, clock, job
from caft.tables.rows import Unread


@pytest.fixture
def snakemake(tmp_path, monkeypatch):
    """What Snakemake gives to a script; the process's environment and loggers are put back."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    loggers = [logging.getLogger(name) for name in ("caft", "caft.file")]
    before = [(log, log.handlers, log.propagate, log.level) for log in loggers]
    yield SimpleNamespace(
        log=[str(tmp_path / "logs" / "score.log")],
        rule="score_items",
        threads=2,
        resources={"gpu": 0},
        wildcards={"dataset": "sums", "student": "tiny"},
    )
    for log, handlers, propagate, level in before:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


def written(snakemake):
    with open(snakemake.log[0], encoding="utf-8") as handle:
        return handle.read()


def test_a_job_writes_its_log_and_says_that_it_is_done(snakemake, capsys):
    with job(snakemake) as log:
        log.info("43 items")
    for text in (written(snakemake), capsys.readouterr().err):
        assert "43 items" in text
        assert "score_items dataset=sums student=tiny: done in 0:00:0" in text


def test_a_log_holds_the_last_run_only(snakemake):
    for note in ("first", "second"):
        with job(snakemake) as log:
            log.info(note)
    assert "first" not in written(snakemake)
    assert "second" in written(snakemake)


def test_an_expected_error_is_one_line_that_names_the_log(snakemake, capsys):
    with pytest.raises(SystemExit) as stopped, job(snakemake):
        raise Unread("questions.jsonl, row 2: no answer")  # a kind of ItemError
    assert stopped.value.code == 1
    line = (
        "score_items dataset=sums student=tiny: ItemError: questions.jsonl, row 2: no answer "
        f"(log: {snakemake.log[0]})"
    )
    assert capsys.readouterr().err.splitlines() == [line]
    assert written(snakemake).count(line) == 1
    assert "Traceback" not in written(snakemake)


def test_the_traceback_of_an_unexpected_error_is_in_the_log_alone(snakemake, capsys):
    with pytest.raises(SystemExit) as stopped, job(snakemake):
        raise ZeroDivisionError("by zero")
    assert stopped.value.code == 1
    assert capsys.readouterr().err.splitlines() == [
        "score_items dataset=sums student=tiny: unexpected ZeroDivisionError: by zero "
        f"(traceback in {snakemake.log[0]})"
    ]
    assert "Traceback (most recent call last)" in written(snakemake)
    assert written(snakemake).count("unexpected ZeroDivisionError") == 1


@pytest.fixture
def stopped(monkeypatch):
    """Nothing has been stopped yet; how signals are taken is put back."""
    monkeypatch.setattr(stops, "_stop", stops._Stop())
    before = {number: signal.getsignal(number) for number in (2, 15, 1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stopped_job_ends_in_one_line(snakemake, capsys, stopped, number):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(SystemExit) as ended, job(snakemake):
        os.kill(os.getpid(), number)
    assert ended.value.code == 130
    line = (
        "score_items dataset=sums student=tiny: Interrupted: what is complete is kept; the same "
        f"command goes on (log: {snakemake.log[0]})"
    )
    assert capsys.readouterr().err.splitlines() == [line]
    assert written(snakemake).count(line) == 1


def test_within_an_orderly_block_a_stop_is_noted_and_a_second_one_ends_it(snakemake, stopped):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = []
    with pytest.raises(SystemExit), job(snakemake) as log, stops.orderly(lambda: told.append(1)):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stops.asked() and told == [1]
        log.info("goes on")
        os.kill(os.getpid(), signal.SIGTERM)  # the same stop, told twice
        assert not stops.at_once()
        os.kill(os.getpid(), signal.SIGINT)
        log.info("never comes here")
    assert stops.at_once()
    assert "goes on" in written(snakemake)
    assert "never" not in written(snakemake)


def test_a_job_that_ended_well_takes_signals_as_before(snakemake, stopped):
    before = signal.getsignal(signal.SIGTERM)
    with job(snakemake):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_a_shell_wants_ignored_stays_ignored(snakemake, stopped):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with job(snakemake):
        os.kill(os.getpid(), signal.SIGHUP)
    assert "done in" in written(snakemake)


def test_a_full_disk_is_one_line_without_a_traceback(snakemake, capsys):
    with pytest.raises(SystemExit) as ended, job(snakemake):
        raise OSError(28, "No space left on device", "/data/scores.parquet")
    assert ended.value.code == 1
    for text in (capsys.readouterr().err, written(snakemake)):
        assert "cannot write or open /data/scores.parquet: no space is left; free some" in text
        assert "Traceback" not in text and "unexpected" not in text


@pytest.mark.parametrize(("status", "is_told"), [(137, True), (1, False), (0, False)])
def test_the_shell_around_a_job_says_that_it_was_killed(status, is_told):
    command = f"{stops.shell_prefix()} bash -c 'exit {status}'"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == status
    assert ("was killed" in done.stderr) == is_told


def test_the_shell_around_a_job_outlives_a_stop(tmp_path):
    inner = f"trap : TERM; touch {tmp_path}/up; sleep 2; echo stored"
    command = f"{stops.shell_prefix()} bash -c '{inner}'"
    process = subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (tmp_path / "up").exists():
        assert process.poll() is None
    process.terminate()
    assert process.communicate()[0] == "stored\n"


def test_a_jobs_threads_are_set_unless_the_environment_has_them(snakemake):
    os.environ.pop("OMP_NUM_THREADS", None)
    with job(snakemake):
        assert os.environ["OMP_NUM_THREADS"] == "2"
    os.environ["OMP_NUM_THREADS"] = "7"
    with job(snakemake):
        assert os.environ["OMP_NUM_THREADS"] == "7"


def test_seconds_are_shown_as_a_clock():
    assert [clock(seconds) for seconds in (0, 59.9, 61, 3600, 90061)] == [
        "0:00:00",
        "0:00:59",
        "0:01:01",
        "1:00:00",
        "25:01:01",
    ]


@pytest.fixture
def time(monkeypatch):
    """A clock that stands still until it is moved."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def lines(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("caft"), "propagate", True)
    caplog.set_level(logging.INFO, "caft")
    return lambda: caplog.messages


def test_progress_shows_rate_and_time_left(time, lines):
    progress = Progress("scoring", 200)
    time.seconds += 10
    progress.advance(50, "$0.12")
    assert lines() == ["scoring: 50/200 (25%), 5.0 items/s, 0:00:30 left, $0.12"]
    assert progress.seconds == 10


@pytest.mark.parametrize(
    "seconds, told", [(20, "0.1 steps/s"), (21, "10 s per step"), (180, "90 s per step")]
)
def test_slow_work_is_told_in_seconds_for_each(time, lines, seconds, told):
    progress = Progress("training", 4, "steps")
    time.seconds += seconds
    progress.advance(2)
    assert lines() == [f"training: 2/4 (50%), {told}, {clock(seconds)} left"]


@pytest.mark.parametrize(
    "label, told", [("", "score_items sums tiny"), ("sft\x1b[2J", r"sft\u001b[2J")]
)
def test_progress_is_labelled_on_the_terminal_alone(snakemake, capsys, time, label, told):
    with job(snakemake, label) as log:
        progress = Progress("scoring", 2)
        time.seconds += 1
        progress.advance(2)
        log.info("so")
    line = "scoring: 2/2 (100%), 2.0 items/s, 0:00:00 left"
    assert capsys.readouterr().err.splitlines()[:2] == [f"[{told}] {line}", "so"]
    assert f"INFO {line}" in written(snakemake)


def test_progress_is_shown_every_few_seconds_and_at_the_end(time, lines):
    progress = Progress("training", 4, "steps")
    for _ in range(4):
        time.seconds += 2
        progress.advance(1)
    assert lines() == [
        "training: 3/4 (75%), 0.5 steps/s, 0:00:02 left",
        "training: 4/4 (100%), 0.5 steps/s, 0:00:00 left",
    ]
