"""What an exported folder holds; it appears whole or not at all."""

import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caft import layout
from caft.errors import ExportError
from caft.export import cards
from caft.export.choice import Choice
from caft.export.merging import merge
from caft.students.checks import write_sums
from caft.students.folders import STUDENT_FILE, load_chat
from caft.students.whole import check_student, check_weights
from caft.tables import parquet
from caft.tables.files import read_json, share_weights, sync_folder, write_json, write_text

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_config.json")
_PLACES = ("name_or_path", "_name_or_path")
_PATH = re.compile(r"(/|~/|[A-Za-z]:[/\\]|file:)[^\n<>]+")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; on success it is renamed, else removed.

    Raises:
        ExportError: if the target is there already and is not an empty folder.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ExportError(f"{target}: is not a folder; name another one.")
    if target.is_dir() and any(target.iterdir()):
        raise ExportError(f"{target}: is not empty; name a new folder, or remove it first.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        share_weights(temporary)
        temporary.replace(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def export_model(
    choice: Choice, target: Path, merged: bool = False, items: int = 64, tolerance: float = 0.0
) -> dict[str, Any] | None:
    """Write a model folder that plain transformers (peft for an adapter) can load.

    Args:
        choice: the model.
        target: a new or empty folder.
        merged: merge the adapter into the student.
        items: of each data set, for the check that merging changes no answer.
        tolerance: share of the answers that may change.

    Returns:
        What the check found; None if nothing was merged.

    Raises:
        ExportError: if the target is in use, or there is nothing to merge.
        MergeError: if merging changes more answers than allowed.
        ModelError: if the files of the model or of its student are not those of the run.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    check_student(choice.student_folder / STUDENT_FILE)
    check_weights(choice.folder, choice.record.get("weights_sha256"))
    with new_folder(target) as folder:
        check = None
        if merged:
            check = merge(choice, folder, items, tolerance)
        else:
            for path in (path for pattern in _WEIGHTS for path in choice.folder.glob(pattern)):
                shutil.copyfile(path, folder / path.name)
            if choice.record["method"] != "full":
                _name_base(choice, folder / "adapter_config.json")
        _add_tokenizer(choice.student_folder, folder)
        _forget_places(folder)
        card = cards.model_card(
            choice.name,
            choice.record,
            choice.stages,
            choice.rows,
            choice.provenance,
            check,
            choice.answer,
        )
        write_text(folder / "README.md", card)
        write_sums(folder)
    return check


def export_data(choice: Choice, target: Path) -> None:
    """Write the rows that a model was trained on, one Parquet file per stage, with a card.

    Raises:
        ExportError: if the target is in use.
    """
    with new_folder(target) as folder:
        mixtures = []
        for stage in choice.stages:
            planned = read_json(layout.at(layout.PLANNED_STAGE, digest=stage["model"]))
            shutil.copyfile(planned["mixture_file"], folder / f"stage-{stage['stage']}.parquet")
            mixtures.append(parquet.read("mixtures", planned["mixture_file"]))
        card = cards.dataset_card(
            choice.name, mixtures, choice.stages, choice.spend, choice.provenance
        )
        write_text(folder / "README.md", card)


def _name_base(choice: Choice, path: Path) -> None:
    source = choice.source
    base = source.get("hub") or str(choice.student_folder)  # no path of this machine
    write_json(
        path,
        {
            **read_json(path),
            "base_model_name_or_path": base,
            "revision": source.get("revision") if "hub" in source else None,
        },
    )


def _forget_places(folder: Path) -> None:
    """Take out of configs where files lay on this machine; who loads them sets it anew."""
    for path in folder.glob("*config.json"):
        config = read_json(path)
        kept = {
            key: value
            for key, value in config.items()
            if key not in _PLACES and not (isinstance(value, str) and _PATH.fullmatch(value))
        }
        if kept != config:
            write_json(path, kept)


def _add_tokenizer(student: Path, folder: Path) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    chat = load_chat(student)
    tokenizer = chat.tokenizer
    # Greedy, and ending a turn where the evaluation did.
    generation = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(chat.ends),
        pad_token_id=tokenizer.pad_token_id,
    )
    generation.save_pretrained(folder)
    AutoTokenizer.from_pretrained(student, trust_remote_code=False).save_pretrained(folder)
