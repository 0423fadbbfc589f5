"""What a run's answer has to be read with: doubts, and conditions of the comparison."""

from collections.abc import Iterator

import pandas as pd

from caft.report.facts import Facts
from caft.report.wording import interval, joined, listed, percent

_SCORERS = {"base": "untuned", "warm_up": "warmed-up"}
_FALLBACKS = {
    "drop": "are left out of the training",
    "train_on_answer": "train on the bare answer instead",
    "keep": "train on a rejected rationale, where one could be read",
}
_MANY_INVALID = 0.1
_FEW_SEEDS = {
    1: "There is one training seed: the intervals know other items of this kind, and nothing of "
    "other trainings.",
    2: "There are two training seeds: two hardly tell how far trainings differ by luck, so even a "
    "large difference may stay open.",
}


def warnings(facts: Facts) -> list[str]:
    """Return what makes the result doubtful."""
    return [
        *_ranking_warnings(facts),
        *_unread(facts),
        *_without_rationale(facts),
        *_unknown_costs(facts),
        *([_FEW_SEEDS[facts.seeds]] if facts.few_seeds else []),
    ]


def _ranking_warnings(facts: Facts) -> Iterator[str]:
    for _, row in facts.drawn[facts.drawn["warning"].notna()].iterrows():
        yield f"The student cannot rank its items by {row['name']}: {row['warning']}"


def _unread(facts: Facts) -> Iterator[str]:
    for what, column, least in (
        ("could not be read and count as wrong", "invalid_rate", _MANY_INVALID),
        ("do not fit into the model's context and count as wrong", "too_long_rate", 1e-9),
    ):
        rates = facts.shown[column]
        if len(many := rates[rates >= least]):
            told = joined(f"{percent(rate)} of {{{name}}}" for name, rate in many.items())
            yield f"Of the answers, {told} {what}."


def _without_rationale(facts: Facts) -> Iterator[str]:
    for name in facts.names:
        row = facts.row(name)
        if lacking := int(row["rationale_items"] - row["accepted_items"]):
            fate = _FALLBACKS.get(row["fallback"], "have none")
            yield (
                f"{lacking:,} of the {row['rationale_items']:,.0f} items of {{{name}}} that want a "
                f"rationale have no accepted one; they {fate}."
            )


def _unknown_costs(facts: Facts) -> Iterator[str]:
    if unknown := [name for name in facts.names if pd.isna(facts.paid(name))]:
        yield f"What {listed(unknown)} cost is unknown: the price of some answers is."


def conditions(facts: Facts) -> list[str]:
    """Return what else one has to know to compare the strategies."""
    return [
        *_whose_complexity(facts),
        *_hard_share(facts),
        *_epochs(facts),
        *_as_many(facts),
        *_saved(facts),
    ]


def _whose_complexity(facts: Facts) -> Iterator[str]:
    for _, row in facts.group.thresholds.iterrows():
        if pd.isna(row["scorer"]):
            told = f"Buckets ({row['buckets']}) come from {row['metric']}"
            yield f"{told}, which the student did not make."
            continue
        scorer = str(row["scorer"])
        whose = f"{_SCORERS.get(scorer, f'trained ({scorer})')} student"
        found = facts.drawn[facts.drawn["buckets"] == row["buckets"]]
        told = f"Buckets ({row['buckets']}) come from the {row['metric']} of the {whose}"
        if len(found):
            told += f", which answers {percent(found['student_accuracy'].iloc[0])} rightly"
            if scorer != "base" and "base" in facts.names:
                base = percent(facts.row("base")["accuracy"])
                told += f" (the untuned one {base})"
            area = interval(found.iloc[0], "roc_auc")
            told += f" and finds its own errors with a ROC AUC of {area}; 0.5 is chance"
        yield f"{told}."
        if seen := int(row["seen_by_warm_up"]):
            yield (
                f"The warm-up had seen {seen:,} of the {row['items']:,} training items behind "
                "these thresholds with their answers; unseen items look harder beside them."
            )


def _hard_share(facts: Facts) -> Iterator[str]:
    name = facts.focus or facts.best
    hard = facts.row(name)["n_hard"]
    share = percent(hard / facts.items)
    yield f"{hard:,.0f} of the {facts.items:,} reported items ({share}) are hard."


def _epochs(facts: Facts) -> Iterator[str]:
    """Unequal training of hard rows, which is no effect of the choice."""
    if facts.focus is None:
        return
    own = facts.row(facts.focus)["epochs_hard"]
    others = [name for name in ("distill", "sft") if name in facts.names]
    passes = {name: facts.row(name)["epochs_hard"] for name in others}
    if unequal := [f"{{{name}}} {times:g}" for name, times in passes.items() if times != own]:
        yield (
            f"{{{facts.focus}}} passes over the rows of hard items {own:g} times, "
            f"{joined(unequal)} times."
        )


def _as_many(facts: Facts) -> Iterator[str]:
    if not facts.random or not facts.focus:
        return
    parts = []
    for name in (facts.focus, facts.random):
        row = facts.row(name)
        written = row["teacher_completion_tokens"]
        tokens = "unknown" if pd.isna(written) else f"{written:,.0f}"
        parts.append(
            f"{{{name}}} asked about {row['rationale_items']:,.0f} items and got "
            f"{row['accepted_items']:,.0f} accepted rationales in {tokens} tokens"
        )
    yield f"As many rationales means as many items asked: {'; '.join(parts)}."


def _saved(facts: Facts) -> Iterator[str]:
    if facts.focus and (warm_up := facts.row(facts.focus)["warm_up_all_tokens"]):
        yield (
            f"saved_all_tokens in summary.csv leaves out the {warm_up:,.0f} tokens of the warm-up."
        )
