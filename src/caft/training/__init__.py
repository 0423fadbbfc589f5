"""Training: TRL's SFTTrainer on one stage's mixture, completion-only loss, adapters or all weights.

docs/training.md tells what the options do; nothing here imports torch before it trains.
"""

from caft.training.launch import train_planned
from caft.training.records import DONE_FILE, is_trained
from caft.training.rows import encode_mixture
from caft.training.stage import StageJob, train_stage
from caft.training.warming import warm_up

__all__ = [
    "DONE_FILE",
    "StageJob",
    "encode_mixture",
    "is_trained",
    "train_planned",
    "train_stage",
    "warm_up",
]
