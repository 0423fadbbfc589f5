"""Entropies in float32 and bfloat16 against the CPU's in float32, and the time of scoring."""

from typing import Any

from machine import Machine, letters, questions

EXPECTED: dict[str, Any] = {"12,032 MMLU-Pro prompts": "80-110 s"}


def check(machine: Machine) -> dict[str, Any]:
    """Score the same items in three ways; float32 is exact to 1e-3, bfloat16 to 0.2 nats."""
    small = {"hidden_size": 512, "num_hidden_layers": 8, "intermediate_size": 1024}
    folder = machine.student("small", **({} if machine.dry else small))
    items = questions(machine.size(512, 8))
    slow = _entropies(folder, items, "float32", "cpu")
    found: dict[str, Any] = {}
    for dtype, limit in (("float32", 1e-3), ("bfloat16", 0.2)):
        difference = float((_entropies(folder, items, dtype, machine.device) - slow).abs().max())
        assert difference < limit, (dtype, difference)
        found[f"{dtype} off by"] = f"{difference:.1e}"
    large, many = machine.student("large"), questions(machine.size(2048, 8), words=100)
    with machine.measured() as taken:
        _entropies(large, many, machine.dtype, machine.device)
    return {**found, "prompts": len(many), **taken}


def _entropies(folder: Any, items: Any, dtype: str, device: str) -> Any:
    import pandas as pd

    from caft.complexity.forward import score_items
    from caft.prompting.asked import Asked
    from caft.students.folders import load_chat, load_model
    from caft.students.opened import Loaded

    prompts = Asked(items, letters(), 1).prompts("direct")
    made = score_items(prompts, Loaded(load_model(folder, dtype, device), load_chat(folder), 8192))
    return pd.DataFrame(made).set_index("item_id")["single_token_entropy"].sort_index()
