import math

import numpy as np
import pandas as pd
import pytest

from caft.complexity.compute import compute_metric
from caft.complexity.settings import MetricSettings

ITEMS = pd.DataFrame({"item_id": ["a", "b", "c", "d", "e"], "split": ["test"] * 5})


@pytest.fixture
def generations():
    """Two sentences with answer; one without answer; nothing written; too long; `e` is missing."""
    none = np.array([], dtype=np.float32)
    return pd.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "status": ["ok", "ok", "ok", "too_long"],
            "warm_up": [False, True, False, False],
            "tokens": [[7, 8, 9, 10, 11], [7, 8], [], None],
            "entropies": [
                np.array([0.5, 1.5, 2.0, 0.25, 0.75], dtype=np.float32),
                np.array([1.0, 3.0], dtype=np.float32),
                none,
                None,
            ],
            "gaps": [
                np.array([0.5, 0.25, 0.0, 1.0, 0.75], dtype=np.float32),
                np.array([0.25, 0.25], dtype=np.float32),
                none,
                None,
            ],
            "answer_start": [3, None, None, None],
            "sentence_ends": [np.array([2, 5]), np.array([2]), np.array([], dtype=int), None],
        }
    )


def computed(name, generations, **settings):
    found = compute_metric(name, MetricSettings(**settings), generations, ITEMS)
    assert (found["value"].isna() == found["reason"].notna()).all()
    return [row.reason if pd.isna(row.value) else row.value for row in found.itertuples()]


MISSING = ["no_tokens", "too_long", "not_generated"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cot_mean", [1.0, 2.0]),
        ("cot_max", [2.0, 3.0]),
        ("cot_answer_entropy", [0.25, "no_answer"]),
        ("cot_max_minus_answer", [1.75, "no_answer"]),
        ("cot_probability_gap", [0.5, 0.75]),
        ("cot_sentence_mean_of_means", [1.0, 2.0]),  # (1.0 + 1.0) / 2
        ("cot_sentence_max_of_means", [1.0, 2.0]),
        ("cot_sentence_mean_of_maxes", [1.75, 3.0]),  # (1.5 + 2.0) / 2
        ("cot_mix", [pytest.approx((1.0 + 2.0 + 0.25) / 3), "no_answer"]),
    ],
)
def test_aggregates_of_one_chain_of_thought(generations, name, values):
    assert computed(name, generations) == [*values, *MISSING]


def test_sentences_of_different_length_weigh_the_same(generations):
    generations.at[0, "sentence_ends"] = np.array([1, 3, 5])
    means = [0.5, 1.75, 0.5]
    assert computed("cot_sentence_mean_of_means", generations)[0] == pytest.approx(sum(means) / 3)
    assert computed("cot_sentence_max_of_means", generations)[0] == 1.75
    assert computed("cot_sentence_mean_of_maxes", generations)[0] == pytest.approx(3.25 / 3)


def test_an_answer_more_entropic_than_all_else_has_no_negative_distance(generations):
    generations.at[0, "answer_start"] = 2
    assert computed("cot_max_minus_answer", generations)[0] == 0.0


def test_the_weights_of_the_mix_are_settings(generations):
    weights = {"mean": 0.5, "max": 2.0, "answer": 4.0}
    assert computed("cot_mix", generations, weights=weights)[:2] == [5.5, "no_answer"]
    without = {"mean": 1.0, "max": 1.0, "answer": 0}
    assert computed("cot_mix", generations, weights=without)[:2] == [3.0, 5.0]
    assert computed("cot_mix", generations, weights={"max": 1.0})[:2] == [2.0, 3.0]
    equal = computed("cot_mix", generations)
    assert computed("cot_mix", generations, weights={}) == equal


def test_the_reasoning_length_counts_tokens_and_nothing_written_is_none(generations):
    found = computed("reasoning_length", generations)
    assert found == [5.0, 2.0, 0.0, "too_long", "not_generated"]


def test_items_of_the_warm_up_are_marked(generations):
    found = compute_metric("cot_mean", MetricSettings(), generations, ITEMS)
    assert list(found["warm_up"]) == [False, True, False, False, False]


def test_a_text_with_a_non_finite_logit_has_no_value(generations):
    generations.loc[0, "status"] = "non_finite_logits"
    generations.loc[0, ["entropies", "gaps", "sentence_ends"]] = None
    for name in ("cot_mean", "cot_mix", "reasoning_length"):
        assert computed(name, generations)[0] == "non_finite_logits"
    assert not any(value == math.inf for value in computed("cot_max", generations)[1:2])
