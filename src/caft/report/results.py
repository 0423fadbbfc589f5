"""What of a run's tables people are shown first: the models as trained, and what verdicts say."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from caft import layout
from caft.analysis.intervals import Estimate

REFERENCES = ("base", "sft", "distill", "random_same_size")
"""The strategies that all others are held against, where they were run."""

_UNDERPOWERED = "underpowered: needs about "
_WORDS = {"better": "better", "worse": "worse", "no detectable difference": "alike"}
_NAMES = ("dataset", "student", "strategy", "other")  # texts, whatever they look like
_OTHER_WAY = {"better": "worse", "worse": "better"}


def as_prompted(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the first number of worked examples and the first checkpoint of a run.

    These are what sentences, figures and tables for papers show; all others are in the table
    itself.
    """
    if table.empty:
        return table
    first = table.iloc[0]
    return table[(table["shots"] == first["shots"]) & (table["checkpoint"] == first["checkpoint"])]


class Verdict(NamedTuple):
    """What the comparison of two strategies shows, from the first one's side.

    Attributes:
        word: `better`, `worse`, `alike` (a relevant difference had been found), or `open`.
        difference: of the accuracies, with its interval, which shows the size and decides nothing.
        needed: what would settle an open one, such as `1,900 items`; else empty.
        relevant: the smallest difference that matters.
    """

    word: str
    difference: Estimate
    needed: str
    relevant: float


@dataclass(frozen=True)
class Group:
    """What the tables say about one student on one data set, asked as prompted.

    Attributes:
        dataset: its name.
        student: its name.
        rows: of the summary, in all modes.
        comparisons: of every pair of strategies, in all modes and as trained.
        complexity: how well metrics rank the student's errors.
        thresholds: what the buckets were drawn from.
    """

    dataset: str
    student: str
    rows: pd.DataFrame
    comparisons: pd.DataFrame
    complexity: pd.DataFrame
    thresholds: pd.DataFrame

    @cached_property
    def family(self) -> str:
        """Which comparisons are shown: `as_trained`, or a mode where some were not asked so."""
        trained = self.rows[self.rows["mode"] == self.rows["trained_mode"]]
        all_of_them = set(trained["strategy"]) == set(self.rows["strategy"])
        return "as_trained" if all_of_them else str(self.rows["mode"].iloc[0])

    @cached_property
    def shown(self) -> pd.DataFrame:
        """One row per strategy, indexed by its name: in the mode that it was trained for."""
        modes = self.rows["trained_mode"] if self.family == "as_trained" else self.family
        return self.rows[self.rows["mode"] == modes].set_index("strategy", drop=False)

    def verdict(self, one: str, other: str, family: str | None = None) -> Verdict | None:
        """Return what was found of a pair, whichever way round; None if it was not compared.

        Args:
            one: strategy.
            other: strategy that it is held against.
            family: a mode, or `as_trained`; what is shown if absent.
        """
        table = self.comparisons[self.comparisons["mode"] == (family or self.family)]
        for first, second in ((one, other), (other, one)):
            found = table[(table["strategy"] == first) & (table["other"] == second)]
            if len(found):
                return _verdict(found.iloc[0], turned=first != one)
        return None


def _verdict(row: pd.Series, turned: bool) -> Verdict:
    text = str(row["verdict"])
    value, low, high = (float(row[f"difference{part}"]) for part in ("", "_low", "_high"))
    word = _WORDS.get(text, "open")
    missing = text.removeprefix(_UNDERPOWERED) if word == "open" else ""
    needed = re.sub(r"\d+", lambda count: f"{int(count[0]):,}", missing)
    if turned:
        word, value, low, high = _OTHER_WAY.get(word, word), -value, -high, -low
    return Verdict(word, Estimate(value, low, high), needed, float(row["relevant_difference"]))


def _read(place: str) -> pd.DataFrame:
    texts = dict.fromkeys(_NAMES, "str")
    return pd.read_csv(place, dtype=texts, keep_default_na=False, na_values=[""])


@dataclass(frozen=True)
class Tables:
    """The tables of a run that its sentences are made from; docs/summary.md describes them."""

    summary: pd.DataFrame
    comparisons: pd.DataFrame
    complexity: pd.DataFrame
    thresholds: pd.DataFrame

    @classmethod
    def read(cls) -> "Tables | None":
        """Read the tables of the run in the current folder; None if it has not all of them."""
        places = (layout.SUMMARY, layout.COMPARISONS, layout.COMPLEXITY, layout.THRESHOLDS)
        if not all(Path(place).is_file() for place in places):
            return None
        return cls(*map(_read, places))

    def groups(self) -> Iterator[Group]:
        """Yield what the tables say of each data set and student, in the order of the summary."""
        summary, comparisons = as_prompted(self.summary), as_prompted(self.comparisons)
        for dataset, student in summary[["dataset", "student"]].drop_duplicates().to_numpy():
            tables = (summary, comparisons, self.complexity, self.thresholds)
            own = (
                table[(table["dataset"] == dataset) & (table["student"] == student)]
                for table in tables
            )
            yield Group(str(dataset), str(student), *own)
