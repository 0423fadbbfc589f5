"""Write the table of families in docs/students.md: what is found in the templates that TRL ships.

    python docs/generate_students.py

A test compares the page with what this makes.
"""

import sys
from pathlib import Path

from caft.prompting.chat import Chat

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/students.md"
BEGIN, END = "<!-- families: made by `make docs` -->\n", "<!-- end of families -->"


def table() -> str:
    """Return a row for each base template of the installed TRL."""
    sys.path.insert(0, str(ROOT / "tests"))
    from shipped_templates import shipped, tokenizer_of

    lines = [
        "| template | an answer follows | ends with | a thought | closed by | `cot` | found |",
        "|---|---|---|---|---|---|---|",
    ]
    turn = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    for name in shipped():
        chat = Chat(tokenizer_of(name))
        shape = chat.shape
        prompt = chat.tokenizer.decode(chat.prompt(turn, "direct"))
        behind = prompt[prompt.rindex("Q") + 1 :] + shape.forms["direct"].glue
        thought = shape.thought if "thought" in shape.forms else None
        cells = [
            _code(behind),
            _code(shape.end),
            _code(shape.forms["thought"].block or thought.marks[0]) if thought else "-",
            _code(thought.closes) if thought else "-",
            "thinks" if shape.thinks else "text",
            ", ".join(_found(chat)) or "-",
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _found(chat: Chat) -> list[str]:
    shape = chat.shape
    notes = [f"`{key}: {str(on).lower()}`" for key, on in shape.forms["direct"].variables.items()]
    notes += ["no system role"] if shape.folds_system else []
    notes += ["content in parts"] if shape.in_parts else []
    notes += ["reads the date"] if shape.today else []
    return notes + ([f"{_code(shape.left_out)} left out"] if shape.left_out else [])


def _code(text: str) -> str:
    return "`` " + text.replace("\n", "\\n").replace("|", "\\|") + " ``"


def page() -> str:
    """Return the page with its table made anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    return f"{before}\n{table()}\n{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
