"""Strike runs on Slurm at random moments; one plain rerun has to finish each.

    .ci/slurm install && .ci/slurm start
    python benchmarks/cancel/run.py --rounds 10 --seed 1

Each round goes on from a copy of a folder whose items are scored, through `--profile slurm`, with a
teacher that sells its answers one by one: what is left is buying, training, evaluating and the
table. After a drawn number of finished jobs and some drawn seconds a round strikes, the kinds in
turn:

    kill       SIGKILL to Snakemake
    cancel     scancel of one Slurm job of the run, drawn too
    interrupt  Ctrl-C while the plugin looks at its jobs (`squeue` takes five seconds in this round)
    limit      the time limit of the job that buys, in the midst of its answers
    away       a controller that is away for a minute; needs the rights to stop and start slurmctld

Then the same command runs once more. A round fails if that rerun fails, if its summary is not that
of a local run (seconds aside), if the store holds an answer twice, or if a run that was interrupted
left a job. Printed: a line per round; the status is 1 if one failed.
"""

# The helpers of the tests are found only once sys.path is set.
# ruff: noqa: E402
import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.extend([str(ROOT / "tests"), str(ROOT / "tests/contract")])

import pandas as pd
from harness import POLLING, Project, questions, write_questions
from scripted_server import ScriptedServer, addends, reply
from tiny import CHATML, build_model, build_tokenizer, save_student

SLURM = ("--profile", "slurm")
MOST_JOBS, MOST_SECONDS = 6, 12.0  # of the eight jobs that are left; about what one takes
TIMEOUT = 900.0
SECONDS_PER_ANSWER = {"limit": 15.0}  # so that a minute does not do
# A `squeue` as slow as a busy controller's, with a sign that it is being asked.
SLOW_SQUEUE = """#!/bin/sh
touch {sign}
sleep 5
rm -f {sign}
exec {squeue} "$@"
"""


def solve(request: dict[str, Any], times: int) -> dict[str, Any]:
    """Answer `Add 3 and 4.`."""
    return reply(f"So it is [[{sum(addends(request))}]]")


def configuration(folder: Path, url: str) -> dict[str, Any]:
    """Write a tiny student and forty sums; return the config of a run on them."""
    names = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    tokenizer = build_tokenizer(
        CHATML,
        names,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        extra_special_tokens=names[:1],
    )
    (folder / "student").mkdir()
    save_student(build_model(tokenizer, spread=0.3), tokenizer, folder / "student")
    write_questions(folder / "sums.jsonl", questions())
    return {
        "run": {
            "datasets": ["mine"],
            "students": ["tiny"],
            "strategies": ["hard_only"],
            "modes": ["cot"],
        },
        "datasets": {
            "mine": {
                "adapter": "file",
                "path": str(folder / "sums.jsonl"),
                "columns": {"question": "question", "answer": "answer", "id": "id"},
                "answer_kind": "numeric",
                "splits": {"train": 0.6, "validation": 0.0, "test": 0.4},
            }
        },
        "students": {"tiny": {"path": str(folder / "student"), "warm_up": None}},
        "teachers": {
            "big": {
                "provider": "openai",
                "base_url": url,
                "model": "big",
                "api_key_env": None,
                "concurrency": 2,
            }
        },
        "strategies": {"hard_only": {"teacher": "big"}},
        "buckets": {"default": {"quantiles": [0.25, 0.5]}},
        "training": {"learning_rate": 0.01, "batch_size": 8, "lora": {"r": 2}},
        "evaluation": {"max_new_tokens": {"direct": 4, "cot": 8}},
        "engine": {"device": "cpu", "threads": 1, "mem_mb": 1000, "runtime": 10},
    }


def summary(project: Project) -> pd.DataFrame:
    """Return the table of a run without what the clock says."""
    return pd.read_csv(project.folder / "results/summary.csv").filter(regex="^(?!.*seconds)")


def until(condition: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Wait for a condition or the end of the run; return what the condition returned."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()) and process.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the run hangs")
        time.sleep(0.1)
    return found


def slurm_jobs(folder: Path) -> list[str]:
    """Return the ids of the jobs that wait or run for a folder."""
    listed = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i %Z"],
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = [line.split(" ", 1) for line in listed.stdout.splitlines()]
    return [job for job, place in pairs if Path(place) == folder.resolve()]


def kill(project: Project, process: subprocess.Popen[str], draw: random.Random) -> str:
    """Kill Snakemake."""
    process.kill()
    return "kill"


def cancel(project: Project, process: subprocess.Popen[str], draw: random.Random) -> str:
    """Cancel a job of the run."""
    if not (victims := until(lambda: slurm_jobs(project.folder), process)):
        return ""
    subprocess.run(["scancel", victim := draw.choice(victims)], check=True)
    return f"cancel {victim}"


def interrupt(project: Project, process: subprocess.Popen[str], draw: random.Random) -> str:
    """Press Ctrl-C while the run waits for `squeue`, with a job in the queue."""
    sign = project.folder / "squeue/asked"
    if not until(lambda: sign.exists() and slurm_jobs(project.folder), process):
        return ""
    os.killpg(process.pid, signal.SIGINT)
    return "interrupt"


