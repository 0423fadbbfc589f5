from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from configurations import configuration
from hypothesis import given, settings
from hypothesis import strategies as st

from caft.errors import ConfigError
from caft.mixtures.buckets import (
    BUCKETS,
    assign_buckets,
    budget_threshold,
    build_buckets,
    drawn_membership,
    drawn_order,
    thresholds,
)
from caft.mixtures.settings import Buckets, Draw

NAN = float("nan")


def scores_table(values, splits=None, metric="value"):
    return pd.DataFrame(
        {
            "item_id": [f"i{number}" for number in range(len(values))],
            "split": splits or ["train"] * len(values),
            metric: values,
        }
    )


def cut(**named):
    """Return a bucket definition with some keys of its own."""
    default = {"metric": "single_token_entropy", "quantiles": [0.25, 0.75]}
    return Buckets.model_validate({**default, **named})


def test_ties_go_to_the_lower_bucket():
    scores = pd.Series([0.1, 0.5, 0.5, 0.9, NAN])
    assert list(assign_buckets(scores, 0.1, 0.5)) == ["easy", "medium", "medium", "hard", "medium"]


@pytest.mark.parametrize("on_missing", BUCKETS)
def test_items_without_a_score_go_where_the_config_says(on_missing):
    assert list(assign_buckets(pd.Series([NAN, NAN]), 0, 1, on_missing)) == [on_missing] * 2


def test_thresholds_out_of_order_are_refused():
    with pytest.raises(ConfigError, match="0.75 comes before 0.25"):
        assign_buckets(pd.Series([0.1]), 0.75, 0.25)


def test_a_bucket_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="'harder' is no bucket"):
        assign_buckets(pd.Series([0.1]), 0, 1, "harder")


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.just(NAN), st.floats(-5, 5), st.sampled_from([0.0, 1.0]))),
    st.floats(-5, 5),
    st.floats(-5, 5),
    st.sampled_from(BUCKETS),
)
def test_every_item_is_in_exactly_the_bucket_its_score_says(values, one, other, on_missing):
    lower, upper = sorted([one, other])
    scores = pd.Series(values, dtype=float, index=range(7, 7 + len(values)))
    buckets = assign_buckets(scores, lower, upper, on_missing)
    assert buckets.index.equals(scores.index)
    for value, bucket in zip(values, buckets, strict=True):
        expected = {
            "easy": value <= lower,
            "medium": lower < value <= upper,
            "hard": value > upper,
        }
        assert [name for name in BUCKETS if expected[name]] == ([] if value != value else [bucket])
        assert value == value or bucket == on_missing


def test_quantiles_are_values_that_occur():
    assert thresholds(pd.Series([4.0, 1.0, 3.0, 2.0, 5.0, NAN]), cut()) == (2.0, 4.0)


def test_quantiles_of_tied_scores_may_coincide():
    assert thresholds(pd.Series([1.0, 1.0, 1.0, 1.0, 2.0]), cut()) == (1.0, 1.0)
    table, _ = build_buckets(scores_table([1.0, 1.0, 1.0, 1.0, 2.0]), cut(), seed=1)
    assert list(table["bucket"]) == ["easy", "easy", "easy", "easy", "hard"]


@pytest.mark.parametrize(
    ("budget", "threshold"),
    [
        (0.5, 5.0),  # nothing is affordable
        (1.0, 4.0),
        (2.9, 4.0),  # two items of equal complexity are bought together or not at all
        (3.0, 3.0),
        (4.0, 2.0),
        (100.0, 1.5),  # never below the lower threshold
    ],
)
def test_a_budget_buys_the_most_complex_items_and_ties_go_to_the_lower_bucket(budget, threshold):
    scores = pd.Series([5.0, 4.0, 4.0, 3.0, 2.0, 1.0], index=list("fedcba"))
    assert budget_threshold(scores, pd.Series(1.0, index=scores.index), budget, 1.5) == threshold


def test_a_budget_is_not_missed_by_rounding():
    scores = pd.Series([4.0, 3.0, 2.0, 1.0])
    assert budget_threshold(scores, pd.Series([0.1] * 4), 0.3, 0.0) == 1.0


def budgeted(budget, **named):
    return cut(hard={"budget_usd": budget, "teacher": "big"}, **named)


def test_money_draws_the_upper_threshold_and_quantiles_the_lower_one():
    scores = scores_table([1.0, 2.0, 3.0, 4.0, 5.0, 9.0], ["train"] * 5 + ["test"])
    prices = pd.Series([3.0, 3.0, 3.0, 3.0, 3.0], index=[f"i{number}" for number in range(5)])
    table, report = build_buckets(scores, budgeted(7.0), 1, 4, prices)
    assert list(table["bucket"]) == ["easy", "easy", "medium", "hard", "hard", "hard"]
    assert (report["lower"], report["upper"], report["hard_usd"]) == (2.0, 3.0, 6.0)
    table, report = build_buckets(scores, budgeted(7.0, thresholds=[1, 1.5]), 1, 4, prices)
    assert (report["lower"], report["upper"]) == (1.0, 3.0)


