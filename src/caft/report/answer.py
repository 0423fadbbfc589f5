"""What a run answers, in sentences made from its tables.

One rule everywhere: the verdict decides, the interval shows the size. The terminal, the overview
and a model's card say the same.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from caft.report.caveats import conditions, warnings
from caft.report.facts import Facts
from caft.report.paper_tables import money
from caft.report.results import Tables, Verdict
from caft.report.wording import difference, duration, interval, joined, listed, percent

_SPOKEN = {
    "base": "the untuned student",
    "sft": "tuning on short answers",
    "distill": "full distillation",
    "complexity_aware": "complexity-aware tuning",
    "random_same_size": "the random control",
}
_ASKED = {
    "direct": "Asked for the bare answer",
    "cot": "Asked for a chain of thought",
    "adaptive": "Thinking only where it is unsure",
}


@dataclass(frozen=True)
class Answer:
    """What a run says about one student on one data set, as sentences.

    Attributes:
        dataset: its name.
        student: its name.
        result: which strategy is best, whether that is sure, and what the complexity is worth.
        costs: what the best and the complexity-aware one took.
        advice: what to do next.
        warnings: what makes the result doubtful.
        conditions: what else one has to know to compare the strategies.
    """

    dataset: str
    student: str
    result: list[str]
    costs: list[str]
    advice: list[str]
    warnings: list[str]
    conditions: list[str]

    @property
    def title(self) -> str:
        """Whose answer it is."""
        return f"{self.dataset}, {self.student}"


def answers(tables: Tables) -> list[Answer]:
    """Return what the tables answer, one per data set and student."""
    return [_answer(Facts(group)) for group in tables.groups()]


def _answer(facts: Facts) -> Answer:
    parts = (_result(facts), _costs(facts), _advice(facts), warnings(facts), conditions(facts))
    spell = _Speller(facts.names)
    return Answer(
        facts.group.dataset, facts.group.student, *([*map(spell, part)] for part in parts)
    )


class _Speller:
    """Puts the marked names of strategies, `{distill}`, into words."""

    def __init__(self, names: list[str]):
        self.marks = re.compile("{(" + "|".join(map(re.escape, names)) + ")}")
        self.named: set[str] = set()

    def __call__(self, sentence: str) -> str:
        return self.marks.sub(self._word, sentence)

    def _word(self, mark: re.Match[str]) -> str:
        name = mark[1]
        if name not in _SPOKEN:
            return f"Strategy {name}" if mark.start() == 0 else name
        word = _SPOKEN[name]
        if mark.start() == 0:
            word = word[0].upper() + word[1:]
        told = word if name in self.named else f"{word} ({name})"
        self.named.add(name)
        return told


def _result(facts: Facts) -> list[str]:
    return [
        *_best(facts),
        *_chance(facts),
        *_reach(facts),
        *_control(facts),
        *_untuned_otherwise(facts),
    ]


def _best(facts: Facts) -> Iterator[str]:
    best, against = facts.best, facts.against
    reached = f"{facts.accuracy(best)} of {facts.items:,} items right"
    if not against:
        yield f"{{{best}}} is the only strategy of this run: {reached}."
        return
    # With one seed a verdict is about these very models.
    scope = "For other items, not for other trainings, " if facts.one_seed else ""
    if len(facts.as_good) == 1:
        yield f"{{{best}}} is best: {reached}."
        sure = f"{scope}that is sure" if scope else "That is sure"
        yield f"{sure}: it is better than {listed(against)}."
        return
    level = [name for name in against if facts.row(name)["accuracy"] == facts.row(best)["accuracy"]]
    have = "have" if level else "has"
    yield f"{listed([best, *level])} {have} the best accuracy: {reached}."
    yield "That this is best is not sure."
    if beaten := [name for name in against if name not in facts.as_good]:
        it = f"{{{best}}}" if level else "it" if scope else "It"
        yield f"{scope}{it} is better than {listed(beaten)}."
    later = (facts.focus, facts.random) if best in (facts.focus, facts.random) else ()
    pairs = {name: one for name, one in against.items() if name not in (*beaten, *later)}
    yield from _undecided(facts, pairs)


def _undecided(facts: Facts, pairs: dict[str, Verdict]) -> Iterator[str]:
    """Yield what is said of pairs without a winner: the verdict, and the size of the difference."""
    for word in ("open", "alike"):
        if those := {name: found for name, found in pairs.items() if found.word == word}:
            yield f"Against {listed(those)} {_without_winner(facts, those.values())}."


def _without_winner(facts: Facts, verdicts: Iterable[Verdict]) -> str:
    """Say why verdicts of one word, `open` or `alike`, name no winner, and how large they are."""
    found = list(verdicts)
    sizes = joined(difference(verdict.difference) for verdict in found)
    # More items tell more of these very models, and nothing of other trainings.
    these = " between these very models" if facts.one_seed else ""
    relevant = f"one of {found[0].relevant:g}{these}"
    shown = f"no difference is shown ({sizes})"
    if found[0].word == "alike":
        return f"{shown}; {relevant} would have been found in four of five such runs"
    needed = list(dict.fromkeys(verdict.needed for verdict in found))
    in_turn = " in turn" if needed[1:] else ""
    listing = "; ".join(needed) if any(" and " in one for one in needed) else joined(needed)
    return f"{shown}; about {listing} would be needed{in_turn} to show {relevant}"


def _reach(facts: Facts) -> Iterator[str]:
    """What the complexity-aware strategy gets for which part of the teacher's work."""
    if (focus := facts.focus) is None:
        return
    share = _teacher_share(facts, focus)
    if focus == facts.best:
        if share:
            yield f"{{{focus}}} takes {share}."
        return
    yield f"{{{focus}}} reaches {facts.accuracy(focus)}{' with ' + share if share else ''}."
    others: list[str] = [
        name for name in ("base", "sft") if name in facts.names and name != facts.best
    ]
    found = {name: one for name in others if (one := facts.verdict(focus, name))}
    for word in ("better", "worse"):
        if those := [name for name, one in found.items() if one.word == word]:
            yield f"It is {word} than {listed(those)}."
    yield from _undecided(facts, found)


