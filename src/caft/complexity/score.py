"""Scoring as a job: open the student, warmed up where asked for, score, describe the run."""

from collections.abc import Iterator

from caft import versions
from caft.complexity.forward import TOKEN_BUDGET, score_items
from caft.prompting.asked import Asked, Prompts
from caft.running.blocks import Cache, Rows
from caft.running.jobs import Progress
from caft.students.opened import Subject, open_scorer
from caft.students.tasks import Made, Task, make_table


def score_with_student(asked: Asked, subject: Subject, cache: Cache) -> Made:
    """Score a question set with a student.

    Args:
        asked: the question set and its prompt variant.
        subject: the student, or a model trained from it; its engine has a `token_budget`.
        cache: where finished blocks of items lie, and which of them are wanted.

    Returns:
        The scores table; the provenance for its footer (revision, precision, device, attention,
        batching, libraries); and what differs from run to run (seconds).
    """
    scorer = open_scorer(subject)
    budget = subject.engine.token_budget
    budget = TOKEN_BUDGET[scorer.spec["device"]] if budget == "auto" else budget

    def score(blocks: list[Prompts], progress: Progress) -> Iterator[Rows]:
        for block in blocks:
            yield score_items(block, scorer.loaded, budget, progress)

    task = Task(
        "scores",
        versions.SCORES,
        ("scoring", "items", 1),
        {**scorer.spec, "prompt": asked.variant.plain(), "token_budget": budget},
        score,
    )
    return make_table(task, scorer, asked.prompts("direct"), cache)
