import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import t as student

from caft.analysis.comparisons import (
    compare_all,
    crossed_p,
    difference_interval,
    gain_interval,
    holm,
    mcnemar,
    mean_interval,
    seed_spread,
    verdict,
)
from caft.analysis.intervals import accuracy_interval
from caft.analysis.power import detectable_difference, items_needed
from caft.errors import ComparisonError


def answers(*rows):
    """Read rows of 0 and 1, one per seed."""
    return np.array([[digit == "1" for digit in row] for row in rows], dtype=bool)


def paired(both, won, lost, neither):
    """Return two strategies of one seed by the counts of the 2 x 2 table."""
    one = [True] * both + [True] * won + [False] * lost + [False] * neither
    other = [True] * both + [False] * won + [True] * lost + [False] * neither
    return np.array([one]), np.array([other])


def nothing(seeds=1):
    return np.zeros((seeds, 0), dtype=bool)


def triple(estimate):
    return estimate.value, estimate.low, estimate.high


# seed_spread and mean_interval


def test_the_spread_is_over_the_accuracies_of_the_seeds():
    assert seed_spread(answers("1100", "1110", "1111")) == pytest.approx((0.75, 0.25))
    mean, deviation = seed_spread(answers("1100"))
    assert mean == 0.5
    assert math.isnan(deviation)
    assert np.isnan(seed_spread(nothing(3))).all()


def test_with_one_seed_the_interval_is_wilsons():
    assert mean_interval(answers("1110010110")) == accuracy_interval([1, 1, 1, 0, 0, 1, 0, 1, 1, 0])
    assert math.isnan(mean_interval(nothing()).value)
    assert math.isnan(mean_interval(nothing(3)).low)


def test_seeds_that_answer_alike_count_as_one():
    row = "1" * 70 + "0" * 30
    assert triple(mean_interval(answers(row, row, row))) == pytest.approx(
        triple(accuracy_interval(np.array(list(row)) == "1"))
    )


@pytest.mark.parametrize("digit, expected", [("1", (1, 0.963, 1)), ("0", (0, 0, 0.037))])
def test_all_right_and_all_wrong_still_have_an_interval(digit, expected):
    matrix = answers(digit * 100, digit * 100)
    assert triple(mean_interval(matrix)) == pytest.approx(expected, abs=5e-4)


def test_seeds_that_disagree_as_a_whole_widen_the_interval_by_their_t_quantile():
    # Every item alike, seeds right on half or on all: 2 of 4 seeds know everything.
    rows = ["10" * 500, "10" * 500, "1" * 1000, "1" * 1000]
    estimate = mean_interval(answers(*rows))
    # Seeds: variance 0.0625 * 4/3 / 4 with 3 degrees of freedom; items give next to nothing.
    size = 0.75 * 0.25 / (0.0625 / 3)
    squared = 3.182**2 / size
    half = math.sqrt(squared * 0.1875 + squared**2 / 4) / (1 + squared)
    assert estimate.value == 0.75
    assert estimate.high - estimate.low == pytest.approx(2 * half, rel=0.02)


# difference_interval


def test_with_one_seed_each_the_interval_is_bonett_and_prices():
    # The example of R's statpsych::ci.prop.ps(.05, 12, 4, 26, 6), sides exchanged.
    one, other = paired(6, 26, 4, 12)
    estimate = difference_interval(one, other)
    assert estimate.value == pytest.approx(22 / 48)
    assert (estimate.low, estimate.high) == pytest.approx((0.2548067, 0.6251933), abs=1e-6)


def test_equal_answers_leave_room_for_the_items_not_asked():
    same = answers("10" * 50)
    estimate = difference_interval(same, same)
    assert triple(estimate) == pytest.approx((0, -0.0272, 0.0272), abs=1e-4)
    assert triple(difference_interval(answers("1"), answers("0"))) == pytest.approx(
        (1, 1 / 3 - 1.96 * math.sqrt(8 / 27), 1), abs=1e-3
    )


def test_a_difference_is_antisymmetric():
    generator = np.random.default_rng(1)
    one, other = generator.random((3, 90)) < 0.7, generator.random((2, 90)) < 0.5
    there, back = difference_interval(one, other), difference_interval(other, one)
    assert triple(there) == pytest.approx((-back.value, -back.high, -back.low))
    assert crossed_p(one, other) == pytest.approx(crossed_p(other, one))


