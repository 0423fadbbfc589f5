"""A few of the points at which `benchmarks/kills` strikes the jobs of a paid run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).parents[2] / "benchmarks/kills/run.py"
# Of asking: the note before a request, the request, the journal, and the end of a fold.
POINTS = ["7", "10", "17", "30"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler (cc)")
def test_jobs_that_are_struck_lose_nothing_and_go_on():
    jobs = ["--jobs", "ask", "compact", "--ways", "torn", "--points", *POINTS]
    done = subprocess.run([sys.executable, str(KILLS), *jobs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "| ask | torn | 4 |" in done.stdout and "| compact | torn | 1 |" in done.stdout
