"""What a run answers, against made-up tables."""

from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from outcomes import (
    ALIKE,
    NAMES,
    RANKS,
    accuracies,
    default_run,
    open_for,
    outcome,
    pair,
    row,
    write,
)

from caft.analysis.intervals import Estimate
from caft.report.answer import answers
from caft.report.render import render, tell
from caft.report.results import Tables
from caft.report.wording import difference, duration, percent

README = Path(__file__).parents[3] / "README.md"
PAIRS = list(combinations(NAMES, 2))
CANNOT_RANK = {
    **RANKS, "student_accuracy": 0.25, "roc_auc": 0.5, "roc_auc_low": 0.44, "roc_auc_high": 0.56,
    "chance": 0.25, "warning": "its accuracy of 0.25 is not above chance. To mend it, warm it up.",
}  # fmt: skip


def only(tables):
    (answer,) = answers(tables)
    return answer


def test_a_clear_win_is_said_to_be_sure_and_to_be_taken():
    found = only(outcome(accuracies(0.1, 0.3, 0.5, 0.7, 0.4), {}, n_seeds=3))
    assert found.result == [
        "Complexity-aware tuning (complexity_aware) is best: 0.70 [0.62, 0.78] of 134 items right.",
        "That is sure: it is better than the untuned student (base), tuning on short answers "
        "(sft), full distillation (distill) and the random control (random_same_size).",
        "Complexity-aware tuning takes 29% of the teacher tokens of full distillation.",
        "Complexity-aware tuning is better than the random control, which gets as many rationales "
        "for random items (+0.30 [+0.21, +0.39]): the choice of hard items helps.",
    ]
    assert found.advice == [
        "Complexity-aware tuning is the one to take (caft export complexity_aware --to FOLDER)."
    ]
    assert found.warnings == []


def test_a_win_of_one_seed_is_sure_for_other_items_alone_and_warned_of():
    found = only(outcome(accuracies(0.1, 0.3, 0.5, 0.7, 0.4), {}))
    assert found.result[1].startswith("For other items, not for other trainings, that is sure: it")
    assert found.advice[-1].endswith("train with several seeds: run: {seeds: [1, 2, 3]}.")
    assert found.warnings == [
        "There is one training seed: the intervals know other items of this kind, and nothing of "
        "other trainings."
    ]


@pytest.mark.parametrize(
    ("control", "told"),
    [
        (0.4, "better than the random control, which gets as many rationales for random items "
              "(+0.30 [+0.21, +0.39])"),
        (0.9, "worse than the random control, which gets as many rationales for random items "
              "(-0.20 [-0.29, -0.11])"),
    ],
)  # fmt: skip
def test_with_one_seed_luck_may_be_what_parts_the_choice_of_hard_items_from_chance(control, told):
    """Two trainings of equal strategies differ, too: no interval over items knows that."""
    assert only(outcome(accuracies(0.1, 0.3, 0.5, 0.7, control), {})).result[-1] == (
        f"Complexity-aware tuning is {told}: by the choice of hard items, or by the luck of one "
        "training. Several seeds tell which."
    )


def test_with_one_seed_no_number_of_items_is_said_to_settle_strategies():
    verdicts = {("complexity_aware", "distill"): open_for(1700)}
    rows = {"base": 0.1, "complexity_aware": 0.7, "distill": 0.65}
    found = only(outcome(rows, verdicts))
    assert "1,700 items would be needed to show one of 0.05 between these very models" in " ".join(
        found.result
    )
    assert not any("To settle" in one for one in found.advice)
    several = only(outcome(rows, verdicts, n_seeds=3))
    assert "these very models" not in " ".join(several.result)
    assert any("To settle" in one for one in several.advice)


def test_with_two_seeds_a_third_is_what_settles_and_a_warning_says_why():
    """The t distribution of two seeds leaves even +0.40 [+0.20, +0.59] open."""
    verdicts = {
        ("base", "sft"): "underpowered: needs about 36 seeds and 4500 items",
        ("distill", "sft"): "underpowered: needs about 74 seeds",
    }
    found = only(outcome({"base": 0.1, "distill": 0.4, "sft": 0.5}, verdicts, n_seeds=2))
    assert "about 36 seeds and 4,500 items; 74 seeds would be needed in turn" in found.result[-1]
    assert found.advice[1:] == [
        "To settle what is open, first train with a third seed: run: {seeds: [1, 2, 3]}."
    ]
    assert found.warnings == [
        "There are two training seeds: two hardly tell how far trainings differ by luck, so even a "
        "large difference may stay open."
    ]


