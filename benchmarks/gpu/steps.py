"""LoRA on short answers: 256 rows an update in steps of 4, of 32, and of what fits the card."""

from typing import Any

from machine import Machine, rows

EXPECTED: dict[str, Any] = {
    "10.8k rows x 20 epochs, 4 x 64": "2-3 h",
    "10.8k rows x 20 epochs, 32 x 8": "0.6 h",
    "memory": "below 25 GB",
}


def check(machine: Machine) -> dict[str, Any]:
    """Train the same update in three ways: losses agree, seconds differ."""
    from caft.mixtures.recipe import Lora, Recipe
    from caft.training import StageJob, train_stage

    folder = machine.student()
    update = machine.size(256, 16)
    mixture = rows(machine.size(1024, 32), machine.size(60, 3))
    common = {"lora": Lora(r=machine.size(64, 4), alpha=128), "learning_rate": 1e-4}
    ways = {
        "4": {"batch_size": 4, "gradient_accumulation": update // 4},
        "32": {"batch_size": update // 8, "gradient_accumulation": 8},
        "auto": {"batch_size": "auto", "update_rows": update, "gradient_checkpointing": "auto"},
    }
    found: dict[str, Any] = {}
    losses = {}
    for name, way in ways.items():
        job = StageJob(mixture, folder, Recipe.model_validate({**common, **way}), 1, 1)
        with machine.measured() as taken:
            record = train_stage(job, machine.folder / name, machine.engine())
        losses[name] = [entry["loss"] for entry in record["history"]]
        found[name] = {"tokens_s": round(record["all_tokens"] / record["seconds"]), **taken}
    limit = 1e-4 if machine.dry else 2e-2
    for name, own in losses.items():
        apart = max(abs(one - other) for one, other in zip(own, losses["4"], strict=True))
        assert apart < limit, (name, apart)
        found[name]["off by"] = f"{apart:.1e}"
    return found
