"""TRL's SFTTrainer with an order of rows that resumes and scales, and an exact validation loss."""

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTTrainer

from caft.mixtures.recipe import Recipe
from caft.running.meter import Meter
from caft.tables.files import read_json, share_weights, write_json
from caft.training.checkpoints import MARK, complete, fits, make_room
from caft.training.steps import count_parts, lengths_of, parts_of


class RowOrder(Sampler[int]):
    """Rows of similar length side by side, drawn anew for every epoch from torch's generator.

    The order is the same for any number of processes, and a resumed epoch goes on in its own.
    """

    def __init__(self, lengths: list[int], together: int, whole: int):
        """Set what is drawn from.

        Args:
            lengths: of the rows, tokens; the row behind them is the one without loss.
            together: rows per update.
            whole: each epoch is filled up with rows without loss to a multiple of this, so that
                all processes get equally many batches; 1 for a single process.
        """
        self.lengths, self.together, self.whole = lengths, together, whole
        self.order: list[int] = []
        self.resumed: list[int] | None = None

    def __len__(self) -> int:
        return len(self.lengths) + self._missing

    @property
    def _missing(self) -> int:
        return -len(self.lengths) % self.whole

    def __iter__(self) -> Iterator[int]:
        drawn = self.resumed or get_length_grouped_indices(self.lengths, self.together)
        self.resumed = None
        self.order = broadcast_object_list([drawn])[0]
        return iter(self.order + [len(self.lengths)] * self._missing)


