"""The model that scores: a student as it is, warmed up, or after a stage of a strategy."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from caft.files import read_json
from caft.models import load_model, load_tokenizer, pick_device


@dataclass(frozen=True)
class Scorer:
    """A loaded model with what a table says about it.

    Attributes:
        model: from `caft.models.load_model`.
        tokenizer: the student's.
        context: longest text in tokens.
        trained: the record of its training; empty for the untuned student.
        spec: revision, training, precision, device, attention and libraries.
    """

    model: Any
    tokenizer: Any
    context: int
    trained: dict[str, Any]
    spec: dict[str, Any]

    @property
    def sample(self) -> list[str]:
        """Items of the warm-up sample; a stage's record names none."""
        return self.trained.get("sample", [])


def load_scorer(student_file: Path, trained_file: Path | None, engine: dict[str, Any]) -> Scorer:
    """Load a student, or a model that was trained from it.

    Args:
        student_file: the student's `student.json`.
        trained_file: `model.json` of a warm-up or of a stage, an adapter or a whole model; None for
            the untuned student.
        engine: device settings.
    """
    student = read_json(student_file)
    trained = read_json(trained_file) if trained_file else {}
    device, dtype = pick_device(engine)
    folder, adapter = student_file.parent, trained_file.parent if trained_file else None
    if adapter and trained["method"] == "full":
        folder, adapter = adapter, None
    return Scorer(
        load_model(folder, dtype, device, engine["attention"], adapter),
        load_tokenizer(student_file.parent),
        student["context"],
        trained,
        {
            "student": student["revision"],
            "warm_up": trained.get("spec"),
            "dtype": dtype,
            "device": device,
            "attention": engine["attention"],
            "libraries": {name: version(name) for name in ("torch", "transformers")},
        },
    )
