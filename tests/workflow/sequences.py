"""Random sequences of edits, losses and kills, and the tables that a fresh run would have made.

A project goes through steps that its seed draws; after some of them the same command is given. It
has to end with the tables of a fresh run of the same inputs, or with a message that says what to
remove. That is removed then, and the command given again.
"""

import copy
import io
import os
import random
import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from harness import Project, change_weights, questions, write_questions

TARGET = "results/summary.csv"
LONGEST = 8  # steps
_MEASURED = re.compile("seconds|minutes|hours|energy|_wh|created|per_second")
_ADVICE = re.compile(r"rm (?:-r )?([\w./-]+)|([\w.-]+/[\w./-]+): [^\n]*delete it and run again")
_BY_TIME = ("--rerun-triggers", "mtime")  # as somebody's own profile may say
_OPTIONS = (*((),) * 5, *(_BY_TIME,) * 2, ("--forceall",))  # of the command, by how often they come
_LOOKS = (("-n",), ("--unlock",), ("--touch",), ("--list-changes", "params"), ("--summary",))

QUESTIONS = ("first", "edited", "further")
STUDENTS = ("first", "other")
SCORES = ("first", "reversed")
CONFIGS = (
    *("first", "quantiles", "seeds", "two_seeds", "recipe", "prompt", "one_round", "precision"),
    *("imported", "shards"),
)


@dataclass(frozen=True)
class Inputs:
    """What decides about the tables: one of each kind by its name."""

    questions: str = "first"
    student: str = "first"
    config: str = "first"
    scores: str = "first"  # of people, in a table that the config `imported` divides by


def rows(name: str) -> list[dict]:
    """Return the questions of a name; those that are edited make a file of the same size."""
    found = questions(17 if name == "further" else 16)
    if name == "edited":
        found[5]["question"] = found[5]["question"].replace("Add", "Sum")
    return found


def write_scores(file: Path, name: str) -> None:
    """Write a score for every question: those that are reversed make a file of the same size."""
    values = range(10, 27) if name == "first" else range(26, 9, -1)
    lines = [f"{row['id']},{value}" for row, value in zip(questions(17), values, strict=True)]
    file.write_text("\n".join(["source_id,value", *lines]) + "\n")


def settings(base: dict, name: str) -> dict:
    """Return the config of a name: two rounds of training, without a warm-up."""
    stages = [
        {"buckets": ["easy", "medium"], "target": "answer", "epochs": 1},
        {"buckets": ["hard"], "target": "rationale", "epochs": 2},
    ]
    config = copy.deepcopy(base)
    config["run"] |= {"strategies": ["base", "complexity_aware", "again"], "modes": ["direct"]}
    config["datasets"]["mine"]["path"] = "sums.jsonl"
    config["students"] = {"tiny": {"path": "student", "warm_up": None}}
    config["metrics"] = {"after": {"metric": "margin", "scored_with": "complexity_aware.1"}}
    config["buckets"] = {"after": {"metric": "after", "quantiles": [0.25, 0.6]}}
    config["analysis"] = {"split": "test"}
    config["strategies"] = {
        "complexity_aware": {"stages": stages},
        "again": {"stages": [stages[0], {**stages[1], "divided_by": "after"}]},
    }
    if name == "quantiles":
        config["buckets"]["default"] = {"quantiles": [0.25, 0.5]}
    elif name == "seeds":
        config["run"]["seeds"] = [2]
    elif name == "two_seeds":
        config["run"]["seeds"] = [1, 2]
    elif name == "recipe":
        config["strategies"]["complexity_aware"]["training"] = {"learning_rate": 0.02}
    elif name == "prompt":
        config["prompt"] = "alternative"
    elif name == "one_round":
        config["run"]["strategies"] = ["base", "complexity_aware"]
    elif name == "precision":
        config["engine"]["dtype"] = "bfloat16"
    elif name == "imported":
        config["metrics"]["people"] = {
            "metric": "imported",
            "path": "scores.csv",
            "column": "value",
        }
        config["buckets"]["default"] = {"metric": "people", "quantiles": [0.25, 0.75]}
    elif name == "shards":
        kinds = ["scores", "generations", "rationales", "evaluation"]
        config["engine"]["shards"] = dict.fromkeys(kinds, 2)
    return config


