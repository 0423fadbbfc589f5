"""What a model folder says about itself: complete or not, its losses, its files."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from caft.tables.files import has_sizes, read_json
from caft.tables.hashing import remembered_sha256

DONE_FILE = "training.json"
WORK = "trainer"  # checkpoints and other intermediate files, in the model's folder


def is_trained(folder: Path) -> bool:
    """Tell whether a model folder is complete and undamaged; its record is written last."""
    try:
        record = read_json(folder / DONE_FILE)
    except (OSError, ValueError):  # not there, or cut
        return False
    is_whole = has_sizes(folder, record["files"])
    return is_whole and record.get("weights_sha256") == weights_sha256(folder)


def work_of(folder: Path, checkpoint_folder: Path | None) -> Path:
    """Return where the checkpoints of a model lie: in its folder, or on a disk of this machine."""
    return folder / WORK if checkpoint_folder is None else checkpoint_folder / folder.name


def remove_work(folder: Path, checkpoint_folder: Path | None) -> None:
    """Remove what a training needed that is complete."""
    for work in {folder / WORK, work_of(folder, checkpoint_folder)}:
        shutil.rmtree(work, ignore_errors=True)


def files_of(folder: Path) -> dict[str, int]:
    """Return the size of every file of a model, by its path in the folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    named = ((path.relative_to(folder), path) for path in files)
    return {str(name): path.stat().st_size for name, path in sorted(named) if name.parts[0] != WORK}


def weights_sha256(folder: Path) -> dict[str, str]:
    """Return the hash of every weights file of a model, by its name."""
    return {path.name: remembered_sha256(path) for path in sorted(folder.glob("*.safetensors"))}


def history_of(log: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the loss curves of a Trainer's log.

    Args:
        log: `log_history` of a TrainerState.

    Returns:
        One entry per update: step, epoch, loss (nats per target token), learning_rate, grad_norm;
        and one per epoch where there are validation rows: step, epoch, validation_loss.
    """
    history = []
    for entry in log:
        where = {"step": entry["step"], "epoch": entry["epoch"]}
        if "loss" in entry:
            rest = {name: entry[name] for name in ("learning_rate", "grad_norm") if name in entry}
            history.append({**where, "loss": float(entry["loss"]), **rest})
        elif "eval_loss" in entry:
            history.append({**where, "validation_loss": float(entry["eval_loss"])})
    return history


def validation_losses(history: Iterable[Mapping[str, Any]]) -> list[float]:
    """Return the validation loss after each epoch; works on a Trainer's log as well."""
    names = ("validation_loss", "eval_loss")
    return [entry[name] for entry in history for name in names if name in entry]
