"""What gets the losses of a training beside its own folder, as they come."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caft import layout
from caft.mixtures.recipe import Tracker

_PROJECT = "caft"


@dataclass(frozen=True)
class Reports:
    """What the user watches trainings with; it changes nothing about the model.

    Attributes:
        name: of the training there.
        trackers: as `training.report_to` names them.
    """

    name: str
    trackers: list[Tracker]

    def enter(self, settings: Any) -> None:
        """Tell a Trainer's settings, and the environment that its integrations read.

        Where a project, server or folder stands in a variable of theirs already, it is the user's.
        """
        settings.report_to, settings.run_name = list(self.trackers), self.name
        settings.project = _PROJECT
        if "tensorboard" in self.trackers:
            folder = os.environ.get("TENSORBOARD_LOGGING_DIR", layout.TENSORBOARD)
            os.environ["TENSORBOARD_LOGGING_DIR"] = str(Path(folder, self.name))
        for variable in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
            os.environ.setdefault(variable, _PROJECT)