def test_seeds_that_move_alone_give_welchs_interval():
    # All items of a seed alike: only 3 + 2 numbers, 1 1 0 and 0 1, apart from the added items.
    one, other = answers("1" * 4000, "1" * 4000, "0" * 4000), answers("0" * 4000, "1" * 4000)
    estimate = difference_interval(one, other)
    assert estimate.value == pytest.approx(2 / 3 - 1 / 2)
    assert (estimate.low, estimate.high) == (-1, 1)  # 1.5 degrees of freedom
    seven = np.repeat(np.eye(7, dtype=bool)[:2].any(axis=0)[:, None], 4000, axis=1)
    estimate = difference_interval(seven, ~seven)
    # Accuracies 2/7 and 5/7 with variance 10/49 * 7/6 / 7 each, and 12 degrees of freedom.
    assert estimate.high - estimate.low == pytest.approx(
        2 * 2.1788 * math.sqrt(2 * 10 / 49 / 6), abs=2e-3
    )


def mean_squares(matrix):
    """Return those of seeds and residual in a two-way table, item by item from the textbook."""
    seeds, items = matrix.shape
    total, rows, columns = matrix.mean(), matrix.mean(axis=1), matrix.mean(axis=0)
    residual = matrix - rows[:, None] - columns + total
    by_seed = items * ((rows - total) ** 2).sum() / (seeds - 1)
    return by_seed, (residual**2).sum() / (seeds - 1) / (items - 1)


def test_the_variance_is_that_of_the_two_way_analysis():
    generator = np.random.default_rng(6)
    chances = generator.beta(1, 1, size=(2, 120))
    one, other = generator.random((3, 120)) < chances[0], generator.random((4, 120)) < chances[1]
    seed_parts, noise = [], 0
    for matrix in (one, other):
        by_seed, residual = mean_squares(matrix)
        seed_parts.append(by_seed / matrix.size)
        noise += residual / len(matrix)
    differences = np.append(one.mean(axis=0) - other.mean(axis=0), [1, -1])
    variance = max(2 / 122, differences.var() - noise) / 122 + sum(seed_parts)
    seeds = sum(seed_parts)
    freedom = seeds * variance / (seed_parts[0] ** 2 / 2 + seed_parts[1] ** 2 / 3)
    half = student.ppf(0.975, freedom) * math.sqrt(variance)
    estimate = difference_interval(one, other)
    assert differences.var() - noise > 2 / 122
    assert (estimate.high - estimate.low) / 2 == pytest.approx(half)


def test_a_difference_without_items_is_unknown():
    assert math.isnan(difference_interval(nothing(), nothing(3)).value)
    assert math.isnan(difference_interval(nothing(), nothing(3)).low)


def test_more_rows_of_the_same_answers_change_nothing():
    one, other = paired(40, 25, 10, 25)
    thrice = np.repeat(one, 3, axis=0)
    assert difference_interval(thrice, other) == difference_interval(one, other)


# gain_interval


def test_the_same_answers_of_the_same_models_leave_only_the_two_added_items():
    levels = answers("1" * 20 + "0" * 106, "1" * 60 + "0" * 66, "1" * 100 + "0" * 26)
    half = 1.96 * math.sqrt(2) / 128
    assert triple(gain_interval(levels, levels)) == pytest.approx((0, -half, half), abs=1e-4)
    assert difference_interval(levels, levels).high > 0.5, "seeds that are not paired"


def test_a_constant_gain_over_unequal_levels_has_a_narrow_interval():
    # Each model gains 6 of 120 items, others each: no seed part but the noise of single answers.
    other = answers("1" * 20 + "0" * 100, "1" * 60 + "0" * 60, "1" * 100 + "0" * 20)
    one = other.copy()
    one[0, 20:26] = one[1, 60:66] = one[2, 100:106] = True
    found = gain_interval(one, other)
    assert found.value == pytest.approx(0.05)
    assert found.low > 0 and found.high - found.low < 0.1


def test_the_variance_of_a_gain_is_that_of_the_two_way_analysis_of_differences():
    generator = np.random.default_rng(8)
    level = np.array([[0.2], [0.5], [0.8], [0.6]])
    other = generator.random((4, 90)) < level
    one = generator.random((4, 90)) < level + 0.1
    by_seed, residual = mean_squares(one.astype(float) - other)
    spread, noise = by_seed / one.size, residual / len(one)
    differences = np.append((one.astype(float) - other).mean(axis=0), [1, -1])
    variance = max(2 / 92, differences.var() - noise) / 92 + spread
    half = student.ppf(0.975, 3 * variance / spread) * math.sqrt(variance)
    found = gain_interval(one, other)
    assert (found.low, found.high) == pytest.approx(
        (differences.mean() - half, differences.mean() + half)
    )


def test_a_gain_of_one_seed_is_the_difference():
    one, other = paired(40, 25, 10, 25)
    assert gain_interval(one, other) == difference_interval(one, other)
    assert math.isnan(gain_interval(nothing(), nothing()).value)
    assert math.isnan(gain_interval(nothing(3), nothing(3)).low)


