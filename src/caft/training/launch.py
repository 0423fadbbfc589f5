"""Train a planned stage in this process, or in several that a launcher starts."""

import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caft.errors import CaftError, TrainingError
from caft.mixtures.recipe import Tracker, absent
from caft.mixtures.stages import StageSpec, recipe_of
from caft.running import devices, ends, stops
from caft.running.launchers import started_processes
from caft.running.settings import Engine
from caft.shown import line
from caft.tables import parquet
from caft.tables.files import read_json, write_json
from caft.training.records import DONE_FILE, WORK, is_trained, remove_work
from caft.training.reports import Reports
from caft.training.stage import StageJob, train_stage

_JOB = "CAFT_JOB_PID"
_FAILED = "caft.training failed: "


def train_planned(
    stage_file: Path,
    folder: Path,
    engine: Engine,
    launcher: list[str] | None = None,
    checkpoint_minutes: float | None = None,
    report_to: Sequence[Tracker] = (),
    checkpoint_folder: Path | None = None,
) -> dict[str, Any]:
    """Train what a stage file describes, unless its model already lies complete in the folder.

    Args:
        stage_file: written with the mixtures: what goes into the model, and where its parts lie.
        folder: where the model goes, named by the digest.
        engine: device settings.
        launcher: words of a command that starts `-m caft.training` in several processes; None
            trains in this one.
        checkpoint_minutes: between checkpoints; None writes none.
        report_to: what else gets the losses.
        checkpoint_folder: where checkpoints lie; None keeps them in the model's folder.

    Returns:
        The model's record.

    Raises:
        TrainingError: as `train_stage`; or if the launcher fails, with the reason, or what gets the
            losses is not installed.
    """
    if is_trained(folder):
        logging.getLogger("caft").info("%s is complete; nothing to train", folder)
        remove_work(folder, checkpoint_folder)
        return read_json(folder / DONE_FILE)
    if missing := absent(report_to):
        raise TrainingError(missing)
    if launcher:
        how = {
            "engine": engine.plain(),
            "checkpoint_minutes": checkpoint_minutes,
            "report_to": list(report_to),
            "checkpoint_folder": checkpoint_folder and str(checkpoint_folder),
        }
        _launch(launcher, {"stage_file": str(stage_file), "folder": str(folder), **how})
        return read_json(folder / DONE_FILE)
    planned = read_json(stage_file)
    spec: StageSpec = planned["spec"]
    validation = planned.get("validation_file")
    job = StageJob(
        parquet.read("mixtures", planned["mixture_file"]),
        Path(planned["student_file"]).parent,
        recipe_of(spec),
        spec["epochs"],
        spec["seed"],
        Path(planned["parent_file"]).parent if planned["parent_file"] else None,
        spec,
        parquet.read("mixtures", validation) if validation else None,
    )
    reports = Reports(_run_name(planned.get("place"), folder.name), list(report_to))
    return train_stage(job, folder, engine, checkpoint_minutes, reports, checkpoint_folder)


def _run_name(place: dict[str, Any] | None, model: str) -> str:
    """Name a training by where it first stands in its plan, and by its model."""
    return "{strategy}-stage{stage}-seed{seed}-".format(**place) + model if place else model


def _launch(launcher: list[str], job: dict[str, Any]) -> None:
    """Run the launcher on a job file, pass its output on, fail with the first reason it gives."""
    folder, log = Path(job["folder"]), logging.getLogger("caft")
    if job["engine"]["device"] != "cpu":
        _hold_gpus(started_processes(launcher), log)
    job_file = folder / WORK / "job.json"
    write_json(job_file, job)
    command = [*launcher, "-m", "caft.training", str(job_file)]
    log.info("starting %s", " ".join(command))
    reason = None
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, _JOB: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
        )
    except OSError as error:
        raise TrainingError(f"training.launcher: {launcher[0]} cannot be run ({error}).") from error
    for told in process.stdout or ():
        start, found, text = told.rstrip().partition(_FAILED)
        if found:
            reason = reason or text
        elif start:
            log.info("%s", start)
    status = process.wait()
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        reason = reason or (
            f"{folder}: training.launcher was killed, as it is when memory is used up; lower "
            "training.batch_size (and raise training.gradient_accumulation as much), and run again."
        )
    if reason or status:
        raise TrainingError(
            reason or f"{folder}: training.launcher ended with status {status}; see the log."
        )
    if not is_trained(folder):
        raise TrainingError(
            f"{folder}: training.launcher ended well but trained nothing; does it start the "
            "command that is put behind it?"
        )


def _hold_gpus(started: int | None, log: logging.Logger) -> None:
    """Take a GPU for each process where none was asked for; tell of GPUs that stay unused."""
    devices.take(started or 1)
    if started and started < devices.asked():
        log.warning(
            "training.launcher starts %d processes, and this job has %d GPUs (engine.gpus): the "
            "others are not used",
            *(started, devices.asked()),
        )


def main(job_file: str) -> int:
    """Be one process of a launched training; the status tells whether it succeeded."""
    rank = os.environ.get("RANK", "0")
    log = logging.getLogger("caft")
    log.addHandler(logging.StreamHandler(sys.stdout))
    log.setLevel(logging.INFO if rank == "0" else logging.WARNING)
    if _JOB in os.environ:
        # Not the launcher: it may be killed alone, and the job always ends with its run.
        stops.end_with(int(os.environ[_JOB]))
    job = read_json(job_file)
    try:
        train_planned(
            Path(job["stage_file"]),
            Path(job["folder"]),
            Engine.model_validate(job["engine"]),
            checkpoint_minutes=job["checkpoint_minutes"],
            report_to=job["report_to"],
            checkpoint_folder=Path(job["checkpoint_folder"]) if job["checkpoint_folder"] else None,
        )
    except KeyboardInterrupt:  # the job above says so
        return stops.STATUS
    except Exception as error:
        known = ends.foreseen(error, "train_stage")
        if not (known or isinstance(error, CaftError)):
            traceback.print_exc(file=sys.stdout)
        name = "" if isinstance(error, TrainingError) else f"{type(error).__name__}: "
        text = line(known or name + " ".join(str(error).split()))
        print(f"{_FAILED}{text}", flush=True)
        return 1
    return 0
