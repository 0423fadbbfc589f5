"""Whether a student can rank: literal tables in, numbers and warnings out."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from caft.analysis.intervals import Estimate
from caft.analysis.ranking import (
    Answered,
    Gate,
    Ranker,
    Ranking,
    describe_answers,
    mend,
    open_gate,
    read_ranking,
    tell_of_scores,
    unseen,
)
from caft.errors import RankingError
from caft.mixtures.settings import Strategy
from caft.tables import parquet

AREA = Estimate(0.7, 0.6, 0.8)


def choice_items(gold, options=4):
    return pd.DataFrame(
        {
            "item_id": [f"i{number}" for number in range(len(gold))],
            "options": [["o"] * options for _ in gold],
            "answer": gold,
            "answer_kind": "choice",
        }
    )


def open_items(gold, kind="numeric"):
    return choice_items(gold).assign(options=None, answer_kind=kind)


def scored(answers, correct, **columns):
    count = len(answers)
    default = {
        "item_id": [f"i{number}" for number in range(count)],
        "split": "train",
        "warm_up": False,
        "status": "ok",
        "answer": answers,
        "answer_valid": True,
        "correct": correct,
        "option_logprobs": [np.log([0.25] * 4)] * count,
        "single_token_entropy": [number / count for number in range(count)],
        "option_entropy": None,
        "margin": None,
    }
    return pd.DataFrame({**default, **columns})


def doubts_of(**changed):
    given = {
        "accuracy": Estimate(0.6, 0.5, 0.7),
        "chance": 0.25,
        "chance_of": "one of the options",
        "commonest": "A",
        "commonest_share": 0.3,
        "gold_share": 0.25,
        "valid_mass": 0.9,
    }
    return list(Answered(**{**given, **changed}).doubts())


def test_chance_is_the_mean_of_one_by_the_number_of_options():
    items = pd.concat([choice_items(["A", "B"], 2), choice_items(["A", "B"], 10)])
    items["item_id"] = ["i0", "i1", "i2", "i3"]
    found = describe_answers(scored(["A", "B", "C", "D"], [True, True, False, False]), items)
    assert (found.chance, found.chance_of) == (pytest.approx(0.3), "one of the options")
    assert found.accuracy.value == 0.5


def test_chance_of_open_questions_is_the_share_of_their_commonest_gold_answer():
    found = describe_answers(scored(list("1234"), [True] * 4), open_items(["7", "7", "7", "12"]))
    assert (found.chance, found.chance_of) == (0.75, "the commonest gold answer")


def test_chance_of_both_kinds_together_is_their_mean():
    items = pd.concat([choice_items(["A", "B"]), open_items(["7", "8"])])
    items["item_id"] = ["i0", "i1", "i2", "i3"]
    found = describe_answers(scored(["A", "B", "7", "8"], [True] * 4), items)
    assert found.chance == pytest.approx((0.25 + 0.25 + 0.5 + 0.5) / 4)
    assert found.chance_of == "one of the options or the commonest gold answer"


def test_a_constant_letter_is_seen_with_or_without_a_space_before_it():
    found = describe_answers(
        scored(["B", " B", " B", "B"], [False, True, False, False]), choice_items(list("ABCD"))
    )
    assert (found.commonest, found.commonest_share, found.gold_share) == ("B", 1.0, 0.25)


def test_a_first_digit_that_most_right_answers_begin_with_is_no_constant_answer():
    items = open_items(["10", "11", "15", "18", "2"])
    found = describe_answers(scored(["1"] * 5, [False] * 5), items)
    assert (found.commonest_share, found.gold_share) == (1.0, 0.8)
    sums = open_items(["10", "11", "15", "18", "19"])
    found = describe_answers(scored(["1"] * 5, [True] * 3 + [False] * 2), sums)
    assert not [doubt for doubt in found.doubts() if "begins" in doubt]


def test_a_blank_first_token_could_be_right_for_nothing():
    found = describe_answers(scored(["\n"] * 4, [False] * 4), open_items(["1", "2", "3", "4"]))
    assert (found.commonest, found.gold_share) == ("", 0.0)


def test_the_valid_mass_is_the_probability_on_the_options():
    table = scored(
        ["A", "B"], [True, False], option_logprobs=[np.log([0.2, 0.4]), np.log([0.05, 0.05])]
    )
    assert describe_answers(table, choice_items(["A", "A"], 2)).valid_mass == pytest.approx(0.35)


def test_the_valid_mass_of_numbers_is_the_share_of_valid_first_tokens():
    table = scored(list("1234"), [True] * 4, answer_valid=[True, False, False, False])
    assert describe_answers(table, open_items(["1", "2", "3", "4"])).valid_mass == 0.25
    texts = describe_answers(table, open_items(["1", "2", "3", "4"], "text"))
    assert math.isnan(texts.valid_mass)
    assert not [doubt for doubt in texts.doubts() if "probability" in doubt]


def test_items_without_an_answer_and_items_of_other_tables_do_not_count():
    table = scored(["A", None, "A", "A"], [True, None, True, True])
    assert describe_answers(table, choice_items(["A", "A", "A"])).accuracy.value == 1.0
    assert describe_answers(table.assign(item_id="x"), choice_items(["A"])) is None


def test_good_answers_raise_no_doubt():
    assert doubts_of() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"accuracy": Estimate(0.3, 0.2, 0.4)}, "0.30 (0.20-0.40) is not above chance (0.25, one"),
        ({"accuracy": Estimate(0.1, 0.05, 0.2)}, "not above chance"),
        ({"commonest_share": 0.9}, "begins 90% of its answers with 'A', which 25% of the right"),
        ({"valid_mass": 0.04}, "only 4% of its probability"),
    ],
)
def test_each_poor_number_is_a_doubt_of_its_own(changed, said):
    (doubt,) = doubts_of(**changed)
    assert said in doubt


def test_a_constant_answer_that_is_mostly_right_is_no_doubt():
    assert doubts_of(commonest_share=1.0, gold_share=0.95, accuracy=AREA) == []


@pytest.mark.parametrize(
    ("area", "said"),
    [
        (Estimate(0.55, 0.45, 0.65), "0.55 (0.45-0.65), so it may be chance"),
        (Estimate(0.6, 0.5, 0.7), "may be chance"),
        (Estimate(0.3, 0.2, 0.4), "is surest where it is wrong"),
    ],
)
def test_an_interval_that_holds_a_half_or_lies_below_it_is_a_doubt(area, said):
    ranking = Ranking("margin", area)
    assert ranking.verdict == "doubtful"
    assert said in ranking.doubts()[0]


def test_a_metric_that_ranks_is_ok():
    assert Ranking("margin", AREA).doubts() == []
    assert Ranking("margin", AREA).verdict == "ok"


def test_the_mend_names_keys_that_fit_the_scorer():
    base = mend("tiny", "base", "margin", "buckets.mine.metric")
    assert "students.tiny.warm_up: {items: 128, epochs: 3}" in base
    assert "metrics.margin.prompt" in base and "buckets.mine.metric" in base
    assert "students.tiny.warm_up.items" in mend("tiny", "warm_up")
    assert "metrics.margin.scored_with" in mend("tiny", "sft.1", "margin")
    assert mend("tiny", None, "judged", "buckets.mine.metric") == (
        "divide by another metric (buckets.mine.metric)"
    )


def test_a_trained_scorer_has_seen_all_but_the_test_split():
    table = scored(list("ABCD"), [True] * 4, split=["train", "train", "test", "test"])
    table["warm_up"] = [True, False, False, True]
    assert list(unseen(table, trained=False)["item_id"]) == ["i1", "i2"]
    assert list(unseen(table, trained=True)["item_id"]) == ["i2"]


def test_scores_are_told_with_every_number_and_every_doubt():
    table = scored(["A"] * 40, [True, False] * 20)
    line, doubts = tell_of_scores(table, choice_items(["A", "B"] * 20), seed=1)
    assert "accuracy 0.50 (0.35-0.65), chance 0.25 (one of the options)" in line
    assert "commonest answer 'A' 100%; valid 100%; ROC AUC of single_token_entropy 0.53" in line
    assert len(doubts) == 2
    assert doubts[0].startswith("it begins 100% of its answers with 'A'")
    assert doubts[1].startswith("the ROC AUC of single_token_entropy is 0.53")


def test_scores_that_are_all_wrong_rank_nothing():
    line, doubts = tell_of_scores(
        scored(["A", "B"] * 2, [False] * 4), choice_items(list("CCCC")), seed=1
    )
    assert line.endswith("ROC AUC of single_token_entropy unknown")
    assert doubts[-1].startswith("the ROC AUC of single_token_entropy is unknown: all answers")


@pytest.fixture
def ranker(tmp_path, monkeypatch):
    """Eight items whose values rank their errors with an area of 15/16, one of them warmed up."""
    monkeypatch.chdir(tmp_path)
    values = [0.1, 0.2, 0.3, 0.9, 0.4, 1.0, 1.1, 1.2, 9.9]
    right = [True, True, True, True, False, False, False, False, True]
    table = scored(list("ABCDABCDA"), right, warm_up=[False] * 8 + [True])
    parquet.write("scores", table, "scores.parquet")
    metrics = table[["item_id", "split", "warm_up"]].assign(value=values)
    parquet.write("metrics", metrics, "metrics.parquet")
    return Ranker(
        *("tiny", "default", "single_token_entropy", "base", False, False),
        *("metrics.parquet", "scores.parquet"),
    )


ITEMS = choice_items(list("ABCDBCDAB"))


def changed(ranker, **attributes):
    return Ranker(**{**vars(ranker), **attributes})


def test_the_area_is_that_of_the_metrics_table_without_the_warm_up(ranker):
    found = read_ranking(ranker, ITEMS, seed=1)
    assert found.area.value == 15 / 16
    assert found.answered.accuracy.value == 0.5
    assert found.why_unknown is None


def test_a_metric_of_a_file_leaves_out_what_the_answering_model_has_seen(ranker):
    metrics = parquet.read("metrics", "metrics.parquet").assign(warm_up=False)
    parquet.write("metrics", metrics, "metrics.parquet")
    assert read_ranking(changed(ranker, scorer=None), ITEMS, seed=1).area.value == 15 / 16


def test_an_imported_outcome_says_what_is_wrong_and_nothing_of_the_answers(ranker):
    table = parquet.read("scores", "scores.parquet")
    outcome = table[["item_id", "split", "warm_up"]].assign(value=table["correct"].astype(float))
    parquet.write("metrics", outcome, "outcome.parquet")
    found = read_ranking(changed(ranker, outcome="outcome.parquet"), ITEMS, seed=1)
    assert (found.area.value, found.answered) == (15 / 16, None)


def test_a_table_that_is_not_there_makes_the_ranking_unknown_and_is_named(ranker):
    Path("scores.parquet").unlink()
    found = read_ranking(ranker, ITEMS, seed=1)
    assert math.isnan(found.area.value) and found.verdict == "unknown"
    assert "snakemake --cores all scores.parquet" in found.doubts()[0]


@pytest.mark.parametrize(("right", "word"), [(True, "right"), (False, "wrong")])
def test_answers_of_one_kind_alone_make_the_ranking_unknown(ranker, right, word):
    table = parquet.read("scores", "scores.parquet").assign(correct=right)
    parquet.write("scores", table, "scores.parquet")
    assert read_ranking(ranker, ITEMS, 1).why_unknown == f"all of the 8 answers are {word}"


def test_where_all_is_wrong_another_metric_is_no_mend_but_a_warm_up(ranker):
    table = parquet.read("scores", "scores.parquet").assign(correct=False)
    parquet.write("scores", table, "scores.parquet")
    found = read_ranking(changed(ranker, scorer=None), ITEMS, 1)
    assert found.why_unknown == "all of the 8 answers are wrong (students.tiny.warm_up)"


def test_a_metric_that_reads_the_gold_answer_makes_the_ranking_unknown(ranker):
    found = read_ranking(changed(ranker, reads_label=True), ITEMS, seed=1)
    assert "analysis.allow_label" in found.why_unknown


def test_a_metric_without_values_makes_the_ranking_unknown(ranker):
    metrics = parquet.read("metrics", "metrics.parquet").assign(value=None)
    parquet.write("metrics", metrics, "metrics.parquet")
    assert "no item has both" in read_ranking(ranker, ITEMS, seed=1).why_unknown


def strategy(*stages, **settings):
    made = [{"buckets": one, "target": target, "epochs": 1} for one, target in stages]
    return Strategy.model_validate({"stages": made, **settings})


AWARE = strategy((["easy", "medium"], "answer"), (["hard"], "rationale"))
DISTILL = strategy((["easy", "medium", "hard"], "rationale"))


@pytest.mark.parametrize(
    ("strategy", "names"),
    [
        (AWARE, ["default"]),
        (DISTILL, []),
        (strategy((["hard"], "rationale"), membership="random"), []),
        (strategy((["hard"], "answer")), []),
        (strategy((["easy"], "rationale"), (["medium", "hard"], "rationale")), []),
        (strategy((["easy"], "rationale"), buckets="mine"), ["mine"]),
        (strategy(), []),
    ],
)
def test_a_metric_chooses_what_is_bought_unless_all_is_or_chance_chooses(strategy, names):
    assert strategy.bought_by_rank() == names


def test_the_bucket_definition_of_the_buying_stage_counts():
    stages = [
        {"buckets": ["easy"], "target": "answer", "epochs": 1},
        {"buckets": ["hard"], "target": "rationale", "epochs": 1, "divided_by": "other"},
    ]
    assert Strategy.model_validate({"stages": stages}).bought_by_rank() == ["other"]


def gate(ranker, required, area=AREA, why=None):
    ranking = Ranking("single_token_entropy", area, why)
    return Gate("teachers.big", required, {"default": (ranker, ranking)})


def test_a_lower_end_at_what_is_demanded_is_enough(ranker):
    assert gate(ranker, 0.6).problem(AWARE) is None
    assert "0.70 (0.60-0.80), its lower end below 0.61" in gate(ranker, 0.61).problem(AWARE)
    assert gate(ranker, None, Estimate(0.1, 0.0, 0.2)).problem(AWARE) is None
    assert gate(ranker, 0.99).problem(DISTILL) is None


def test_the_least_sure_of_several_metrics_decides(ranker):
    poor = Ranking("margin", Estimate(0.5, 0.4, 0.6))
    unknown = Ranking("judged", Estimate(*[math.nan] * 3), "no table")
    both = strategy((["hard"], "rationale"))
    stages = [*both.stages, both.stages[0].model_copy(update={"divided_by": "other"})]
    both = both.model_copy(update={"stages": stages})
    for other in (poor, unknown):
        rankings = {"default": (ranker, Ranking("m", AREA)), "other": (ranker, other)}
        assert Gate("teachers.big", 0.55, rankings).weakest(both)[1] is other


def test_a_purchase_by_a_poor_ranking_is_an_error_that_names_number_and_mend(ranker):
    check = open_gate("teachers.big", 0.95, {"default": ranker}, ITEMS, 1).checker(
        {"aware": AWARE, "distill": DISTILL}, {"aware": {"i5", "i6"}, "distill": {"i0", "i5"}}
    )
    with pytest.raises(RankingError) as caught:
        check({"i0", "i5"})
    message = str(caught.value)
    assert message.startswith("teachers.big.require_auc: strategies.aware would buy 1 rationales")
    assert "is 0.94 (" in message and "below 0.95" in message
    assert "students.tiny.warm_up" in message and "Nothing was asked" in message
    check({"i0"})
    check(set())


def test_an_unknown_ranking_is_refused_where_a_good_one_is_demanded(ranker):
    Path("scores.parquet").unlink()
    found = open_gate("teachers.big", 0.0, {"default": ranker}, ITEMS, 1)
    assert "unknown: scores.parquet is not there" in found.problem(AWARE)


def test_where_nothing_is_demanded_nothing_is_checked(ranker):
    assert open_gate("teachers.big", None, {}, ITEMS, 1).checker({"a": AWARE}, {"a": set()}) is None