def limit(project: Project, process: subprocess.Popen[str], draw: random.Random) -> str:
    """Let the job that buys run into its time limit."""
    log = project.folder / "first.log"

    def buying() -> str | None:
        found = re.findall(r"SLURM jobid (\d+) .*/rule_generate_rationales/", log.read_text())
        running = [job for job in found if job in slurm_jobs(project.folder)]
        return running[-1] if running else None

    if not (job := until(buying, process)):
        return ""
    subprocess.run(["scontrol", "update", f"JobId={job}", "TimeLimit=1"], check=True)
    return f"limit of {job}"


def away(project: Project, process: subprocess.Popen[str], draw: random.Random) -> str:
    """Stop the controller for a minute."""
    subprocess.run(["scontrol", "shutdown", "slurmctld"], check=True)
    time.sleep(60)
    subprocess.run(["slurmctld"], check=True)
    return "away"


STRIKES = {strike.__name__: strike for strike in (kill, cancel, interrupt, limit, away)}
# Of these the run itself ends as if nothing had been.
OUTLIVED = {"cancel", "limit", "away"}


def disturb(project: Project, kind: str, draw: random.Random) -> tuple[str, int]:
    """Start a run and strike once; return what was done and the run's exit status."""
    # What buys is the first job that is left, and has to be under way where it is struck.
    jobs, seconds = (
        (0, 0.0) if kind == "limit" else (draw.randint(0, MOST_JOBS), draw.uniform(0, MOST_SECONDS))
    )
    log = project.folder / "first.log"
    with log.open("w") as output:
        process = project.start("results/summary.csv", output=output)
        until(lambda: log.read_text().count("Finished jobid") >= jobs, process)
        time.sleep(seconds)
        ended = process.poll() is not None
        what = "" if ended else STRIKES[kind](project, process, draw)
        status = process.wait(TIMEOUT)
    return f"{what or '(ended before)'} {seconds:.1f} s after {jobs} jobs", status


@contextmanager
def slow_squeue(folder: Path) -> Iterator[None]:
    """Put a slow `squeue` before the true one."""
    true, before = shutil.which("squeue"), os.environ["PATH"]
    folder.mkdir()
    program = folder / "squeue"
    program.write_text(SLOW_SQUEUE.format(sign=folder / "asked", squeue=true))
    program.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def play(
    name: str, kind: str, folder: Path, scored: Path, config: dict[str, Any], expected: Any
) -> str:
    """Play a round and return what went wrong, if anything did; prints a line."""
    draw, started = random.Random(name), time.monotonic()
    shutil.copytree(scored, folder)
    project = Project(folder, config, SLURM, program=POLLING)
    (folder / "slurm").symlink_to(ROOT / "profiles/slurm")
    with slow_squeue(folder / "squeue") if kind == "interrupt" else nullcontext():
        what, status = disturb(project, kind, draw)
    left = slurm_jobs(folder) if kind == "interrupt" else []
    before = len(project.stored_keys()) if (folder / "data/store/teacher").is_dir() else 0
    try:
        rerun = project.run("results/summary.csv")
        again = sum(rerun.rules.values())
        pd.testing.assert_frame_equal(summary(project), expected)
        keys = project.stored_keys()
        fault = "" if len(keys) == len(set(keys)) else f"{len(keys)} answers, {len(set(keys))} keys"
        fault = f"jobs left: {left}" if left else fault
        if kind in OUTLIVED and status:
            fault = (
                f"the run ended with status {status}:\n{(folder / 'first.log').read_text()[-3000:]}"
            )
    except AssertionError as error:
        again, keys, fault = 0, project.stored_keys(), str(error)
    print(
        f"| {name} | {what} | {status} | {before} of {len(keys)} | {again} "
        f"| {'ok' if not fault else 'FAILED'} | {time.monotonic() - started:.0f} |",
        flush=True,
    )
    return fault


@contextmanager
def workplace(kept: Path | None) -> Iterator[Path]:
    """Yield the folder of the rounds: one that stays, or one that goes."""
    if kept:
        kept.mkdir(parents=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory(prefix="caft-cancel-") as name:
            yield Path(name)


def main() -> None:
    """Play the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="a new folder, which is kept")
    parser.add_argument("--strikes", nargs="+", choices=STRIKES, default=list(STRIKES))
    settings = parser.parse_args()
    # A shell that starts this in the background lets all that it starts ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faults, kinds, kind = {}, settings.strikes, ""
    with (
        workplace(settings.folder) as folder,
        ScriptedServer(solve, lambda question: SECONDS_PER_ANSWER.get(kind, 1.0)) as server,
    ):
        config = configuration(folder, server.url)
        scored = Project(folder / "scored", config)
        scored.run("scores")
        local = Project(shutil.copytree(scored.folder, folder / "local"), config)
        local.run("results/summary.csv")
        wanted, expected = len(local.stored_keys()), summary(local)
        print("| round | what | status | bought before | jobs of the rerun | | seconds |")
        print("|---|---|---|---|---|---|---|", flush=True)
        sold = {}
        for number in range(1, settings.rounds + 1):
            server.answered.clear()
            name, kind = f"{settings.seed}.{number}", kinds[(number - 1) % len(kinds)]
            fault = play(name, kind, folder / name, scored.folder, config, expected)
            sold[name] = sum(server.answered.values()) - wanted
            if fault:
                faults[name] = fault
    print(f"Sold beyond the {wanted} of a run (in flight at the blow, at most 2): {sold}")
    for name, fault in faults.items():
        print(f"\nRound {name}:\n{fault}", file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
