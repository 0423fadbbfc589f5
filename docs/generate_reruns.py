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
strategies `base`, `sft` and `complexity_aware`, and asks for answers directly. Light jobs take
seconds and run where Snakemake runs; the others load a model.

| change | light jobs | warm-up | scoring | training | evaluation | answers bought |
|---|---|---|---|---|---|---|
"""
TAIL = """
## Before a run: what will run, and why

    snakemake summary -n --configfile my.yaml                  # every job with its reason
    snakemake summary -n --configfile my.yaml --quiet rules    # only how many jobs of each rule
    snakemake teacher_plan --cores all --configfile my.yaml    # what would be bought, for how much

The reason names what changed: `Params have changed since last execution` shows the old and the
new value, `Input files updated by another job` names the job that comes first. Snakemake decides
about the jobs behind `build_mixtures` only when that job has run, because only then it knows which
models are there already. So `-n` ends with a line about checkpoints. The command
`snakemake mixtures --cores all --configfile my.yaml` goes up to that point and collects the
rationales before it; after that `-n` shows the rest exactly.

Your own files are inputs of the jobs that read them. This holds for the files in a local folder
too: of a student, of a `hub` data set, of a `local` teacher or judge. Stored answers stay valid as
long as the files of the model that gave them are the same.

Beside Snakemake's own records, every job has a file in `data/settings/` that says by a hash what
makes its output. It is written anew when that changes, so that a changed setting is newer than
what was made before: also without `.snakemake`, or with `--rerun-triggers mtime`. Beside it lie
the sizes and hashes of what the job has written, and the same list lies with Snakemake's records
(`.snakemake/caft_outputs/`). A file that was cut, lost or (up to 64 kB) changed is made again,
though no other job reads it. Where the two lists differ, the files are of another run, as after a
backup was restored, and the job runs again. Your own files count by their content, up to 64 MB by
a hash, above by size and time; weights are compared with their record again before they are
loaded.

Snakemake's `--touch` hides no changed setting: what was made before the change is made again all
the same. Files in `data/` and `results/` that are dated in the future, by a clock that was fast,
get times up to now when a run starts; a file of yours from the future is refused with the command
that mends it (`touch FILE`).

Results that are synced from another machine lie here beside older records, so the jobs run, and
find their models, blocks and answers if these came as well. To take over all of it without a job,
sync `.snakemake/` too, or remove the one that is here; keep the times (`rsync -a`, `cp -a`).

Random sequences of such edits, moves, losses, cuts and kills, of restored files and damaged weights
are tried as well: after each the same command has to end with the tables of a fresh run
(`python benchmarks/sequences/run.py`).

Each step of the code has a number in `src/caft/versions.py`; when the number is raised, the step
runs again. Snakemake notices a changed script as well. The jobs of that script then find what they
made before (blocks of items, models, answers), because all of it is named by a hash of its content,
and make none of it twice.
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
