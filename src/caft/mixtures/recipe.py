"""Section `training`: the recipe. What of it makes another model is part of the model's digest."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import Field

from caft.settings import (
    Amount,
    Count,
    NotNegative,
    Number,
    Positive,
    Section,
    Share,
    Unique,
    Whole,
    key,
    later,
    optional,
)

# Updates of a stage. With fewer than SHORT the one at rate 0 that transformers' warm-ups begin with
# would be more than a twentieth of the training; of fewer than FEW the user is warned.
SHORT, FEW = 20, 10

Tracker = Literal["tensorboard", "trackio", "wandb", "mlflow"]
_PACKAGES = {"tensorboard": ["tensorboard", "tensorboardX"]}  # either of them; else as it is called


class Lora(Section):
    """Settings of the adapters."""

    variant: Literal["lora", "rslora", "dora"] = key(
        "`rslora` scales by alpha / sqrt(r), `dora` learns magnitudes apart from directions.",
        "lora",
    )
    r: Count = key("Rank.", 16)
    alpha: Amount = key("Scale.", 32)
    dropout: Share = key("Dropout.", 0.0)
    target_modules: str | list[str] = key("Which layers.", "all-linear")


class EarlyStopping(Section):
    """When a training ends before its epochs do."""

    patience: Count = key("Epochs without a better validation loss.")


class Recipe(Section):
    """Which model is made; a strategy may override these keys."""

    method: Literal["lora", "full"] = key("Low-rank adapters or all weights.", "lora")
    lora: Lora = key("Settings of the adapters.", Lora())
    learning_rate: Positive = key("Peak learning rate.", 0.001)
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = key(
        "Its schedule; `constant` has no warm-up.", "cosine"
    )
    warmup_share: Number = key("Share of the steps in which it rises.", 0.1, ge=0, lt=1)
    loss: Literal["nll", "dft"] = later(
        "What is minimized over the target tokens: -ln p, or -p ln p with a p that has no gradient "
        "(dynamic fine-tuning, arXiv 2508.05629).",
        "nll",
    )
    weight_decay: NotNegative = key("AdamW weight decay.", 0.0)
    batch_size: Literal["auto"] | Count = key(
        "Rows per step, over all processes (packs of rows with `packing: packed`). `auto` takes "
        "`update_rows` in as few steps as the memory of the GPU allows: the same model, up to the "
        "order in which numbers are added.",
        4,
    )
    gradient_accumulation: Count = key("Steps per update; 1 with `batch_size: auto`.", 1)
    update_rows: Count | None = optional(
        "Rows per update with `batch_size: auto`, which needs it; else they are `batch_size` x "
        "`gradient_accumulation`."
    )
    gradient_checkpointing: Literal["auto"] | bool = key(
        "Less memory for more time; `auto` does without where the memory of the GPU allows it. "
        "Same losses.",
        False,
    )
    packing: Literal["none", "padding_free", "packed"] = key(
        "`padding_free` lays the rows of a step end to end, `packed` fills packs of `max_length` "
        "tokens with whole rows; rows never see each other (checked before training).",
        "none",
    )
    early_stopping: EarlyStopping | None = key(
        "End when the validation loss has not fallen for `patience` epochs, with the weights of "
        "the best epoch.",
        None,
    )
    keep_epochs: bool = key(
        "Keep the weights of every epoch's end under `epochs/<n>/` in the model's folder.", False
    )
    max_length: Whole = key(
        "Longest row in tokens; longer rows are left out and counted.", 1024, ge=8
    )
    max_overlong_share: Share = key(
        "Above this share of over-long rows the run stops. Not part of the model's digest.", 0.05
    )

    @property
    def rows_per_update(self) -> int:
        """Rows (or packs of them) that the weights are changed by at once."""
        if self.batch_size == "auto":
            return self.update_rows or 1
        return self.batch_size * self.gradient_accumulation

    @property
    def batch_problem(self) -> str:
        """What is wrong between the keys of an update's rows, by key of `training`; or nothing."""
        if self.batch_size != "auto":
            return (
                "update_rows: goes with batch_size: auto alone; set it to null, or set that."
                if self.update_rows
                else ""
            )
        if self.update_rows is None:
            return "update_rows: is needed with batch_size: auto."
        if self.gradient_accumulation != 1:
            return (
                "gradient_accumulation: batch_size: auto chooses the steps of an update itself; "
                "leave it out, update_rows says how many rows it has."
            )
        return ""

    def starts_above_zero(self, updates: int) -> bool:
        """Tell whether a stage leaves out the rate of 0 that its warm-up begins with: if short."""
        return self.warmup_share > 0 and self.schedule != "constant" and updates < SHORT

    def unlike(self, other: "Recipe") -> str:
        """Say what keeps a model from going on from one of another recipe; empty if nothing does.

        It is the method, and the keys that shape an adapter. Its dropout is no part of it.
        """
        own, others = self._weights(), other._weights()
        return ", ".join(
            f"{name} is {value} here and {others[name]} there"
            for name, value in own.items()
            if name in others and others[name] != value
        )

    def _weights(self) -> dict[str, object]:
        """Return what of the recipe decides which weights are trained, by key of `training`."""
        if self.method == "full":
            return {"method": "full"}
        modules = self.lora.target_modules
        return {
            "method": "lora",
            "lora.variant": self.lora.variant,
            "lora.r": self.lora.r,
            "lora.alpha": self.lora.alpha,
            "lora.target_modules": modules if isinstance(modules, str) else sorted(set(modules)),
        }

    def of_the_model(self) -> dict[str, Any]:
        """Return what of it makes another model: not the share, which only stops a run."""
        kept = self.plain()
        del kept["max_overlong_share"]
        return kept


class Training(Recipe):
    """The training recipe."""

    checkpoint_minutes: Positive | None = key(
        "Minutes between checkpoints that an interrupted training goes on from, more where writing "
        "one would take above a twentieth of the time; null writes none. Not part of the model's "
        "digest.",
        10,
    )
    checkpoint_folder: str | None = optional(
        "Where checkpoints lie, such as a fast disk of the machine; a training then goes on from "
        "them on that machine alone. In the model's folder if absent. Not part of the model's "
        "digest."
    )
    launcher: Annotated[list[str], Field(min_length=1)] | None = key(
        "Words of a command that starts the training in several processes, such as `accelerate "
        "launch --config_file FILE`; this process if absent. Not part of the model's digest.",
        None,
    )
    report_to: Annotated[list[Tracker], Unique] = key(
        "What else gets the losses as they come: `tensorboard`, `trackio`, `wandb`, `mlflow`, each "
        "of which you install yourself. Not part of the model's digest.",
        [],
    )


def absent(trackers: Iterable[Tracker]) -> str:
    """Say which of these are not installed here, and what to do; empty if all are."""
    missing = [name for name in trackers if not any(map(find_spec, _PACKAGES.get(name, [name])))]
    if not missing:
        return ""
    return (
        f"training.report_to: not installed here: {', '.join(missing)}; install it "
        f"(pip install {' '.join(missing)}), or leave it out."
    )