class StageTrainer(SFTTrainer):
    """The trainer of one stage, or of what is left of it after an interruption."""

    def __init__(
        self,
        *arguments: Any,
        recipe: Recipe,
        order: RowOrder,
        identity: str,
        meter: Meter,
        **named: Any,
    ):
        """Take what SFTTrainer takes, and more.

        Args:
            arguments: for SFTTrainer.
            recipe: training settings of the config.
            order: of the rows.
            identity: digest of everything the training depends on.
            meter: counts since the job began; what earlier parts took is added from a checkpoint.
            named: for SFTTrainer.
        """
        self.recipe, self.order, self.identity, self.meter = recipe, order, identity, meter
        # A step is computed in parts of at most so many; None for all at once.
        self.tokens_at_once: int | None = None
        # Whole weights are written in this precision; None as they are trained.
        self.kept_as: str | None = None
        self.checkpoint_seconds = 0.0  # that the last one took
        super().__init__(*arguments, **named)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return the schedule of the recipe; a short stage does without its first rate if it is 0.

        The first update of a warm-up changes nothing, which is much of a short stage. So its rates
        are those of a stage with one more update, from the second one on.
        """
        if not self.recipe.starts_above_zero(num_training_steps):
            return super().create_scheduler(num_training_steps, optimizer)
        scheduler: Any = super().create_scheduler(num_training_steps + 1, optimizer)
        rate = scheduler.lr_lambdas[0]  # all groups of weights have the same
        self.lr_scheduler = LambdaLR(scheduler.optimizer, lambda update: rate(update + 1))
        return self.lr_scheduler

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Compute a step in parts that fit; the sums of their losses and gradients are the step's.

        The loss of each is divided by the target tokens of the whole update already.
        """
        loss, parts = 0.0, self._parts(inputs)
        for number, part in enumerate(parts, start=1):
            # Shards are summed at once: what waits for the last part would be whole gradients.
            waits = number < len(parts) and not self.is_fsdp_enabled
            with self.accelerator.no_sync(model) if waits else nullcontext():
                loss += super().training_step(model, part, num_items_in_batch)
        return loss

    def _parts(self, inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Cut a step into as many parts as the process needs that needs most of them."""
        if self.tokens_at_once is None:
            return [inputs]
        lengths = lengths_of(inputs)
        count = count_parts(lengths, self.tokens_at_once, "attention_mask" in inputs)
        if self.accelerator.num_processes > 1:
            wanted = torch.tensor([count], device=self.args.device)
            count = int(self.accelerator.gather(wanted).max())
        return parts_of(inputs, lengths, count)

    def _get_train_sampler(self, *_: Any) -> Any:
        return self.order

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        count = len(eval_dataset) - 1
        return [*range(count), *[count] * (-count % self.order.whole)]

    def go_on_from(self, checkpoint: Path) -> None:
        """Take up the order and the clock of a complete checkpoint."""
        mark = read_json(checkpoint / MARK)
        self.order.resumed, self.meter.before = mark["order"], mark["amounts"]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        started = time.monotonic()
        work = Path(str(self.args.output_dir))
        has_room = self.is_world_process_zero() and self._make_room(work)
        if not broadcast_object_list([has_room])[0]:
            return
        # Past SFTTrainer's own, which writes a model card beside the checkpoint.
        super(SFTTrainer, self)._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            # Between two epochs the next order is still to be drawn.
            within = not float(self.state.epoch).is_integer()
            complete(
                work / f"checkpoint-{self.state.global_step}",
                self.identity,
                order=self.order.order if within else None,
                amounts=self.meter.amounts,
            )
        self.checkpoint_seconds = time.monotonic() - started

    def _make_room(self, work: Path) -> bool:
        """Remove older checkpoints; tell whether the disk then has room for the next."""
        make_room(work, self.identity)
        model = self.accelerator.unwrap_model(self.model)
        weights = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        return fits(work, 3 * 4 * weights)  # in float32, with two numbers of AdamW for each

    def save_weights(self, folder: Path) -> None:
        """Write adapters or whole weights as safetensors; all processes call it, one writes."""
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        state = self.accelerator.get_state_dict(self.model_wrapped) if sharded else None
        if self.is_world_process_zero():
            model = self.accelerator.unwrap_model(self.model)
            if state:
                state = _without_tied(state, model.all_tied_weights_keys)
            if self.kept_as:
                # What answers questions in bfloat16 needs half of what float32 takes.
                state = _converted(state or model.state_dict(), getattr(torch, self.kept_as))
            model.save_pretrained(folder, state_dict=state, safe_serialization=True)
            if self.kept_as:
                config = folder / "config.json"
                write_json(config, {**read_json(config), "dtype": self.kept_as})
            share_weights(folder)

    def evaluate(self, eval_dataset: Any = None, *_: Any, **__: Any) -> dict[str, float]:
        """Return the mean of -ln p over all target tokens of the validation rows, in nats.

        The Trainer's own is a mean of batches, which depends on how they are cut. It is the same
        loss whatever the training minimizes, so that stages can be compared.
        """
        settings: Any = self.args
        minimized, settings.loss_type = settings.loss_type, "nll"
        model: Any = self.model
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        # A data loader draws from torch's generator: the training's next order must not shift.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            for batch in self.get_eval_dataloader(eval_dataset):
                for inputs in self._parts(self._prepare_inputs(batch)):
                    tokens = (inputs["labels"] != -100).sum()
                    loss = self.compute_loss(model, inputs)
                    sums += torch.stack([loss.double() * tokens, tokens])
        settings.loss_type = minimized
        total, count = self.accelerator.reduce(sums, "sum").tolist()
        metrics = {"eval_loss": total / count}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


def _without_tied(
    weights: Mapping[str, torch.Tensor], tied: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Leave out weights that are others under a second name, as `save_pretrained` does.

    It knows them by their memory, and shards are gathered into memory of its own for each name.

    Args:
        weights: by their names.
        tied: second names, each with the first one (`all_tied_weights_keys` of the model).
    """
    return {name: one for name, one in weights.items() if tied.get(name) not in weights}


def _converted(weights: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Convert weights; those that were one tensor under two names (tied) stay one."""
    made: dict[int, torch.Tensor] = {}
    for weight in weights.values():
        if weight.data_ptr() not in made:
            made[weight.data_ptr()] = weight.to(dtype) if weight.is_floating_point() else weight
    return {name: made[weight.data_ptr()] for name, weight in weights.items()}