def _teacher_share(facts: Facts, name: str) -> str:
    written = facts.shown["teacher_completion_tokens"]
    own = written[name]
    if pd.isna(own):
        return "a number of teacher tokens that is unknown"
    whole = written.get("distill", float("nan"))
    if name == "distill" or pd.isna(whole) or not whole:
        return f"{own:,.0f} teacher tokens" if own else ""
    return f"{percent(own / whole)} of the teacher tokens of {{distill}}"


def _control(facts: Facts) -> Iterator[str]:
    """Whether the choice by complexity is worth something: the question behind the method."""
    if facts.focus is None:
        return
    verdict = facts.random and facts.verdict(facts.focus, facts.random)
    if not verdict:
        yield (
            "Whether the choice of hard items helped is unknown: the random control "
            "(random_same_size) was not run."
        )
        return
    who = f"{{{facts.random}}}, which gets as many rationales for random items"
    size = difference(verdict.difference)
    if verdict.word not in ("better", "worse"):
        yield f"Against {who}, {_without_winner(facts, [verdict])}."
        yield "So it is not shown that the choice of hard items helps."
        return
    told = f"{{{facts.focus}}} is {verdict.word} than {who} ({size})"
    if facts.one_seed:
        yield (
            f"{told}: by the choice of hard items, or by the luck of one training. Several seeds "
            "tell which."
        )
    else:
        does = "helps" if verdict.word == "better" else "does harm here"
        yield f"{told}: the choice of hard items {does}."


def _untuned_otherwise(facts: Facts) -> Iterator[str]:
    """The untuned student in another mode, where that is more than in the mode that is shown."""
    if "base" not in facts.names:
        return
    own = facts.group.rows[facts.group.rows["strategy"] == "base"]
    for _, row in own[own["accuracy"] > facts.row("base")["accuracy"]].iterrows():
        mode = str(row["mode"])
        told = f"{_ASKED.get(mode, mode)}, {{base}} reaches {interval(row, 'accuracy')}"
        if facts.best == "base" or row["accuracy"] >= facts.row(facts.best)["accuracy"]:
            yield f"{told}."
            continue
        verdict = facts.group.verdict(facts.best, "base", mode)
        word = verdict.word if verdict else "open"
        said = {
            "better": f"{{{facts.best}}}, asked so as well, is better",
            "worse": f"{{{facts.best}}}, asked so as well, is worse",
        }
        yield f"{told}; {said.get(word, 'so asked, no difference to the best strategy is shown')}."


