"""Can a student rank? What its answers and its metric say, before a teacher is paid by them.

A metric chooses what is bought only if it finds the student's own errors. Where it does not, the
numbers here say so, and what mends it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caft.analysis.intervals import UNKNOWN, Estimate, accuracy_interval, roc_auc
from caft.analysis.outcomes import is_scores, read_outcome
from caft.complexity import METRICS
from caft.errors import RankingError
from caft.mixtures.settings import Wanted
from caft.tables import parquet

_NEARLY_ALL = 0.9  # of the items have one answer
_HARDLY_ANY = 0.1  # of the probability is on valid answers
_BY_OPTIONS = "one of the options"
_BY_GOLD = "the commonest gold answer"


@dataclass(frozen=True)
class Ranker:
    """Who ranks the items of a bucket definition, and where that is read.

    Attributes:
        student: its name.
        buckets: the bucket definition.
        metric: that draws it.
        scorer: the model that makes the metric, `base`, `warm_up` or `sft.1`; None where the
            student does not make it.
        trained: whether a stage of training made the metric or the answers: it knows its items.
        reads_label: whether the metric reads the gold answer, so that its area says nothing.
        values: the metrics table.
        outcome: the table that says which answers are wrong, as of `read_outcome`.
    """

    student: str
    buckets: str
    metric: str
    scorer: str | None
    trained: bool
    reads_label: bool
    values: str
    outcome: str

    @property
    def mend(self) -> str:
        """What to change in the config where the metric does not rank."""
        return mend(self.student, self.scorer, self.metric, f"buckets.{self.buckets}.metric")


@dataclass(frozen=True)
class Answered:
    """How a student answered items whose answers it has not seen, directly.

    Attributes:
        accuracy: share of right answers.
        chance: what guessing would reach: 1 / number of options, for open questions the share of
            their commonest gold answer, on average.
        chance_of: which of the two.
        commonest: the commonest first token, without spaces around it.
        commonest_share: its share.
        gold_share: the share that it could be right for: of the commonest gold option, for open
            questions of the gold answers that begin so.
        valid_mass: probability on the options, on average; for numbers the share of items whose
            most probable token could begin one; NaN for short texts.
    """

    accuracy: Estimate
    chance: float
    chance_of: str
    commonest: str
    commonest_share: float
    gold_share: float
    valid_mass: float

    def doubts(self) -> Iterator[str]:
        """Yield what speaks against these answers, and so against a metric of the same pass."""
        if self.accuracy.low <= self.chance:
            yield (
                f"its accuracy of {show(self.accuracy)} is not above chance "
                f"({self.chance:.2f}, {self.chance_of})"
            )
        if self.commonest_share >= _NEARLY_ALL > self.gold_share:
            yield (
                f"it begins {self.commonest_share:.0%} of its answers with {self.commonest!r}, "
                f"which {self.gold_share:.0%} of the right ones could be"
            )
        if self.valid_mass < _HARDLY_ANY:
            yield f"only {self.valid_mass:.0%} of its probability is on answers of the asked form"


@dataclass(frozen=True)
class Ranking:
    """How well a metric ranks what a student gets wrong.

    Attributes:
        metric: its name.
        area: ROC AUC against the student's own errors; NaN where unknown.
        why_unknown: why; else None.
        answered: the answers of the student; None where they are not there.
    """

    metric: str
    area: Estimate
    why_unknown: str | None = None
    answered: Answered | None = None

    @property
    def verdict(self) -> str:
        """In a word: `ok`, `doubtful`, or `unknown` where there is no area."""
        return "unknown" if self.why_unknown else "doubtful" if self.doubts() else "ok"

    def doubts(self) -> list[str]:
        """Return what speaks against buying by this metric; nothing where it ranks."""
        found = list(self.answered.doubts()) if self.answered else []
        if self.why_unknown:
            return [
                f"how well {self.metric} ranks its errors is unknown: {self.why_unknown}",
                *found,
            ]
        return [*area_doubts(self.metric, self.area), *found]


def area_doubts(metric: str, area: Estimate) -> Iterator[str]:
    """Yield what speaks against a metric by its area."""
    if np.isnan(area.low):
        yield f"the ROC AUC of {metric} is unknown: all answers are right, or all are wrong"
    elif area.low <= 0.5:
        what = "may be chance" if area.high >= 0.5 else "is surest where it is wrong"
        yield f"the ROC AUC of {metric} is {show(area)}, so it {what}"


def show(estimate: Estimate) -> str:
    """Return a value with its interval for a message."""
    if np.isnan(estimate.value):
        return "unknown"
    return f"{estimate.value:.2f} ({estimate.low:.2f}-{estimate.high:.2f})"


def mend(student: str, scorer: str | None, metric: str = "<name>", division: str = "") -> str:
    """Return what to change in the config, so that a student can rank.

    Args:
        student: its name.
        scorer: the model that scored; None where no student makes the metric.
        metric: its name.
        division: config path of the bucket definition's metric, where that is known.
    """
    longer = {
        "base": f"warm it up (students.{student}.warm_up: {{items: 128, epochs: 3}}, with "
        f"metrics.{metric}.scored_with left at default)",
        "warm_up": f"warm it up longer (students.{student}.warm_up.items and .epochs)",
        None: "",
    }.get(scorer, f"score with another model (metrics.{metric}.scored_with)")
    own = [longer, f"ask with another prompt (metrics.{metric}.prompt)"] if scorer else []
    return ", or ".join([*own, f"divide by another metric ({division or 'buckets.<name>.metric'})"])


def warning(doubts: Sequence[str], mended: str) -> str | None:
    """Return what there is to doubt, and what mends it; None where there is nothing."""
    return f"{'; '.join(doubts)}. To mend it, {mended}." if doubts else None


def unseen(table: pd.DataFrame, trained: bool) -> pd.DataFrame:
    """Return the items whose answers the scoring model has not seen.

    Those of the warm-up are left out, and for a model that a strategy has trained all but the test
    split.
    """
    kept = table[~table["warm_up"].eq(True)]
    return kept[kept["split"] == "test"] if trained else kept


def describe_answers(scores: pd.DataFrame, items: pd.DataFrame) -> Answered | None:
    """Describe the direct answers of a student.

    Args:
        scores: rows of a scores table, from `unseen`.
        items: the items table; scores of other items are left aside.

    Returns:
        None without any answer.
    """
    gold = items[["item_id", "options", "answer", "answer_kind"]]
    answered = scores[scores["correct"].notna()].drop(columns="split", errors="ignore")
    table = answered.merge(gold.rename(columns={"answer": "gold"}), on="item_id")
    if table.empty:
        return None
    choice = (table["answer_kind"] == "choice").to_numpy()
    given = table["answer"].fillna("").str.strip()
    commonest, times = next(iter(given.value_counts().items()))
    by = [name for name, part in ((_BY_OPTIONS, choice), (_BY_GOLD, ~choice)) if part.any()]
    return Answered(
        accuracy_interval(table["correct"].astype(bool)),
        float(_chances(table, choice).mean()),
        " or ".join(by),
        str(commonest),
        float(times / len(table)),
        _gold_share(table["gold"], choice, str(commonest)),
        _valid_mass(table, choice),
    )


def _chances(table: pd.DataFrame, choice: np.ndarray) -> pd.Series:
    commonest = table.loc[~choice, "gold"].value_counts(normalize=True).max()
    return pd.Series(
        [
            1 / len(options) if of_options else commonest
            for options, of_options in zip(table["options"], choice, strict=True)
        ]
    )


def _gold_share(gold: pd.Series, choice: np.ndarray, commonest: str) -> float:
    """Return how many items one constant answer could be right for.

    Only the first token of an open answer is known, so all that begin so count.
    """
    options = gold[choice].value_counts().max() if choice.any() else 0
    begin = gold[~choice].str.startswith(commonest).sum() if commonest else 0
    return float((options + begin) / len(gold))


def _valid_mass(table: pd.DataFrame, choice: np.ndarray) -> float:
    numeric = table.loc[table["answer_kind"] == "numeric", "answer_valid"]
    masses = [np.exp(values).sum() for values in table.loc[choice, "option_logprobs"].dropna()]
    known = [*masses, *numeric.astype(float)]
    return float(np.mean(known)) if known else float("nan")


def rank_metrics(scores: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Return the ROC AUC of each label-free metric against the student's own errors."""
    usable = scores[(scores["status"] == "ok") & ~scores["warm_up"]]
    rows = []
    for name, metric in METRICS.items():
        if not metric.in_pass or "label" in metric.needs:
            continue
        known = usable[usable[name].notna()]
        if known.empty:
            continue
        wrong = ~known["correct"].astype(bool)
        rows.append(
            {
                "metric": name,
                "n": len(known),
                "student_accuracy": float(1 - wrong.mean()),
                "answer_valid": float(known["answer_valid"].astype(bool).mean()),
                **roc_auc(known[name], wrong, seed=seed).named("roc_auc"),
            }
        )
    return rows


