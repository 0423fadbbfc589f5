"""What a chat template renders, and what of it `caft.prompting.probing` has found out.

A template is a program of its family's, and families differ in what stands between question and
answer: a block of an empty thought, the header of a channel, a space. That is the same for every
item, so `caft.prompting.chat` adds it to every prompt, and no text of an item is ever looked at by
a template in the place of an answer.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from caft.errors import ModelError
from caft.prompting.prompts import Messages
from caft.prompting.settings import Template

Place = Literal["direct", "cot", "thought"]
"""Where a student writes: an answer alone, a chain as its text, or a thought before its text."""

_TODAY = re.compile(r"""strftime_now\s*\(\s*(['"])(.*?)\1\s*\)""")


@dataclass(frozen=True)
class ThoughtForm:
    """How a family marks what is thought before an answer.

    Attributes:
        opens: from the generation prompt to the thought; empty where the prompt opens it already.
        closes: from the thought to the answer.
        marks: the two marks alone, as they are found in what a model writes.
    """

    opens: str
    closes: str
    marks: tuple[str, str]


@dataclass(frozen=True)
class Form:
    """How a place is reached from the messages.

    Attributes:
        variables: of the template.
        block: stands between the generation prompt and what the model writes: the prompt's end.
        glue: white space behind it, which may be one token with the beginning of an answer.
    """

    variables: dict[str, Any]
    block: str = ""
    glue: str = ""


@dataclass(frozen=True)
class Shape:
    """All that was found.

    Attributes:
        forms: of every place; `thought` is missing where the family has none.
        end: what ends the model's turn, the special token included.
        left_out: what ends a text behind the last turn; it is neither trained nor asked for.
        thought: how a thought is marked, if the family has any.
        thinks: whether the untuned student is asked to think in mode `cot`.
        folds_system: whether the system message goes in front of the first question, as the
            template has no place for it.
        in_parts: whether a content is given as a list of typed parts.
        today: the day that the template is told; empty where it does not ask.
    """

    forms: dict[Place, Form]
    end: str
    left_out: str = ""
    thought: ThoughtForm | None = None
    thinks: bool = False
    folds_system: bool = False
    in_parts: bool = False
    today: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether a prompt is what the template makes of the messages alone, and nothing else."""
        forms = (self.forms["direct"], self.forms["cot"])
        return all(not form.variables and not form.block for form in forms) and not (
            self.left_out or self.thought or self.folds_system or self.in_parts or self.today
        )

    def for_people(self) -> dict[str, Any]:
        """Return what was found, for the student's record."""
        thought = self.thought
        return {
            "variables": {place: form.variables for place, form in self.forms.items()},
            "block": {place: form.block for place, form in self.forms.items()},
            "end": self.end,
            "left_out": self.left_out,
            "thought": list(thought.marks) if thought else None,
            "thinks": self.thinks,
            "system_message": "in front of the question" if self.folds_system else "of its own",
            "content_in_parts": self.in_parts,
            "today": self.today or None,
        }


@dataclass(frozen=True)
class Renderer:
    """A tokenizer's chat template as a function from messages to text.

    Attributes:
        tokenizer: of the student.
        settings: the date that the template is told, and variables of the user's.
        folds_system: as of `Shape`; so is `in_parts`.
    """

    tokenizer: Any
    settings: Template = field(default_factory=Template)
    folds_system: bool = False
    in_parts: bool = False

    @cached_property
    def source(self) -> str:
        """The template, told the configured day where it asks for today's.

        Raises:
            ModelError: if it asks in a form that only shows when it is rendered.
        """

        def day(found: re.Match[str]) -> str:
            return repr(self.settings.strftime(found[2]))

        source = _TODAY.sub(day, str(self.tokenizer.get_chat_template()))
        if re.search(r"strftime_now\s*\(", source):
            raise ModelError(
                "the chat template asks for today's date in a form that changes; a prompt would "
                "be another one every day: write the date into chat_template.jinja."
            )
        return source

    def __call__(self, messages: Messages, opened: bool = True, **variables: Any) -> str:
        """Render messages.

        Args:
            messages: as in `caft.prompting.prompts`.
            opened: whether the model's turn is opened at the end.
            variables: of the template.

        Raises:
            ModelError: if the template refuses them.
        """
        from jinja2 import TemplateError

        if self.folds_system and messages and messages[0]["role"] == "system":
            first, question, *rest = messages
            text = "\n\n".join(filter(None, (first["content"], question["content"])))
            messages = [{**question, "content": text}, *rest]
        turns: list[dict[str, Any]] = [*messages]
        if self.in_parts:
            turns = [
                {**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns
            ]
        try:
            text = self.tokenizer.apply_chat_template(
                turns,
                add_generation_prompt=opened,
                tokenize=False,
                chat_template=self.source,
                **variables,
            )
        except (TemplateError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ModelError(
                f"the chat template cannot render a conversation ({error}); use a student with "
                "another template, or mend the file chat_template.jinja in its folder."
            ) from error
        return str(text)


def common(*sequences: Any) -> Any:
    """Return the longest common beginning of texts or lists."""
    first, last = min(sequences), max(sequences)  # all others lie between them
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((number for number, (a, b) in pairs if a != b), len(first))]


def special_tokens(tokenizer: Any) -> set[str]:
    """Return the special tokens of a tokenizer, named ones and others."""
    # Many tokenizers do not name the tokens that open a turn as special (Llama 3, Phi):
    # `all_special_tokens` holds the named ones only.
    marked = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return marked | set(tokenizer.all_special_tokens)


def special_pattern(tokenizer: Any, *others: str) -> re.Pattern[str]:
    """Return what finds special tokens in a text, and other marks beside them."""
    texts = sorted({*special_tokens(tokenizer), *others}, key=len, reverse=True)
    return re.compile("|".join(re.escape(text) for text in texts))


def special_pieces(tokenizer: Any, text: str) -> list[tuple[str, bool]]:
    """Cut a text at its special tokens; each piece comes with whether it is one."""
    pieces, position = [], 0
    for found in special_pattern(tokenizer).finditer(text):
        pieces += [(text[position : found.start()], False), (found.group(), True)]
        position = found.end()
    return [piece for piece in [*pieces, (text[position:], False)] if piece[0]]