def test_a_gain_needs_the_same_models():
    with pytest.raises(ComparisonError, match="one has 2 seeds and other 1"):
        gain_interval(answers("10", "11"), answers("10"))


# tests of no difference


@pytest.mark.parametrize(
    "won, lost, expected",
    [(8, 1, 20 / 512), (1, 8, 20 / 512), (5, 5, 1.0), (0, 0, 1.0), (6, 0, 2 / 64)],
)
def test_mcnemars_p_is_the_exact_binomial_one(won, lost, expected):
    assert mcnemar(*paired(3, won, lost, 4)) == pytest.approx(expected)


def test_mcnemars_test_takes_one_seed_each():
    with pytest.raises(ComparisonError, match="one seed"):
        mcnemar(answers("10", "11"), answers("10"))


def test_the_crossed_test_needs_more_than_alike_seeds():
    # Accuracies of the seeds are equal, their answers are not: the interval takes the seeds for
    # exact, the test does not.
    one = answers("1100" * 25, "0110" * 25, "0011" * 25)
    other = answers("1000" * 25, "0100" * 25, "0001" * 25)
    estimate = difference_interval(one, other)
    assert estimate.low > 0
    half = (estimate.high - estimate.low) / 2
    by_interval = math.erfc((estimate.high - half) / (half / 1.96) / math.sqrt(2))
    assert crossed_p(one, other) > 10 * by_interval


def test_the_crossed_test_of_equal_answers_finds_nothing():
    same = answers("1010", "1110")
    assert crossed_p(same, same) == 1
    assert crossed_p(nothing(3), nothing(2)) == 1


def test_holm_multiplies_by_what_is_left_and_never_decreases():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == pytest.approx([1, 1])
    assert holm([]).shape == (0,)


# power and verdict


def test_the_items_needed_follow_the_usual_formula():
    one, other = paired(400, 100, 100, 400)
    variance = 202 / 1002
    quantiles = 1.959964 + 0.841621
    exact = quantiles**2 * variance / 0.05**2
    assert exact == pytest.approx(632.9, abs=0.1)
    assert items_needed(one, other, 0.05) == 640
    assert items_needed(one, other, 0.005) == 64_000
    assert items_needed(one, other, 0.05, comparisons=10) == pytest.approx(
        (2.807034 + 0.841621) ** 2 * variance / 0.05**2, rel=0.05
    )


def test_no_number_of_items_makes_up_for_seeds():
    one, other = answers("1" * 400, "0" * 400), answers("0" * 400, "1" * 400)
    assert items_needed(one, other) == math.inf


@pytest.mark.parametrize(
    "table, p, expected",
    [
        ((40, 30, 10, 20), 0.01, "better"),
        ((40, 10, 30, 20), 0.01, "worse"),
        ((40, 30, 10, 20), 0.05, "underpowered: needs about 1200 items"),
        ((400, 12, 10, 600), 0.5, "no detectable difference"),
        ((40, 3, 3, 40), 0.04, "underpowered: needs about 290 items"),
    ],
)
def test_a_verdict_needs_the_p_value_and_the_interval(table, p, expected):
    assert verdict(*paired(*table), p) == expected


def shifted(accuracies, items):
    """Return seeds that are right on the first items, as many as their accuracy says."""
    return np.array([np.arange(items) < share * items for share in accuracies])


def test_a_verdict_asks_for_seeds_where_they_vary_most():
    one, other = shifted([0.5, 0.6, 0.7], 1000), shifted([0.5, 0.6, 0.7], 1000)
    # Two standard errors of 0.1 / sqrt(n) within 0.05 / 2.8: about 63 seeds, a few more for items.
    found = verdict(one, other, 1.0)
    seeds = int(found.removeprefix("underpowered: needs about ").removesuffix(" seeds"))
    assert 60 <= seeds <= 70


def test_a_verdict_asks_for_both_where_neither_alone_would_do():
    generator = np.random.default_rng(0)
    shares = np.array([[0.3], [0.5], [0.7]])
    one, other = generator.random((2, 3, 20)) < shares
    one, other = one | (np.arange(20) < 5), other | (np.arange(20) >= 15)
    found = verdict(one, other, 1.0, relevant=0.02)
    assert found.startswith("underpowered: needs about ")
    assert " seeds and " in found and found.endswith(" items")


def test_a_verdict_asks_for_further_seeds_where_they_spare_many_items():
    # Two seeds say next to nothing of others: the t quantile of so few degrees of freedom is 11.
    one, other = np.random.default_rng(1).random((2, 2, 126)) < 0.5
    assert items_needed(one, other, comparisons=3) > 2000
    found = verdict(one, other, 1.0, comparisons=3).removeprefix("underpowered: needs about ")
    seeds, items = map(int, found.removesuffix(" items").split(" seeds and "))
    assert 2 < seeds < 12 and items < 1000
    reached = detectable_difference(one, other, items=items, seeds=seeds, comparisons=3)
    assert 0.045 < reached <= 0.05
    for dearer in (seeds - 1, seeds + 1):  # with as many answers as the same cost allows
        fewer = round(seeds * (items + 126) / dearer - 126)
        assert detectable_difference(one, other, fewer, dearer, comparisons=3) > 0.049


