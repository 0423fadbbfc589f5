import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caft.errors import ConfigError
from caft.mixtures.buckets import (
    BUCKETS,
    assign_buckets,
    budget_threshold,
    build_buckets,
    random_membership,
    thresholds,
)
from caft.mixtures.settings import Buckets

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


def test_random_membership_keeps_the_sizes_and_changes_the_members():
    buckets = pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(40)],
            "bucket": ["easy"] * 10 + ["medium"] * 18 + ["hard"] * 12,
        },
        index=range(100, 140),
    )
    drawn = random_membership(buckets, seed=1)
    assert drawn.index.equals(buckets.index)
    assert drawn.value_counts().to_dict() == {"easy": 10, "medium": 18, "hard": 12}
    assert set(drawn.index[drawn == "hard"]) != set(range(128, 140))
    assert (random_membership(buckets, seed=1) == drawn).all()
    assert (random_membership(buckets, seed=2) != drawn).any()


def test_random_membership_does_not_depend_on_complexity():
    # Items that complexity calls hard are drawn hard as often as the size of the bucket says.
    buckets = pd.DataFrame(
        {"item_id": [f"i{n}" for n in range(400)], "bucket": ["easy"] * 300 + ["hard"] * 100}
    )
    drawn = random_membership(buckets, seed=1)
    assert 10 <= int((drawn[buckets["bucket"] == "hard"] == "hard").sum()) <= 40