def test_a_list_of_what_is_needed_reads_as_one():
    verdicts = {("mine", "distill"): open_for(3100), ("mine", "sft"): open_for(900)}
    rows = {"mine": 0.7, "distill": 0.65, "sft": 0.6}
    found = only(outcome(rows, verdicts, n_seeds=3))
    assert (
        "about 3,100 items and 900 items would be needed in turn to show one of 0.05."
        in (found.result[-1])
    )


def test_an_end_of_an_interval_just_below_zero_is_shown_below_zero():
    assert difference(Estimate(0.0373, -0.00216, 0.0765)) == "+0.04 [-0.00, +0.08]"
    assert difference(Estimate(0.0, -0.0, 1e-17)) == "+0.00 [+0.00, +0.00]"


def test_in_a_tie_nobody_wins_and_the_cheapest_is_to_be_taken():
    level = ("distill", "complexity_aware", "random_same_size")
    verdicts = dict.fromkeys(combinations(level, 2), ALIKE)
    found = only(outcome(accuracies(0.1, 0.3, 0.6, 0.59, 0.58), verdicts, n_seeds=3))
    text = " ".join(found.result)
    assert found.result[1] == "That this is best is not sure."
    assert "is best:" not in text and "is sure" not in text
    assert (
        "Against complexity-aware tuning (complexity_aware) and the random control "
        "(random_same_size) no difference is shown (+0.01 [-0.08, +0.10] and +0.02 [-0.07, "
        "+0.11]); one of 0.05 would have been found in four of five such runs." in text
    )
    assert found.result[-1] == "So it is not shown that the choice of hard items helps."
    assert found.advice == [
        "The random control is the cheapest in teacher tokens of those that are not shown to be "
        "worse (caft export random_same_size --to FOLDER)."
    ]


def test_equal_accuracies_are_all_named_as_the_best():
    verdicts = {("distill", "complexity_aware"): ALIKE}
    found = only(outcome(accuracies(0.1, 0.3, 0.6, 0.6, 0.4), verdicts))
    assert found.result[0].startswith(
        "Complexity-aware tuning (complexity_aware) and full distillation (distill) have the best "
        "accuracy: 0.60"
    )


def test_where_a_verdict_is_open_the_interval_decides_nothing_and_the_need_is_told():
    """The interval of the difference to the best leaves out 0; its verdict does not."""
    found = only(default_run())
    assert found.result == [
        "Full distillation (distill) has the best accuracy: 0.66 [0.57, 0.73] of 134 items right.",
        "That this is best is not sure.",
        "For other items, not for other trainings, it is better than the untuned student (base), "
        "tuning on short answers (sft) and the random control (random_same_size).",
        "Against complexity-aware tuning (complexity_aware) no difference is shown (+0.11 [+0.02, "
        "+0.20]); about 1,700 items would be needed to show one of 0.05 between these very models.",
        "Complexity-aware tuning reaches 0.54 [0.46, 0.63] with 29% of the teacher tokens of full "
        "distillation.",
        "It is better than the untuned student and tuning on short answers.",
        "Against the random control, which gets as many rationales for random items, no "
        "difference is shown (+0.04 [-0.06, +0.14]); about 1,900 items would be needed to show one "
        "of 0.05 between these very models.",
        "So it is not shown that the choice of hard items helps.",
    ]
    assert found.advice == [
        "Complexity-aware tuning is the cheapest in teacher tokens of those that are not shown to "
        "be worse (caft export complexity_aware --to FOLDER).",
        "Before you believe a difference of some hundredths between trained strategies, train with "
        "several seeds: run: {seeds: [1, 2, 3]}.",
    ]


def test_seeds_that_are_missing_are_told_as_the_verdict_tells_them():
    text = "underpowered: needs about 12 seeds and 4000 items"
    verdicts = {("distill", "complexity_aware"): text}
    found = only(outcome(accuracies(0.1, 0.3, 0.6, 0.5, 0.4), verdicts, n_seeds=3))
    assert "about 12 seeds and 4,000 items would be needed" in found.result[3]
    assert found.advice[1].endswith("12 seeds and 4,000 items (it has 134 items and 3 seeds).")


