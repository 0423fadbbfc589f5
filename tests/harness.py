"""Run the shipped Snakefile in a folder of its own, watch what runs, kill it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

from caft.store import Store

ROOT = Path(__file__).parents[1]
SNAKEFILE = ("--snakefile", str(ROOT / "Snakefile"))
COMMAND = [sys.executable, "-m", "snakemake", *SNAKEFILE]
# Looks at Slurm jobs every second.
POLLING = [sys.executable, str(ROOT / "tests/polling_snakemake.py"), *SNAKEFILE]


@dataclass
class Run:
    """What a finished run did: how often each rule ran, and everything it printed."""

    rules: Counter
    output: str
    code: int

    @classmethod
    def of(cls, output: str, code: int) -> "Run":
        return cls(
            Counter(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output)), output, code
        )

    @property
    def submitted(self) -> Counter:
        """How often a job of each rule was given to Slurm."""
        return Counter(re.findall(r"submitted with SLURM jobid \d+ .*/rule_(\w+)/", self.output))


class Project:
    """A folder with a config of its own in which the workflow is run."""

    def __init__(
        self,
        folder: Path,
        config: dict,
        executor: tuple[str, ...] = ("--cores", "2"),
        command: list[str] = COMMAND,
    ):
        self.folder, self.executor, self.command = folder, executor, command
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text((ROOT / "config.yaml").read_text())
        self.write(config)

    def write(self, config: dict) -> None:
        self.config = config
        (self.folder / "run.yaml").write_text(yaml.safe_dump(config))

    def start(self, *arguments: str, output: int | IO[str] = subprocess.PIPE) -> subprocess.Popen:
        return subprocess.Popen(
            [*self.command, *self.executor, *arguments, "--configfile", "run.yaml"],
            cwd=self.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, *arguments: str, succeeds: bool = True) -> Run:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=1200)
        assert (process.returncode == 0) == succeeds, output[-6000:]
        return Run.of(output, process.returncode)

    def run_and_kill(self, sign: str, jobs_too: bool = True, written: bool = False) -> None:
        """Start a run; kill it, with its jobs or alone, as soon as a file matches `sign`.

        With `written` the file has to have something in it.
        """
        process = self.start("results/summary.csv")
        deadline = time.monotonic() + 300
        while not any(not written or path.stat().st_size for path in self.folder.glob(sign)):
            assert process.poll() is None, f"the run ended before {sign} was there"
            assert time.monotonic() < deadline, f"{sign} never came"
            time.sleep(0.01)
        if jobs_too:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        # Returns when the last process that holds the pipe has ended: jobs end with their run.
        process.communicate(timeout=60)

    def stored_keys(self) -> list[str]:
        """Return the keys of all stored answers, once per time an answer was stored."""
        store = Store(self.folder / "data/store/teacher")
        return store.table(["key"])["key"].to_pylist()

    def models(self, strategy: str, seed: int = 1, number: int = 1) -> dict:
        """Return what the plan of a round says of a strategy: its final model and its stages."""
        file = self.folder / f"data/mixtures/mine/tiny/{number}/plan.json"
        return json.loads(file.read_text())[strategy]["seeds"][str(seed)]


def questions(count: int = 40) -> list[dict]:
    """Return sums with worked solutions."""
    return [
        {
            "id": f"q{number}",
            "question": f"Add {number} and {number % 7}.",
            "answer": str(number + number % 7),
            "why": f"{number} + {number % 7}.",
        }
        for number in range(count)
    ]


def write_questions(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
