"""Columns of the items in the texts of prompts."""

import pytest

from caft.prompting.prompts import build_messages

ITEM = {
    "question": "Which {level}?",
    "options": ["x", "y"],
    "answer": "B",
    "answer_kind": "choice",
    "category": "law",
    "level": "3",
    "reference_rationale": "It is y.",
}


def shown(letters, system, item=ITEM):
    """Return both messages with the same text as instruction and before the question."""
    texts = letters.cot.model_copy(update={"choice": system})
    question = letters.question.model_copy(update={"choice": f"{system} {{question}}"})
    variant = letters.model_copy(update={"cot": texts, "question": question})
    return [one["content"] for one in build_messages(item, variant, "cot")]


def test_instruction_and_question_show_columns_of_the_item(letters):
    assert shown(letters, "About {category}, level {level}:") == [
        "About law, level 3:",
        "About law, level 3: Which {level}?",
    ]


def test_an_item_without_a_value_has_nothing_there(letters):
    item = {**ITEM, "category": None, "level": float("nan")}
    assert shown(letters, "[{category}{level}]", item)[0] == "[]"


@pytest.mark.parametrize("text", [r"\boxed{answer}", "{answer}", "{reference_rationale}", "{x}"])
def test_the_answer_is_never_shown_and_other_braces_stay(letters, text):
    assert shown(letters, text)[0] == text
