"""Where thinking ends and an answer begins."""

import pytest

from caft.prompting.thought import KNOWN, Thought, answer_start, split_thought

HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}"


@pytest.mark.parametrize("mark", KNOWN, ids=lambda mark: mark.opens)
def test_each_known_mark_ends_thinking(mark):
    text = f"\n{mark.opens}\nMaybe [[8]].\n{mark.closes}\n\nIt is [[7]]."
    assert split_thought(text) == ("Maybe [[8]].", "It is [[7]].")


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("It is [[7]].", None, "It is [[7]]."),
        ("  as it is \n", None, "  as it is \n"),
        ("", None, ""),
        ("<think>\n\n</think>\n\n7", None, "7"),
        ("Maybe [[8]].\n</think>\n7", "Maybe [[8]].", "7"),
        ("</think>7", None, "7"),
        ("<think>Maybe [[8]]", "Maybe [[8]]", None),
        ("<think>", None, None),
        ("<THINK>a</Think>7", "a", "7"),
        ("<think>a</think>7</think>8", "a7", "8"),
        ("<think>a</think> so <think>b</think> 7", "a so b", "7"),
        ("<think>a</think>\n<think>Maybe [[8]]", "a\nMaybe [[8]]", None),
        ("<think>a</think>It is [[7]].\n<think>or [[8]]", "aIt is [[7]].\nor [[8]]", None),
        ("<think>a<think>b</think>7", "ab", "7"),
        ("Sure.\n<think>\na\n</think>\n7", "Sure.\n\na", "7"),
        ("<think>I end with `</think>`, so [[8]]</think>7", "I end with ``, so [[8]]", "7"),
        ("<think>```python\nx\n</think>7", "```python\nx", "7"),
        ("<think>a</think>```\n<think>\n```", "a", "```\n<think>\n```"),
        (HARMONY.format("a", "7<|return|>"), "a", "7"),
        ("<|start|>assistant" + HARMONY.format("a", "7"), "a", "7"),
        ("a<|end|><|start|>assistant<|channel|>final<|message|>7", "a", "7"),
        ("<|channel|>final<|message|>7<|end|>", None, "7"),
        ("<|channel|>analysis<|message|>Maybe [[8]]", "Maybe [[8]]", None),
        ("analysisWe add.assistantfinalIt is 7.", "We add.", "It is 7."),
        ("analysisWe add [[8]]", "We add [[8]]", None),
        ("analysis of both: [[7]]", None, "analysis of both: [[7]]"),
    ],
)
def test_a_text_is_split_where_its_thinking_ends(text, thinking, answer):
    assert split_thought(text) == (thinking, answer)


@pytest.mark.parametrize(
    "text",
    [
        "R1 writes `<think>…</think>` first. [[7]]",
        "R1 writes <think> first and </think> last. [[7]]",
        "It ends with `</think>`. [[7]]",
        "It ends with '</think>' and \"[/THINK]\". [[7]]",
        "```\n<think>\nx\n```\n[[7]]",
    ],
)
def test_talk_about_marks_is_no_thinking(text):
    assert split_thought(text) == (None, text)


def test_other_marks_can_be_given():
    marks = (Thought("(hm)", "(so)"),)
    assert split_thought("(hm)a(so)7", marks) == ("a", "7")
    assert split_thought("<think>a</think>7", marks) == (None, "<think>a</think>7")


def test_the_answer_starts_behind_the_white_space_after_a_thought():
    assert answer_start("<think>a</think>\n\n7") == 18
    assert answer_start("7") == 0
    assert answer_start("<think>7") is None


def test_a_text_that_repeats_a_mark_without_end_is_split_in_time():
    assert split_thought("a <think> b " * 100_000)[1] is not None


def test_the_end_of_a_long_answer_is_found_and_white_space_inside_is_kept():
    space = " " * 50_000
    text = f"<think>a</think>7{space}x{space}"
    assert split_thought(text) == ("a", f"7{space}x{space}")
    assert split_thought(f"{text}<|end|>{space}") == ("a", f"7{space}x")
    assert split_thought("<think>a</think>7 <|end|><|return|>\n") == ("a", "7 <|end|>")


def test_of_many_marks_in_code_none_opens_a_thought():
    text = "```\n" + "<think>\n" * 10_000
    assert split_thought(text) == (None, text)
    assert split_thought(f"{text}```\n<think>\nb\n</think>7")[1] == "7"
