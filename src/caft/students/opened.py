"""The model that scores: a student as it is, warmed up, or after a stage of a strategy."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from caft.prompting.chat import Chat
from caft.prompting.template import Place
from caft.running.settings import Engine
from caft.students.folders import STUDENT_FILE, load_chat, load_model, pick_device
from caft.students.whole import check_student, check_weights, read_record
from caft.tables.files import read_json


@dataclass(frozen=True)
class Subject:
    """The model that is asked: a student as it is, or what was trained from it.

    Attributes:
        student_file: the student's `student.json`.
        trained_file: `model.json` of a warm-up or of a stage, an adapter or a whole model; None for
            the untuned student.
        engine: device settings.
    """

    student_file: Path
    trained_file: Path | None
    engine: Engine


@dataclass(frozen=True)
class Loaded:
    """A model in memory.

    Attributes:
        model: from `caft.students.folders.load_model`, or what another engine generates with.
        chat: its tokenizer and chat template.
        context: longest text in tokens; by default none is too long.
        thinks: whether it was trained to think before its text; None is the student's habit.
    """

    model: Any
    chat: Chat
    context: int = sys.maxsize
    thinks: bool | None = None

    def place(self, mode: str) -> Place:
        """Return where it writes in a mode, `direct` or `cot`."""
        return self.chat.place(mode, self.thinks)


def _load(scorer: "Scorer") -> Any:
    base, adapter = scorer.weights
    spec = scorer.spec
    return load_model(base, spec["dtype"], spec["device"], spec["attention"], adapter)


@dataclass(frozen=True)
class Scorer:
    """A model with what a table says about it; it is loaded when it is first used.

    Attributes:
        folder: of the untuned student.
        weights: folder of the model and, where it is one, of the adapter on it.
        context: longest text in tokens.
        trained: the record of its training; empty for the untuned student.
        spec: revision, training, precision, device, attention, context and libraries.
        load: loads the model.
    """

    folder: Path
    weights: tuple[Path, Path | None]
    context: int
    trained: dict[str, Any]
    spec: dict[str, Any]
    load: Callable[["Scorer"], Any] = _load

    @cached_property
    def model(self) -> Any:
        """From `caft.students.folders.load_model`, or what another engine generates with.

        Raises:
            ModelError: if the files are not those that this scorer's results are named by.
        """
        check_student(self.folder / STUDENT_FILE)
        check_weights(self.weights[1] or self.weights[0], self.trained.get("weights_sha256"))
        return self.load(self)

    @cached_property
    def chat(self) -> Chat:
        """The student's."""
        return load_chat(self.folder)

    @property
    def loaded(self) -> Loaded:
        """What a computation needs of it."""
        return Loaded(self.model, self.chat, self.context, self.trained.get("thinks"))

    @property
    def sample(self) -> list[str]:
        """Items of the warm-up sample; a stage's record names none."""
        return self.trained.get("sample", [])

    def mark(self, table: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
        """Note each row's split, and whether the warm-up has seen its item: blocks know neither."""
        split = items.set_index("item_id")["split"]
        ids = table["item_id"]
        return table.assign(split=ids.map(split), warm_up=ids.isin(self.sample))

    @property
    def key(self) -> dict[str, Any]:
        """What tells this model's results from any other's, its very weights included."""
        return {**self.spec, "weights": self.trained.get("weights_sha256")}


def open_scorer(subject: Subject) -> Scorer:
    """Open a student, or a model that was trained from it."""
    student = read_json(subject.student_file)
    trained = read_record(subject.trained_file) if subject.trained_file else {}
    device, dtype = pick_device(subject.engine)
    folder = subject.student_file.parent
    adapter = subject.trained_file.parent if subject.trained_file else None
    weights = (adapter, None) if adapter and trained["method"] == "full" else (folder, adapter)
    attention: str = subject.engine.attention
    if attention == "sdpa":
        attention = student.get("attention", attention)
    return Scorer(
        folder,
        weights,
        student["context"],
        trained,
        {
            "student": student["revision"],
            "warm_up": trained.get("spec"),
            "dtype": dtype,
            "device": device,
            "attention": attention,
            "context": student["context"],
            "libraries": {name: version(name) for name in ("torch", "transformers")},
        },
    )
