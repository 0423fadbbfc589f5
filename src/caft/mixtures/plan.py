"""The plan of a run as it is written and read: which models its strategies need.

Rules read it before any job starts, so nothing heavy is imported here; `building` makes it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from caft import layout
from caft.tables.files import ends_well, read_json

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class PlannedStage:
    """One stage of one training seed.

    Attributes:
        model: digest of the model it makes.
        parent: digest of the model it starts from; None for the untuned student.
        mixture: digest of its rows.
        epochs: over them, perhaps a fraction.
        rows: of the mixture.
        answer_rows: those of them that train on an answer.
        rationale_rows: those that train on what a teacher wrote.
        over_long: rows that were left out because they exceed the length limit.
        without_rationale: items whose rationale was not accepted.
        target_tokens_one_pass: tokens that carry loss, each row once.
        target_tokens: the same over all epochs.
        all_tokens: those of the prompts too, over all epochs.
        reasoning_rows: those of `rationale_rows` that think the teacher's reasoning first.
        updates: of the weights, over all epochs; an early end makes them fewer. None in plans of
            earlier versions, which `caft clean` reads too.
    """

    model: str
    parent: str | None
    mixture: str
    epochs: float
    rows: int
    answer_rows: int
    rationale_rows: int
    over_long: int
    without_rationale: int
    target_tokens_one_pass: int
    target_tokens: int
    all_tokens: int
    reasoning_rows: int = 0
    updates: int | None = None


@dataclass(frozen=True)
class Trained:
    """What a strategy is with one training seed.

    Attributes:
        final: digest of its last model; `base`, the untuned student, without any stage.
        items: different items that it trains on.
        stages: in the order of training.
    """

    final: str
    items: int
    stages: list[PlannedStage]

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Trained":
        """Read what `json` of a plan holds for one seed."""
        stages = [PlannedStage(**stage) for stage in content["stages"]]
        return cls(**{**content, "stages": stages})


@dataclass(frozen=True)
class PlannedStrategy:
    """A strategy with its models.

    Attributes:
        trained_mode: the mode that it is last trained to answer in.
        buckets: the bucket definition that it is reported by.
        teacher: whose rationales it trains on; None for nobody's.
        seeds: what it is with each training seed.
    """

    trained_mode: str
    buckets: str
    teacher: str | None
    seeds: dict[int, Trained]

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "PlannedStrategy":
        """Read what `json` of a plan holds for one strategy."""
        seeds = {int(seed): Trained.from_json(one) for seed, one in content["seeds"].items()}
        return cls(**{**content, "seeds": seeds})

    @property
    def first(self) -> Trained:
        """What it is with the first training seed of its plan."""
        return next(iter(self.seeds.values()))


class Place(NamedTuple):
    """Where a stage stands in a plan; stages are counted from 1."""

    strategy: str
    seed: int
    stage: int


@dataclass(frozen=True)
class Plan:
    """The strategies of a data set and student, by name."""

    strategies: dict[str, PlannedStrategy]

    def final(self, strategy: str, seed: int) -> str:
        """Return the last model of a strategy, `base` for one without any stage."""
        return self.strategies[strategy].seeds[seed].final

    def finals(self) -> list[str]:
        """Return the last models of all strategies and seeds, each once."""
        trained = (one for strategy in self.strategies.values() for one in strategy.seeds.values())
        return list(dict.fromkeys(one.final for one in trained))

    def stages(self) -> Iterator[tuple[Place, PlannedStage]]:
        """Yield every stage of every seed; equal stages of several strategies each time."""
        for name, strategy in self.strategies.items():
            for seed, trained in strategy.seeds.items():
                for number, stage in enumerate(trained.stages, start=1):
                    yield Place(name, seed, number), stage

    def models(self) -> list[str]:
        """Return the models of all stages in the order of training, each once."""
        return list(dict.fromkeys(stage.model for _, stage in self.stages()))

    def json(self) -> dict[str, Any]:
        """Return the plan as it is written to `plan.json`."""
        return {
            name: {
                **vars(strategy),
                "seeds": {str(seed): asdict(trained) for seed, trained in strategy.seeds.items()},
            }
            for name, strategy in self.strategies.items()
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Plan":
        """Read what `json` returns."""
        return cls({name: PlannedStrategy.from_json(one) for name, one in content.items()})


def is_whole(plan_file: Path) -> bool:
    """Tell whether a plan and everything written beside it is there: its stages and their rows."""
    try:
        models = read_plan([plan_file]).models()
        stages = [read_json(layout.at(layout.PLANNED_STAGE, digest=model)) for model in models]
        rows = [stage[name] for stage in stages for name in ("mixture_file", "validation_file")]
    except _UNREADABLE:
        return False
    return all(ends_well(path) for path in set(rows) - {None})


def read_plan(paths: Iterable[str | Path]) -> Plan:
    """Read the plans of several rounds as one; a strategy belongs to one round."""
    strategies: dict[str, PlannedStrategy] = {}
    for path in paths:
        strategies |= Plan.from_json(read_json(path)).strategies
    return Plan(strategies)


class _Entry(NamedTuple):
    """What the plans of a folder tell of a model: its name for people, and `tokens_ahead`."""

    words: str
    tokens: int


def in_words(model: str) -> str:
    """Name a model by the strategy that has it, for people: `sft, stage 1 of 1, seed 1 (7fd18016)`.

    Args:
        model: a digest, with `layout.BEST` behind it for the best epoch; or `base`.
    """
    if model == "base":
        return "the untuned student"
    digest = model.removesuffix(layout.BEST)
    short = f"{digest[:8]}, best epoch" if model != digest else digest[:8]
    found = _entries().get(digest)
    return f"{found.words} ({short})" if found else f"model {short}"


def tokens_ahead(model: str) -> int:
    """Count the tokens of a model's training and of the longest row of trainings behind it.

    A scheduler that starts with the most of them leaves no core idle at the end, while one long
    strategy trains its last stage alone.

    Returns:
        0 for a model that no plan has.
    """
    found = _entries().get(model)
    return found.tokens if found else 0


def _entries() -> dict[str, _Entry]:
    """Return what the plans here tell of each model; they are read again if one was written."""
    files = sorted(Path().glob(layout.any_of(layout.PLAN)))
    stats = ((path, path.stat()) for path in files if path.is_file())
    written = tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)
    return _read_entries(Path.cwd(), written)


@lru_cache(maxsize=1)
def _read_entries(_folder: Path, written: tuple[tuple[Path, int, int], ...]) -> dict[str, _Entry]:
    stages: dict[str, PlannedStage] = {}
    behind: dict[str | None, set[str]] = defaultdict(set)
    places: dict[str, dict[Place, int]] = defaultdict(dict)
    for path, *_ in written:
        with suppress(*_UNREADABLE):  # left behind by an earlier version
            plan = read_plan([path])
            for place, stage in plan.stages():
                stages[stage.model] = stage
                behind[stage.parent].add(stage.model)
                trained = plan.strategies[place.strategy].seeds[place.seed]
                places[stage.model][place] = len(trained.stages)

    @cache
    def ahead(model: str) -> int:
        return stages[model].all_tokens + max(map(ahead, behind[model]), default=0)

    return {model: _Entry(_words(places[model]), ahead(model)) for model in stages}


def _words(places: dict[Place, int]) -> str:
    """Name a model by the first of its places, given with how many stages there are."""
    (strategy, seed, stage), stages = next(iter(places.items()))
    others = len({place.strategy for place in places}) - 1
    shared = f" and {others} more" if others else ""
    return f"{strategy}{shared}, stage {stage} of {stages}, seed {seed}"


class InWords:
    """For messages of rules: `{MODEL:{wildcards.digest}}` is the model `in_words`."""

    def __format__(self, model: str) -> str:
        return in_words(model)