@pytest.mark.parametrize("relevant", [0, -0.1, 1, math.nan])
def test_a_relevant_difference_is_a_share(relevant):
    with pytest.raises(ComparisonError, match="relevant"):
        verdict(*paired(1, 1, 1, 1), 1.0, relevant)


# compare_all


def test_a_table_has_a_row_per_pair_in_the_order_given():
    base, tuned = paired(40, 10, 40, 110)
    table = compare_all({"sft": np.repeat(tuned, 3, axis=0), "base": base, "random": base})
    assert list(table) == [
        *["strategy", "other", "n_items", "n_seeds", "n_seeds_other", "difference"],
        *["difference_low", "difference_high", "test", "p", "p_holm", "verdict"],
    ]
    assert table[["strategy", "other", "test", "n_seeds", "n_seeds_other"]].values.tolist() == [
        ["sft", "base", "t", 3, 1],
        ["sft", "random", "t", 3, 1],
        ["base", "random", "mcnemar", 1, 1],
    ]
    assert list(table["n_items"]) == [200] * 3
    assert list(table["difference"]) == pytest.approx([0.15, 0.15, 0])
    assert list(table["verdict"]) == ["better", "better", "no detectable difference"]
    assert list(table["p_holm"]) == pytest.approx([3 * table["p"][0], 3 * table["p"][0], 1])


def test_one_strategy_has_nothing_to_be_compared_with():
    table = compare_all({"base": answers("10")})
    assert len(table) == 0
    assert list(table)[-2:] == ["p_holm", "verdict"]
    assert len(compare_all({})) == 0


def test_without_items_everything_is_unknown_and_items_are_missing():
    (row,) = compare_all({"a": nothing(), "b": nothing(3)}).to_dict("records")
    assert math.isnan(row["difference"])
    assert (row["n_items"], row["p"]) == (0, 1)
    assert row["verdict"] == "underpowered: needs about 3200 items"


def test_other_items_are_refused_with_the_names():
    with pytest.raises(ComparisonError, match="sft answered 3 items and base 2"):
        compare_all({"sft": answers("101"), "base": answers("10")})
    with pytest.raises(ComparisonError, match="other 2"):
        difference_interval(answers("101"), answers("10"))


@pytest.mark.parametrize("matrix", [[True, False], [[0.5, 1.0]], np.zeros((0, 3), dtype=bool)])
def test_anything_but_booleans_of_seeds_by_items_is_refused(matrix):
    with pytest.raises(ComparisonError, match="sft: expected booleans"):
        compare_all({"sft": matrix, "base": answers("10")})


def test_a_large_run_takes_seconds():
    generator = np.random.default_rng(2)
    correct = {f"s{n}": generator.random((5, 12_000)) < 0.5 + n / 50 for n in range(9)}
    table = compare_all(correct)
    assert len(table) == 36
    assert set(table["verdict"]) <= {"worse", "no detectable difference"}


# simulation; benchmarks/coverage does the same at length


def simulate(generator, seeds, items, deviation):
    """Return two equal strategies whose seeds shift their accuracy by about deviation."""
    shared, chances = generator.normal(size=items) * 1.8, []
    for _ in range(2):
        logits = shared + generator.normal(size=items) * 0.9
        shift = generator.normal(size=(seeds, 1)) * deviation / 0.13
        chances.append(expit(logits + shift))
    return [generator.random(chance.shape) < chance for chance in chances]


@pytest.mark.parametrize("seeds, deviation", [(1, 0.0), (3, 0.0), (3, 0.03), (5, 0.03)])
def test_about_95_percent_of_the_intervals_hold_the_truth(seeds, deviation):
    generator = np.random.default_rng(4)
    hits, means, wrong, experiments = 0, 0, 0, 400
    for _ in range(experiments):
        one, other = simulate(generator, seeds, 500, deviation)
        found, mean = difference_interval(one, other), mean_interval(one)
        hits += found.low <= 0 <= found.high
        means += mean.low <= 0.5 <= mean.high
        wrong += (mcnemar(one, other) if seeds == 1 else crossed_p(one, other)) < 0.05
    # Five standard errors of 400 draws are 0.055. Without the seeds 0.6 to 0.8 would be held.
    assert 0.895 <= hits / experiments <= 0.995
    assert 0.895 <= means / experiments <= 0.995
    assert wrong / experiments <= 0.1
