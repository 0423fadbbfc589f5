"""Published entropies: the figures that they are known to give, and an independent bootstrap."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

RUN = Path(__file__).parents[2] / "benchmarks/published/run.py"
PHI = ("phi-4-mini-instruct", "numbers_fallback")
QWEN = ("qwen2.5-3b-instruct", "numbers_old")


@pytest.fixture(scope="module")
def published():
    spec = importlib.util.spec_from_file_location("published", RUN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "variant, test_only, count, area, draws",
    [
        (PHI, True, 753, 0.7375, 10_000),
        (PHI, False, 4045, 0.7619, 1_500),
        (QWEN, True, 1201, 0.6922, 10_000),
        (QWEN, False, 9467, 0.7125, 1_500),
    ],
)
def test_published_entropies_rank_errors_as_known(
    published, reference_data, variant, test_only, count, area, draws
):
    rows = published.judged(*published.read(reference_data, *variant), test_only)
    found = published.quality(rows)
    assert found["n"] == count
    assert found["roc_auc"] == pytest.approx(area, abs=0.0005)
    plain = published.plain_interval(rows, draws)
    assert (found["roc_auc_low"], found["roc_auc_high"]) == pytest.approx(plain, abs=0.005)


@pytest.mark.parametrize("variant, leaked", [(PHI, 0.347), (QWEN, 0.0)])
def test_published_middle_buckets_hold_hard_items(published, reference_data, variant, leaked):
    scores, members = published.read(reference_data, *variant)
    lower, upper = published.VARIANTS[variant]
    table = published.overlap(scores, members, lower, upper).set_index("published")
    assert table["n_missing"].sum() == 0
    assert (table.loc["easy", "easy"], table.loc["hard", "hard"]) == (1, 1)
    assert table.loc["middle", "hard"] == pytest.approx(leaked, abs=1e-9)
    assert table.loc["middle", "medium"] == pytest.approx(1 - leaked, abs=1e-9)


def test_rounding_would_move_published_items_across_thresholds_of_five_digits(
    published, reference_data
):
    scores, members = published.read(reference_data, *QWEN)
    rounded = scores.assign(entropy=scores["entropy"].round(4))
    table = published.overlap(rounded, members, *published.VARIANTS[QWEN]).set_index("published")
    assert (table.loc["easy", "easy"], table.loc["hard", "hard"]) == (0.9996, 0.9996)


def test_published_buckets_fall_into_ours_by_absolute_thresholds(published):
    values = pd.Series([0.1, 0.5, 0.50001, 0.9, 0.90001], index=list("abcde"))
    members = pd.DataFrame({"item_id": [*"abcdez"], "bucket": ["easy", "easy"] + ["middle"] * 4})
    table = published.published_overlap(values, 0.5, 0.9, members).set_index("published")
    assert table.loc["easy"].tolist() == [2, 1, 0, 0, 0]
    assert table.loc["middle"].tolist() == [4, 0, 2 / 3, 1 / 3, 1]
