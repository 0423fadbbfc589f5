"""Two processes, data parallel and sharded, against one; on a CPU with gloo."""

import sys
from pathlib import Path
from typing import Any

from machine import Machine, NotHere, rows

EXPECTED: dict[str, Any] = {}
_ROOT = Path(__file__).parents[2]


def check(machine: Machine) -> dict[str, Any]:
    """Train stages with each launcher; losses and weights agree with those of one process."""
    from stages import changed, plan_stage

    from caft.mixtures.recipe import Recipe
    from caft.running import devices
    from caft.training import train_planned

    if not machine.dry:
        if len(devices.visible() or {}) < 2:
            raise NotHere("one card")
        devices.take(2)  # else this process would take one, and the others see that one alone
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    folder = _ROOT / "config/accelerate"
    plain = folder / ("cpu_two_processes.yaml" if machine.dry else "multi_gpu.yaml")
    shards = [*launch, str(folder / "fsdp.yaml")]
    if machine.dry:
        shards.append(str(_ROOT / "benchmarks/gpu/sharded.py"))
    # All weights of a smaller student: they are held in float32, with two numbers of AdamW each.
    small = {"hidden_size": 1024, "num_hidden_layers": 12, "intermediate_size": 4096}
    shape = {"lora": {}, "full": {} if machine.dry else small}
    started = {
        "data parallel": ("lora", [*launch, str(plain)]),
        "sharded": ("lora", shards),
        "sharded, all weights": ("full", shards),
    }
    stages, alone = {}, {}
    for method, given in shape.items():
        recipe = changed(Recipe(), method=method, learning_rate=1e-3, batch_size=4)
        own = machine.folder / method
        own.mkdir()
        student = machine.student(f"{method}/student", **given)
        stages[method] = plan_stage(own, student, recipe, 1, rows(16, 10))
        alone[method] = train_planned(stages[method], own / "one", machine.engine())
    found: dict[str, Any] = {}
    for name, (method, launcher) in started.items():
        model, one = machine.folder / name, alone[method]
        with machine.measured() as taken:
            two = train_planned(stages[method], model, machine.engine(), launcher, 1e-9)
        pairs = zip(one["history"], two["history"], strict=True)
        apart = max(abs(mine["loss"] - theirs["loss"]) for mine, theirs in pairs)
        assert apart < (1e-4 if machine.dry else 2e-2), (name, apart)
        assert _weights(model) == _weights(machine.folder / method / "one"), name
        about = {"processes": two["processes"], "sharded": two["sharded"]}
        found[name] = {**about, "off by": f"{apart:.1e}", **taken}
    return found


def _weights(folder: Path) -> list[str]:
    """Return the names of a model's weights: what is tied is saved once."""
    from safetensors import safe_open

    (file,) = folder.glob("*.safetensors")
    with safe_open(file, "pt") as weights:
        return sorted(weights.keys())
