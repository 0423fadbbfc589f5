"""Sections `prompts.<name>` and `students.<name>.template`: how items are put to a model."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from caft.settings import Natural, Section, key

PLACEHOLDER = re.compile(r"\{([A-Za-z0-9][A-Za-z0-9_-]*)\}")
"""A column of the items in a text of a prompt, such as `{category}`."""
_COMMAND = re.compile(r"\\[A-Za-z]+$")

Labels = Literal["upper", "lower", "number"]


class PerKind(Section):
    """A text for each kind of answer."""

    choice: str = key("For multiple-choice items.")
    numeric: str = key("For items with a number as answer.")
    text: str = key("For items with a short text as answer.")

    def of(self, kind: str) -> str:
        """Return the text for a kind of answer: choice, numeric or text."""
        return {"choice": self.choice, "numeric": self.numeric, "text": self.text}[kind]


class QuestionTexts(Section):
    """How the question is put, with {question} and {options}."""

    choice: str = key("For multiple-choice items.")
    open: str = key("For all others.")


class Prompt(Section):
    """A prompt variant."""

    labels: Labels = key("Labels of the options: A B, a b or 1 2.", "upper")
    abstain: str | None = key(
        'The label that means "I do not know"; it counts as wrong, but not as invalid.', None
    )
    few_shot: Natural = key(
        "Worked examples from the training split, for `cot` with the data set's own rationales; "
        "one more item than that has to be there.",
        0,
    )
    question: QuestionTexts = key(
        "How the question is put, with {question} and {options}. These and the instructions may "
        "name any other column of the items, such as {category}, but not the answer; an item "
        "without a value has nothing there."
    )
    direct: PerKind = key("Instruction that asks for the answer only.")
    cot: PerKind = key("Instruction that asks for a chain of thought.")

    def placeholders(self) -> Iterator[tuple[str, str]]:
        r"""Yield each word in braces with the path of its text; `\boxed{answer}` is LaTeX's."""
        for path, texts in (
            ("question", self.question),
            ("direct", self.direct),
            ("cot", self.cot),
        ):
            for name, text in texts:
                for match in PLACEHOLDER.finditer(text):
                    if not _COMMAND.search(text[: match.start()]):
                        yield f"{path}.{name}", match.group(1)

    def instruction(self, mode: str) -> PerKind:
        """Return what asks for an answer in a mode, `direct` or `cot`."""
        return {"direct": self.direct, "cot": self.cot}[mode]


Mark = Annotated[str, Field(min_length=1)]


def _day(value: Any) -> str:
    """Return a day as YAML or a text gives it, written YYYY-MM-DD."""
    try:
        return (value if isinstance(value, date) else date.fromisoformat(str(value))).isoformat()
    except ValueError:
        raise ValueError(f"{value!r} is no day; write it as YYYY-MM-DD") from None


Day = Annotated[str, BeforeValidator(_day)]


class Template(Section):
    """What a student's chat template is given beside the messages."""

    direct: dict[str, Any] = key(
        "Variables of the template where an answer is asked for without thinking; a switch such as "
        "`enable_thinking` is found in the template and is off.",
        {},
    )
    cot: dict[str, Any] = key(
        "Variables where the student may think; such a switch is on, unless it is given here.", {}
    )
    thought: Annotated[list[Mark], Field(min_length=2, max_length=2)] | None = key(
        "The marks that open and close a thought, where the template does not show them: "
        "`['<think>', '</think>']`.",
        None,
    )
    thinks: bool | None = key(
        "Whether the untuned student is asked to think in mode `cot`; by default where its "
        "template has a switch for it, or opens a thought by itself.",
        None,
    )
    today: Day = key("The day that a template is told where it asks for today's.", "2026-01-01")

    def strftime(self, form: str) -> str:
        """Return the day in a form of `date.strftime`."""
        return date.fromisoformat(self.today).strftime(form)
