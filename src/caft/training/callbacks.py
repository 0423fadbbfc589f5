"""What happens beside the updates: progress, checkpoints by the clock, epochs kept, early end."""

import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from caft.errors import TrainingError
from caft.mixtures.recipe import FEW
from caft.running.jobs import Progress
from caft.training.records import history_of, validation_losses
from caft.training.rows import check_isolation


class StepProgress(TrainerCallback):
    """Report steps, rate, time left and the losses; stop when a loss is not a number."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """Start counting, behind the checkpoint if there is one; tell of updates and rates."""
        self.before = state.global_step
        if state.is_world_process_zero:
            self._tell_rates(state.max_steps, named["lr_scheduler"])
        what = f"training on from step {self.before}" if self.before else "training"
        self.progress = Progress(what, state.max_steps - self.before, "steps")

    def _tell_rates(self, updates: int, scheduler: Any) -> None:
        peak, share = scheduler.base_lrs[0], scheduler.lr_lambdas[0]
        rates = [peak * share(update) for update in range(updates)]
        logging.getLogger("caft").log(
            logging.WARNING if updates < FEW else logging.INFO,
            "updates: %d; learning rates: %.3g at first, %.3g at most, %.3g at last",
            *(updates, rates[0], max(rates), rates[-1]),
        )

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Count the step, or tell the validation loss."""
        logs = logs or {}
        name = "loss" if "loss" in logs else "eval_loss"
        if not math.isfinite(logs.get(name, 0.0)):
            raise TrainingError(
                f"step {state.global_step}: the loss became infinite or NaN; lower "
                "training.learning_rate."
            )
        if name in logs and state.is_world_process_zero:
            if name == "loss":
                done = state.global_step - self.before - self.progress.done
                self.progress.advance(done, f"loss {float(logs['loss']):.3f}")
            else:
                logging.getLogger("caft").info(
                    "epoch %g: validation loss %.4f", state.epoch, logs[name]
                )


class CheckIsolation(TrainerCallback):
    """See before the first update that packed rows do not see each other.

    The model then lies on its device, under the precision and the sharding that it trains with.
    """

    def __init__(self, rows: list[dict[str, list[int]]]):
        self.rows = rows

    def on_train_begin(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """Check the model as the Trainer has prepared it."""
        check_isolation(named["model"], self.rows)


class LiveLosses(TrainerCallback):
    """Write each entry of the history as it comes, a line of JSON each, to be watched."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin with what a checkpoint knows."""
        if state.is_world_process_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("", encoding="utf-8")
            self._append(state.log_history)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Append the newest entry."""
        if state.is_world_process_zero:
            self._append(state.log_history[-1:])

    def _append(self, log: list[dict[str, Any]]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in history_of(log))


_SHARE = 0.05  # of the time, that checkpoints take at most
_AT_ONCE = 0.01  # minutes: who asks for less wants one after every update, whatever that costs


def wait_between(minutes: float, cost: float) -> float:
    """Return the seconds between the end of a checkpoint and the next one.

    Args:
        minutes: that are configured.
        cost: seconds that the last one took; 0 before the first.
    """
    if minutes < _AT_ONCE:
        return 60 * minutes
    return max(60 * minutes, cost * (1 - _SHARE) / _SHARE)


class SaveByTheClock(TrainerCallback):
    """Ask for a checkpoint once some minutes have passed, more where writing one takes long."""

    def __init__(self, minutes: float, cost: Callable[[], float]):
        """Set the clock.

        Args:
            minutes: least between two checkpoints.
            cost: returns the seconds that the last one took; 0 before the first.
        """
        self.minutes, self.cost = minutes, cost

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self.last, self.due = time.monotonic(), False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save within an epoch; its end waits for `on_epoch_end`."""
        late = time.monotonic() - self.last >= wait_between(self.minutes, self.cost())
        # One process decides: a checkpoint is written by all of them together.
        self.due = self.due or broadcast_object_list([late])[0]
        # A checkpoint of an epoch's last step would lack its validation and its kept weights.
        control.should_save = self.due and not float(state.epoch).is_integer()
        self._not_at_the_end(state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save after the validation, which follows this call."""
        control.should_save = self.due
        self._not_at_the_end(state, control)

    def _not_at_the_end(self, state: Any, control: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_save = False

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock again."""
        self.last, self.due = time.monotonic(), False


class KeepEpochs(TrainerCallback):
    """Keep the weights at each epoch's end."""

    def __init__(self, keep: Callable[[int, int], None]):
        self.keep = keep

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Hand epoch (from 1; a last part of an epoch counts as one) and step over."""
        self.keep(math.ceil(state.epoch - 1e-6), state.global_step)


class StopEarly(TrainerCallback):
    """End the training once the validation loss has not fallen for so many epochs."""

    def __init__(self, patience: int):
        self.patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look back over all epochs, those before an interruption too."""
        losses = validation_losses(state.log_history)
        if len(losses) - 1 - losses.index(min(losses)) >= self.patience:
            control.should_training_stop = True
            # A run resumed from here would train on.
            control.should_save = False
