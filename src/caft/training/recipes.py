"""From the recipe in the config to a model that can be trained and the Trainer's settings."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from caft.errors import TrainingError
from caft.mixtures.recipe import Lora, Recipe
from caft.students import ropes
from caft.students.architecture import implementation
from caft.students.checks import ADAPTER_FILE, check_adapter
from caft.students.folders import use_job_threads
from caft.tables.files import read_json


def processes() -> int:
    """Return how many processes train together, as the launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_sharded() -> bool:
    """Tell whether the launcher asks for FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def _is_given_weights() -> bool:
    """Tell whether accelerate hands this process its shards of what the first process has read."""
    one_reads = os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "").lower() == "true"
    return is_sharded() and one_reads and os.environ.get("RANK", "0") != "0"


def split_batch(recipe: Recipe, count: int) -> tuple[int, int]:
    """Share an update's rows out, so that it has equally many with any number of processes.

    Args:
        recipe: `batch_size` x `gradient_accumulation` rows make an update, or `update_rows` of
            `batch_size: auto`, which are cut into parts later.
        count: of processes.

    Returns:
        Rows per step and process, at most its share of `batch_size`, and steps per update.

    Raises:
        TrainingError: if the rows of an update cannot be shared out evenly.
    """
    share, rest = divmod(recipe.rows_per_update, count)
    if rest:
        raise TrainingError(
            "training.batch_size x training.gradient_accumulation (or training.update_rows) = "
            f"{recipe.rows_per_update} rows per update cannot be shared by {count} processes; "
            f"make it a multiple of {count}, or change the number of processes in "
            "training.launcher."
        )
    if recipe.batch_size == "auto":
        return share, 1
    rows = next(rows for rows in range(-(-recipe.batch_size // count), 0, -1) if share % rows == 0)
    return rows, share // rows


def trainer_settings(
    recipe: Recipe,
    epochs: float,
    seed: int,
    device: str,
    dtype: str,
    folder: Path,
    checkpointing: bool,
) -> Any:
    """Return the SFTConfig of a stage; its first use joins the processes of the launcher.

    Args:
        recipe: training settings of the config.
        epochs: passes over the mixture.
        seed: of row order and dropout.
        device: cpu or cuda.
        dtype: precision that the model computes in.
        folder: for checkpoints.
        checkpointing: whether activations are computed again instead of kept.
    """
    from trl import SFTConfig

    rows, steps = split_batch(recipe, processes())
    settings = SFTConfig(
        output_dir=str(folder),
        use_cpu=device == "cpu",
        ddp_backend="gloo" if device == "cpu" and processes() > 1 else None,
        ddp_find_unused_parameters=False,
        bf16=device != "cpu" and dtype == "bfloat16",
        report_to=[],
        save_strategy="no",  # SaveByTheClock asks for checkpoints
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a NaN is to be seen
        disable_tqdm=True,
        seed=seed,
        num_train_epochs=epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_share,
        loss_type=recipe.loss,
        weight_decay=recipe.weight_decay,
        per_device_train_batch_size=rows,
        per_device_eval_batch_size=rows,
        gradient_accumulation_steps=steps,
        gradient_checkpointing=checkpointing,
        padding_free=recipe.packing != "none",
        max_length=None,  # over-long rows were counted and left out before; nothing is cut here
    )
    # One process trains on one GPU: DataParallel over all it sees would multiply the batch.
    settings._n_gpu = min(settings.n_gpu, 1)
    return settings


def trainable_model(
    student: Path, parent: Path | None, recipe: Recipe, dtype: str, attention: str
) -> Any:
    """Load what is trained: all weights, or the student under new or earlier adapters.

    Args:
        student: folder of the untuned student.
        parent: model folder to go on from, made with the same method and shape of adapters.
        recipe: training settings of the config.
        dtype: precision of frozen weights.
        attention: as `engine.attention` names it; `sdpa` is eager where a family has no sdpa.

    Raises:
        TrainingError: if the parent has other weights than the recipe trains.
    """
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    use_job_threads()
    full = recipe.method == "full"
    if parent:
        _check_method(parent, recipe)
    folder = parent if full and parent else student
    if _is_given_weights():
        base = _without_weights(folder, attention)
    else:
        # Trained weights stay in float32 (updates vanish in bf16); the frozen ones under an adapter
        # need not, unless shards want one precision.
        base = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32 if full or is_sharded() else getattr(torch, dtype),
            attn_implementation=implementation(attention),
            use_safetensors=True,
            trust_remote_code=False,
        )
    ropes.separate(base)  # rows of a batch or a pack do not change each other's positions
    if full:
        return base
    # The adapters are the recipe's, so that its dropout counts; a parent gives their weights.
    model = get_peft_model(base, _adapters(recipe.lora))
    if parent:
        _take_adapters(model, parent, recipe)
    return model


def _without_weights(folder: Path, attention: str) -> Any:
    """Build a model whose weights nobody has written; its buffers are computed, none is read.

    transformers 5.23 reads all weights in every process, whatever accelerate's
    `fsdp_cpu_ram_efficient_loading` says. Memory that nobody writes takes no room, but each weight
    has an address: accelerate 1.15 finds an optimizer's weights by it, and on the device `meta` all
    have the same, so that this process would train the last of them alone.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with init_empty_weights(include_buffers=False):
        model: Any = AutoModelForCausalLM.from_config(
            config,
            dtype=torch.float32,
            attn_implementation=implementation(attention),
            trust_remote_code=False,
        )
    model._apply(lambda one: torch.empty_like(one, device="cpu") if one.is_meta else one)
    model.tie_weights()
    return model


def _check_method(parent: Path, recipe: Recipe) -> None:
    method = "lora" if (parent / ADAPTER_FILE).is_file() else "full"
    _refuse(parent, recipe.unlike(recipe.model_copy(update={"method": method})))


def _refuse(parent: Path, unlike: str) -> None:
    if unlike:
        raise TrainingError(
            f"{parent}: this stage cannot go on from that model: training.{unlike}; train both "
            "with the same keys."
        )


def _take_adapters(model: Any, parent: Path, recipe: Recipe) -> None:
    """Copy the weights of a parent's adapters into new ones of the same shape."""
    from peft import get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict

    check_adapter(parent)
    weights = load_peft_weights(str(parent), device="cpu")
    own, theirs = map(_adapted, (get_peft_model_state_dict(model), weights))
    # Modules are compared by the weights: `all-linear` and its modules one by one are the same.
    modules = recipe.lora.target_modules
    if own != theirs:
        modules = f"{len(theirs)} modules ({theirs[0]}, ...)"
    saved = read_json(parent / ADAPTER_FILE)
    shape = Lora(
        variant="dora" if saved["use_dora"] else "rslora" if saved["use_rslora"] else "lora",
        r=saved["r"],
        alpha=saved["lora_alpha"],
        target_modules=modules,
    )
    _refuse(parent, recipe.unlike(recipe.model_copy(update={"lora": shape})))
    set_peft_model_state_dict(model, weights)


def _adapted(weights: Iterable[str]) -> list[str]:
    """Return the modules that adapters sit on, from the names of their weights."""
    names = (name.partition(".lora_") for name in weights)
    return sorted({module.removeprefix("base_model.model.") for module, found, _ in names if found})


def _adapters(lora: Lora) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # it may be a fraction
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        use_rslora=lora.variant == "rslora",
        use_dora=lora.variant == "dora",
        task_type="CAUSAL_LM",
    )
