"""Training one stage: TRL's SFTTrainer on a mixture, completion-only loss, LoRA or full."""

import json
import logging
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from caft import tables
from caft.chat import encode_completion, encode_prompt
from caft.errors import TrainingError
from caft.files import read_json, write_json
from caft.hashing import digest, file_sha256
from caft.jobs import Progress
from caft.mixtures import (
    count_tokens,
    mixture_table,
    split_over_long,
    stage_spec,
    warm_up_rows,
    warm_up_sample,
)
from caft.models import load_tokenizer, pick_device, use_job_threads

DONE_FILE = "training.json"
_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")


def encode_mixture(mixture: pd.DataFrame, tokenizer: Any) -> list[dict[str, list[int]]]:
    """Tokenise a mixture; only the completion and the token that ends it carry loss.

    Args:
        mixture: the mixtures table.
        tokenizer: of the student.

    Returns:
        Per row `input_ids` and `labels` of equal length; labels are -100 on the prompt.
    """
    rows = []
    for messages, text in zip(mixture["messages"], mixture["completion"], strict=True):
        turns = json.loads(messages)
        prompt, answer = encode_prompt(tokenizer, turns), encode_completion(tokenizer, turns, text)
        rows.append({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer})
    return rows


def is_trained(folder: Path) -> bool:
    """Tell whether a model folder is complete: its record is written last and lists its files."""
    record = folder / DONE_FILE
    if not record.is_file():
        return False
    files = read_json(record)["files"]
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == size
        for name, size in files.items()
    )


def train_stage(
    mixture: pd.DataFrame,
    student: Path,
    folder: Path,
    recipe: dict[str, Any],
    epochs: float,
    seed: int,
    engine: dict[str, Any],
    parent: Path | None = None,
    spec: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Fine-tune the student (or the model of an earlier stage) on a mixture and save the result.

    Args:
        mixture: the mixtures table.
        student: folder of the untuned student.
        folder: where the model goes; `training.json` is written there last.
        recipe: training settings of the config.
        epochs: passes over the mixture.
        seed: of adapter initialisation, row order and dropout.
        engine: device settings of the config.
        parent: model folder to go on from, made with the same method.
        spec: kept in the record.

    Returns:
        The content of `training.json`: rows, steps, token counts, seconds, loss history, library
        versions.

    Raises:
        TrainingError: if the loss is not finite.
    """
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback, set_seed
    from transformers.utils import logging as hf_logging
    from trl import SFTConfig, SFTTrainer

    hf_logging.disable_progress_bar()
    started = time.monotonic()
    device, dtype = pick_device(engine)
    set_seed(seed)
    tokenizer = load_tokenizer(student)
    model = _trainable_model(student, parent, recipe, dtype, engine["attention"])
    rows = encode_mixture(mixture, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE_FILE).unlink(missing_ok=True)
    settings = SFTConfig(
        output_dir=str(folder / "trainer"),
        use_cpu=device == "cpu",
        bf16=device != "cpu" and dtype == "bfloat16",
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        seed=seed,
        num_train_epochs=epochs,
        learning_rate=recipe["learning_rate"],
        lr_scheduler_type=recipe["schedule"],
        warmup_steps=recipe["warmup_share"],
        weight_decay=recipe["weight_decay"],
        per_device_train_batch_size=recipe["batch_size"],
        gradient_accumulation_steps=recipe["gradient_accumulation"],
        gradient_checkpointing=recipe["gradient_checkpointing"],
        train_sampling_strategy="group_by_length",
        max_length=None,  # over-long rows were counted and left out before; nothing is cut here
        packing=False,
    )
    trainer: Any = SFTTrainer(
        model,
        settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[_progress_callback()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    history = [
        {"step": entry["step"], "loss": float(entry["loss"])}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    if not all(torch.isfinite(torch.tensor([entry["loss"] for entry in history]))):
        raise TrainingError(
            f"{folder}: the loss became infinite or NaN; lower training.learning_rate."
        )
    trainer.model.save_pretrained(folder, safe_serialization=True)
    if recipe["method"] == "full":
        tokenizer.save_pretrained(folder)
    tokens = sum(len(row["input_ids"]) for row in rows)
    targets = sum(label != -100 for row in rows for label in row["labels"])
    record = {
        "spec": spec or {},
        "method": recipe["method"],
        "rows": len(rows),
        "steps": trainer.state.global_step,
        "target_tokens_one_pass": targets,
        "target_tokens": round(targets * epochs),
        "all_tokens": round(tokens * epochs),
        "seconds": round(time.monotonic() - started, 3),
        "device": device,
        "dtype": dtype,
        "history": history,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "files": {
            path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()
        },
        "weights_sha256": {
            path.name: file_sha256(path) for path in sorted(folder.glob("*.safetensors"))
        },
    }
    write_json(folder / DONE_FILE, record)
    return record


def _trainable_model(
    student: Path, parent: Path | None, recipe: dict[str, Any], dtype: str, attention: str
) -> Any:

    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    use_job_threads()
    full = recipe["method"] == "full"
    # Trained weights stay in float32 (updates vanish in bf16); the frozen ones under an adapter
    # need not.
    base = AutoModelForCausalLM.from_pretrained(
        parent if full and parent else student,
        dtype=torch.float32 if full else getattr(torch, dtype),
        attn_implementation=attention,
        use_safetensors=True,
    )
    if full:
        return base
    if parent:
        return PeftModel.from_pretrained(base, parent, is_trainable=True)
    lora = recipe["lora"]
    return get_peft_model(
        base,
        LoraConfig(
            r=lora["r"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            target_modules=lora["target_modules"],
            task_type="CAUSAL_LM",
        ),
    )


def _progress_callback() -> Any:
    from transformers import TrainerCallback

    class StepProgress(TrainerCallback):
        """Report steps, rate, time left and the loss through the job's log."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.progress = Progress("training", state.max_steps, "steps")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                self.progress.advance(
                    state.global_step - self.progress.done, f"loss {float(logs['loss']):.3f}"
                )

    return StepProgress()


