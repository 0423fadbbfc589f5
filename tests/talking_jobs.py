"""Jobs in processes of their own that a test talks with."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def starter() -> Iterator[Callable[..., subprocess.Popen]]:
    """Yield what starts a job of some code and words behind it; all jobs end with the block."""
    jobs = []

    def start(code: str, *words: str, **given: Any) -> subprocess.Popen:
        job = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **given,
        )
        jobs.append(job)
        return job

    yield start
    for job in jobs:
        job.kill()
        job.communicate()