def tell_of_scores(scores: pd.DataFrame, items: pd.DataFrame, seed: int) -> tuple[str, list[str]]:
    """Say how a student answered and what its metrics find, as soon as it has scored.

    Args:
        scores: rows of a scores table, from `unseen`.
        items: the items table.
        seed: of the bootstrap.

    Returns:
        A line for the log; and what speaks against buying by these metrics.
    """
    answered = describe_answers(scores, items)
    if answered is None:
        return "no answer of an item that the model has not seen", []
    areas = {
        row["metric"]: Estimate(*(row[f"roc_auc{part}"] for part in ("", "_low", "_high")))
        for row in rank_metrics(scores, seed)
    }
    doubts = [doubt for name, area in areas.items() for doubt in area_doubts(name, area)]
    shown = ", ".join(f"{name} {show(area)}" for name, area in areas.items())
    line = (
        f"accuracy {show(answered.accuracy)}, chance {answered.chance:.2f} "
        f"({answered.chance_of}); commonest answer {answered.commonest!r} "
        f"{answered.commonest_share:.0%}; valid {answered.valid_mass:.0%}; ROC AUC of {shown}"
    )
    return line, [*answered.doubts(), *doubts]


def read_ranking(ranker: Ranker, items: pd.DataFrame, seed: int) -> Ranking:
    """Read how well a metric ranks what a student gets wrong; nothing is computed that lacks.

    Args:
        ranker: which tables.
        items: the items table.
        seed: of the bootstrap.
    """
    lacking = [path for path in (ranker.values, ranker.outcome) if not Path(path).is_file()]
    if lacking:
        why = f"{lacking[0]} is not there (make it: snakemake --cores all {lacking[0]})"
        return Ranking(ranker.metric, UNKNOWN, why)
    values = unseen(parquet.read("metrics", ranker.values), ranker.trained)
    seen, answered = _read_answers(ranker, items)
    wrong = read_outcome(ranker.outcome).drop(seen, errors="ignore")
    known = values[values["value"].notna() & values["item_id"].isin(wrong.index)]
    labels = wrong.loc[known["item_id"]].to_numpy(dtype=bool)
    unknown = _why_unknown(ranker, labels)
    area = UNKNOWN if unknown else roc_auc(known["value"], labels, seed=seed)
    return Ranking(ranker.metric, area, unknown, answered)


