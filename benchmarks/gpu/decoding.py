"""Greedy decoding of 64 rows: tokens a second and memory, at 1,500 and at 5,000 new tokens."""

from typing import Any

from machine import Machine

EXPECTED: dict[str, Any] = {
    "1,200 items x <= 1,500 tokens": "13-21 min before refilling; vLLM 1.5-5 min",
    "cache of 64 x 5,250": "12 GB",
}


def check(machine: Machine) -> dict[str, Any]:
    """Let a student with random weights write to the limit; it never ends by itself on purpose."""
    from caft.students.folders import load_chat, load_model
    from caft.students.generation import Decoding, generate

    folder = machine.student()
    chat = load_chat(folder)
    model = load_model(folder, machine.dtype, machine.device)
    prompts = [[{"role": "user", "content": f"What is {row} ?"}] for row in range(64)]
    found: dict[str, Any] = {}
    for limit in (machine.size(1500, 16), machine.size(5000, 32)):
        decoding = Decoding(limit, batch_size=64)
        with machine.measured() as taken:
            batches = list(generate(model, chat, prompts, decoding))
        tokens = sum(answer.new_tokens for batch in batches for answer in batch)
        found[f"64 x {limit}"] = {"tokens_s": round(tokens / taken["s"]), **taken}
    return found
