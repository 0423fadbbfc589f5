"""Write docs/reruns.md: what runs again after a change, from the tests that hold it to that.

    python docs/generate_reruns.py

A test compares the file with what this makes; tests/workflow/test_promises_of_*.py test every row.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HEAD = """\
# What runs again

Made from `tests/workflow/promises.py` by `make docs`; do not edit it here. Every row is a test
that makes the change in a finished run, gives the same command again, and compares the jobs that
run and the answers that a counting teacher is asked for.

The run has one question set of 24 items, one student with a warm-up, one training seed, the
strategies `base`, `sft` and `complexity_aware`, and answers asked for directly. Light jobs take
seconds and run where Snakemake runs; the others load a model.

| change | light jobs | warm-up | scoring | training | evaluation | answers bought |
|---|---|---|---|---|---|---|
"""
TAIL = """
## Before a run: what will run, and why

    snakemake -n results/summary.csv          # every job with its reason; nothing runs
    snakemake -n --quiet rules                # only how many jobs of each rule
    snakemake --cores all teacher_plan        # what would be bought, and for how much

The reason names what changed: `Params have changed since last execution` shows the old and the
new value, `Input files updated by another job` the job that comes first. Jobs behind
`build_mixtures` are decided when it has run, because only then it is known which models are there
already: `-n` ends with a line about checkpoints, and `snakemake --cores all mixtures` goes up to
that point (it collects the rationales first), after which `-n` shows the rest exactly.

Files of yours are inputs of the jobs that read them, those in a local folder too: of a student, of
a `hub` data set, of a `local` teacher or judge. Stored answers stay as long as the model's files
are the same.

Code is numbered: what a step means stands in `src/caft/versions.py`, and a raised number runs it
again. A changed script is noticed by Snakemake as well; its jobs then find what they made before
under its content (blocks of items, models, answers) and make none of it twice.
"""
HEAVY = ("warm_up_student", "score_items", "train_stage", "evaluate_model")


def render(promises: Sequence[Any]) -> str:
    """Return the page."""
    notes = [f"- {promise.change}: {promise.note}." for promise in promises if promise.note]
    rows = [_row(promise) for promise in promises]
    return HEAD + "".join(rows) + "\n" + "\n".join(notes) + "\n" + TAIL


def _row(promise: Any) -> str:
    light = sum(count for rule, count in promise.runs.items() if rule not in HEAVY)
    counts = [light, *(promise.runs.get(rule, 0) for rule in HEAVY), promise.bought]
    return f"| {promise.change} | {' | '.join(str(count) for count in counts)} |\n"


def read_promises() -> list[Any]:
    """Return the promises that the tests hold."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/workflow")]
    from promises import PROMISES

    return PROMISES


if __name__ == "__main__":
    (ROOT / "docs/reruns.md").write_text(render(read_promises()), encoding="utf-8")
