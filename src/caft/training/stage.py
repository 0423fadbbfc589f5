"""Train one stage: from a mixture to a model folder with its record."""

import logging
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from caft.errors import TrainingError
from caft.layout import LIVE_LOSSES
from caft.mixtures.recipe import Recipe
from caft.mixtures.rows import mixture_digest
from caft.mixtures.settings import BOUGHT
from caft.mixtures.stages import StageSpec
from caft.prompting.chat import Chat
from caft.running import devices
from caft.running.imports import importing
from caft.running.meter import Meter
from caft.running.settings import Engine
from caft.students.folders import STUDENT_FILE, load_chat, pick_device
from caft.students.whole import check_student, check_weights, read_record
from caft.tables.files import read_json, write_json
from caft.tables.hashing import digest
from caft.training import checkpoints
from caft.training.compiler import check_compiler
from caft.training.memory import Fit, fit, shape_of
from caft.training.recipes import (
    is_sharded,
    processes,
    split_batch,
    trainable_model,
    trainer_settings,
)
from caft.training.records import (
    DONE_FILE,
    WORK,
    files_of,
    history_of,
    remove_work,
    validation_losses,
    weights_sha256,
    work_of,
)
from caft.training.reports import Reports
from caft.training.rows import IGNORED, dataset_of, encode_mixture

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")


@dataclass(frozen=True)
class StageJob:
    """What goes into the model of a stage.

    Attributes:
        mixture: the mixtures table.
        student: folder of the untuned student.
        recipe: training settings of the config.
        epochs: passes over the mixture.
        seed: of adapter initialisation, row order and dropout.
        parent: model folder to go on from, made with the same method and shape of adapters.
        spec: everything that goes into the model, kept in its record.
        validation: rows in the form of a mixture; their loss is measured after every epoch.
    """

    mixture: pd.DataFrame
    student: Path
    recipe: Recipe
    epochs: float
    seed: int
    parent: Path | None = None
    spec: StageSpec | None = None
    validation: pd.DataFrame | None = None


def train_stage(
    job: StageJob,
    folder: Path,
    engine: Engine,
    checkpoint_minutes: float | None = None,
    reports: Reports | None = None,
    checkpoint_folder: Path | None = None,
) -> dict[str, Any]:
    """Fine-tune the student (or the model of an earlier stage) on a mixture and save the result.

    An interrupted training goes on from its last complete checkpoint in the folder. Under a
    launcher each of its processes calls this.

    Args:
        job: what is trained.
        folder: where the model goes; `training.json` is written there last.
        engine: device settings of the config.
        checkpoint_minutes: between checkpoints; None writes none.
        reports: what else gets the losses, which stand in `trainer/losses.jsonl` as they come.
        checkpoint_folder: where checkpoints lie, below the model's name; None keeps them in
            `trainer/` in the model's folder.

    Returns:
        The content of `training.json`: rows, steps, token counts, seconds and energy of all parts,
        loss history, epochs kept, processes, library versions.

    Raises:
        TrainingError: if the loss is not finite, packed rows would see each other, the rows of an
            update cannot be shared by the processes, or an early end lacks validation rows.
    """
    device, dtype = pick_device(engine)
    if device == "cuda":
        check_compiler()
    with importing():
        from accelerate import PartialState
        from transformers import set_seed
        from transformers.utils import logging as hf_logging

        import caft.training.trainer  # noqa: F401 - for what it imports, which is most
        from caft.training.callbacks import CheckIsolation
    meter = Meter(device)
    hf_logging.disable_progress_bar()
    recipe, validation = job.recipe, job.validation
    if recipe.early_stopping and (validation is None or validation.empty):
        raise TrainingError(
            f"{folder}: training.early_stopping needs validation rows and there are none; give "
            "the data set a validation split, or set training.early_stopping: null."
        )
    _check_sources(job)
    set_seed(job.seed)
    chat = load_chat(job.student)
    model = trainable_model(job.student, job.parent, recipe, dtype, engine.attention)
    rows = encode_mixture(job.mixture, chat)
    work = work_of(folder, checkpoint_folder)
    fitted = _fit(recipe, model, rows, device, dtype)
    settings = trainer_settings(
        *(recipe, job.epochs, job.seed, device, dtype, work, fitted.checkpointing)
    )
    if reports:
        reports.enter(settings)
    identity = digest(
        {
            "training": [job.spec, recipe.of_the_model(), job.epochs, job.seed, str(job.parent)],
            "rows": [
                mixture_digest(part) for part in (job.mixture, validation) if part is not None
            ],
            "engine": [device, dtype, engine.attention, processes()],
        }
    )
    with PartialState().main_process_first():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DONE_FILE).unlink(missing_ok=True)
        checkpoint = checkpoints.keep_usable(work, identity)
    trainer = _trainer(job, model, chat, settings, rows, identity, meter)
    trainer.tokens_at_once = fitted.tokens
    trainer.kept_as = dtype if (recipe.method, dtype) == ("full", "bfloat16") else None
    if recipe.packing != "none":
        trainer.add_callback(CheckIsolation(rows))
    _add_callbacks(trainer, folder, job, checkpoint_minutes)
    if checkpoint:
        logging.getLogger("caft").info("going on from %s", checkpoint)
        trainer.go_on_from(checkpoint)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    chosen = _save(trainer, chat.tokenizer, folder, recipe)
    if trainer.is_world_process_zero():
        about = {
            "spec": job.spec,
            "device": device,
            "dtype": dtype,
            "attention": model.config.get_text_config(decoder=True)._attn_implementation,
            "chosen_epoch": chosen,
            **({"gpu": devices.card()} if device == "cuda" else {}),
            "tokens_at_once": fitted.tokens,
            "checkpointing": fitted.checkpointing,
        }
        write_json(folder / DONE_FILE, {**about, **_record(trainer, folder, job, rows)})
        remove_work(folder, checkpoint_folder)
    trainer.accelerator.wait_for_everyone()
    return read_json(folder / DONE_FILE)


