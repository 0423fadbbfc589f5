import pytest

from caft.datasets.worked_prompts import parse_prompts
from caft.tables.rows import Unusable

HEAD = "The following are multiple choice questions (with answers) about tests.\n\n"
GOOD = (
    "Q: Which is\neven?\n(A) 1 (B) 2 (C) 3 (D) 5\n"
    "A: Let's think step by step. Two is 2 x 1. The answer is (B).\n\n"
)


def test_question_options_answer_and_rationale_are_parsed():
    assert parse_prompts({"tests": HEAD + GOOD}) == [
        (
            1,
            {
                "id": "tests/1",
                "question": "Which is\neven?",
                "options": ["1", "2", "3", "5"],
                "answer": "B",
                "rationale": "Two is 2 x 1.",
                "subject": "tests",
            },
        )
    ]


def test_options_may_stand_on_lines_of_their_own():
    prompt = HEAD + GOOD.replace(" (B)", "\n(B)", 1).replace(" (C)", "\n(C)")
    ((_, row),) = parse_prompts({"tests": prompt})
    assert row["options"] == ["1", "2", "3", "5"]


def test_options_may_be_discussed_in_the_rationale():
    prompt = HEAD + GOOD.replace("Two is", "Each in turn:\n(A) is odd.\n(B) is even. Two is")
    ((_, row),) = parse_prompts({"tests": prompt})
    assert row["rationale"].startswith("Each in turn:\n(A) is odd.")


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("\x0crac{1}{2}", r"\frac{1}{2}"),
        ("\nrac{1}{2}", r"\frac{1}{2}"),
        ("\right)", r"\right)"),
        ("a \nightarrow b", r"a \rightarrow b"),
        ("2 \times 1", r"2 \times 1"),
        ("\x08egin{a}", r"\begin{a}"),
    ],
)
def test_broken_latex_commands_are_whole_again(broken, whole):
    ((_, row),) = parse_prompts({"tests": HEAD + GOOD.replace("2 x 1", broken)})
    assert row["rationale"] == f"Two is {whole}."


@pytest.mark.parametrize(
    "block",
    [
        GOOD.replace(" The answer is (B).", ""),
        GOOD.replace("(C) ", ""),
        GOOD.replace("Let's think step by step. ", ""),
        GOOD.replace("\n\n", "\n") + GOOD.removeprefix("Q: "),
    ],
)
def test_what_does_not_parse_is_rejected(block):
    (_, bad), (number, row) = parse_prompts({"tests": HEAD + block + GOOD})
    assert bad == Unusable("unparsed", "question 1 of tests has an unknown form")
    assert (number, row["id"]) == (2, "tests/2")
