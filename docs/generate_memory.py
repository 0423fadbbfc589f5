"""Write the table of memory in docs/training.md: what a training takes on a card, by arithmetic.

    python docs/generate_memory.py

A test compares the page with what this makes.
"""

from pathlib import Path

from caft.mixtures.recipe import Lora, Recipe
from caft.training.memory import Shape, training_memory

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/training.md"
BEGIN, END = "<!-- memory: made by `make docs` -->\n", "<!-- end of memory -->"
# Layers, hidden, queries, keys, inner, vocabulary, tied: of the makers' config.json.
MODELS = {
    "SmolLM2-135M": Shape(30, 576, 576, 192, 1536, 49152, True),
    "Qwen2.5-3B": Shape(36, 2048, 2048, 256, 11008, 151936, True),
    "Llama-3.2-3B": Shape(28, 3072, 3072, 1024, 8192, 128256, True),
    "Phi-4-mini": Shape(32, 3072, 3072, 1024, 8192, 200064, True),
    "Llama-3.1-8B": Shape(32, 4096, 4096, 1024, 14336, 128256, False),
}
RECIPES = {"lora, r 64": Recipe(lora=Lora(r=64, alpha=128)), "full": Recipe(method="full")}
STEPS = [(4, 256), (32, 256), (2, 2048), (4, 6000)]


def table() -> str:
    """Return a row per model and method: gigabytes without and with checkpointing."""
    lines = [
        "| model | method | " + " | ".join(f"{rows} × {length}" for rows, length in STEPS) + " |",
        "|---|---|" + "---|" * len(STEPS),
    ]
    for name, shape in MODELS.items():
        for method, recipe in RECIPES.items():
            pairs = [
                [training_memory(shape, recipe, again).of(rows * length) for again in (False, True)]
                for rows, length in STEPS
            ]
            cells = [f"{once / 1e9:.1f} / {again / 1e9:.1f}" for once, again in pairs]
            lines.append(f"| {name} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the page with its table made anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    return f"{before}\n{table()}\n{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