def test_dear_items_leave_money_for_fewer():
    scores = scores_table([1.0, 2.0, 3.0, 4.0])
    prices = pd.Series({"i3": 5.0, "i2": 1.0, "i1": 1.0, "i0": 1.0})
    assert build_buckets(scores, budgeted(6.0), 1, 4, prices)[1]["upper"] == 2.0
    assert build_buckets(scores, budgeted(4.9), 1, 4, prices)[1]["upper"] == 4.0


def test_items_without_a_score_are_never_bought():
    scores = scores_table([NAN, NAN, 3.0, 4.0])
    prices = pd.Series(1.0, index=["i0", "i1", "i2", "i3"])
    table, report = build_buckets(scores, budgeted(100.0, quantiles=[0.0, 1.0]), 1, 4, prices)
    assert list(table["bucket"]) == ["medium", "medium", "easy", "hard"]
    assert report["hard_usd"] == 1.0


def test_without_any_score_a_budget_buys_nothing():
    prices = pd.Series(1.0, index=["i0", "i1"])
    table, _ = build_buckets(scores_table([NAN, NAN]), budgeted(100.0), 1, 4, prices)
    assert list(table["bucket"]) == ["medium", "medium"]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.one_of(st.just(NAN), st.integers(0, 5)), st.floats(0.01, 2)), min_size=1),
    st.floats(0.01, 20),
)
def test_the_hard_bucket_never_costs_more_than_the_budget_and_leaves_no_room_for_more(rows, budget):
    values, costs = zip(*rows, strict=True)
    scores = scores_table(list(values))
    prices = pd.Series(costs, index=scores["item_id"])
    table, report = build_buckets(scores, budgeted(budget), 1, 4, prices)
    hard = table["bucket"] == "hard"
    assert report["lower"] <= report["upper"]
    assert prices[list(table["item_id"][hard])].sum() <= budget * (1 + 1e-6)
    medium = table["complexity"][(table["bucket"] == "medium") & ~table["missing"]]
    if len(medium):
        more = hard | (table["complexity"] == medium.max())
        assert prices[list(table["item_id"][more])].sum() > budget * (1 - 1e-6)


def test_absolute_thresholds_win_over_quantiles():
    assert thresholds(pd.Series([1.0, 2.0]), cut(thresholds=[0, 1.5])) == (0.0, 1.5)


def test_thresholds_come_from_the_training_split_alone():
    splits = ["train"] * 4 + ["test"] * 4
    values = [1.0, 2.0, 3.0, 4.0, 99.0, 98.0, 97.0, -9.0]
    table, report = build_buckets(scores_table(values, splits), cut(), 1)
    assert (report["lower"], report["upper"]) == (1.0, 3.0)
    assert list(table["bucket"][:4]) == ["easy", "medium", "medium", "hard"]
    assert list(table["bucket"][4:]) == ["hard", "hard", "hard", "easy"]
    assert list(table["sampled"]) == [True] * 4 + [False] * 4


def test_without_any_score_every_item_goes_where_missing_ones_go():
    table, report = build_buckets(scores_table([None, None]), cut(on_missing="easy"), 1)
    assert list(table["bucket"]) == ["easy", "easy"]
    assert report["missing"] == 2


def test_scores_are_rounded_before_they_meet_a_threshold():
    table, _ = build_buckets(scores_table([0.50003, 0.5001]), cut(thresholds=[0.1, 0.5]), 1)
    assert list(table["bucket"]) == ["medium", "hard"]
    assert list(table["complexity"]) == [0.5, 0.5001]


def test_values_of_a_file_are_not_rounded():
    table, _ = build_buckets(scores_table([0.50003]), cut(thresholds=[0.1, 0.5]), 1, None)
    assert list(table["bucket"]) == ["hard"]


def test_the_report_counts_each_split():
    splits = ["train", "train", "test"]
    _, report = build_buckets(scores_table([0.0, NAN, 9.0], splits), cut(thresholds=[1, 2]), 1)
    assert report["counts"] == {
        "train": {"easy": 1, "medium": 1, "hard": 0},
        "test": {"easy": 0, "medium": 0, "hard": 1},
    }
    assert (report["missing"], report["sampled"]) == (1, 2)


def sampled(table):
    return set(table.loc[table["sampled"], "item_id"])


