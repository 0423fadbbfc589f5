"""One entry of a plan: some jobs of one kind, and what they take."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from caft.report.ahead import amounts
from caft.report.ahead.known import Bound

BEFORE = "unknown before `snakemake data`"


@dataclass(frozen=True)
class Work:
    """Some jobs of one kind: what they take, None where nobody knows.

    Attributes:
        step: their rule.
        dataset: which.
        student: which.
        what: a stage of a strategy, a mode, a teacher …
        jobs: how many.
        left: those of them whose result is not there yet.
        bound: whether the amounts are exact, about so, at most so, or unknown.
        rows: items that are read, or rows of a mixture.
        updates: of the weights.
        tokens: trained on over all epochs, or read and written at most.
        requests: to a teacher or judge.
        usd: what they cost.
        disk_mb: what stays on the disk.
        work_mb: what is on the disk while a job runs.
        download_mb: what is fetched.
        gpus: of a job.
        mem_mb: of a job.
        hours: of all jobs, one after the other.
        hours_left: of those whose result is not there yet.
        device: where they run.
        basis: where the hours are from, or why an amount is unknown.
    """

    step: str
    dataset: str | None = None
    student: str | None = None
    what: str | None = None
    jobs: int = 1
    left: int = 1
    bound: Bound = "exact"
    rows: int | None = None
    updates: int | None = None
    tokens: int | None = None
    requests: int | None = None
    usd: float | None = None
    disk_mb: float | None = None
    work_mb: float | None = None
    download_mb: float | None = None
    gpus: int = 0
    mem_mb: int | None = None
    hours: float | None = None
    hours_left: float | None = None
    device: str | None = None
    basis: str | None = None


class Made(NamedTuple):
    """How many jobs there are, and those of them whose result is not there yet."""

    jobs: int
    left: int


def jobs_of(files: list[str]) -> Made:
    """Return how many jobs make some files, one each, and how many of them are not there."""
    return Made(len(files), sum(not Path(file).is_file() for file in files))


def shared(tables: list[str], shards: int) -> Made:
    """Return the same for tables that several jobs share, and one more joins."""
    each = shards + 1 if shards > 1 else 1
    return Made(*(count * each for count in jobs_of(tables)))


def work_of(step: str, made: Made, **takes: Any) -> Work:
    """Return the work of the jobs of a step."""
    return Work(step, jobs=made.jobs, left=made.left, **takes)


def scaled(work: Work, times: int) -> Work:
    """Return the work of so many models, from that of one; jobs are counted already."""
    return replace(
        work,
        tokens=amounts.whole(amounts.times(work.tokens, times)),
        hours=amounts.times(work.hours, times),
        hours_left=amounts.times(work.hours_left, times),
    )
