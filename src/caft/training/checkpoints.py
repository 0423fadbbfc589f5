"""Checkpoints of a running training: trusted only when complete and of the same training."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from caft.tables.files import read_json, share_weights, sync_folder, write_json

MARK = "complete.json"


def complete(checkpoint: Path, identity: str, **state: Any) -> None:
    """Mark a checkpoint whose files are all written; they are on disk before the mark is.

    Args:
        checkpoint: its folder.
        identity: digest of everything the training depends on.
        state: what else is needed to go on; JSON values.
    """
    share_weights(checkpoint)
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file()]
    for path in files:
        with open(path, "rb") as written:
            os.fsync(written.fileno())
    sync_folder(checkpoint)
    sizes = {str(path.relative_to(checkpoint)): path.stat().st_size for path in files}
    write_json(checkpoint / MARK, {"identity": identity, "files": sizes, **state})
    sync_folder(checkpoint.parent)


def keep_usable(folder: Path, identity: str) -> Path | None:
    """Remove checkpoints that are torn or of another training; return the newest of the others.

    Args:
        folder: holds `checkpoint-<step>` folders, if it exists.
        identity: of the training that would go on.
    """
    usable = {}
    for checkpoint in folder.glob("checkpoint-*"):
        if _is_usable(checkpoint, identity):
            usable[int(checkpoint.name.rpartition("-")[2])] = checkpoint
        else:
            logging.getLogger("caft").info(
                "%s is torn or of another training; it is not used", checkpoint
            )
            shutil.rmtree(checkpoint)
    return usable[max(usable)] if usable else None


def make_room(folder: Path, identity: str) -> None:
    """Remove all checkpoints but the newest usable one, before the next is written.

    Each of a full tuning is three times the model: so two of them are the most that the disk holds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest = keep_usable(folder, identity)
    for checkpoint in folder.glob("checkpoint-*"):
        if checkpoint != newest:
            shutil.rmtree(checkpoint)


def fits(folder: Path, size: int) -> bool:
    """Tell whether the disk has room for a checkpoint of so many bytes; warn if it has not."""
    free = shutil.disk_usage(folder).free
    if free < size:
        logging.getLogger("caft").warning(
            "%s: no checkpoint is written, since one takes %.1f GB and %.1f GB are free; make "
            "room, or set training.checkpoint_folder to a larger disk",
            *(folder, size / 1e9, free / 1e9),
        )
    return free >= size


def _is_usable(checkpoint: Path, identity: str) -> bool:
    if not (checkpoint / MARK).is_file():
        return False
    mark = read_json(checkpoint / MARK)
    return mark["identity"] == identity and all(
        (checkpoint / name).is_file() and (checkpoint / name).stat().st_size == size
        for name, size in mark["files"].items()
    )