def test_a_sample_takes_at_most_so_many_training_items_of_each_bucket():
    splits = ["train"] * 20 + ["test"] * 10
    table, report = build_buckets(
        scores_table(list(np.arange(30.0)), splits), cut(thresholds=[1, 9], per_bucket=3), 1
    )
    counts = table[table["sampled"]].groupby("bucket").size().to_dict()
    assert counts == {"easy": 2, "medium": 3, "hard": 3}
    assert report["sampled"] == 8
    assert set(table.loc[table["sampled"], "split"]) == {"train"}


def test_a_sample_follows_from_the_seed_and_not_from_row_order():
    scores = scores_table([0.0] * 30)
    sampling = cut(thresholds=[1, 2], per_bucket=5)
    table, _ = build_buckets(scores, sampling, 1)
    turned, _ = build_buckets(scores.iloc[::-1].reset_index(drop=True), sampling, 1)
    other, _ = build_buckets(scores, sampling, 2)
    assert sampled(table) == sampled(turned) != sampled(other)


def test_rows_that_come_or_go_move_no_other_row_in_the_sample():
    sampling = cut(thresholds=[1, 2], per_bucket=5)
    whole, _ = build_buckets(scores_table([0.0] * 40), sampling, 1)
    part, _ = build_buckets(scores_table([0.0] * 30), sampling, 1)
    known = set(part["item_id"])
    # Whoever of the first 30 is drawn among 40 is drawn among the 30 as well.
    assert sampled(whole) & known <= sampled(part)
    assert sampled(whole) & known


RANDOM = Draw(draw="random")


def divided(**sizes):
    """Return a buckets table in which the complexity of items rises with their number."""
    names = [name for name, size in sizes.items() for _ in range(size)]
    table = pd.DataFrame({"bucket": names, "complexity": [0.01 * n for n in range(len(names))]})
    return table.assign(item_id=[f"i{n}" for n in range(len(names))])


def hard(table, draw, seed=1):
    return set(table["item_id"][drawn_membership(table, draw, seed) == "hard"])


def test_random_membership_keeps_the_sizes_and_changes_the_members():
    buckets = divided(easy=10, medium=18, hard=12).set_axis(range(100, 140))
    drawn = drawn_membership(buckets, RANDOM, seed=1)
    assert drawn.index.equals(buckets.index)
    assert drawn.value_counts().to_dict() == {"easy": 10, "medium": 18, "hard": 12}
    assert set(drawn.index[drawn == "hard"]) != set(range(128, 140))
    assert (drawn_membership(buckets, RANDOM, seed=1) == drawn).all()
    assert (drawn_membership(buckets, RANDOM, seed=2) != drawn).any()


def test_random_membership_is_the_draw_that_it_has_always_been():
    assert hard(divided(easy=4, medium=4, hard=4), RANDOM) == {"i0", "i4", "i10", "i11"}


def test_random_membership_does_not_depend_on_complexity():
    # Items that complexity calls hard are drawn hard as often as the size of the bucket says.
    buckets = divided(easy=300, hard=100)
    drawn = drawn_membership(buckets, RANDOM, seed=1)
    assert 10 <= int((drawn[buckets["bucket"] == "hard"] == "hard").sum()) <= 40


@pytest.mark.parametrize("draw", ["top", "proportional", "random"])
def test_a_number_of_hard_items_leaves_the_easy_ones_as_far_as_it_can(draw):
    buckets = divided(easy=3, medium=5, hard=4)
    sizes = {
        items: drawn_membership(buckets, Draw(draw=draw, items=items), 1).value_counts().to_dict()
        for items in (2, 10, 99)
    }
    assert sizes == {
        2: {"easy": 3, "medium": 7, "hard": 2},
        10: {"easy": 2, "hard": 10},
        99: {"hard": 12},
    }


def test_the_top_is_the_most_complex_items_and_the_least_are_easy():
    buckets = divided(easy=3, medium=5, hard=4)
    drawn = drawn_membership(buckets, Draw(draw="top", items=2), 1)
    assert drawn.tolist() == ["easy"] * 3 + ["medium"] * 7 + ["hard"] * 2


def test_the_top_takes_the_same_of_equally_complex_items_with_every_seed():
    buckets = divided(easy=5, medium=10, hard=5).assign(complexity=[0.0] * 5 + [0.5] * 15)
    top, mixed = Draw(draw="top", items=6), Draw(draw="top", items=6, uniform=0.5)
    assert len({frozenset(hard(buckets, top, seed)) for seed in range(20)}) == 1
    assert len({frozenset(hard(buckets, mixed, seed)) for seed in range(20)}) > 1


