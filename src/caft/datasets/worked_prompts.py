"""Prompts of worked multiple-choice examples as lm-eval has them: MMLU's, with human solutions."""

import re
from typing import Any

from caft.tables.rows import Row, Unusable

_QUESTION = re.compile(
    r"(?P<question>.+?)\n(?P<options>\(A\) .+?)\nA: Let's think step by step\.\s+"
    r"(?P<rationale>.+?)\s*The answer is \((?P<answer>[A-Z])\)\.?\s*",
    re.DOTALL,
)
_MARKER = re.compile(r"(?:^|\s)\(([A-Z])\) ")
# LaTeX commands whose backslash and first letter became a control character in the source.
_BROKEN_COMMANDS = {
    r"\x08(?=[a-z])": r"\b",
    r"\x0c(?=[a-z])|\n(?=rac\{|actorial\{)": r"\f",
    r"\r(?=[a-z])|\n(?=ightarrow)": r"\r",
    r"\t(?=[a-z])": r"\t",
}


def parse_prompts(prompts: dict[str, str]) -> list[Row]:
    """Parse prompts of several questions each; what does not parse is rejected, never guessed.

    Args:
        prompts: subject -> prompt, each question as `Q: …`, its options `(A) … (B) …`, and
            `A: Let's think step by step. … The answer is (X).`

    Returns:
        Rows with the columns id (`subject/number`), question, options, answer, rationale, subject.
    """
    rows: list[Row] = []
    for subject, prompt in prompts.items():
        for number, block in enumerate(re.split(r"^Q: ", prompt, flags=re.MULTILINE)[1:], start=1):
            parsed = _parse(block)
            if parsed is None:
                detail = f"question {number} of {subject} has an unknown form"
                rows.append((len(rows) + 1, Unusable("unparsed", detail)))
            else:
                row = {"id": f"{subject}/{number}", **parsed, "subject": subject}
                rows.append((len(rows) + 1, row))
    return rows


def _parse(block: str) -> dict[str, Any] | None:
    match = _QUESTION.fullmatch(block)
    # A second answer means that two questions ran together.
    if not match or "The answer is (" in match["rationale"]:
        return None
    _, *pieces = _MARKER.split(match["options"])
    letters, options = pieces[::2], [option.strip() for option in pieces[1::2]]
    if letters != [chr(ord("A") + index) for index in range(len(letters))]:
        return None
    return {
        "question": _restore(match["question"]),
        "options": [_restore(option) for option in options],
        "answer": match["answer"],
        "rationale": _restore(match["rationale"]),
    }


def _restore(text: str) -> str:
    for broken, command in _BROKEN_COMMANDS.items():
        text = re.sub(broken, re.escape(command), text)
    return text.strip()
