"""What is known of a run before it starts: items, lengths of texts, buckets and plans."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from caft import layout
from caft.config.model import Configuration
from caft.datasets import load
from caft.datasets.ingest import ingest_as
from caft.datasets.settings import DatasetSettings
from caft.errors import CaftError, ItemError
from caft.mixtures.plan import Trained, read_plan
from caft.mixtures.settings import Bucket
from caft.prompting.prompts import all_messages, completion
from caft.prompting.tokens import TokenCounter
from caft.tables import parquet
from caft.tables.parquet import records

Bound = Literal["exact", "about", "at most", "unknown"]
_SAMPLE = 300  # items of which texts are counted
# What a chat template writes beside the messages and the tokens that TokenCounter adds for them.
_TEMPLATE = 12
_END = 1  # the token that ends what the model writes
_PIECE = re.compile(r"[^\W\d_]{1,7}|\d| (?=\d)|[^\w\s]")


@dataclass(frozen=True)
class Count:
    """A number of things, and how it is meant; None where nobody knows it yet."""

    number: float | None
    bound: Bound = "exact"


UNKNOWN = Count(None, "unknown")


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of the texts of a data set for a student.

    Attributes:
        direct: prompt that asks for the answer alone.
        cot: prompt that asks for a chain of thought.
        answer: what is learnt of a bare answer.
        solution: what is learnt of a worked solution of the data set's own.
    """

    direct: float
    cot: float
    answer: float
    solution: float

    def prompt(self, mode: str) -> float:
        """Return the length of the prompt in a mode."""
        return {"direct": self.direct, "cot": self.cot}[mode]


class _Counter(Protocol):
    def texts(self, texts: Iterable[str]) -> list[int]: ...

    def prompts(self, prompts: Sequence[Sequence[dict[str, Any]]]) -> list[int]: ...


class RoughCounter:
    """Counts tokens without a tokenizer: pieces of words, digits and signs, one each."""

    def texts(self, texts: Iterable[str]) -> list[int]:
        """Return about how many tokens each text has."""
        return [len(_PIECE.findall(text)) for text in texts]

    def prompts(self, prompts: Sequence[Sequence[dict[str, Any]]]) -> list[int]:
        """Return about how many tokens each list of chat messages has."""
        counts = iter(self.texts(turn["content"] for prompt in prompts for turn in prompt))
        return [sum(islice(counts, len(prompt))) + 4 * len(prompt) for prompt in prompts]


class Known:
    """Reads, once each, what there is of a run in this folder.

    Args:
        config: the prepared configuration.
        reads_sources: whether question sets that need no network are read where their items
            tables are not there yet, which can take minutes; else only those that are small.
    """

    def __init__(self, config: Configuration, reads_sources: bool = True):
        self.config, self.reads_sources = config, reads_sources
        self.items = cache(self._items)
        self.lengths = cache(self._lengths)
        self.bucket = cache(self._bucket)
        self.counter = cache(self._counter)

    def _items(self, dataset: str) -> pd.DataFrame | None:
        """Return the items table, or what it will be; None before it can be known."""
        path = layout.at(layout.ITEMS, dataset=dataset)
        if Path(path).is_file():
            return parquet.read("items", path)
        section = self.config.datasets[dataset]
        if not section.reads_here:
            return None
        try:
            if not (self.reads_sources or section.reads_at_once):
                return None
            raw = load(section, self.config.seed, Path(layout.DOWNLOADS))
            made = ingest_as(section, raw, self.config.seed, dataset)
        except (CaftError, OSError):
            return None  # the run itself says what is wrong
        return made.items

    def rows(self, dataset: str, split: str | None = None) -> Count:
        """Return how many items a split has; None is all of them."""
        items = self.items(dataset)
        if items is not None:
            return Count(len(items) if split is None else int((items["split"] == split).sum()))
        section = self.config.datasets[dataset]
        share = 1.0 if split is None else getattr(section.splits, split)
        size = _size(section)
        return UNKNOWN if size is None else Count(round(size * share), "about")

    def _counter(self, student: str) -> _Counter:
        folder = Path(layout.at(layout.STUDENT, student=student)).parent
        return TokenCounter(folder) if (folder / "tokenizer.json").is_file() else RoughCounter()

    def _lengths(self, dataset: str, student: str, shots: int | None = None) -> Lengths | None:
        """Return the mean lengths of a data set's texts; None before its items are known."""
        items = self.items(dataset)
        if items is None or items.empty:
            return None
        variant = self.config.prompts[self.config.prompt]
        if shots is not None:
            variant = variant.model_copy(update={"few_shot": shots})
        counter = self.counter(student)
        sample = items[:_SAMPLE]
        prompts = {}
        for mode in ("direct", "cot"):
            try:
                messages = all_messages(sample, variant, mode, self.config.seed)
            except ItemError:  # too few of the sample to show any: all may do
                messages = all_messages(items, variant, mode, self.config.seed)[:_SAMPLE]
            prompts[mode] = _mean(counter.prompts(messages)) + _TEMPLATE
        rows = records(sample)
        answers = [completion(row, variant) for row in rows]
        solved = [row for row in rows if row["reference_rationale"]]
        solutions = [completion(row, variant, row["reference_rationale"]) for row in solved]
        return Lengths(
            **prompts,
            answer=_mean(counter.texts(answers)) + _END,
            solution=_mean(counter.texts(solutions)) + _END,
        )

    def _bucket(self, dataset: str, student: str, name: str) -> dict[Bucket, Count]:
        """Return how many training items are in each bucket of a definition."""
        path = layout.at(layout.BUCKETS, dataset=dataset, student=student, buckets=name)
        if Path(path).is_file():
            table = parquet.read("buckets", path)
            sizes = table.loc[table["sampled"], "bucket"].value_counts()
            return {bucket: Count(int(sizes.get(bucket, 0))) for bucket in _BUCKETS}
        settings, items = self.config.buckets[name], self.rows(dataset, "train")
        if items.number is None:
            capped = settings.per_bucket
            return dict.fromkeys(_BUCKETS, Count(capped, "at most") if capped else UNKNOWN)
        shares: dict[Bucket, float] = dict.fromkeys(_BUCKETS, 1.0)
        bound: Bound = "at most"
        if settings.quantiles and not (settings.thresholds or settings.hard):
            low, high = settings.quantiles
            shares, bound = {"easy": low, "medium": high - low, "hard": 1 - high}, "about"
        most = settings.per_bucket or items.number
        return {
            bucket: Count(min(round(items.number * share), most), bound)
            for bucket, share in shares.items()
        }

    def trained(self, dataset: str, student: str, strategy: str, number: int) -> dict[int, Trained]:
        """Return a strategy's models by seed, where its plan is there and has the same stages."""
        path = layout.at(layout.PLAN, dataset=dataset, student=student, round=number)
        if not Path(path).is_file():
            return {}
        planned = read_plan([path]).strategies.get(strategy)
        stages = self.config.strategies[strategy].stages
        if planned is None:
            return {}
        return {seed: one for seed, one in planned.seeds.items() if len(one.stages) == len(stages)}


_BUCKETS: tuple[Bucket, ...] = ("easy", "medium", "hard")


def _size(section: DatasetSettings) -> int | None:
    """Return how many rows a question set is configured to have; None where nothing says so."""
    return getattr(section, "size", None) or getattr(section, "limit", None)


def _mean(counts: list[int]) -> float:
    return sum(counts) / len(counts) if counts else 0.0
