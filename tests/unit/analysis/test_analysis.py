import math

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from caft.analysis import intervals as statistics
from caft.analysis import metric_tables as analysis
from caft.analysis.intervals import paired_areas, rank_correlation, roc_auc
from caft.analysis.metric_tables import (
    Judging,
    bucket_accuracy,
    bucket_composition,
    calibration,
    complexity_accuracy,
    metric_correlation,
    metric_quality,
    metric_values,
    name_rows,
    save_table,
    warm_up_items,
    wrong_answers,
)

NAN = float("nan")


def metric(values, reasons=None, warm_up=(), split="test"):
    """A metrics table of the items a, b, c …."""
    ids = [chr(ord("a") + place) for place in range(len(values))]
    return pd.DataFrame(
        {
            "item_id": ids,
            "split": split,
            "value": pd.Series(values, dtype=float),
            "reason": reasons or [None] * len(values),
            "warm_up": [item in warm_up for item in ids],
        }
    )


def answers(wrong):
    """Which of the items a, b, c … were answered wrongly, from a word of r and w."""
    return pd.Series([letter == "w" for letter in wrong], index=list("abcdefghij"[: len(wrong)]))


def items(categories):
    return pd.DataFrame(
        {"item_id": list("abcdefghij"[: len(categories)]), "category": list(categories)}
    )


def test_an_item_without_an_answer_is_neither_right_nor_wrong():
    scores = pd.DataFrame({"item_id": ["a", "b", "c"], "correct": [True, None, False]})
    assert wrong_answers(scores).to_dict() == {"a": False, "c": True}


def test_items_of_any_warm_up_are_left_out_of_all_metrics():
    metrics = {"m": metric([1, 2, 3], warm_up="a"), "k": metric([4, 5, 6], warm_up="c")}
    assert warm_up_items(metrics) == {"a", "c"}
    assert metric_values(metrics).to_dict("index") == {"b": {"m": 2, "k": 5}}


def test_only_the_split_that_was_asked_for_is_judged():
    table = metric([1, 2, 3]).assign(split=["train", "test", "test"])
    assert list(metric_values({"m": table}, "test").index) == ["b", "c"]
    assert len(metric_quality({"m": table}, items("xyz"), answers("rrw"), split="train")) == 2


def test_the_area_is_the_share_of_well_ordered_pairs_overall_and_per_category():
    # wrong: c=3, d=2; right: a=1, b=2. Pairs: 3>1, 3>2, 2>1 and one tie.
    table = metric_quality(
        {"m": metric([1, 2, 3, 2])}, items("xxxy"), answers("rrww"), Judging(draws=50)
    )
    assert table["category"].tolist() == ["(all)", "x", "y"]
    assert table["roc_auc"].tolist()[:2] == [3.5 / 4, 1.0]
    assert table[["n", "n_wrong"]].to_numpy().tolist() == [[4, 2], [3, 1], [1, 1]]
    assert table["accuracy"].tolist() == pytest.approx([0.5, 2 / 3, 0.0])
    assert table["accuracy_low"].iloc[0] == pytest.approx(0.1500, abs=5e-5)


def test_an_area_that_cannot_be_computed_says_why():
    metrics = {
        "known": metric([1, 2, 3, 4]),
        "nothing": metric([NAN] * 4, ["open_question"] * 4),
        "gold": metric([1, 2, 3, 4]),
    }
    table = metric_quality(
        metrics, items("xxyy"), answers("rrww"), Judging(draws=9), reads_label=["gold"]
    )
    reasons = table.set_index(["metric", "category"])["reason"]
    assert reasons.isna().sum() == 1 and pd.isna(reasons["known", "(all)"])
    assert reasons["known", "x"] == "all_right" and reasons["known", "y"] == "all_wrong"
    assert set(reasons["nothing"]) == {"no_values"} and set(reasons["gold"]) == {"reads_label"}
    known = table["roc_auc"].notna()
    assert (known == table["reason"].isna()).all() and known.sum() == 1


