"""What follows from the tables of a run for the sentences about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from caft.report.results import Group, Verdict
from caft.report.wording import interval


@dataclass(frozen=True)
class Facts:
    """What follows from the tables about one data set and student."""

    group: Group

    @cached_property
    def shown(self) -> pd.DataFrame:
        """One row per strategy, as shown."""
        return self.group.shown

    @cached_property
    def names(self) -> list[str]:
        """The strategies, in the order of the run."""
        return list(self.shown.index)

    @cached_property
    def best(self) -> str:
        """The most accurate strategy; of equal ones the cheapest."""
        top = self.shown["accuracy"].max()
        return self.cheapest(name for name in self.names if self.row(name)["accuracy"] == top)

    @cached_property
    def focus(self) -> str | None:
        """The strategy that the run is about, if it has one."""
        return "complexity_aware" if "complexity_aware" in self.names else None

    @cached_property
    def random(self) -> str | None:
        """The control of `focus`."""
        control = "random_same_size"
        return control if self.focus and control in self.names else None

    @cached_property
    def against(self) -> dict[str, Verdict]:
        """The verdicts on the best strategy against each other one."""
        pairs = {name: self.verdict(self.best, name) for name in self.names}
        return {name: verdict for name, verdict in pairs.items() if verdict}

    @cached_property
    def as_good(self) -> list[str]:
        """The best strategy and those that are not shown to be worse."""
        beaten = {name for name, verdict in self.against.items() if verdict.word == "better"}
        return [name for name in self.names if name not in beaten]

    @cached_property
    def drawn(self) -> pd.DataFrame:
        """What ranks the student's errors: the thresholds with the row of complexity of each."""
        thresholds = self.group.thresholds.dropna(subset="scorer")
        named = thresholds.rename(columns={"metric": "name", "kind": "metric"})
        keys = dict.fromkeys(("scorer", "prompt", "metric"), "str")
        return named.astype(keys).merge(self.group.complexity.astype(keys), on=list(keys))

    @cached_property
    def cannot_rank(self) -> bool:
        """Whether something speaks against the ranking of the student's errors."""
        return bool(self.drawn["warning"].notna().any())

    @cached_property
    def chance(self) -> float:
        """What guessing would reach; NaN where nobody has scored."""
        known = self.group.complexity["chance"].dropna()
        return float(known.iloc[0]) if len(known) else float("nan")

    @cached_property
    def at_chance(self) -> bool:
        """Whether not even the best strategy is above chance."""
        return float(self.row(self.best)["accuracy_low"]) <= self.chance

    @cached_property
    def seeds(self) -> int:
        """The most training seeds that a strategy has; 0 where nothing was trained."""
        trained = self.shown[self.shown["items"] > 0]
        return int(trained["n_seeds"].max()) if len(trained) else 0

    @property
    def one_seed(self) -> bool:
        """Whether something was trained, and with one seed alone."""
        return self.seeds == 1

    @property
    def few_seeds(self) -> bool:
        """Whether something was trained, and with too few seeds to know how far they differ."""
        return self.seeds in (1, 2)

    @property
    def items(self) -> int:
        """Items of the reported split."""
        return int(self.shown["n"].iloc[0])

    @cached_property
    def size(self) -> str:
        """How much the run has of what a larger one would have more of."""
        seeds = int(self.shown["n_seeds"].max())
        return f"{self.items:,} items and {seeds} seed{'s' if seeds > 1 else ''}"

    @cached_property
    def measure(self) -> str:
        """What tells the cheapest: money, where any was paid, else what the teacher wrote."""
        return "USD" if any(self.paid(name) > 0 for name in self.names) else "teacher tokens"

    def row(self, name: str) -> pd.Series:
        """Return a strategy's row."""
        return self.shown.loc[[name]].iloc[0]

    def verdict(self, one: str, other: str) -> Verdict | None:
        """Return what was found of a pair, from the first one."""
        return self.group.verdict(one, other)

    def accuracy(self, name: str) -> str:
        """Return the accuracy with its interval, in words."""
        return interval(self.row(name), "accuracy")

    def paid(self, name: str) -> float:
        """Return the USD of teacher and judge; NaN if unknown."""
        return float(self.row(name)["cost_usd"] + self.row(name)["metric_cost_usd"])

    def computed(self, name: str) -> float:
        """Return the tokens of training, its warm-up included."""
        return float(self.row(name)["all_tokens"] + self.row(name)["warm_up_all_tokens"])

    def seconds(self, name: str) -> float:
        """Return the time of scoring, warm-up and training."""
        return float(self.row(name)[["score_seconds", "warm_up_seconds", "train_seconds"]].sum())

    def cheapest(self, names: Iterable[str]) -> str:
        """Return the cheapest by money, then teacher tokens, then tokens computed.

        What is unknown is dear.
        """

        def price(name: str) -> tuple[float, ...]:
            written = float(self.row(name)["teacher_completion_tokens"])
            amounts = (self.paid(name), written, self.computed(name))
            return tuple(float("inf") if pd.isna(amount) else amount for amount in amounts)

        return min(names, key=price)
