"""Run the shipped Snakefile in a folder of its own, watch what runs, kill it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import yaml
from forks import Fork, Forks

from caft.store import Store

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
_LONGEST = 1200  # seconds that a run may take
POLLING = [sys.executable, str(ROOT / "tests/polling_snakemake.py")]


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


@cache
def forks() -> Forks:
    """Return the process that forks for this one; it takes ten seconds to start."""
    return Forks.of_new_process()


class Project:
    """A folder with a config of its own in which the workflow is run.

    Runs are forks of a process that has the libraries loaded, and so are their jobs. With a
    `program`, and where they are to be killed, they are started as by a user.
    """

    def __init__(
        self,
        folder: Path,
        config: dict,
        executor: tuple[str, ...] = ("--cores", "2"),
        checkout: Path = ROOT,
        program: list[str] | None = None,
    ):
        self.folder, self.executor, self.checkout = folder, executor, checkout
        self.program = program
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text((ROOT / "config.yaml").read_text())
        self.write(config)

    def write(self, config: dict) -> None:
        self.config = config
        (self.folder / "run.yaml").write_text(yaml.safe_dump(config))

    def arguments(self, *arguments: str) -> list[str]:
        """Return the words behind `snakemake`."""
        workflow = ("--snakefile", str(self.checkout / "Snakefile"))
        return [*workflow, *self.executor, *arguments, "--configfile", "run.yaml"]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(self.checkout / "src")}

    def start(self, *arguments: str, output: int | IO[str] = subprocess.PIPE) -> subprocess.Popen:
        """Start Snakemake as a user does, in a session of its own."""
        return subprocess.Popen(
            [*(self.program or SNAKEMAKE), *self.arguments(*arguments)],
            cwd=self.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=self.environment,
        )

    def run(self, *arguments: str, succeeds: bool = True) -> Run:
        if self.program:
            process = self.start(*arguments)
            output, _ = process.communicate(timeout=_LONGEST)
            code = process.returncode
        else:
            output, code = self._fork(*arguments)
        assert (code == 0) == succeeds, output[-6000:]
        return Run.of(output, code)

    def _fork(self, *arguments: str) -> tuple[str, int]:
        with tempfile.TemporaryFile("w+") as output:
            run = self._start_fork(output, *arguments)
            code = run.wait(_LONGEST)
            output.seek(0)
            return output.read(), code

    def _start_fork(self, output: IO[str], *arguments: str) -> Fork:
        words, folder = self.arguments(*arguments), str(self.folder)
        return forks().start("snakemake", words, folder, self.environment, output.fileno())

    def run_and_kill(self, sign: str, jobs_too: bool = True, written: bool = False) -> None:
        """Start a run; kill it, with its jobs or alone, once it has touched a file matching `sign`.

        With `written` the file has to have something in it. A run that is killed alone is started
        as by a user: its jobs have to notice.
        """
        target, before = "results/summary.csv", self._times(sign)

        def wait_for_sign(ended: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 300
            while not any(
                not written or path.stat().st_size
                for path, changed in self._times(sign).items()
                if changed != before.get(path)
            ):
                assert not ended(), f"the run ended before {sign} was there"
                assert time.monotonic() < deadline, f"{sign} never came"
                time.sleep(0.01)

        if jobs_too:
            with open(os.devnull, "w") as nowhere:
                run = self._start_fork(nowhere, target)
            wait_for_sign(run.ended)
            os.killpg(run.pid, signal.SIGKILL)
            run.wait(60)
        else:
            process = self.start(target)
            wait_for_sign(lambda: process.poll() is not None)
            process.kill()
            # Returns when the last process that holds the pipe has ended: jobs end with their run.
            process.communicate(timeout=60)

    def run_for(self, seconds: float, *arguments: str) -> None:
        """Start a run, and kill it with its jobs after some seconds, unless it has ended."""
        with open(os.devnull, "w") as nowhere:
            run = self._start_fork(nowhere, *arguments)
        deadline = time.monotonic() + seconds
        while not run.ended() and time.monotonic() < deadline:
            time.sleep(0.05)
        run.wait(0)

    def _times(self, sign: str) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in self.folder.glob(sign)}

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


def change_weights(folder: Path) -> None:
    """Change one weight of a model."""
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def sums_config(file, student):
    """Return that config for a file of questions and a student's folder."""
    columns = {"question": "question", "answer": "answer", "id": "id", "rationale": "why"}
    return {
        "run": {
            "datasets": ["mine"],
            "students": ["tiny"],
            "strategies": ["base", "sft", "complexity_aware"],
        },
        "datasets": {
            "mine": {
                "adapter": "file",
                "path": str(file),
                "columns": columns,
                "answer_kind": "numeric",
                "splits": {"train": 0.6, "validation": 0.0, "test": 0.4},
            }
        },
        "students": {"tiny": {"path": str(student), "warm_up": {"items": 6, "epochs": 1}}},
        "training": {"learning_rate": 0.01, "batch_size": 8, "lora": {"r": 2}},
        "evaluation": {"max_new_tokens": {"direct": 4, "cot": 8}},
        "engine": {"device": "cpu", "threads": 1, "mem_mb": 1000},
    }