def _fit(
    recipe: Recipe, model: Any, rows: list[dict[str, list[int]]], device: str, dtype: str
) -> Fit:
    """Fit a training to the memory that is free on its card, and tell how."""
    card = _free_bytes() if device == "cuda" else None
    longest = max((len(row["input_ids"]) for row in rows), default=0)
    if recipe.packing == "packed":
        longest = recipe.max_length
    step = split_batch(recipe, processes())[0] * longest
    shards = processes() if is_sharded() else 1
    shape = shape_of(model.config.to_dict())
    fitted = fit(recipe, shape, card, step, dtype == "bfloat16", shards)
    if "auto" in (recipe.batch_size, recipe.gradient_checkpointing):
        at_once = f"at most {fitted.tokens} tokens" if fitted.tokens else f"{step} tokens"
        how = "again" if fitted.checkpointing else "once"
        logging.getLogger("caft").info("%s at once, activations computed %s", at_once, how)
    return fitted


def _free_bytes() -> int:
    """Return what is free on the card with the least of it: all processes cut alike."""
    import torch
    from accelerate import PartialState
    from accelerate.utils import gather_object

    free, _ = torch.cuda.mem_get_info(PartialState().device)
    return int(min(gather_object([free])))


def _check_sources(job: StageJob) -> None:
    """Check that the student and the model to go on from are those that the spec names."""
    record = job.student / STUDENT_FILE
    if record.is_file():
        check_student(record)
        known = read_json(record)["revision"]
        wanted = job.spec.get("student_revision") if job.spec else None
        if wanted and known != wanted:
            raise TrainingError(
                f"{record}: revision {known}, but the stage was planned for {wanted}; give the "
                "same command again, so that it is planned anew."
            )
    if job.parent:
        check_weights(job.parent, read_record(job.parent / DONE_FILE).get("weights_sha256"))


def _thinks(job: StageJob) -> bool | None:
    """Tell whether the model has learnt to think before its text; None if it has learnt neither."""
    targets = set(job.mixture["target"])
    if targets & BOUGHT:
        return "reasoning" in targets
    return read_json(job.parent / DONE_FILE).get("thinks") if job.parent else None


def _record(
    trainer: Any, folder: Path, job: StageJob, rows: list[dict[str, list[int]]]
) -> dict[str, Any]:
    epochs, ends_early = job.epochs, job.recipe.early_stopping
    passes = min(epochs, trainer.state.epoch) if ends_early else epochs
    tokens = sum(len(row["input_ids"]) for row in rows)
    targets = sum(label != IGNORED for row in rows for label in row["labels"])
    return {
        "method": job.recipe.method,
        "thinks": _thinks(job),
        "rows": len(rows),
        "steps": trainer.state.global_step,
        "target_tokens_one_pass": targets,
        "target_tokens": round(targets * passes),
        "all_tokens": round(tokens * passes),
        **trainer.meter.amounts,
        "processes": processes(),
        "sharded": trainer.is_fsdp_enabled,
        "history": history_of(trainer.state.log_history),
        "epochs": _kept(folder),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "files": files_of(folder),
        "weights_sha256": weights_sha256(folder),
    }