def test_a_metric_that_reads_the_label_is_judged_only_if_asked_for():
    given = {"gold": metric([1, 2, 3, 4])}, items("xxxx"), answers("rwrw")
    refused = metric_quality(*given, Judging(draws=9), reads_label={"gold"})
    allowed = metric_quality(*given, Judging(True, draws=9), reads_label={"gold"})
    assert refused["roc_auc"].isna().all() and refused["reads_label"].all()
    assert allowed["roc_auc"].tolist() == [0.75, 0.75] and allowed["reads_label"].all()


def test_values_that_are_missing_are_counted_with_their_reasons():
    reasons = [None, "too_long", "no_answer", "too_long", None]
    table = metric([1, NAN, NAN, NAN, 5], reasons)
    # e has a value but no answer to compare it with; f is not in the metric's table.
    other = metric([1, 2, 3, 4, 5, 6])
    row = metric_quality({"m": table, "o": other}, items("xxxxxx"), answers("rrwwrw").drop("e"))
    assert row["n"].iloc[0] == 1 and row["n_missing"].iloc[0] == 5
    assert row["missing_reasons"].iloc[0] == "too_long 2; absent 1; no_answer 1; no_outcome 1"
    assert row["missing_reasons"].iloc[2] == "no_outcome 1"


def test_a_metric_without_missing_values_has_no_reasons():
    table = metric_quality({"m": metric([1, 2])}, items("xx"), answers("rw"), Judging(draws=9))
    assert table["missing_reasons"].isna().all() and (table["n_missing"] == 0).all()


def test_items_without_a_category_have_one_of_their_own():
    table = metric_quality(
        {"m": metric([1, 2])}, items(["x", None]), answers("rw"), Judging(draws=9)
    )
    assert table["category"].tolist() == ["(all)", "(none)", "x"]


def sample(count=400, seed=1):
    generator = np.random.default_rng(seed)
    wrong = generator.random(count) < 0.4
    good = generator.normal(size=count) + wrong
    return wrong, good, good + generator.normal(size=count)


def test_areas_and_intervals_are_those_of_one_metric_alone():
    wrong, good, worse = sample()
    worse[:50] = NAN
    found = paired_areas(pd.DataFrame({"good": good.round(1), "worse": worse}), wrong, "good")
    alone = [roc_auc(good.round(1), wrong), roc_auc(worse[50:], wrong[50:])]
    for (area, _), expected in zip(found.values(), alone, strict=True):
        assert area.value == pytest.approx(expected.value, abs=1e-12)
        assert [area.low, area.high] == pytest.approx([expected.low, expected.high], abs=0.005)


def test_a_difference_is_paired_and_on_the_items_that_both_metrics_have():
    wrong, good, worse = sample()
    worse[:50] = NAN
    found = paired_areas(pd.DataFrame({"good": good, "worse": worse}), wrong, "good")
    area, difference = found["worse"]
    shared = roc_auc(good[50:], wrong[50:]).value
    assert difference.value == pytest.approx(area.value - shared, abs=1e-12)
    assert difference.low < difference.value < difference.high < 0
    # The same questions are hard for both: the difference is known better than either area.
    assert difference.high - difference.low < 0.9 * (area.high - area.low)


def test_a_metric_differs_from_itself_by_exactly_nothing():
    wrong, good, _ = sample(60)
    _, difference = paired_areas(pd.DataFrame({"good": good}), wrong, "good", draws=20)["good"]
    assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_without_the_reference_there_are_no_differences():
    table = metric_quality(
        {"m": metric([1, 2])}, items("xx"), answers("rw"), Judging(reference="other")
    )
    assert table["vs_reference"].isna().all() and table["roc_auc"].notna().all()


def test_blocks_of_draws_count_the_same_as_all_at_once(monkeypatch):
    wrong, good, _ = sample(100)
    at_once = paired_areas(pd.DataFrame({"good": good}), wrong, "good", draws=101)
    monkeypatch.setattr(statistics, "_BLOCK", 1000)
    assert len(list(statistics._weights(100, 101, 0))) == 1 + 7  # of 16 draws each
    assert paired_areas(pd.DataFrame({"good": good}), wrong, "good", draws=101) == at_once


