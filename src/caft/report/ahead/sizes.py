"""How large models are: parameters from their files or their names, and what of them lies where."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from caft import layout
from caft.mixtures.recipe import Recipe
from caft.students.settings import Student
from caft.tables.files import read_json
from caft.training.memory import shape_of, training_memory

MB = 1e6
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
_IN_NAME = re.compile(r"(?<![A-Za-z0-9])(\d+(?:[._]\d+)?)([MB])(?![A-Za-z0-9])", re.IGNORECASE)
_BITS = re.compile(r"[-._]I?Q(\d)", re.IGNORECASE)  # of a GGUF file's name
# Adapters of rank 16 on all linear layers of SmolLM2-135M: 19.6 MB in float32. They grow with width
# and depth, so about with the parameters to the power of two thirds (Qwen2.5-3B: within a third).
_ADAPTER, _ADAPTED = 4.9e6, 135e6
_OPTIMIZER = 2  # numbers that AdamW keeps for each weight, in float32
_CHECKPOINTS = 2  # the newest complete one, and the one before it or the next


@dataclass(frozen=True)
class Size:
    """Parameters of a model, None where unknown, and how they are known."""

    parameters: float | None
    basis: str


def size_of(name: str, student: Student) -> Size:
    """Return how large a student is.

    Args:
        name: of the student.
        student: its section of the config.
    """
    for folder in folders_of(name, student):
        if (found := _of_folder(folder)) is not None:
            return Size(found, "of its files")
    named = next(filter(None, (student.member, student.hub, student.path)), "")
    return Size(size_in(named), "by its name")


def folders_of(name: str, student: Student) -> list[Path]:
    """Return where a student's files may lie: prepared, and where they come from."""
    folders = [Path(layout.at(layout.STUDENT, student=name)).parent]
    return folders + ([Path(student.path)] if student.path else [])


def card_bytes(recipe: Recipe, name: str, student: Student) -> float | None:
    """Return what a training takes on its GPU, by `caft.training.memory`; None where unknown.

    Args:
        recipe: with `auto` the least that it may take, else with rows of `max_length` tokens.
        name: of the student.
        student: its section of the config.
    """
    configs = (folder / "config.json" for folder in folders_of(name, student))
    found = next((path for path in configs if path.is_file()), None)
    shape = shape_of(read_json(found)) if found else None
    if shape is None:
        return None
    rows = 1 if recipe.batch_size == "auto" else recipe.batch_size
    memory = training_memory(shape, recipe, recipe.gradient_checkpointing is not False)
    return memory.of(rows * recipe.max_length)


def _of_folder(folder: Path) -> float | None:
    weights = list(folder.glob("*.safetensors"))
    if not weights or not (folder / "config.json").is_file():
        return None
    shape = read_json(folder / "config.json")
    dtype = shape.get("dtype") or shape.get("torch_dtype") or "float32"
    return sum(path.stat().st_size for path in weights) / _BYTES.get(dtype, 2)


def size_in(name: str) -> float | None:
    """Return the parameters that a model's name tells, such as `Qwen2.5-3B`; None if it does not.

    The last such part counts: the first may be a version.
    """
    found = _IN_NAME.findall(Path(name).name)
    if not found:
        return None
    number, unit = found[-1]
    return float(number.replace("_", ".")) * {"M": 1e6, "B": 1e9}[unit.upper()]


def download_mb(student: Student, size: Size) -> float | None:
    """Return what is fetched of a student: 0 for a local one, None where its size is unknown."""
    if student.path:
        return 0.0
    if size.parameters is None:
        return None
    bits = _BITS.search(student.member or "")
    # A quantized file keeps scales, and some of its layers in more bits.
    each = (int(bits[1]) + 1.5) / 8 if bits else 2
    return size.parameters * each / MB


def student_mb(student: Student, size: Size) -> float | None:
    """Return what a student's own folder takes: a GGUF file is unpacked, all else is linked."""
    if not student.package:
        return 0.0
    return None if size.parameters is None else size.parameters * 4 / MB


def trained_weights(recipe: Recipe, size: Size) -> float | None:
    """Return how many weights a training changes; None where the student's size is unknown."""
    if size.parameters is None or recipe.method == "full":
        return size.parameters
    return _ADAPTER * recipe.lora.r / 16 * (size.parameters / _ADAPTED) ** (2 / 3)


def model_mb(recipe: Recipe, size: Size, epochs: float, half: bool) -> float | None:
    """Return what a trained model takes for good, with every epoch's weights if they are kept.

    Args:
        recipe: of its training.
        size: of the student.
        epochs: of its training.
        half: whether it computes in bfloat16, in which whole weights are then kept.
    """
    weights = trained_weights(recipe, size)
    copies = 1 + (math.ceil(epochs) if recipe.keep_epochs else 0)
    return None if weights is None else weights * _kept_bytes(recipe, half) * copies / MB


def work_mb(recipe: Recipe, size: Size, checkpoints: bool, half: bool) -> float | None:
    """Return what a training takes while it runs: its checkpoints, and the best epoch's weights.

    Args:
        recipe: of the training.
        size: of the student.
        checkpoints: whether it writes any.
        half: as for `model_mb`.
    """
    weights = trained_weights(recipe, size)
    if weights is None:
        return None
    each = _CHECKPOINTS * (1 + _OPTIMIZER) * 4 if checkpoints else 0
    if recipe.early_stopping and not recipe.keep_epochs:
        each += 2 * _kept_bytes(recipe, half)
    return weights * each / MB


def _kept_bytes(recipe: Recipe, half: bool) -> int:
    return 2 if half and recipe.method == "full" else 4
