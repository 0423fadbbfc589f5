import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from caft.analysis import intervals as statistics
from caft.analysis.intervals import accuracy_interval, roc_auc


@pytest.mark.parametrize(
    "right, count, expected",
    [
        (8, 10, (0.8, 0.4902, 0.9433)),
        (0, 10, (0.0, 0.0, 0.2775)),
        (10, 10, (1.0, 0.7225, 1.0)),
        (45, 100, (0.45, 0.3561, 0.5476)),
    ],
)
def test_an_accuracy_has_wilsons_interval(right, count, expected):
    estimate = accuracy_interval([True] * right + [False] * (count - right))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected, abs=5e-5)


def test_an_accuracy_of_no_items_is_unknown():
    assert math.isnan(accuracy_interval([]).value)


def area_by_ranks(wrong, complexity):
    """Return the area by its relation to Mann and Whitney's U."""
    ranked = mannwhitneyu(complexity[wrong], complexity[~wrong]).statistic
    return ranked / (wrong.sum() * (~wrong).sum())


@pytest.mark.parametrize("decimals", [6, 1, 0])
def test_the_area_is_mann_and_whitneys_with_and_without_ties(decimals):
    generator = np.random.default_rng(decimals)
    wrong = generator.random(300) < 0.4
    complexity = (generator.normal(size=300) + wrong).round(decimals)
    estimate = roc_auc(complexity, wrong, draws=500)
    assert estimate.value == pytest.approx(area_by_ranks(wrong, complexity), abs=1e-12)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.high - estimate.low < 0.2


def test_the_interval_of_the_area_is_that_of_a_plain_bootstrap():
    generator = np.random.default_rng(5)
    wrong = generator.random(120) < 0.5
    complexity = (generator.normal(size=120) + wrong).round(1)
    rows = [generator.integers(0, 120, 120) for _ in range(1500)]
    areas = [area_by_ranks(wrong[row], complexity[row]) for row in rows]
    estimate = roc_auc(complexity, wrong)
    assert [estimate.low, estimate.high] == pytest.approx(
        list(np.quantile(areas, [0.025, 0.975])), abs=0.015
    )


def test_the_area_is_literally_the_share_of_well_ordered_pairs():
    # wrong: 3, 2; right: 1, 2. Pairs: 3>1, 3>2, 2>1 and one tie.
    assert roc_auc([3, 2, 1, 2], [True, True, False, False]).value == 3.5 / 4


def test_the_area_is_unknown_where_all_answers_are_alike():
    for wrong in ([True, True], [False, False]):
        assert math.isnan(roc_auc([1.0, 2.0], wrong).value)
        assert math.isnan(roc_auc([1.0, 2.0], wrong).low)


def test_a_draw_without_a_wrong_answer_is_left_out_of_the_interval():
    estimate = roc_auc([1.0, 2.0, 3.0, 4.0], [False, False, False, True])
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 1.0, 1.0)


def test_draws_in_blocks_count_the_same_as_draws_at_once(monkeypatch):
    assert statistics._blocks(2000, 1_000_000) == [16] * 125
    assert statistics._blocks(2000, 1000) == [320] * 6 + [80]
    assert statistics._blocks(35, 10_000_000) == [16, 16, 3]
    assert statistics._blocks(3, 10_000_000) == [3]
    wrong, complexity = [True, False] * 50, list(range(100))
    at_once = roc_auc(complexity, wrong, draws=101)
    monkeypatch.setattr(statistics, "_blocks", lambda draws, width: [10] * 10 + [1])
    assert roc_auc(complexity, wrong, draws=101) == at_once
