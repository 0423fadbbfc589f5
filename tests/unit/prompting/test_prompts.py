import json

import pandas as pd
import pytest

from caft.errors import ItemError
from caft.prompting.prompts import all_messages, build_messages, completion, dump, few_shot_turns

ITEM = {
    "item_id": "i1",
    "question": "Which?",
    "options": ["x", "y"],
    "answer": "B",
    "answer_kind": "choice",
    "reference_rationale": "It is y. [[B]]",
    "split": "train",
}
OPEN = {
    **ITEM,
    "item_id": "i2",
    "question": "2 + 2 ?",
    "options": None,
    "answer": "4",
    "answer_kind": "numeric",
    "reference_rationale": None,
}


@pytest.fixture
def items():
    rows = [
        {**OPEN, "item_id": f"i{n}", "question": f"{n} + 0 ?", "answer": str(n)} for n in range(6)
    ]
    rows[5]["split"] = "test"
    return pd.DataFrame(rows)


def test_a_choice_item_shows_its_labelled_options(letters):
    assert build_messages(ITEM, letters, "direct") == [
        {"role": "system", "content": "Letter only."},
        {"role": "user", "content": "Which?\nA) x\nB) y"},
    ]


@pytest.mark.parametrize("style, shown", [("lower", "a) x\nb) y"), ("number", "1) x\n2) y")])
def test_the_variant_names_the_labels(letters, style, shown):
    messages = build_messages(ITEM, letters.model_copy(update={"labels": style}), "cot")
    assert messages[0]["content"] == "Think, [[letter]]."
    assert messages[1]["content"] == f"Which?\n{shown}"


def test_an_open_item_shows_the_question_alone(letters):
    assert build_messages(OPEN, letters, "direct")[1:] == [{"role": "user", "content": "2 + 2 ?"}]


def test_a_question_with_a_placeholder_in_it_stays_as_it_is(letters):
    item = {**ITEM, "question": "{options} {question} {0}"}
    assert build_messages(item, letters, "direct")[1]["content"] == (
        "{options} {question} {0}\nA) x\nB) y"
    )


def test_a_completion_is_the_bare_label(letters):
    assert completion(ITEM, letters) == "B"
    assert completion(ITEM, letters.model_copy(update={"labels": "number"})) == "2"
    assert completion(OPEN, letters.model_copy(update={"labels": "number"})) == "4"


def test_a_rationale_ends_in_the_marked_answer(letters):
    assert completion(ITEM, letters, "It is y. [[B]]") == "It is y. [[B]]"
    assert completion(ITEM, letters, "It is y.\n") == "It is y. [[B]]"
    assert completion(OPEN, letters, "The answer is 4.") == "The answer is 4. [[4]]"


def test_a_rationale_gets_the_label_of_the_variant(letters):
    numbers = letters.model_copy(update={"labels": "number"})
    assert completion(ITEM, numbers, "It is y. [[B]]") == "It is y. [[2]]"
    assert completion(ITEM, numbers, "It is y. [[B) y]]") == "It is y. [[2]]"
    assert completion(ITEM, numbers, "It is y. [[2]]") == "It is y. [[2]]"


@pytest.mark.parametrize("written", ["[[4]]", "[[4.0]]", "[[ $4 ]]", "[[+4]] apples"])
def test_a_mark_that_says_the_answer_otherwise_takes_the_asked_form(letters, written):
    made = completion(OPEN, letters, f"So {written}")
    assert made == f"So {written}".replace(written[: written.index("]]") + 2], "[[4]]")


def test_a_mark_that_is_no_answer_stays(letters):
    text = "The matrix is [[1, 2], [3, 4]]. The answer is 4."
    assert completion(OPEN, letters, text) == f"{text} [[4]]"


def test_a_rationale_that_may_be_wrong_keeps_its_own_answer(letters):
    numbers = letters.model_copy(update={"labels": "number"})
    assert completion(ITEM, numbers, "It is x. [[A]]", right=False) == "It is x. [[1]]"
    assert completion(ITEM, letters, "The answer is (A).", right=False) == (
        "The answer is (A). [[A]]"
    )
    assert completion(OPEN, letters, "Who knows?", right=False) == "Who knows? [[4]]"


def test_examples_are_worked_training_items_and_never_the_item_itself(letters, items):
    turns = few_shot_turns(items, letters.model_copy(update={"few_shot": 2}), "direct", seed=1)
    for item in items.to_dict("records"):
        shown = [turn["content"] for turn in turns[item["item_id"]]]
        assert len(shown) == 4
        assert item["question"] not in shown
        assert "5 + 0 ?" not in shown  # a test item
        assert shown[1] == shown[0][0] and shown[3] == shown[2][0]


def test_the_examples_of_an_item_do_not_depend_on_row_order(letters, items):
    variant = letters.model_copy(update={"few_shot": 2})
    turns = few_shot_turns(items, variant, "direct", 1)
    turned = few_shot_turns(items.iloc[::-1], variant, "direct", 1)
    assert turns.to_dict() == turned.to_dict()


def test_another_seed_draws_other_examples(letters, items):
    variant = letters.model_copy(update={"few_shot": 1})
    drawn = {str(few_shot_turns(items, variant, "direct", seed)["i5"]) for seed in range(10)}
    assert len(drawn) > 1


def test_examples_of_thinking_are_reference_rationales(letters, items):
    items["reference_rationale"] = [None, "one [[1]]", None, "three", None, "five"]
    turns = few_shot_turns(items, letters.model_copy(update={"few_shot": 1}), "cot", seed=1)
    assert turns["i1"] == [
        {"role": "user", "content": "3 + 0 ?"},
        {"role": "assistant", "content": "three [[3]]"},
    ]
    assert turns["i3"] == [
        {"role": "user", "content": "1 + 0 ?"},
        {"role": "assistant", "content": "one [[1]]"},
    ]


def test_too_few_examples_are_an_error_and_never_fewer_turns(letters, items):
    with pytest.raises(ItemError) as caught:
        few_shot_turns(items, letters.model_copy(update={"few_shot": 5}), "direct", seed=1)
    assert str(caught.value) == (
        "few-shot prompts (direct): 5 worked examples need 6 training items, as none is its own "
        "example, and there are 5; give more training items, or set few_shot of the prompt, or "
        "run.shots, lower."
    )
    with pytest.raises(ItemError, match="1 worked examples need 2 training items with a rationale"):
        few_shot_turns(items, letters.model_copy(update={"few_shot": 1}), "cot", seed=1)
    assert (
        len(
            few_shot_turns(items, letters.model_copy(update={"few_shot": 4}), "direct", seed=1)[
                "i5"
            ]
        )
        == 8
    )


def test_examples_come_between_instruction_and_question(letters, items):
    messages = all_messages(items, letters.model_copy(update={"few_shot": 1}), "direct", 1)
    assert [turn["role"] for turn in messages[0]] == ["system", "user", "assistant", "user"]
    assert messages[3][-1]["content"] == "3 + 0 ?"


def test_messages_are_dumped_readably():
    messages = [{"role": "user", "content": "é <b>"}]
    assert json.loads(dump(messages)) == messages
    assert "é" in dump(messages)
