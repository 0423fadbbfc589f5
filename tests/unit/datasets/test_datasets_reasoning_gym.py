import re
from pathlib import Path

import pytest

from caft.datasets import load
from caft.datasets.reasoning_gym import WORKED_SOLUTIONS, ReasoningGym, build_options
from caft.errors import ItemError


def generate(generator, seed=1, own=None, **keys):
    keys = {"size": 200, "seed": own, "splits": {"train": 0.5, "test": 0.5}, **keys}
    settings = ReasoningGym(adapter="reasoning_gym", generator=generator, **keys)
    return load(settings, seed, Path("unused"))


@pytest.mark.parametrize("generator", ["chain_sum", "leg_counting"])
def test_a_worked_solution_ends_in_the_answer(generator):
    rows = generate(generator, size=200).rows
    last = [re.findall(r"-?\d+", row["rationale"])[-1] for row in rows]
    assert last == [row["answer"] for row in rows]


@pytest.mark.parametrize("generator", ["chain_sum", "leg_counting"])
def test_every_step_of_a_worked_solution_is_right(generator):
    for row in generate(generator, size=200).rows:
        for left, sign, right, result in re.findall(
            r"(-?\d+) ([-+x]) (-?\d+) = (-?\d+)\.", row["rationale"]
        ):
            a, b = int(left), int(right)
            assert {"+": a + b, "-": a - b, "x": a * b}[sign] == int(result)


def solution(generator, answer="", **metadata):
    return WORKED_SOLUTIONS[generator]({"answer": answer, "metadata": metadata})


def test_sums_are_worked_out_from_the_left():
    assert solution("chain_sum", expression="12 - 5 + 3") == "12 - 5 = 7. 7 + 3 = 10."
    assert solution("chain_sum", expression="-1 - -6") == "-1 - -6 = 5."


def test_expressions_that_are_no_plain_sum_have_no_worked_solution():
    assert solution("basic_arithmetic", expression="2 + 3 * 4") is None
    assert solution("basic_arithmetic", expression="2 - ( 3 + 4 )") is None


def test_legs_are_counted_animal_by_animal():
    text = solution("leg_counting", animals={"cat": 2, "snake": 3, "ant": 1})
    assert text == "cat: 2 x 4 = 8. snake: 3 x 0 = 0. 8 + 0 = 8. ant: 1 x 6 = 6. 8 + 6 = 14."


def test_the_final_marker_is_cut_off():
    text = solution("gsm_symbolic", answer_cot="2 + 2 = 4 eggs\n#### 4")
    assert text == "2 + 2 = 4 eggs"


def test_a_sequence_is_continued_by_its_rule():
    assert solution("number_sequence", rule="double", sequence=[1, 2, 4, 8]) == (
        "The rule is: double. After 4 comes 8."
    )
    assert solution("number_sequence", rule="", sequence=[1, 2]) is None


def test_rows_carry_generator_and_place():
    raw = generate("chain_sum", size=3, answers="numeric")
    assert raw.answer_kind == "numeric"
    assert [row["source_id"] for row in raw.rows] == [
        "chain_sum-1-0",
        "chain_sum-1-1",
        "chain_sum-1-2",
    ]
    assert [row["row"] for row in raw.rows] == [1, 2, 3]
    assert {row["category"] for row in raw.rows} == {"chain_sum"}


def test_rows_depend_on_the_seed_alone_and_the_data_sets_own_seed_wins():
    first = generate("chain_sum", seed=1, answers="choice")
    assert generate("chain_sum", seed=1, answers="choice") == first
    assert generate("chain_sum", seed=500, own=1, answers="choice") == first
    assert generate("chain_sum", seed=500, answers="choice") != first


def test_settings_reach_the_generator():
    rows = generate("chain_sum", settings={"min_terms": 2, "max_terms": 2}).rows
    assert {row["rationale"].count("=") for row in rows} == {1}


def test_an_unknown_generator_or_setting_is_an_error():
    with pytest.raises(ItemError, match="reasoning_gym nonsense: .*check `generator`"):
        generate("nonsense")
    with pytest.raises(ItemError, match="reasoning_gym chain_sum: .*terms_min"):
        generate("chain_sum", settings={"terms_min": 2})


def test_integer_distractors_are_different_near_misses():
    for row in generate("chain_sum", answers="choice", options=5).rows:
        assert len(set(row["options"])) == 5
        assert row["answer"] in row["options"]
        assert all(abs(int(option) - int(row["answer"])) <= 10 for option in row["options"])


def test_neither_place_nor_rank_gives_the_answer_away():
    rows = generate("chain_sum", size=800, answers="choice").rows
    for key in (None, int):
        counts = [0, 0, 0, 0]
        for row in rows:
            options = row["options"] if key is None else sorted(row["options"], key=key)
            counts[options.index(row["answer"])] += 1
        assert min(counts) > 150


def test_text_distractors_are_other_answers():
    pool = ["cat", "cow", "dog", "hen", "pig"]
    options = build_options("Which?", "dog", pool, 4, 1)
    assert len(set(options)) == 4
    assert "dog" in options
    assert set(options) <= set(pool)
    assert sorted(build_options("Which?", "No", ["No", "Yes"], 4, 1)) == ["No", "Yes"]


def test_a_number_with_a_unit_gets_no_bare_numbers_as_options():
    pool = ["12 apples", "14 apples", "9 apples"]
    assert sorted(build_options("Which?", "12 apples", pool, 3, 1)) == pool