def test_the_top_does_not_take_equally_complex_items_in_the_order_of_their_rows():
    buckets = divided(hard=12).assign(complexity=0.5)
    top = Draw(draw="top", items=3)
    found = hard(buckets, top)
    assert found == hard(buckets.iloc[::-1].reset_index(drop=True), top)
    assert found not in ({"i0", "i1", "i2"}, {"i9", "i10", "i11"})


def test_of_what_a_proportional_draw_leaves_the_least_complex_items_are_easy():
    buckets = divided(easy=10, medium=20, hard=10).sample(frac=1, random_state=1)
    for draw in (Draw(draw="proportional"), Draw(draw="proportional", uniform=0.5)):
        names = drawn_membership(buckets, draw, 1)[buckets.sort_values("complexity").index]
        assert names[names != "hard"].tolist() == ["easy"] * 10 + ["medium"] * 20


def test_who_is_drawn_in_proportion_is_who_it_has_always_been():
    # Strategies that join easy and medium items keep their models by that.
    drawn = hard(divided(easy=4, medium=4, hard=4), Draw(draw="proportional", uniform=0.25))
    assert drawn == {"i7", "i8", "i9", "i10"}


def test_the_shipped_strategies_that_draw_in_proportion_join_easy_and_medium_items():
    strategies = configuration({}).strategies.values()
    drawn = [one for one in strategies if one.drawn.draw == "proportional"]
    parts = [part for one in drawn for stage in one.stages for part in stage.parts_or_itself]
    assert {frozenset(part.buckets) for part in parts} == {
        frozenset({"easy", "medium"}),
        frozenset({"hard"}),
    }


def test_an_item_without_a_complexity_stays_where_it_is_and_is_not_drawn():
    buckets = divided(easy=2, medium=4, hard=2)
    buckets.loc[[2, 3], "complexity"] = None
    for seed in range(20):
        drawn = drawn_membership(buckets, Draw(draw="proportional", items=99), seed)
        assert drawn.tolist() == ["hard"] * 2 + ["medium"] * 2 + ["hard"] * 4


def test_an_item_of_no_complexity_is_drawn_last():
    found = [
        drawn_order({"a": 0.0, "b": 0.1, "c": 5.0}, Draw(draw="proportional"), 2, seed)[1:]
        for seed in range(50)
    ]
    assert {frozenset(pair) for pair in found} == {frozenset("bc")}


def test_a_proportional_draw_takes_no_negative_weights():
    with pytest.raises(ConfigError, match="the lowest is -2. .*combine:.*by: rank"):
        drawn_order({"a": -2.0, "b": 1.0}, Draw(draw="proportional"), 1, 1)


def test_a_proportional_draw_includes_items_as_often_as_theory_says():
    # Drawn one after the other, each in proportion to the weights that are left: a pair's chance
    # is p_i p_j / (1 - p_i) + p_j p_i / (1 - p_j). Ten pairs, nine degrees of freedom.
    share = {"a": 0.05, "b": 0.1, "c": 0.2, "d": 0.25, "e": 0.4}
    draw, seeds = Draw(draw="proportional"), 10_000
    weights = {item: 7 * one for item, one in share.items()}
    drawn = Counter(frozenset(drawn_order(weights, draw, 2, seed)[-2:]) for seed in range(seeds))
    chi_square = 0.0
    for one, other in combinations(share, 2):
        p, q = share[one], share[other]
        expected = seeds * (p * q / (1 - p) + p * q / (1 - q))
        chi_square += (drawn[frozenset({one, other})] - expected) ** 2 / expected
    assert chi_square < 21.7  # 0.99 of the distribution


@pytest.mark.parametrize("draw", ["top", "proportional", "random"])
@pytest.mark.parametrize("uniform", [None, 0.4])
def test_one_more_item_displaces_one_at_most(draw, uniform):
    how = Draw(draw=draw, items=10, uniform=None if draw == "random" else uniform)
    buckets = divided(easy=30, medium=20, hard=10).assign(complexity=[1.0, 2.0, 3.0] * 20)
    for seed in range(20):
        whole = hard(buckets, how, seed)
        without = [hard(buckets.drop(row), how, seed) for row in (0, 31, 59)]
        assert [len(other - whole) for other in without] == [
            int(item in whole) for item in ("i0", "i31", "i59")
        ]


def test_a_uniform_share_is_drawn_from_all_items():
    buckets = divided(easy=50, medium=30, hard=20)
    drawn = hard(buckets, Draw(draw="top", uniform=0.5))
    top = {f"i{number}" for number in range(80, 100)}
    assert len(drawn) == 20 and 10 <= len(drawn & top) < 20
    assert hard(buckets, Draw(draw="top", uniform=1)) == hard(buckets, RANDOM)
