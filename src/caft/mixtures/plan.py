"""The plan of a run as it is written and read: which models its strategies need.

Rules read it before any job starts, so nothing heavy is imported here; `building` makes it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
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


def in_words(model: str) -> str:
    """Name a model by the strategy that has it, for people: `sft, stage 1 of 1, seed 1 (7fd18016)`.

    Args:
        model: a digest, with `layout.BEST` behind it for the best epoch; or `base`.
    """
    if model == "base":
        return "the untuned student"
    digest = model.removesuffix(layout.BEST)
    short = f"{digest[:8]}, best epoch" if model != digest else digest[:8]
    plans = list(_readable_plans())
    found = {place: plan for plan in plans for place, one in plan.stages() if one.model == digest}
    if not found:
        return f"model {short}"
    (strategy, seed, stage), plan = next(iter(found.items()))
    others = len({place.strategy for place in found}) - 1
    shared = f" and {others} more" if others else ""
    stages = len(plan.strategies[strategy].seeds[seed].stages)
    return f"{strategy}{shared}, stage {stage} of {stages}, seed {seed} ({short})"


def tokens_ahead(model: str) -> int:
    """Count the tokens of a model's training and of the longest row of trainings behind it.

    A scheduler that starts with the most of them leaves no core idle at the end, while one long
    strategy trains its last stage alone.

    Returns:
        0 for a model that no plan has.
    """
    files = _plan_files()
    written = tuple((path, path.stat().st_mtime_ns) for path in files if path.is_file())
    return _tokens_ahead(Path.cwd(), written).get(model, 0)


@lru_cache(maxsize=1)
def _tokens_ahead(_folder: Path, _written: tuple[tuple[Path, int], ...]) -> dict[str, int]:
    stages = {one.model: one for plan in _readable_plans() for _, one in plan.stages()}
    ahead: dict[str, int] = {}
    behind: dict[str | None, int] = defaultdict(int)
    # A stage stands behind the one that it starts from: the last ones come first.
    for model, stage in reversed(_in_order(stages)):
        ahead[model] = stage.all_tokens + behind[model]
        behind[stage.parent] = max(behind[stage.parent], ahead[model])
    return ahead


def _in_order(stages: dict[str, PlannedStage]) -> list[tuple[str, PlannedStage]]:
    """Return stages so that each stands behind the one that it starts from."""

    def depth(stage: PlannedStage) -> int:
        parent = stages.get(stage.parent or "")
        return 1 + depth(parent) if parent else 0

    return sorted(stages.items(), key=lambda named: depth(named[1]))


def _plan_files() -> list[Path]:
    return sorted(Path().glob(layout.any_of(layout.PLAN)))


def _readable_plans() -> Iterator[Plan]:
    for path in _plan_files():
        with suppress(*_UNREADABLE):  # left behind by an earlier version
            yield read_plan([path])


class InWords:
    """For messages of rules: `{MODEL:{wildcards.digest}}` is the model `in_words`."""

    def __format__(self, model: str) -> str:
        return in_words(model)
