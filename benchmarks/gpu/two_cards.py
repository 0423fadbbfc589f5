"""Two processes, data parallel and sharded, against one; on a CPU with gloo."""

import sys
from pathlib import Path
from typing import Any

from machine import Machine, NotHere, rows

EXPECTED: dict[str, Any] = {}
_ROOT = Path(__file__).parents[2]


def check(machine: Machine) -> dict[str, Any]:
    """Train a stage with each launcher; losses agree with those of one process."""
    from stages import changed, plan_stage

    from caft.mixtures.recipe import Recipe
    from caft.training import train_planned

    if not machine.dry:
        import torch

        if torch.cuda.device_count() < 2:
            raise NotHere("one card")
    student = machine.student()
    recipe = changed(Recipe(), learning_rate=1e-2, batch_size=4)
    stage = plan_stage(machine.folder, student, recipe, 1, rows(16, 10))
    one = train_planned(stage, machine.folder / "one", machine.engine())
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    folder = _ROOT / "config/accelerate"
    plain = folder / ("cpu_two_processes.yaml" if machine.dry else "multi_gpu.yaml")
    launchers = {
        "data parallel": [*launch, str(plain)],
        "sharded": [*launch, str(folder / "fsdp.yaml")],
    }
    if machine.dry:
        launchers["sharded"].append(str(_ROOT / "benchmarks/gpu/sharded.py"))
    found: dict[str, Any] = {}
    for name, launcher in launchers.items():
        with machine.measured() as taken:
            two = train_planned(stage, machine.folder / name, machine.engine(), launcher, 1e-9)
        pairs = zip(one["history"], two["history"], strict=True)
        apart = max(abs(mine["loss"] - theirs["loss"]) for mine, theirs in pairs)
        assert apart < (1e-4 if machine.dry else 2e-2), (name, apart)
        about = {"processes": two["processes"], "sharded": two["sharded"]}
        found[name] = {**about, "off by": f"{apart:.1e}", **taken}
    return found
