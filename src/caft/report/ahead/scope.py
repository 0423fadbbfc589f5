"""What every step of a plan is counted with."""

from dataclasses import replace

from caft.config import resolve
from caft.report.ahead import amounts
from caft.report.ahead.known import Count, Known
from caft.report.ahead.rates import Job, Rates
from caft.report.ahead.sizes import size_of
from caft.report.ahead.trainings import Trainings
from caft.report.ahead.work import BEFORE, Work

_SECONDS_PER_HOUR = 3600
_PART_OF_RULE: dict[str, resolve.PartOfRun] = {
    **dict.fromkeys(["warm_up_student", "train_stage"], "training"),
    **dict.fromkeys(["select_epoch", "answer_student", "evaluate_model"], "evaluation"),
}
"""Whose resources a rule's jobs ask for before those of the student."""


class Scope:
    """What is known of a run, how fast work goes, and who is trained on what.

    Attributes:
        known: what there is of the run.
        rates: how fast work goes.
        config: of the run.
        pairs: its data sets with each of its students.
        students: all that are used, those too that only score.
        sizes: of the students.
        trainings: of each pair.
    """

    def __init__(self, known: Known, rates: Rates):
        self.known, self.rates, self.config = known, rates, known.config
        self.pairs = [
            (dataset, student)
            for dataset in self.config.run.datasets
            for student in self.config.run.students
        ]
        self.students = resolve.students_used(self.config)
        self.sizes = {name: size_of(name, self.config.students[name]) for name in self.students}
        self.trainings = {pair: Trainings(known, *pair) for pair in self.pairs}

    def reading(
        self, work: Work, kind: str, items: Count, tokens: tuple[float | None, float]
    ) -> Work:
        """Fill in what reading and writing for items takes; `tokens` are read and written each.

        What is written is at most so much, unless this student's answers have been counted here.
        """
        reads, most = tokens
        student = work.student or ""
        rate = self.rates.of(Job(kind, student, self.sizes[student], reads or 0.0, most))
        writes = most if rate.writes is None else min(rate.writes, most)
        each = None if reads is None else reads + writes
        unknown = items.number is None or (reads is None and "table of" in rate.basis)
        bound = items.bound
        if most and items.number is not None:
            counted = rate.writes is not None and items.bound in ("exact", "about")
            bound = "about" if counted else "at most"
        count = items.number if items.number is not None else None
        return self.on_device(
            replace(
                work,
                bound=bound,
                rows=amounts.whole(count),
                tokens=amounts.whole(amounts.times(count, each)),
                basis=BEFORE if unknown else rate.basis,
            ),
            None if unknown else amounts.times(count, rate.seconds),
        )

    def on_device(self, work: Work, seconds: float | None) -> Work:
        """Fill in what jobs of a student ask for, and their hours from the seconds of all."""
        part = _PART_OF_RULE.get(work.step)
        needs = resolve.student_needs(self.config, work.student or "", part)
        # A rate of each mode has been measured for whole tables, whatever was in them.
        hours = None if seconds is None else seconds / _SECONDS_PER_HOUR
        left = work.left / work.jobs if work.jobs else 0.0
        return replace(
            work,
            hours=hours,
            hours_left=None if hours is None and left else (hours or 0.0) * left,
            device=self.rates.device_of(needs["gpus"]),
            gpus=needs["gpus"],
            mem_mb=needs["mem_mb"],
        )

    def most(self, mode: str) -> int:
        """Return how many tokens an answer of a mode may have."""
        return self.config.evaluation.max_new_tokens.of(mode)