def test_correlation_is_spearmans_over_the_items_that_both_metrics_have():
    one, other = [1, 2, 3, 4, 5, NAN], [1, 3, 3, 9, NAN, 0]
    row = metric_correlation({"m": metric(one), "k": metric(other)}).iloc[0]
    assert (row["metric"], row["other"], row["n"]) == ("m", "k", 4)
    assert row["spearman"] == pytest.approx(spearmanr(one[:4], other[:4]).statistic)
    assert pd.isna(row["reason"])


def test_a_correlation_has_an_interval_that_narrows_with_the_items():
    # tanh(atanh(0.5) +- 1.96 sqrt((1 + 0.125) / 97)), and with 997
    assert rank_correlation(0.5, 100).low == pytest.approx(0.3259, abs=1e-4)
    assert rank_correlation(0.5, 100).high == pytest.approx(0.6413, abs=1e-4)
    assert rank_correlation(0.5, 1000).low == pytest.approx(0.4490, abs=1e-4)


@pytest.mark.parametrize("spearman, count", [(1.0, 50), (-1.0, 50), (0.5, 3), (NAN, 50)])
def test_a_correlation_has_no_interval_where_the_formula_has_none(spearman, count):
    found = rank_correlation(spearman, count)
    assert pd.isna(found.low) and pd.isna(found.high)


def test_a_correlation_that_is_unknown_says_why():
    metrics = {"m": metric([1, 2, 3]), "flat": metric([1, 1, 1]), "few": metric([1, NAN, 3])}
    table = metric_correlation(metrics)
    assert table["spearman"].isna().all()
    assert table["reason"].tolist() == ["constant", "too_few", "too_few"]


def test_one_metric_has_no_correlations():
    table = metric_correlation({"m": metric([1, 2, 3])})
    assert table.empty and "spearman" in table.columns


def buckets(names, split="train"):
    return pd.DataFrame(
        {"item_id": list("abcdefghij"[: len(names)]), "bucket": names, "split": split}
    )


def test_a_bucket_consists_of_categories():
    table = bucket_composition(buckets(["easy", "easy", "easy", "hard"]), items("xxyx"))
    shown = table.set_index(["bucket", "category"])
    assert shown["n"].tolist() == [3, 2, 1, 0, 0, 0, 1, 1, 0]
    assert shown.loc[("easy", "x"), "share"] == pytest.approx(2 / 3)
    assert shown.loc[("easy", "(all)"), "share"] == 1
    assert shown.loc[("easy", "(all)"), "share_of_category"] == 0.75
    assert shown.loc[("hard", "x"), "share_of_category"] == pytest.approx(1 / 3)
    assert math.isnan(shown.loc[("medium", "x"), "share"])


def test_composition_and_accuracy_are_per_split():
    table = buckets(["easy", "hard", "hard", "hard"]).assign(
        split=["test", "train", "train", "test"]
    )
    assert list(dict.fromkeys(bucket_composition(table, items("xxxx"))["split"])) == [
        "train",
        "test",
    ]
    shown = bucket_accuracy(table, answers("rwrw")).set_index(["split", "bucket"])
    assert shown["n"].tolist() == [0, 0, 2, 2, 1, 0, 1, 2]
    assert shown.loc[("train", "hard"), "accuracy"] == 0.5
    assert shown.loc[("test", "(all)"), "accuracy"] == 0.5
    assert math.isnan(shown.loc[("train", "easy"), "accuracy"])


def test_bucket_accuracy_leaves_out_what_was_seen_or_not_answered():
    table = bucket_accuracy(buckets(["easy"] * 4), answers("rwww").drop("d"), left_out=["b"])
    first = table.iloc[0]
    assert (first["n"], first["accuracy"]) == (2, 0.5)
    assert (first["accuracy_low"], first["accuracy_high"]) == pytest.approx(
        (0.0945, 0.9055), abs=1e-4
    )


def test_accuracy_follows_the_complexity_rank():
    table = complexity_accuracy({"m": metric(range(10))}, answers("rrrrrwrwww"), bins=5)
    assert table["bin"].tolist() == [1, 2, 3, 4, 5]
    assert table["accuracy"].tolist() == [1, 1, 0.5, 0.5, 0]
    assert table["rank"].tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert (table["value_low"].tolist(), table["value_high"].tolist()) == (
        [0, 2, 4, 6, 8],
        [1, 3, 5, 7, 9],
    )


