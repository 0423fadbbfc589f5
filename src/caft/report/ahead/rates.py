"""How fast work goes: as earlier work of this folder did, else by a table of devices."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Literal

from caft import layout
from caft.config import resolve
from caft.config.model import Configuration
from caft.config.modes import read_view
from caft.report.ahead.sizes import Size, size_of
from caft.running import devices
from caft.tables.files import read_json

Unit = Literal["token", "item"]


@dataclass(frozen=True)
class Speed:
    """What a device computes in a second, in floating-point operations, as caft uses it.

    Attributes:
        name: of the device, with where the figures are from.
        train: of a training, 6 operations per parameter and token.
        read: of a forward pass, 2 per parameter and token.
        write: of a generation, 2 per parameter and new token; memory limits it.
    """

    name: str
    train: float
    read: float
    write: float


DEVICES = {
    "cpu": Speed("a CPU core (SmolLM2-135M, measured on one of 2026)", 5e10, 5e10, 6e9),
    "gpu": Speed("an H100 (3B in bfloat16, by arithmetic; not measured)", 3e14, 1.5e14, 1e13),
}
HERE = "measured here"


@dataclass(frozen=True)
class Rate:
    """Seconds for one token or item, and how they are known; None where they are not.

    Attributes:
        seconds: for one unit.
        basis: where they are from.
        writes: mean tokens that this student's answers had here, where they were counted.
    """

    seconds: float | None
    basis: str
    writes: float | None = None


NO_RATE = Rate(None, "unknown: the size of the student is")


@dataclass(frozen=True)
class Job:
    """What a job does with a model for one token or one item.

    Attributes:
        kind: `train`, or the kind of table and perhaps the mode, as `seen` names it.
        student: its name.
        size: of the student.
        reads: tokens that are read per unit.
        writes: tokens that are written per unit.
    """

    kind: str
    student: str
    size: Size
    reads: float = 0.0
    writes: float = 0.0


@dataclass
class Seen:
    """What earlier jobs of a kind took together."""

    seconds: float = 0.0
    units: float = 0.0
    writes: float = 0.0
    jobs: int = 0

    def add(self, seconds: float, units: float, writes: float) -> None:
        """Count one more job."""
        self.seconds += seconds
        self.units += units
        self.writes += writes
        self.jobs += 1


class Rates:
    """Rates of a configuration's students on this machine."""

    def __init__(self, config: Configuration):
        self.config = config
        self.seen: dict[tuple[str, str], Seen] = defaultdict(Seen)
        for kind, student, seconds, units, writes in _records(config):
            if units and seconds:
                self.seen[kind, student].add(seconds, units, writes)

    def device_of(self, gpus: int) -> str:
        """Return where a job runs a model that asks for so many GPUs: `cpu` or `gpu`."""
        wanted = self.config.engine.device
        if wanted == "cpu":
            return "cpu"
        return "gpu" if wanted == "cuda" or gpus or devices.visible() else "cpu"

    def trains_in_half(self, student: str) -> bool:
        """Tell whether a training of a student computes in bfloat16."""
        gpus = resolve.student_needs(self.config, student, "training")["gpus"]
        dtype = self.config.engine.dtype
        return dtype == "bfloat16" or (dtype == "auto" and self.device_of(gpus) == "gpu")

    def of(self, job: Job) -> Rate:
        """Return how long a unit of a job takes."""
        if found := self.seen.get((job.kind, job.student)):
            writes = found.writes / found.units if found.writes else None
            return Rate(found.seconds / found.units, f"{HERE} ({found.jobs} jobs)", writes)
        others = [
            (found, size_of(name, self.config.students[name]).parameters, name)
            for (kind, name), found in self.seen.items()
            if kind == job.kind and name in self.config.students
        ]
        for found, theirs, name in others:
            if theirs and job.size.parameters:
                seconds = found.seconds / found.units * job.size.parameters / theirs
                return Rate(seconds, f"{HERE} with {name}, by size")
        return self._by_device(job)

    def _by_device(self, job: Job) -> Rate:
        if job.size.parameters is None:
            return NO_RATE
        part: resolve.PartOfRun | None = "training" if job.kind == "train" else None
        if job.kind.startswith("predictions"):
            part = "evaluation"
        needs = resolve.student_needs(self.config, job.student, part)
        device, parameters = self.device_of(needs["gpus"]), job.size.parameters
        speed = DEVICES[device]
        if job.kind == "train":
            seconds = 6 * parameters / speed.train
        else:
            seconds = 2 * parameters * (job.reads / speed.read + job.writes / speed.write)
        cores = needs["threads"] if device == "cpu" else 1
        return Rate(seconds / cores, f"table of devices: {speed.name}")


def _records(config: Configuration) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield kind, student, seconds, units and written tokens of every record of earlier work."""
    revisions = {
        read_json(path)["revision"]: name
        for name in config.students
        if Path(path := layout.at(layout.STUDENT, student=name)).is_file()
    }
    for path in glob(layout.any_of(layout.MODEL)):
        record = read_json(path)
        student = revisions.get((record.get("spec") or {}).get("student_revision"), "")
        yield "train", student, record.get("seconds", 0), record.get("all_tokens", 0), 0
    for path in glob(layout.any_of(layout.WARM_UP)):
        record, student = read_json(path), Path(path).parts[-3]
        yield "train", student, record.get("seconds", 0), record.get("all_tokens", 0), 0
    measured = (layout.SCORES, layout.GENERATIONS, layout.SAMPLES, layout.LIKELIHOODS)
    for table in (*measured, layout.RATIONALES):
        kind = layout.root_of(table).rpartition("/")[2]
        for path in glob(layout.run_of(layout.any_of(table))):
            run = read_json(path)
            yield kind, Path(path).parts[3], *_took(run)
    for path in glob(layout.run_of(layout.any_of(layout.PREDICTIONS))):
        run, view = read_json(path), Path(path).name.split(".")[1]
        mode = read_view(view, 0).mode
        kind = f"predictions {mode}"
        yield kind, Path(path).parts[3], *_took(run)


def _took(run: dict[str, Any]) -> tuple[float, float, float]:
    """Return seconds, items and tokens that were written; those of a sampler are not counted."""
    return run.get("seconds", 0), run.get("items", 0), run.get("new_tokens", 0)