@dataclass
class World:
    """What the sequences share: the base config, a student, and the tables of fresh runs."""

    folder: Path
    base: dict
    student: Path
    known: dict[Inputs, dict[str, bytes]] = field(default_factory=dict)

    @property
    def backup(self) -> Path:
        """A folder in which a run of the first inputs has ended."""
        return self.folder / "finished"

    def project(self, name: str, inputs: Inputs) -> Project:
        """Make a folder with these inputs in which nothing has run."""
        project = Project(self.folder / name, settings(self.base, inputs.config))
        write_questions(project.folder / "sums.jsonl", rows(inputs.questions))
        write_scores(project.folder / "scores.csv", inputs.scores)
        self.put_student(project, inputs.student)
        return project

    def finished(self, name: str, inputs: Inputs) -> Project:
        """Make a folder in which a run of these inputs has ended; one run is made for all."""
        whole = self.backup
        if not whole.exists():
            self.project(whole.name, inputs).run(TARGET)
            self.known[inputs] = tables(whole)
        shutil.copytree(whole, self.folder / name, symlinks=True)
        return Project(self.folder / name, settings(self.base, inputs.config))

    def put_student(self, project: Project, name: str) -> None:
        """Put the student of a name in the place of the one that is there."""
        folder = project.folder / "student"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.student, folder)
        if name == "other":
            change_weights(folder)

    def fresh(self, inputs: Inputs) -> dict[str, bytes]:
        """Return the tables of a run in a new folder; each set of inputs is run once."""
        if inputs.config != "imported":
            inputs = replace(inputs, scores="first")
        if inputs not in self.known:
            project = self.project(f"fresh-{len(self.known)}", inputs)
            project.run(TARGET)
            self.known[inputs] = tables(project.folder)
            shutil.rmtree(project.folder)
        return self.known[inputs]


def tables(folder: Path) -> dict[str, bytes]:
    """Return what a run is read by, without what is measured by the clock."""
    found = [
        folder / TARGET,
        *folder.glob("results/tables/*.csv"),
        *folder.glob("results/models/*.csv"),
    ]
    return {str(path.relative_to(folder)): _lasting(path) for path in sorted(found)}


def _lasting(path: Path) -> bytes:
    table = pd.read_csv(io.BytesIO(path.read_bytes()), dtype=str, keep_default_na=False)
    kept = [name for name in table if not _MEASURED.search(name)]
    return table[kept].to_csv(index=False).encode()


