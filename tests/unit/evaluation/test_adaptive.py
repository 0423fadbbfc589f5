import numpy as np
import pandas as pd
import pytest

from caft.evaluation.adaptive import (
    answers,
    capped,
    choose_threshold,
    quantile_threshold,
    random_ranks,
    threshold_of_count,
    unsure,
)

IDS = pd.Index(["a", "b", "c", "d"], name="item_id")
NAN = float("nan")


def predictions(correct, tokens, text, entropies=None):
    table = pd.DataFrame(
        {
            "text": text,
            "correct": np.array(correct, dtype=bool),
            "new_tokens": tokens,
            "thought_tokens": [0, 0, 5, 5] if text == "chain" else 0,
        },
        index=IDS,
    )
    return table if entropies is None else table.assign(first_token_entropy=entropies)


DIRECT = predictions([1, 1, 0, 0], [2, 2, 2, 3], "short", [0.1, 0.4, 0.4, 1.2])
COT = predictions([1, 0, 1, 1], [20, 30, 40, 50], "chain")


def taken(threshold):
    return answers(DIRECT, COT, unsure(DIRECT, threshold))


@pytest.mark.parametrize("threshold", [-np.inf, 0.0, 0.0999])
def test_below_all_entropies_it_is_the_chain_with_the_tokens_of_the_direct_try(threshold):
    found = taken(threshold)
    assert found["correct"].equals(COT["correct"]) and found["text"].equals(COT["text"])
    assert found["new_tokens"].tolist() == [22, 32, 42, 53]
    assert found["thought_tokens"].tolist() == [0, 0, 5, 5]


@pytest.mark.parametrize("threshold", [1.2, 7.0, np.inf])
def test_above_all_entropies_it_is_the_direct_answer(threshold):
    pd.testing.assert_frame_equal(taken(threshold), DIRECT)


def test_between_them_it_thinks_where_the_model_is_unsure():
    found = taken(0.4)
    assert found["text"].tolist() == ["short", "short", "short", "chain"]
    assert found["correct"].tolist() == [True, True, False, True]
    assert found["new_tokens"].tolist() == [2, 2, 2, 53]


def test_entropies_are_compared_to_four_decimals():
    nearly = DIRECT.assign(first_token_entropy=[0.1, 0.4, 0.40001, 1.2])
    assert unsure(nearly, 0.4).tolist() == [False, False, False, True]


def test_an_answer_without_an_entropy_stays_direct():
    lacking = DIRECT.assign(first_token_entropy=[0.1, NAN, 0.4, 1.2])
    assert unsure(lacking, -np.inf).tolist() == [True, False, True, True]
    assert unsure(DIRECT.drop(columns="first_token_entropy"), -np.inf).tolist() == [False] * 4
    assert threshold_of_count(lacking, 4) == -np.inf


# Thinking about d: 0.75 right with 59 tokens; about b, c, d: 0.75 with 129; about all: 0.75.
@pytest.mark.parametrize(("within", "threshold"), [(0.0, 0.4), (0.2, 0.4), (0.25, 1.2)])
def test_the_cheapest_threshold_near_the_better_mode_is_chosen(within, threshold):
    assert choose_threshold(DIRECT, COT, within) == threshold


def test_where_direct_answers_are_better_nothing_is_thought_about():
    worse = COT.assign(correct=[False, False, True, False])
    assert choose_threshold(DIRECT, worse, 0.0) == 1.2


def test_where_only_chains_are_right_everything_is_thought_about():
    assert choose_threshold(DIRECT.assign(correct=False), COT.assign(correct=True), 0.0) == -np.inf


@pytest.mark.parametrize(("quantile", "share"), [(0, 1.0), (0.25, 0.75), (0.75, 0.25), (1, 0.0)])
def test_a_quantile_says_how_much_is_not_thought_about(quantile, share):
    held_out = DIRECT.assign(first_token_entropy=[0.1, 0.3, 0.4, 1.2])
    assert unsure(held_out, quantile_threshold(held_out, quantile)).mean() == share


@pytest.mark.parametrize(("count", "thinks"), [(0, 0), (1, 1), (2, 1), (3, 3), (4, 4)])
def test_a_threshold_thinks_of_at_most_so_many_items(count, thinks):
    assert unsure(DIRECT, threshold_of_count(DIRECT, count)).sum() == thinks


def test_random_thinking_is_of_any_share_and_each_draw_is_the_items_own():
    ranks = random_ranks(IDS, 1)
    assert sorted(ranks) == [0, 1, 2, 3]
    assert (ranks < 0).sum() == 0 and (ranks < 4).all()
    more = random_ranks(pd.Index([*IDS, "e"]), 1)[:4]
    assert more.argsort().tolist() == ranks.argsort().tolist()
    assert any(random_ranks(IDS, seed).tolist() != ranks.tolist() for seed in range(2, 6))


def test_a_chain_that_is_complete_is_right_at_every_higher_cap():
    assert [capped(COT, cap)[0].tolist() for cap in (19, 20, 40, 50)] == [
        [False, False, False, False],
        [True, False, False, False],
        [True, False, True, False],
        COT["correct"].tolist(),
    ]
    assert capped(COT, 40)[1].tolist() == [20, 30, 40, 40]