def test_a_better_random_control_says_that_the_choice_does_harm():
    found = only(outcome(accuracies(0.1, 0.3, 0.5, 0.45, 0.55), {}, n_seeds=3))
    assert found.result[0].startswith("The random control (random_same_size) is best: 0.55")
    assert found.result[-1] == (
        "Complexity-aware tuning is worse than the random control, which gets as many rationales "
        "for random items (-0.10 [-0.19, -0.01]): the choice of hard items does harm here."
    )
    assert found.advice == [
        "The random control is the one to take (caft export random_same_size --to FOLDER)."
    ]


def test_at_chance_nothing_is_recommended_but_to_train_and_to_mend_the_ranking():
    tables = outcome(
        accuracies(0.24, 0.25, 0.25, 0.26, 0.25),
        dict.fromkeys(PAIRS, open_for(3000)),
        complexity=CANNOT_RANK,
    )
    found = only(tables)
    assert (
        "Not even that is shown to be more than chance (0.25): nothing that can be compared was "
        "learned." in found.result
    )
    assert any(
        "nothing is learned here about a choice by complexity" in one for one in found.result
    )
    assert not any("caft export" in one for one in found.advice)
    assert found.advice[-1] == "Mend the ranking first (see the warnings)."
    assert found.warnings[0] == (
        "The student cannot rank its items by single_token_entropy: its accuracy of 0.25 is not "
        "above chance. To mend it, warm it up."
    )


def test_a_ranking_that_is_doubtful_is_to_be_mended_before_anything_is_bought():
    tables = outcome(accuracies(0.1, 0.3, 0.5, 0.7, 0.4), {}, {**CANNOT_RANK, "chance": 0.1})
    found = only(tables)
    assert found.advice[0] == "Mend the ranking (see the warnings) before you buy by it."
    assert not any("more than chance" in one for one in found.result)


def test_an_untuned_student_that_nothing_beats_is_to_be_kept():
    found = only(outcome(accuracies(0.5, 0.3, 0.4, 0.4, 0.4), dict.fromkeys(PAIRS, ALIKE)))
    assert found.result[0].startswith("The untuned student (base) has the best accuracy: 0.50")
    assert found.advice[0] == (
        "The untuned student is the one to take: nothing as good is cheaper."
    )


def with_base_asked_to_think(accuracy, verdict):
    tables = outcome({"base": 0.1, "sft": 0.3}, {}, None, None)
    base = row("base", accuracy, mode="cot")
    other = row("sft", 0.0, mode="cot")
    pairs = pd.DataFrame([pair(base, other, verdict, mode="cot")])
    return Tables(
        pd.concat([tables.summary, pd.DataFrame([base, other])], ignore_index=True),
        pd.concat([tables.comparisons, pairs], ignore_index=True),
        tables.complexity,
        tables.thresholds,
    )


@pytest.mark.parametrize(
    ("accuracy", "verdict", "told"),
    [
        (0.2, "worse", "0.20 [0.12, 0.28]; tuning on short answers, asked so as well, is better."),
        (0.2, open_for(99), "no difference to the best strategy is shown."),
        (0.4, "better", "the untuned student reaches 0.40 [0.32, 0.48]."),
    ],
)
def test_an_untuned_student_that_does_better_when_asked_to_think_is_told(accuracy, verdict, told):
    (sentence,) = only(with_base_asked_to_think(accuracy, verdict)).result[2:]
    assert sentence.startswith("Asked for a chain of thought, the untuned student reaches")
    assert sentence.endswith(told)


def test_a_run_without_teacher_compares_what_it_has():
    found = only(outcome({"base": 0.1, "sft": 0.3}, {}, None, None))
    assert found.result == [
        "Tuning on short answers (sft) is best: 0.30 [0.22, 0.38] of 134 items right.",
        "For other items, not for other trainings, that is sure: it is better than the untuned "
        "student (base).",
    ]
    assert found.costs == [
        "Tuning on short answers took no teacher tokens, and 11,660 tokens of training in 1.7 min."
    ]


def test_without_the_random_control_the_worth_of_the_choice_is_unknown():
    found = only(outcome({"base": 0.1, "distill": 0.5, "complexity_aware": 0.6}, {}))
    assert found.result[-1] == (
        "Whether the choice of hard items helped is unknown: the random control "
        "(random_same_size) was not run."
    )


