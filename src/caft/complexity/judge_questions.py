"""What a judge is asked about an item: the questions, their levels, the prompts and their reading.

The two questions and the second call that rates the first are those of arXiv 2503.01688 and
2506.21220; the words are our own. No prompt holds the gold answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caft.prompting.numbers import canonical_number
from caft.prompting.parsers.stated import marked
from caft.prompting.prompts import Messages, render_options


@dataclass(frozen=True)
class Question:
    """A question to a judge.

    Attributes:
        task: what the judge is to decide, in one sentence.
        levels: what each level means, the least complex first.
    """

    task: str
    levels: dict[str, str]


QUESTIONS = {
    "education_level": Question(
        "Decide how much education in its subject a person needs to answer the question reliably.",
        {
            "high_school_and_easier": "general knowledge or what school teaches",
            "undergraduate": "what courses of a bachelor's degree in the subject teach",
            "graduate": "what only courses of a master's degree in the subject teach",
            "postgraduate": "what only doctoral studies, research or specialist practice teach",
        },
    ),
    "reasoning_steps": Question(
        "Decide how many steps of reasoning lead from the question to its answer, for a person who "
        "knows the subject.",
        {
            "low": "none or one: the answer is recalled, or follows at once",
            "medium": "two to four steps that build on each other",
            "high": "five or more steps that build on each other",
        },
    ),
}

_RATINGS = {str(rating): rating for rating in range(1, 11)}


def label_messages(item: Mapping[str, Any], question: str) -> Messages:
    """Return the prompt that asks for a level of an item.

    Args:
        item: a row of the items table.
        question: a key of `QUESTIONS`.
    """
    instruction = (
        "You assess exam questions. Do not answer them.\n"
        f"{_task(question)}\n"
        "Give your reason in at most two sentences. Then write the name of one level, and nothing "
        "else, between double square brackets: [[name]]."
    )
    return _messages(instruction, item)


def rating_messages(item: Mapping[str, Any], question: str, label: str) -> Messages:
    """Return the prompt that asks how well a level fits an item.

    The reason given with the level is not shown: it would argue for the level, and another wording
    of it would be another answer to pay for.
    """
    instruction = (
        "You check how others assess exam questions. Do not answer the questions.\n"
        f"Their task: {_task(question)}\n"
        f"They chose {label} for the question below. Rate that choice with a whole number from 1 "
        "(certainly wrong) to 10 (certainly right). Give your reason in at most two sentences. "
        "Then write the number alone between double square brackets: [[number]]."
    )
    return _messages(instruction, item)


def read_label(text: str, question: str) -> str | None:
    """Return the last marked level, whatever its case and punctuation; None if it is no level."""
    span = marked(text) or ""
    name = "_".join(re.findall("[a-z]+", span.casefold()))
    return name if name in QUESTIONS[question].levels else None


def read_rating(text: str) -> int | None:
    """Return the last marked rating; None if it is no whole number from 1 to 10."""
    number = canonical_number(re.sub(r"/\s*10\s*$", "", marked(text) or ""))
    return _RATINGS.get(number) if number else None


def _task(question: str) -> str:
    asked = QUESTIONS[question]
    levels = "\n".join(f"- {name}: {meaning}" for name, meaning in asked.levels.items())
    return f"{asked.task} The levels are:\n{levels}"


def _messages(instruction: str, item: Mapping[str, Any]) -> Messages:
    options = render_options(item["options"], "upper")
    return [
        {"role": "system", "content": instruction},
        {"role": "user", "content": f"{item['question']}\n{options}".rstrip()},
    ]
