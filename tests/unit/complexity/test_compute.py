import json
import math

import pandas as pd
import pytest

from caft.complexity.compute import compute_metric
from caft.complexity.settings import MetricSettings
from caft.complexity.topk_entropy import entropy_bound, first_logprobs
from caft.tables import parquet

ITEMS = pd.DataFrame({"item_id": ["b", "a", "d", "c"], "split": ["train", "test", "test", "train"]})


def computed(name, table, items=ITEMS, **settings):
    """Return value and reason by item, as they are read back from a file."""
    found = compute_metric(name, MetricSettings(**settings), pd.DataFrame(table), items)
    assert list(found["item_id"]) == list(items["item_id"])
    assert (found["value"].isna() == found["reason"].notna()).all()
    return {
        row.item_id: row.reason if pd.isna(row.value) else row.value for row in found.itertuples()
    }


@pytest.fixture
def scores():
    """Three scored items in another order, one of them without logits; `d` was not scored."""
    return {
        "item_id": ["a", "b", "c"],
        "status": ["ok", "non_finite_logits", "ok"],
        "warm_up": [False, False, True],
        "single_token_entropy": [0.5, None, 1.5],
        "option_entropy": [0.25, None, None],
        "cross_entropy": [2.0, None, 3.0],
        "answer_entropy": [0.5, None, 0.75],
        "margin": [-0.9, None, -0.1],
    }


@pytest.mark.parametrize(
    ("name", "of_a", "of_c"),
    [
        ("single_token_entropy", 0.5, 1.5),
        ("option_entropy", 0.25, "open_question"),
        ("cross_entropy", 2.0, 3.0),
        ("answer_entropy", 0.5, 0.75),
        ("margin", -0.9, -0.1),
    ],
)
def test_metrics_of_the_scores_are_taken_over_with_a_reason_for_each_null(scores, name, of_a, of_c):
    expected = {"a": of_a, "b": "non_finite_logits", "c": of_c, "d": "not_scored"}
    assert computed(name, scores) == expected


def test_a_metrics_table_has_split_and_warm_up_of_every_item_and_can_be_stored(scores, tmp_path):
    found = compute_metric("margin", MetricSettings(), pd.DataFrame(scores), ITEMS)
    assert list(found["split"]) == ["train", "test", "test", "train"]
    assert list(found["warm_up"]) == [False, False, False, True]
    parquet.write("metrics", found, tmp_path / "margin.parquet")
    stored = parquet.read("metrics", tmp_path / "margin.parquet")
    assert list(stored["item_id"]) == ["a", "b", "c", "d"]
    assert stored["value"].tolist()[:1] + stored["value"].tolist()[2:3] == [-0.9, -0.1]
    assert stored["reason"].tolist()[1::2] == ["non_finite_logits", "not_scored"]
    assert stored["covered_mass"].isna().all()


def test_a_number_that_is_not_finite_is_no_value():
    table = {"item_id": ["a", "b"], "status": ["ok", "ok"], "margin": [-math.inf, math.nan]}
    found = computed("margin", table)
    assert (found["a"], found["b"]) == ("non_finite", "no_value")


def test_the_pass_rate_is_the_share_of_wrong_samples():
    samples = {
        "item_id": ["a", "a", "a", "a", "b", "b", "c"],
        "status": ["ok", "ok", "ok", "ok", "ok", "non_finite_logits", "too_long"],
        "correct": [True, False, False, False, True, None, None],
    }
    assert computed("pass_rate", samples) == {
        "a": 0.75,
        "b": 0.0,
        "c": "too_long",
        "d": "not_generated",
    }


def test_the_instruction_following_difficulty_is_a_ratio_of_mean_losses():
    likelihoods = {
        "item_id": ["a", "b", "c"],
        "status": ["ok", "ok", "too_long"],
        "conditioned": [1.5, 0.5, None],
        "unconditioned": [2.0, 0.0, None],
    }
    assert computed("ifd", likelihoods) == {
        "a": 0.75,
        "b": "zero_loss",
        "c": "too_long",
        "d": "not_measured",
    }


def test_the_judges_levels_are_numbers():
    judgements = {
        "item_id": ["a", "b", "a"],
        "question": ["reasoning_steps", "reasoning_steps", "education_level"],
        "label": ["medium", "high", "undergraduate"],
        "status": ["ok", "low_rating", "ok"],
    }
    found = computed("judge_reasoning_steps", judgements)
    assert found == {"a": 1.0, "b": "low_rating", "c": "not_judged", "d": "not_judged"}
    assert computed("judge_education_level", judgements)["a"] == 1.0


def test_the_top_k_entropy_counts_the_unseen_tokens_at_their_least():
    # 0.3 is left. No unseen token is above 0.2, so there are two of them at least.
    bound, mass = entropy_bound([math.log(0.5), math.log(0.2)])
    expected = -(0.5 * math.log(0.5) + 0.2 * math.log(0.2) + 0.3 * math.log(0.2))
    assert (bound, mass) == (pytest.approx(expected), pytest.approx(0.7))
    # 0.1 is left, and that can be one token.
    bound, _ = entropy_bound([math.log(0.5), math.log(0.4)])
    expected = -sum(p * math.log(p) for p in (0.5, 0.4, 0.1))
    assert bound == pytest.approx(expected)


def test_the_top_k_entropy_of_a_whole_distribution_is_its_entropy():
    assert entropy_bound([math.log(0.25)] * 4) == pytest.approx((math.log(4), 1.0))
    assert entropy_bound([0.0, -9999.0]) == pytest.approx((0.0, 1.0))


def test_a_distribution_over_many_tokens_does_not_look_easy_for_lack_of_mass():
    bound, mass = entropy_bound([math.log(0.001)] * 20)
    assert (bound, mass) == (pytest.approx(math.log(1000)), pytest.approx(0.02))


def completion(*logprobs):
    top = [{"token": "A", "logprob": value} for value in logprobs]
    content = [{"token": "A", "logprob": 0.0, "top_logprobs": top}]
    return {"choices": [{"message": {"content": "A"}, "logprobs": {"content": content}}]}


def test_top_log_probabilities_are_read_out_of_a_stored_answer():
    assert first_logprobs(json.dumps(completion(-0.1, -2.5))) == [-0.1, -2.5]
    assert first_logprobs(completion(-1.0)) == [-1.0]
    for raw in (
        {},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"content": []}}]},
    ):
        assert first_logprobs(raw) is None


@pytest.mark.parametrize("column", ["raw", "top_logprobs"])
def test_the_top_k_entropy_has_its_covered_mass_beside_it(column, tmp_path):
    lists = {"a": [math.log(0.5), math.log(0.25)], "b": None}
    raw = {key: json.dumps(completion(*value) if value else {}) for key, value in lists.items()}
    table = pd.DataFrame(
        {"item_id": ["a", "b"], column: (raw if column == "raw" else lists).values()}
    )
    found = compute_metric("topk_entropy", MetricSettings(), table, ITEMS).set_index("item_id")
    assert found["value"]["a"] == pytest.approx(-(0.5 * math.log(0.5) + 0.5 * math.log(0.25)))
    assert found["covered_mass"]["a"] == pytest.approx(0.75)
    assert found["reason"].dropna().to_dict() == {
        "b": "no_logprobs",
        "c": "not_asked",
        "d": "not_asked",
    }
    parquet.write("metrics", found.reset_index(), tmp_path / "topk.parquet")
    stored = parquet.read("metrics", tmp_path / "topk.parquet")
    assert stored["covered_mass"].notna().tolist() == [True, False, False, False]
