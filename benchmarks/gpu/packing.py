"""Rows laid end to end: none sees another, with sdpa and with flash attention."""

from importlib.util import find_spec
from typing import Any

from machine import Machine, rows

EXPECTED: dict[str, Any] = {}


def check(machine: Machine) -> dict[str, Any]:
    """Train packed and padded; where rows see each other a training ends before an update."""
    from caft.mixtures.recipe import Recipe
    from caft.training import StageJob, train_stage

    folder = machine.student()
    found: dict[str, Any] = {}
    losses: dict[str, list[float]] = {}
    ways = {"padded": ("none", "sdpa"), "sdpa": ("padding_free", "sdpa")}
    if not machine.dry and (find_spec("flash_attn") or find_spec("kernels")):
        ways["flash"] = ("padding_free", "flash_attention_2")
    for name, (packing, attention) in ways.items():
        recipe = Recipe(packing=packing, batch_size=8, learning_rate=1e-4)
        job = StageJob(rows(machine.size(64, 16), machine.size(100, 3)), folder, recipe, 1, 1)
        with machine.measured() as taken:
            record = train_stage(job, machine.folder / name, machine.engine(attention=attention))
        losses[name] = [entry["loss"] for entry in record["history"]]
        found[name] = taken
    limit = 1e-4 if machine.dry else 2e-2
    for name, own in losses.items():
        apart = max(abs(one - other) for one, other in zip(own, losses["padded"], strict=True))
        assert apart < limit, (name, apart)
    return found if "flash" in ways else {**found, "flash": "not installed"}
