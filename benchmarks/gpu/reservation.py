"""A job holds its card: a second one on a machine of one card waits until the first has ended."""

import subprocess
import sys
from typing import Any

from machine import Machine, NotHere

EXPECTED: dict[str, Any] = {"second": "waits"}
_JOB = """
import logging, sys
from caft.running.devices import held
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
with held(int(sys.argv[1]), logging.getLogger()):
    print("has it", flush=True)
    sys.stdin.read()
"""


def check(machine: Machine) -> dict[str, Any]:
    """Take all cards in one job, and one in another."""
    from caft.running.devices import visible

    cards = len(visible() or {})
    if not cards:
        raise NotHere("nvidia-smi lists no GPU")
    first, second = _start(cards), None
    try:
        while (line := _line(first)) != "has it":
            pass
        second = _start(1)
        line = _line(second)
        first.kill()
        freed = _line(second), _line(second)
    finally:
        for job in filter(None, (first, second)):
            job.kill()
            job.wait()
    assert line.startswith("Waiting for 1"), line
    assert "has it" in freed, freed
    return {"cards": cards, "second": "waits"}


def _start(count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _JOB, str(count)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _line(job: "subprocess.Popen[str]") -> str:
    assert job.stdout
    return job.stdout.readline().strip()