def _trainer(
    job: StageJob,
    model: Any,
    chat: Chat,
    settings: Any,
    rows: list[dict[str, list[int]]],
    identity: str,
    meter: Meter,
) -> Any:
    from caft.training.trainer import RowOrder, StageTrainer

    recipe, validation = job.recipe, job.validation
    pad = chat.tokenizer.pad_token_id
    data = dataset_of(rows, recipe.packing, recipe.max_length, pad)
    held_out = None
    if validation is not None and len(validation):
        settings.eval_strategy = "epoch"
        held_out = dataset_of(encode_mixture(validation, chat), "none", 0, pad)
    order = RowOrder(
        [len(ids) for ids in data["input_ids"]][:-1],
        recipe.rows_per_update,
        settings.per_device_train_batch_size * processes() if processes() > 1 else 1,
    )
    return StageTrainer(
        model,
        settings,
        train_dataset=data,
        eval_dataset=held_out,
        processing_class=chat.tokenizer,
        recipe=recipe,
        order=order,
        identity=identity,
        meter=meter,
    )


def _add_callbacks(
    trainer: Any, folder: Path, job: StageJob, checkpoint_minutes: float | None
) -> None:
    from transformers import PrinterCallback

    from caft.training.callbacks import (
        KeepEpochs,
        LiveLosses,
        SaveByTheClock,
        StepProgress,
        StopEarly,
    )

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StepProgress())
    trainer.add_callback(LiveLosses(folder / WORK / LIVE_LOSSES))
    if checkpoint_minutes is not None:
        trainer.add_callback(SaveByTheClock(checkpoint_minutes, lambda: trainer.checkpoint_seconds))
    recipe, spec = job.recipe, job.spec
    about = {
        **{"method": recipe.method, "thinks": _thinks(job)},
        **{"parent": spec and spec["parent"], "spec": spec},
    }
    stopping = recipe.early_stopping

    def keep(epoch: int, step: int) -> None:
        target = _epochs_folder(folder, recipe) / str(epoch)
        if trainer.is_world_process_zero():
            shutil.rmtree(target, ignore_errors=True)
        trainer.save_weights(target)
        if trainer.is_world_process_zero():
            own = {"epoch": epoch, "step": step, "weights_sha256": weights_sha256(target)}
            write_json(target / "model.json", {**about, **own})
            if not recipe.keep_epochs:
                _forget_worse(target, validation_losses(trainer.state.log_history))

    if recipe.keep_epochs or stopping:
        trainer.add_callback(KeepEpochs(keep))
    if stopping:
        trainer.add_callback(StopEarly(stopping.patience))


def _epochs_folder(folder: Path, recipe: Recipe) -> Path:
    return (folder if recipe.keep_epochs else folder / WORK) / "epochs"


def _kept(folder: Path) -> list[int]:
    return sorted(int(path.parent.name) for path in folder.glob("epochs/*/model.json"))


def _forget_worse(newest: Path, losses: list[float]) -> None:
    """Remove the weights of all epochs but the best of those validated and the newest."""
    best = str(losses.index(min(losses)) + 1) if losses else None
    for path in newest.parent.iterdir():
        if path.name not in (best, newest.name):
            shutil.rmtree(path)


def _save(trainer: Any, tokenizer: Any, folder: Path, recipe: Recipe) -> int | None:
    """Save the last weights or, with an early end, those of the best epoch; return that epoch."""
    losses = validation_losses(trainer.state.log_history)
    best = losses.index(min(losses)) + 1 if recipe.early_stopping else None
    if best is None:
        trainer.save_weights(folder)
    elif trainer.is_world_process_zero():
        kept = _epochs_folder(folder, recipe) / str(best)
        shutil.copytree(
            kept, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model.json")
        )
    if recipe.method == "full" and trainer.is_world_process_zero():
        tokenizer.save_pretrained(folder)
    trainer.accelerator.wait_for_everyone()
    return best
