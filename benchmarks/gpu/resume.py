"""Full tuning: time and size of a checkpoint; a killed training goes on as if it never was."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import Machine, rows

EXPECTED: dict[str, Any] = {
    "2,700 rows x 10 epochs, 2 x 8": "0.5-0.7 h",
    "checkpoint": "37 GB",
    "peak": "59 GB",
}
_TRAIN = """
import sys
from pathlib import Path
from caft.running.settings import Engine
from caft.training import train_planned
engine = Engine(device=sys.argv[3], dtype=sys.argv[4])
train_planned(Path(sys.argv[1]), Path(sys.argv[2]), engine, None, 1e-9)
"""


def check(machine: Machine) -> dict[str, Any]:
    """Train whole, and again with a kill behind the second checkpoint."""
    from stages import changed, plan_stage

    from caft.mixtures.recipe import Recipe
    from caft.training import train_planned

    small = {"hidden_size": 1024, "num_hidden_layers": 12, "intermediate_size": 4096}
    student = machine.student(**({} if machine.dry else small))
    recipe = changed(Recipe(), method="full", learning_rate=1e-5, batch_size=2)
    stage = plan_stage(machine.folder, student, recipe, 1, rows(12, machine.size(200, 3)))
    with machine.measured() as taken:
        whole = train_planned(stage, machine.folder / "whole", machine.engine())
    killed = machine.folder / "killed"
    size = _kill(machine, stage, killed)
    record = train_planned(stage, killed, machine.engine())
    pairs = zip(record["history"], whole["history"], strict=True)
    apart = max(abs(one["loss"] - other["loss"]) for one, other in pairs)
    assert apart < (1e-6 if machine.dry else 1e-3), apart
    same = record["weights_sha256"] == whole["weights_sha256"]
    return {"off by": apart, "same weights": same, "checkpoint_gb": size, **taken}


def _kill(machine: Machine, stage: Path, folder: Path) -> float:
    """Train in a process of its own, kill it behind its second checkpoint; return GB of one."""
    words = [str(stage), str(folder), machine.device, machine.dtype]
    process = subprocess.Popen([sys.executable, "-c", _TRAIN, *words])
    while not (folder / "trainer/checkpoint-2/complete.json").is_file():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.001)
    files = [path for path in (folder / "trainer/checkpoint-2").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e9
    process.kill()
    assert process.wait() == -signal.SIGKILL
    return round(size, 3)