def test_one_strategy_alone_is_no_comparison():
    found = only(outcome({"base": 0.5}, {}, None, None))
    assert found.result == [
        "The untuned student (base) is the only strategy of this run: 0.50 [0.42, 0.58] of 134 "
        "items right."
    ]
    assert found.advice == ["Run other strategies beside it: run: {strategies: [...]}."]
    assert found.warnings == []


def test_strategies_of_ones_own_go_by_their_names_and_the_paid_ones_by_money():
    found = only(
        outcome(
            {
                "mine": row("mine", 0.6, teacher_completion_tokens=100, cost_usd=0.5),
                "other": row("other", 0.5, teacher_completion_tokens=900, cost_usd=0.25),
            },
            {("mine", "other"): open_for(80)},
        )
    )
    assert found.result[0].startswith("Strategy mine has the best accuracy")
    assert found.advice[0].startswith("Strategy other is the cheapest in USD of those")
    assert found.costs == [
        "Strategy mine took 100 teacher tokens for 0.50 USD, and 0 tokens of training in 0 s."
    ]


def test_what_is_unknown_is_said_to_be_unknown():
    tables = outcome({"base": 0.1, "mine": row("mine", 0.6)}, {})
    tables.summary["cost_usd"] = [0.0, float("nan")]
    tables.summary["teacher_completion_tokens"] = [0.0, float("nan")]
    found = only(tables)
    assert "an unknown number of teacher tokens at a price that is unknown" in found.costs[0]
    assert "What mine cost is unknown: the price of some answers is." in found.warnings


@pytest.mark.parametrize(
    ("fallback", "fate"),
    [
        ("drop", "are left out of the training"),
        ("train_on_answer", "train on the bare answer instead"),
        ("keep", "train on a rejected rationale, where one could be read"),
    ],
)
def test_rows_without_an_accepted_rationale_are_warned_of(fallback, fate):
    changed = row("distill", 0.5, accepted_items=170, fallback=fallback)
    found = only(outcome({"base": 0.1, "distill": changed}, {}))
    assert (
        "6 of the 176 items of full distillation that want a rationale have no accepted one; "
        f"they {fate}." in found.warnings
    )


def test_answers_that_could_not_be_read_or_asked_are_warned_of():
    base = row("base", 0.1, invalid_rate=0.955, too_long_rate=0.015)
    found = only(outcome({"base": base, "sft": row("sft", 0.3, invalid_rate=0.1)}, {}))
    assert found.warnings[:2] == [
        "Of the answers, 96% of the untuned student and 10% of tuning on short answers could not "
        "be read and count as wrong.",
        "Of the answers, 1.5% of the untuned student do not fit into the model's context and count "
        "as wrong.",
    ]


def test_what_one_has_to_know_before_comparing_is_told():
    found = only(default_run())
    assert found.conditions == [
        "Buckets (default) come from the single_token_entropy of the warmed-up student, which "
        "answers 31% rightly (the untuned one 1.5%) and finds its own errors with a ROC AUC of "
        "0.76 [0.68, 0.83]; 0.5 is chance.",
        "The warm-up had seen 128 of the 176 training items behind these thresholds with their "
        "answers; unseen items look harder beside them.",
        "49 of the 134 reported items (37%) are hard.",
        "Complexity-aware tuning passes over the rows of hard items 4 times, full distillation 2 "
        "and tuning on short answers 2 times.",
        "As many rationales means as many items asked: complexity-aware tuning asked about 44 "
        "items and got 44 accepted rationales in 1,188 tokens; the random control asked about 44 "
        "items and got 44 accepted rationales in 1,035 tokens.",
        "saved_all_tokens in summary.csv leaves out the 12,690 tokens of the warm-up.",
    ]
    assert found.costs == [
        "Full distillation took 4,122 teacher tokens for 0 USD, and 22,116 tokens of training in "
        "5.3 min.",
        "Complexity-aware tuning took 1,188 teacher tokens for 0 USD, and 33,276 tokens of "
        "training (12,690 of them in the warm-up) in 7.9 min, scoring included.",
        "In tokens that training processes, complexity-aware tuning takes 150% of what full "
        "distillation takes, its warm-up included.",
    ]


def test_buckets_from_a_file_are_nobodys_complexity():
    thresholds = {
        "buckets": "own", "metric": "grade", "kind": "imported", "scorer": None, "prompt": None,
        "items": 176, "seen_by_warm_up": 0,
    }  # fmt: skip
    found = only(outcome(accuracies(0.1, 0.3, 0.6, 0.5, 0.4), {}, RANKS, thresholds))
    assert found.conditions[0] == "Buckets (own) come from grade, which the student did not make."


