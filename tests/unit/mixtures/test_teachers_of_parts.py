"""What is asked of a teacher behind others, and whose text an item is trained on."""

import pandas as pd

from caft.mixtures.rows import join, solved_in, wanted_by, wanted_rationales
from caft.mixtures.settings import Wanted
from caft.mixtures.stages import first_right

BUCKETS = {
    "default": pd.DataFrame(
        {"item_id": list("abcdef"), "bucket": ["easy"] * 3 + ["hard"] * 3, "sampled": True}
    )
}


def answers(**texts):
    """Return selected answers by item; "no" begins a wrong one, "!" ends one with reasoning."""
    rows = [
        (item, text, "thought" if text.endswith("!") else None, not text.startswith("no"))
        for item, text in texts.items()
    ]
    return pd.DataFrame(rows, columns=["item_id", "text", "reasoning", "accepted"])


def strategy(*parts, membership="complexity"):
    stages = [{"parts": list(parts)}]
    return Wanted.model_validate({"stages": stages, "membership": membership})


def part(target, *buckets, teacher):
    return {"buckets": list(buckets), "target": target, "teacher": teacher}


def test_a_teacher_gets_what_all_before_it_failed():
    written = {
        "self": answers(a="yes", b="no", d="no", e="yes", f="no"),
        "cheap": answers(d="yes", f="no"),
    }
    solved = solved_in(written)
    asked = strategy(part("rationale", "hard", teacher=["self", "cheap", "large"]))
    assert wanted_rationales(BUCKETS, asked, 1, solved) == {"f"}
    both = strategy(
        part("rationale", "easy", teacher=["large"]),
        part("rationale", "hard", teacher=["self", "large"]),
    )
    assert wanted_rationales(BUCKETS, both, 1, solved) == {"a", "b", "c", "d", "f"}
    assert wanted_by(BUCKETS, [asked, both], [1], solved) == {"a", "b", "c", "d", "f"}


def test_for_reasoning_an_answer_that_shows_none_has_not_solved_the_item():
    solved = solved_in({"self": answers(d="yes!", e="yes", f="no!")})
    asked = strategy(part("reasoning", "hard", teacher=["self", "large"]))
    assert wanted_rationales(BUCKETS, asked, 1, solved) == {"e", "f"}
    asked = strategy(part("rationale", "hard", teacher=["self", "large"]))
    assert wanted_rationales(BUCKETS, asked, 1, solved) == {"f"}


def test_an_item_has_the_text_of_the_first_teacher_who_solved_it():
    written = {
        "self": answers(a="own", b="no, but kept", c="own!").set_index("item_id"),
        "cheap": answers(a="bought", b="bought", c="bought!").set_index("item_id"),
        "large": answers(b="dear", d="no, but kept").set_index("item_id"),
    }
    found = first_right(written, ["self", "cheap", "large"], "rationale")["text"]
    assert found.to_dict() == {"a": "own", "b": "bought", "c": "own!", "d": "no, but kept"}
    found = first_right(written, ["self", "large"], "reasoning")["text"]
    assert found.to_dict() == {"c": "own!", "b": "dear", "d": "no, but kept"}
    assert first_right(written, ["self"], "rationale").equals(written["self"])


def test_rows_of_several_teachers_are_joined_without_numbers_for_what_they_lack():
    with_thoughts = pd.DataFrame({"item_id": ["a"], "reasoning": ["so"]})
    found = join([with_thoughts, pd.DataFrame({"item_id": ["b"]}), pd.DataFrame()])
    assert found.to_dict("list") == {"item_id": ["a", "b"], "reasoning": ["so", None]}
    assert join([with_thoughts]) is with_thoughts