def test_items_of_equal_complexity_stay_in_one_bin():
    table = complexity_accuracy({"m": metric([1, 1, 1, 1, 2, 2])}, answers("rrwwww"))
    assert table["n"].tolist() == [4, 2]
    assert table["accuracy"].tolist() == [0.5, 0]


def test_the_rank_table_marks_metrics_that_read_the_label():
    metrics = {"m": metric([1, 2]), "gold": metric([1, 2])}
    table = complexity_accuracy(metrics, answers("rw"), reads_label=["gold"])
    assert table.groupby("metric")["reads_label"].first().to_dict() == {"m": False, "gold": True}


def choices(probabilities, gold):
    ids = list("abcdefghij"[: len(gold)])
    logs = [None if row is None else np.log(row) for row in probabilities]
    scores = pd.DataFrame({"item_id": ids, "split": "test", "option_logprobs": logs})
    return scores, pd.DataFrame({"item_id": ids, "answer": gold})


def test_calibration_compares_the_best_options_probability_with_how_often_it_is_right():
    # Renormalised: 0.75 (A), 0.75 (B), 0.6 (A), 0.6 (A).
    rows = [[0.3, 0.1], [0.2, 0.6], [0.6, 0.4], [0.3, 0.2]]
    table = calibration(*choices(rows, list("ABAB")), bins=2)
    assert table["confidence"].tolist() == pytest.approx([0.6, 0.75])
    assert table["accuracy"].tolist() == [0.5, 1.0]
    assert table["option_mass"].tolist() == pytest.approx([0.75, 0.6])
    assert table["calibration_error"].tolist() == pytest.approx([0.175, 0.175])


def test_the_calibration_error_weighs_bins_by_items():
    rows = [[0.9, 0.1]] * 3 + [[0.6, 0.4]]
    table = calibration(*choices(rows, list("AAAB")))
    assert table["n"].tolist() == [1, 3]
    assert table["calibration_error"].iloc[0] == pytest.approx((0.6 + 3 * 0.1) / 4)


def test_open_questions_and_seen_items_are_not_calibrated():
    rows = [None, [0.9, 0.1], [0.8, 0.2]]
    assert calibration(*choices(rows, ["17", "A", "A"]), left_out=["c"])["n"].sum() == 1
    assert calibration(*choices([None], ["17"])).empty


def test_tables_name_their_data_set_and_student_and_come_in_two_formats(tmp_path):
    table = name_rows(pd.DataFrame({"n": [1], "share": [1 / 3], "reason": ["x"]}), "sums", "tiny")
    bytes_of = []
    for name in ("one", "other"):
        save_table(table, tmp_path / f"{name}.csv", tmp_path / f"{name}.parquet")
        bytes_of.append([(tmp_path / f"{name}.{kind}").read_bytes() for kind in ("csv", "parquet")])
    assert bytes_of[0] == bytes_of[1]
    assert bytes_of[0][0].decode() == "dataset,student,n,share,reason\nsums,tiny,1,0.333333,x\n"
    assert pq.read_table(tmp_path / "one.parquet")["share"].to_pylist() == [1 / 3]


def test_a_text_column_is_text_even_if_every_value_is_missing(tmp_path):
    table = metric_quality({"m": metric([1, 2])}, items("xx"), answers("rw"), Judging(draws=9))
    save_table(table, tmp_path / "a.csv", tmp_path / "a.parquet")
    assert "string" in str(pq.read_schema(tmp_path / "a.parquet").field("reason").type)


def test_the_same_seed_gives_the_same_intervals():
    wrong, good, _ = sample(100)
    one, other, changed = (
        paired_areas(pd.DataFrame({"good": good}), wrong, "good", 200, seed) for seed in (3, 3, 4)
    )
    assert one == other != changed


def test_splits_are_those_of_the_items_table():
    assert analysis.SPLITS == ["train", "validation", "test"]


def test_a_split_without_items_gives_tables_without_numbers():
    given = {"m": metric([1, 2])}, items("xx"), answers("rw")
    table = metric_quality(*given, split="validation")
    assert table[["category", "n", "reason"]].to_numpy().tolist() == [["(all)", 0, "no_values"]]
    assert complexity_accuracy(given[0], given[2], split="validation").empty