def test_every_student_on_every_data_set_has_an_answer_of_its_own():
    one = outcome({"base": 0.1, "sft": 0.3}, {})
    other = outcome({"base": 0.5, "sft": 0.2}, {}, student="big")
    both = Tables(
        *(
            pd.concat([getattr(one, name), getattr(other, name)], ignore_index=True)
            for name in ("summary", "comparisons", "complexity", "thresholds")
        )
    )
    first, second = answers(both)
    assert (first.title, second.title) == ("sums, tiny", "sums, big")
    assert first.result[0].startswith("Tuning on short answers (sft) is best: 0.30")
    assert second.result[0].startswith("The untuned student (base) is best: 0.50")


@pytest.mark.parametrize("name", ["null", "2024", "1e3", "True"])
def test_a_name_that_looks_like_a_number_or_like_nothing_is_a_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(outcome({"base": 0.1, name: row(name, 0.3)}, {}, dataset=name, student=name))
    found = only(Tables.read())
    assert found.title == f"{name}, {name}"
    assert found.result[0].startswith(f"Strategy {name} is best: 0.30")


def test_a_run_that_lacks_one_of_the_tables_has_no_answer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(default_run())
    assert only(Tables.read()) == only(default_run())
    (tmp_path / "results/tables/thresholds.csv").unlink()
    assert Tables.read() is None


def test_other_numbers_of_worked_examples_and_other_checkpoints_are_left_to_the_table():
    tables = outcome({"base": 0.1, "sft": 0.3}, {})
    other = tables.summary.assign(shots=2, accuracy=0.9)
    best = tables.summary.assign(checkpoint="best", accuracy=0.8)
    summary = pd.concat([tables.summary, other, best], ignore_index=True)
    pairs = pd.concat([tables.comparisons, tables.comparisons.assign(shots=2, verdict="worse")])
    found = only(Tables(summary, pairs, tables.complexity, tables.thresholds))
    assert found.result[0].startswith("Tuning on short answers (sft) is best: 0.30")


def test_strategies_that_were_not_asked_as_trained_are_compared_as_they_were_asked():
    rows = {
        name: row(name, value, mode="direct") for name, value in (("base", 0.1), ("distill", 0.3))
    }
    tables = outcome(rows, {})
    tables.comparisons["mode"] = "direct"
    assert only(tables).result[0].startswith("Full distillation (distill) is best: 0.30")


def test_the_terminal_shows_verdicts_beside_the_accuracies():
    lines = render(default_run()).splitlines()
    assert lines[0] == "sums, tiny, 134 items"
    assert lines[1].split()[-3:] == ["vs", "random", "teacher"]
    (aware,) = (line.split() for line in lines if line.split()[0] == "complexity_aware")
    assert aware[:5] == ["complexity_aware", "cot*", "0.54", "[0.46,", "0.63]"]
    assert aware[8:] == ["+0.53", "better", "+0.32", "better", "-0.11", "open", "+0.04", "open",
                         "1188"]  # fmt: skip
    assert "the verdict decides, an interval shows the size" in " ".join(lines[-3:])


def test_the_terminal_tells_the_sentences_in_lines_that_fit():
    found = answers(default_run())
    text = tell(found)
    assert max(map(len, text.splitlines())) <= 98
    words = " ".join(text.split())
    for sentence in (*found[0].result, *found[0].costs, *found[0].advice, *found[0].warnings):
        assert sentence in words


def test_the_readme_has_the_sentences_of_the_default_run_and_their_rule():
    words = " ".join(README.read_text(encoding="utf-8").split())
    (found,) = answers(default_run())
    for sentence in (*found.result, *found.costs, *found.advice, *found.conditions):
        assert sentence in words, sentence
    assert "The verdict decides, the interval shows the size" in words
    assert "says whether it is more than noise" not in words


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0%"), (0.0149, "1.5%"), (0.288, "29%"), (1.5, "150%"), (1.0, "100%")]
)
def test_a_share_is_told_in_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (335.4, "5.6 min"),
        (7200, "2.0 h"),
        (float("nan"), "an unknown time"),
    ],
)
def test_a_time_is_told_in_a_unit_for_people(seconds, text):
    assert duration(seconds) == text
