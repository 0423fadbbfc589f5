"""Development questions of MMLU, 57 subjects × 5 (three × 4), with human chains of thought."""

import re
from pathlib import Path
from typing import Any, Literal

from caft.datasets import Adapter, RawRows
from caft.datasets.mapping import limited
from caft.datasets.settings import LimitedSettings
from caft.students.packages import fetch_member
from caft.tables.files import read_json

_PACKAGE = "lm-eval==0.4.13"
_MEMBER = "lm_eval/tasks/mmlu/flan_cot_fewshot/_cot_prompts.json"
_SHA256 = "081478485b1d4f51e01305e19113f0e3a468f2dc787596386998e229a97b096c"
_WHEEL_SHA256 = "5daaa1973bf874005f64f28d3834b875f6886f0d6475878e6a6c821994a5286a"

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


class MmluDev(LimitedSettings):
    """The 57 x 5 MMLU questions with human chains of thought in the lm-eval package (MIT)."""

    adapter: Literal["mmlu_dev"]


def read(settings: MmluDev, seed: int, downloads: Path) -> RawRows:
    """Read the questions from the pinned prompt file of lm-eval; categories are the subjects.

    Raises:
        ModelError: if the file cannot be fetched.
    """
    target = downloads / "mmlu_cot_prompts.json"
    path = fetch_member(_PACKAGE, _SHA256, _MEMBER, target, _WHEEL_SHA256)
    return limited(parse_prompts(read_json(path), path.name), settings.limit)


def parse_prompts(prompts: dict[str, str], file: str) -> RawRows:
    """Parse prompts of several questions each; what does not parse is rejected, never guessed.

    Args:
        prompts: subject -> prompt, each question as `Q: …`, its options `(A) … (B) …`, and
            `A: Let's think step by step. … The answer is (X).`
        file: the name that messages and the quarantine show.
    """
    raw = RawRows([], "choice")
    for subject, prompt in prompts.items():
        for number, block in enumerate(re.split(r"^Q: ", prompt, flags=re.MULTILINE)[1:], start=1):
            row = len(raw.rows) + len(raw.rejected) + 1
            place = {"file": file, "row": row, "source_id": f"{subject}/{number}"}
            parsed = _parse(block)
            if parsed is None:
                detail = f"question {number} of {subject} has an unknown form"
                raw.rejected.append({**place, "reason": "unparsed", "detail": detail})
            else:
                raw.rows.append({**place, **parsed, "category": subject, "split": None})
    return raw


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


ADAPTER = Adapter(MmluDev, read)