def _restore(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


class Sequence:
    """One project on its way; `told` says what was done to it."""

    def __init__(self, world: World, seed: int):
        self.world, self.seed, self.random = world, seed, random.Random(seed)
        self.inputs = Inputs()
        self.told: list[str] = []
        self.project = world.finished(f"sequence-{seed}", self.inputs)
        self.moves = 0

    def go(self, steps: int | None = None) -> None:
        """Take up to eight steps, and compare after every run."""
        for _ in range(steps or self.random.randint(3, LONGEST)):
            self.step()
            if self.random.random() < 0.6:
                self.run()
        self.run()
        shutil.rmtree(self.project.folder)

    def step(self) -> None:
        """Do one thing to the project."""
        steps = [
            self.edit_config,
            self.edit_questions,
            self.swap_student,
            self.swap_scores,
            self.move,
            self.restore,
            self.restore_a_file,
            self.damage_weights,
            *[self.lose_a_file, self.cut_a_file] * 3,
            *[self.kill] * 2,
            self.lose_snakemake,
            self.lose_settings,
            self.look,
            self.link,
        ]
        self.random.choice(steps)()

    def run(self) -> None:
        """Give the command, do what its message says, and compare with a fresh run."""
        options = self.random.choice(_OPTIONS)
        for _ in range(6):
            output, code = self.project._fork(TARGET, *options)
            if not code:
                break
            advice = {"".join(found).rstrip(".") for found in _ADVICE.findall(output)}
            assert advice, f"{self}\n{output[-5000:]}"
            for name in sorted(advice):
                self.tell(f"follow: rm -r {name}")
                path = self.project.folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.tell(" ".join(["run", *options]))
        assert not code, f"{self}\n{output[-5000:]}"
        made, fresh = tables(self.project.folder), self.world.fresh(self.inputs)
        assert set(made) == set(fresh), f"{self}\n{set(made) ^ set(fresh)}"
        for name in fresh:
            assert made[name] == fresh[name], (
                f"{self}\n{name}:\n{made[name].decode()}\ninstead of\n{fresh[name].decode()}"
            )

    def tell(self, what: str) -> None:
        self.told.append(what)

    def __str__(self) -> str:
        return f"seed {self.seed}: " + "; ".join(self.told)

    def now(self, **changed: str) -> None:
        self.inputs = replace(self.inputs, **changed)

    def edit_config(self) -> None:
        name = self.random.choice(CONFIGS)
        self.now(config=name)
        self.project.write(settings(self.world.base, name))
        self.tell(f"config {name}")

    def edit_questions(self) -> None:
        name = self.random.choice(QUESTIONS)
        self.now(questions=name)
        file = self.project.folder / "sums.jsonl"
        write_questions(file, rows(name))
        self.tell(f"questions {name}{self.age(file)}")

    def swap_student(self) -> None:
        name = self.random.choice(STUDENTS)
        self.now(student=name)
        self.world.put_student(self.project, name)
        self.tell(f"student {name}{self.age(*(self.project.folder / 'student').iterdir())}")

    def swap_scores(self) -> None:
        """Put the table of scores of a name in the place of the one that is there, by `mv`."""
        name = self.random.choice(SCORES)
        self.now(scores=name)
        file = self.project.folder / "scores.csv"
        other = file.with_name("other.csv")
        write_scores(other, name)
        self.tell(f"scores {name}{self.age(other)}")
        os.replace(other, file)

    def age(self, *files: Path) -> str:
        """Make files older than everything that was made of them, every other time."""
        if self.random.random() < 0.5:
            return ""
        for file in files:
            os.utime(file, (1e9, 1e9))
        return ", old"

    def move(self) -> None:
        self.moves += 1
        there = self.project.folder.with_name(f"moved-{self.seed}-{self.moves}")
        os.rename(self.project.folder, there)
        self.project.folder = there
        self.tell("move")

    def a_file(self) -> Path | None:
        """Return a file that a run has made."""
        folder = self.project.folder
        files = [
            path
            for name in ("data", "results")
            for path in sorted((folder / name).rglob("*"))
            if path.is_file() and not path.is_symlink()
        ]
        return self.random.choice(files) if files else None

    def lose_a_file(self) -> None:
        if path := self.a_file():
            path.unlink()
            self.tell(f"lose {path.relative_to(self.project.folder)}")

    def cut_a_file(self) -> None:
        if path := self.a_file():
            content = path.read_bytes()
            path.write_bytes(content[: self.random.randrange(len(content) or 1)])
            self.tell(f"cut {path.relative_to(self.project.folder)}")

    def damage_weights(self) -> None:
        """Turn a few bits of weights over, as a bad disk does: size and time stay."""
        files = sorted(self.project.folder.glob("[dr]*/**/*.safetensors"))
        made = [path for path in files if not path.is_symlink()]
        if not made:
            return
        path = self.random.choice(made)
        time, content = path.stat().st_mtime_ns, bytearray(path.read_bytes())
        content[-1] ^= 0x55
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
        self.tell(f"damage {path.relative_to(self.project.folder)}")

    def restore(self) -> None:
        """Unpack what the first run has made over what is there, with its times."""
        for name in ("data", "results"):
            for path in sorted((self.world.backup / name).rglob("*")):
                if path.is_file() or path.is_symlink():
                    _restore(path, self.project.folder / path.relative_to(self.world.backup))
        self.tell("restore all")

    def restore_a_file(self) -> None:
        """Bring a file of the first run back, with its time."""
        path = self.a_file()
        name = path and path.relative_to(self.project.folder)
        if name and (self.world.backup / name).is_file():
            _restore(self.world.backup / name, path)
            self.tell(f"restore {name}")

    def kill(self) -> None:
        seconds = self.random.uniform(0.3, 6)  # about what a run takes
        self.project.run_for(seconds, TARGET)
        self.tell(f"kill after {seconds:.1f} s")

    def lose_snakemake(self) -> None:
        shutil.rmtree(self.project.folder / ".snakemake", ignore_errors=True)
        self.tell("lose .snakemake")

    def lose_settings(self) -> None:
        shutil.rmtree(self.project.folder / "data/settings", ignore_errors=True)
        self.tell("lose data/settings")

    def look(self) -> None:
        """Ask Snakemake for something that makes no table."""
        words = self.random.choice(_LOOKS)
        self.project._fork(TARGET, *words)
        self.tell(" ".join(words))

    def link(self) -> None:
        """Move what was made to where there is room, and put a link in its place."""
        made = self.project.folder / self.random.choice(["data", "results"])
        if made.is_dir() and not made.is_symlink():
            there = made.with_name(f"elsewhere-{made.name}")
            os.rename(made, there)
            made.symlink_to(there.name)
            self.tell(f"link {made.name}")
