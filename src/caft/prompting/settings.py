"""Section `prompts.<name>`: how items are put to a model."""

from typing import Literal

from caft.settings import Natural, Section, key

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
    question: QuestionTexts = key("How the question is put, with {question} and {options}.")
    direct: PerKind = key("Instruction that asks for the answer only.")
    cot: PerKind = key("Instruction that asks for a chain of thought.")

    def instruction(self, mode: str) -> PerKind:
        """Return what asks for an answer in a mode, `direct` or `cot`."""
        return {"direct": self.direct, "cot": self.cot}[mode]