def _read_answers(ranker: Ranker, items: pd.DataFrame) -> tuple[list[str], Answered | None]:
    """Return the items that the answering model has seen, and its other answers."""
    if not is_scores(ranker.outcome):
        return [], None
    scores = parquet.read("scores", ranker.outcome)
    kept = unseen(scores, ranker.trained)
    seen = scores["item_id"][~scores["item_id"].isin(kept["item_id"])]
    return list(seen), describe_answers(kept, items)


def _why_unknown(ranker: Ranker, wrong: np.ndarray) -> str | None:
    if ranker.reads_label:
        return "it reads the gold answer (analysis.allow_label: true counts it all the same)"
    if not len(wrong):
        return "no item has both a value and an answer"
    if wrong.all() and ranker.scorer is None:
        return f"all of the {len(wrong)} answers are wrong (students.{ranker.student}.warm_up)"
    if wrong.all() or not wrong.any():
        return f"all of the {len(wrong)} answers are {'wrong' if wrong.all() else 'right'}"
    return None


@dataclass(frozen=True)
class Gate:
    """What a teacher demands of the metrics that choose what it is paid for.

    Attributes:
        section: config path of the teacher, such as `teachers.big`.
        required: its `require_auc`; None demands nothing.
        rankings: by bucket definition, of those that choose.
    """

    section: str
    required: float | None
    rankings: Mapping[str, tuple[Ranker, Ranking]]

    def weakest(self, strategy: Wanted) -> tuple[Ranker, Ranking] | None:
        """Return who chooses what a strategy buys, of several the least sure; None if nobody."""
        found = [self.rankings[name] for name in strategy.bought_by_rank()]
        return min(found, key=lambda one: np.nan_to_num(one[1].area.low, nan=-1), default=None)

    def problem(self, strategy: Wanted) -> str | None:
        """Return why a strategy must not buy from the teacher; None where it may."""
        weakest = self.weakest(strategy)
        if self.required is None or weakest is None or weakest[1].area.low >= self.required:
            return None
        ranker, ranking = weakest
        metric = f"{ranker.metric} (buckets.{ranker.buckets}.metric)"
        if ranking.why_unknown:
            return f"how well {metric} ranks is unknown: {ranking.why_unknown}"
        return (
            f"the ROC AUC of {metric} against the errors of {ranker.student} is "
            f"{show(ranking.area)}, its lower end below {self.required:g}"
        )

    def checker(
        self, strategies: Mapping[str, Wanted], wanted: Mapping[str, set[str]]
    ) -> Callable[[Collection[str]], None] | None:
        """Return what sees that nothing is bought by a metric that does not rank well enough.

        Args:
            strategies: those that want the teacher's rationales, by name.
            wanted: for which items, by strategy.

        Returns:
            A function that is called with the items whose rationale would have to be bought, and
            raises `RankingError` if a strategy wants any of them that must not buy; None where
            nothing is demanded.
        """

        def check(missing: Collection[str]) -> None:
            for name, strategy in strategies.items():
                count = len(wanted[name] & set(missing))
                problem, weakest = self.problem(strategy), self.weakest(strategy)
                if count and problem and weakest:
                    raise RankingError(
                        f"{self.section}.require_auc: strategies.{name} would buy {count} "
                        f"rationales, but {problem}. Nothing was asked. To mend it, "
                        f"{weakest[0].mend}; null buys all the same."
                    )

        return None if self.required is None else check


def open_gate(
    section: str,
    required: float | None,
    rankers: Mapping[str, Ranker],
    items: pd.DataFrame,
    seed: int,
) -> Gate:
    """Read the rankings that a teacher's `require_auc` is about; arguments as of `Gate`."""
    rankings = {name: (one, read_ranking(one, items, seed)) for name, one in rankers.items()}
    return Gate(section, required, rankings)