def train_planned(spec_file: Path, folder: Path, engine: dict[str, Any]) -> dict[str, Any]:
    """Train what a stage file describes, unless its model already lies complete in the folder.

    Args:
        spec_file: written with the mixtures: what goes into the model, and where its parts lie.
        folder: where the model goes, named by the digest.
        engine: device settings.

    Returns:
        The model's record.
    """
    if is_trained(folder):
        logging.getLogger("caft").info("%s is complete; nothing to train", folder)
        return read_json(folder / DONE_FILE)
    planned = read_json(spec_file)
    return train_stage(
        tables.read("mixtures", planned["mixture_file"]),
        Path(planned["student_file"]).parent,
        folder,
        planned["spec"]["recipe"],
        planned["spec"]["epochs"],
        planned["spec"]["seed"],
        engine,
        Path(planned["parent_file"]).parent if planned["parent_file"] else None,
        planned["spec"],
    )


def warm_up(
    items: pd.DataFrame,
    student_file: Path,
    folder: Path,
    settings: dict[str, Any],
    variant: dict[str, Any],
    recipe: dict[str, Any],
    engine: dict[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Tune the student on a few bare answers of the training split, for scoring alone.

    Args:
        items: the items table.
        student_file: the student's `student.json`.
        folder: where the adapter goes.
        settings: `items` and `epochs` of the warm-up.
        variant: the prompt variant that will be scored.
        recipe: training settings; the warm-up always trains adapters.
        engine: device settings.
        seed: of the sample and the training.

    Returns:
        The training record with `sample` (item ids) and `digest`.
    """
    student = read_json(student_file)
    tokenizer = load_tokenizer(student_file.parent)
    recipe = {**recipe, "method": "lora"}
    sample = warm_up_sample(items, settings["items"], seed)
    rows, _ = split_over_long(
        count_tokens(warm_up_rows(items, sample, variant, seed), tokenizer),
        min(recipe["max_length"], student["context"]),
        recipe["max_overlong_share"],
        "warm_up",
    )
    spec = stage_spec(None, rows, recipe, settings["epochs"], seed, student["revision"])
    record = train_stage(
        mixture_table(rows),
        student_file.parent,
        folder,
        recipe,
        settings["epochs"],
        seed,
        engine,
        spec=spec,
    )
    return {**record, "sample": sorted(sample), "digest": digest(spec)}
