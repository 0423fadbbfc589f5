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
    weight_decay: NotNegative = key("AdamW weight decay.", 0.0)
    batch_size: Count = key(
        "Rows per step, over all processes (packs of rows with `packing: packed`).", 4
    )
    gradient_accumulation: Count = key("Steps per update.", 1)
    gradient_checkpointing: bool = key("Less memory for more time.", False)
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
        return self.batch_size * self.gradient_accumulation

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
        "Minutes between checkpoints that an interrupted training goes on from; null writes none. "
        "Not part of the model's digest.",
        10,
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