def _chance(facts: Facts) -> Iterator[str]:
    if facts.at_chance:
        yield (
            f"Not even that is shown to be more than chance ({facts.chance:.2f}): nothing that can "
            "be compared was learned."
        )
    if facts.focus and facts.cannot_rank:
        yield (
            "The student cannot tell what is hard (see the warnings), so nothing is learned here "
            "about a choice by complexity."
        )


def _costs(facts: Facts) -> list[str]:
    names = list(dict.fromkeys(name for name in (facts.best, facts.focus) if name))
    told = [_cost(facts, name) for name in names if facts.row(name)["items"] > 0]
    if facts.focus and "distill" in facts.names and facts.computed("distill"):
        share = percent(facts.computed(facts.focus) / facts.computed("distill"))
        told.append(
            f"In tokens that training processes, {{{facts.focus}}} takes {share} of what "
            "{distill} takes, its warm-up included."
        )
    return told


def _cost(facts: Facts, name: str) -> str:
    row, paid = facts.row(name), facts.paid(name)
    written = row["teacher_completion_tokens"]
    bought = "no teacher tokens"
    if pd.isna(written) or written:
        tokens = "an unknown number of" if pd.isna(written) else f"{written:,.0f}"
        price = "at a price that is unknown" if pd.isna(paid) else f"for {money(paid)} USD"
        bought = f"{tokens} teacher tokens {price}"
    warm_up = row["warm_up_all_tokens"]
    own = f" ({warm_up:,.0f} of them in the warm-up)" if warm_up else ""
    scored = ", scoring included" if row["score_seconds"] else ""
    return (
        f"{{{name}}} took {bought}, and {facts.computed(name):,.0f} tokens of training{own} in "
        f"{duration(facts.seconds(name))}{scored}."
    )


def _advice(facts: Facts) -> list[str]:
    told: list[str] = []
    if facts.at_chance:
        return [
            "Train longer, take a stronger student or other data; then compare again.",
            *(["Mend the ranking first (see the warnings)."] if facts.cannot_rank else []),
        ]
    if facts.focus and facts.cannot_rank:
        told.append("Mend the ranking (see the warnings) before you buy by it.")
    told += _choice(facts)
    if facts.one_seed:
        told.append(
            "Before you believe a difference of some hundredths between trained strategies, train "
            "with several seeds: run: {seeds: [1, 2, 3]}."
        )
    elif facts.few_seeds and "open" in {verdict.word for verdict in facts.against.values()}:
        told.append(
            "To settle what is open, first train with a third seed: run: {seeds: [1, 2, 3]}."
        )
    return told


def _choice(facts: Facts) -> Iterator[str]:
    """Which strategy to take now, and what would settle what is open."""
    if not facts.against:
        yield "Run other strategies beside it: run: {strategies: [...]}."
        return
    cheap, best = facts.cheapest(facts.as_good), facts.best
    unsure = [name for name in facts.as_good if name != best]
    if not unsure:
        yield _take(facts, best, "is the one to take")
        return
    if cheap == best:
        yield _take(facts, best, "is the one to take: nothing as good is cheaper")
    else:
        yield _take(
            facts,
            cheap,
            f"is the cheapest in {facts.measure} of those that are not shown to be worse",
        )
    # With one seed more items would settle it between these very models alone; with two the count
    # of seeds that would do is hardly known.
    if facts.few_seeds:
        return
    needed = {name: facts.against[name].needed for name in unsure}
    if which := cheap if needed.get(cheap) else next(filter(needed.get, unsure), None):
        yield (
            f"To settle {{{best}}} against {{{which}}}, the run needs about {needed[which]} "
            f"(it has {facts.size})."
        )


def _take(facts: Facts, name: str, why: str) -> str:
    exported = "" if name == "base" else f" (caft export {name} --to FOLDER)"
    return f"{{{name}}} {why}{exported}."
