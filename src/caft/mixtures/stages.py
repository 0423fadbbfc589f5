"""The stages of a strategy: their mixtures, and the content address of the model each makes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NotRequired, TypedDict

import pandas as pd

from caft import versions
from caft.errors import TrainingError
from caft.mixtures.recipe import Recipe
from caft.mixtures.rows import (
    NO_RATIONALES,
    Materials,
    join,
    membership,
    mixture_digest,
    replay_rows,
    split_over_long,
    stage_rows,
    trained_items,
    usable,
    validation_rows,
    without_rows,
)
from caft.mixtures.settings import Match, Part, ResolvedStrategy, StageRows, Target
from caft.tables.hashing import digest


class StageSpec(TypedDict):
    """Everything that goes into a trained model; its hash is the model's name.

    Attributes:
        parent: digest of the model it starts from; None for the untuned student.
        mixture: digest of the rows.
        recipe: what of it makes another model.
        epochs: passes over the rows, perhaps a fraction.
        seed: of training.
        student_revision: of the student's files.
        precision: `dtype` and `attention` of training, as configured.
        code: version of the training code.
        validation: digest of the validation rows, where they decide when the training ends.
        short: version of the training code that is for short stages alone, in their specs.
    """

    parent: str | None
    mixture: str
    recipe: dict[str, Any]
    epochs: float
    seed: int
    student_revision: str
    precision: dict[str, str]
    code: int
    validation: NotRequired[str]
    short: NotRequired[int]


@dataclass(frozen=True)
class Stage:
    """One training stage of a strategy, resolved to content.

    Attributes:
        mixture: the training rows.
        over_long: rows left out because they exceed the length limit.
        without_rationale: items whose rationale was not accepted, and what the policy made of them.
        model: digest of the model this stage makes.
        parent: digest of the model it starts from, None for the untuned student.
        spec: everything that went into `model`, for the training job.
        updates: how often the training changes the weights; an early end makes them fewer.
        validation: rows whose loss is measured after every epoch; None without any.
        validation_digest: of these.
    """

    mixture: pd.DataFrame
    over_long: pd.DataFrame
    without_rationale: int
    model: str
    parent: str | None
    spec: StageSpec
    updates: int
    validation: pd.DataFrame | None = None
    validation_digest: str | None = None


@dataclass(frozen=True)
class SeededStrategy:
    """A strategy of the config with one training seed.

    Attributes:
        name: of the strategy, for messages.
        settings: what the configuration says of it.
        seed: of random membership and training.
    """

    name: str
    settings: ResolvedStrategy
    seed: int


@dataclass(frozen=True)
class Draft:
    """A stage before its epochs are matched and its parent is known.

    Attributes:
        mixture: as of `Stage`; so are `over_long`, `without_rationale` and `validation`.
        recipe: the training settings.
        epochs: as configured.
    """

    mixture: pd.DataFrame
    over_long: pd.DataFrame
    without_rationale: int
    validation: pd.DataFrame | None
    recipe: Recipe
    epochs: float

    @cached_property
    def digest(self) -> str:
        """The mixture's digest."""
        return mixture_digest(self.mixture)

    @cached_property
    def validation_digest(self) -> str | None:
        """That of the validation rows."""
        return None if self.validation is None else mixture_digest(self.validation)


def draft_stages(
    materials: Materials,
    strategy: SeededStrategy,
    buckets: Mapping[str, pd.DataFrame],
    rationales: Mapping[str, pd.DataFrame],
) -> list[Draft]:
    """Build the rows of a strategy's stages; they follow the seed only if `follows_seed` says so.

    Args:
        materials: items, prompts and the student.
        strategy: from config.
        buckets: buckets tables by the name of their definition.
        rationales: by teacher, the selected answers: `accepted`, and what `stage_rows` needs.

    Raises:
        TrainingError: if a stage has nothing to train on or too many over-long rows.
    """
    numbers = range(1, len(strategy.settings.stages) + 1)
    return [_draft(materials, strategy, number, buckets, rationales) for number in numbers]


def build_stages(
    materials: Materials,
    drafts: list[Draft],
    strategy: SeededStrategy,
    parent: str | None = None,
    matched: list[Stage] | None = None,
) -> list[Stage]:
    """Resolve a strategy's drafts to stages, each with the digest its model will be found under.

    A model's digest covers parent, mixture, recipe, epochs, training seed, student revision,
    precision and the training code's version, so strategies that share a first stage share its
    model.

    Args:
        materials: what the rows were made from.
        drafts: of `draft_stages`.
        strategy: from config.
        parent: digest of the model the first stage starts from.
        matched: the stages of the strategy that `match` names; epochs are scaled to its amount.
    """
    match, factor = strategy.settings.match, 1.0
    if match and matched is not None:
        factor = _match_factor(drafts, matched, match)
    return _chain(materials, drafts, factor, strategy.seed, parent)


def _draft(
    materials: Materials,
    strategy: SeededStrategy,
    number: int,
    buckets: Mapping[str, pd.DataFrame],
    rationales: Mapping[str, pd.DataFrame],
) -> Draft:
    settings, seed = strategy.settings, strategy.seed
    stage, recipe = settings.stages[number - 1], settings.recipe
    where = f"strategies.{strategy.name}, stage {number}"
    division = buckets[settings.division_of(stage)]
    bucket = membership(division, settings, seed)
    rows, missing = _written_rows(materials, settings, stage, bucket, rationales)
    if rows.empty and missing:
        lacking = "an accepted answer of the teacher's"
        if settings.needs_reasoning:
            lacking += " that shows reasoning"
        raise TrainingError(
            f"{where}: the stage has no rows to train on: none of {missing} items has {lacking}; "
            "look at the teacher's quarantine table, or change the stage's target or teacher."
        )
    if rows.empty:  # a replay beside it would be all that the stage is
        raise without_rows(where)
    if stage.replay:
        pool = trained_items(buckets, settings, seed, settings.stages[: number - 1])
        pool -= set(rows["item_id"][rows["target"] == stage.replay.target])
        rows = join([rows, replay_rows(materials, pool, stage.replay, seed)])
    longest = min(recipe.max_length, materials.context)
    mixture, over_long = split_over_long(
        materials.count(rows), longest, recipe.max_overlong_share, where
    )
    validation = validation_rows(materials, division, settings, stage, seed, longest)
    if recipe.early_stopping and validation is None:
        raise TrainingError(
            f"{where}: training.early_stopping needs validation items, and for rationales worked "
            "solutions of the data set's own; there are none."
        )
    return Draft(mixture, over_long, missing, validation, recipe, stage.epochs)


def _written_rows(
    materials: Materials,
    settings: ResolvedStrategy,
    stage: StageRows,
    bucket: pd.Series,
    rationales: Mapping[str, pd.DataFrame],
) -> tuple[pd.DataFrame, int]:
    """Build the rows of a stage, each part with what its own teachers wrote."""
    common = settings.teacher or ""
    alike: dict[tuple[tuple[str, ...], Target], list[Part]] = {}
    for part in stage.parts_or_itself:
        teachers = tuple(part.teachers(common) or [common])
        target = part.target if len(teachers) > 1 else "rationale"
        alike.setdefault((teachers, target), []).append(part)
    rows, missing = [], 0
    for (teachers, target), parts in alike.items():
        texts = first_right(rationales, teachers, target)
        fallback = settings.fallback_of(teachers[-1])
        found, lacking = stage_rows(materials, bucket, StageRows(parts=parts), texts, fallback)
        rows.append(found)
        missing += lacking
    return join(rows), missing


def first_right(
    rationales: Mapping[str, pd.DataFrame], teachers: Sequence[str], target: Target
) -> pd.DataFrame:
    """Return the answer of each item by the first of some teachers who has solved it.

    What none of them has solved is as the last one's `fallback` selected it.

    Args:
        rationales: as of `build_stages`.
        teachers: in the order of asking.
        target: what is trained on.
    """
    *before, last = [rationales.get(teacher, NO_RATIONALES) for teacher in teachers]
    tables = [*(one[one["accepted"].astype(bool) & usable(one, target)] for one in before), last]
    found = tables[0]
    for table in tables[1:]:
        found = pd.concat([found, table[~table.index.isin(found.index)]])
    return found


def _match_factor(drafts: list[Draft], matched: list[Stage], match: Match) -> float:
    """Return by what to multiply the epochs of drafts, so that they train as much as others."""
    own = sum(_amount(draft.mixture, draft.epochs, draft.recipe, match) for draft in drafts)
    theirs = sum(
        _amount(stage.mixture, stage.spec["epochs"], recipe_of(stage.spec), match)
        for stage in matched
    )
    return theirs / own


def _amount(mixture: pd.DataFrame, epochs: float, recipe: Recipe, match: Match) -> float:
    """Return how much a stage trains: target tokens, optimizer steps or rows, over all epochs."""
    if match.by == "tokens":
        return float(mixture["target_tokens"].sum()) * epochs
    if match.by == "items":
        return len(mixture) * epochs
    return updates_of(mixture, recipe, 1) * epochs


def updates_of(mixture: pd.DataFrame, recipe: Recipe, epochs: float) -> int:
    """Return how often a training changes the weights.

    Args:
        mixture: rows with their counts of tokens.
        recipe: the training settings.
        epochs: passes over the rows, perhaps a fraction.
    """
    rows = len(mixture)
    if recipe.packing == "packed":
        lengths = mixture["prompt_tokens"] + mixture["target_tokens"]
        rows = _packs_of(tuple(sorted(lengths)), recipe.max_length)
    return math.ceil(epochs * math.ceil(rows / recipe.rows_per_update))


@cache
def _packs_of(lengths: tuple[int, ...], max_length: int) -> int:
    """Count the packs that training makes of rows: it packs by their lengths alone."""
    from datasets import Dataset
    from trl import pack_dataset

    rows = Dataset.from_list([{"input_ids": [0] * length} for length in lengths])
    return len(pack_dataset(rows, max_length, "bfd"))


def _chain(
    materials: Materials, drafts: list[Draft], factor: float, seed: int, parent: str | None
) -> list[Stage]:
    """Name each stage's model; each stage starts from the model of the one before."""
    stages: list[Stage] = []
    for draft in drafts:
        epochs = draft.epochs if factor == 1 else round(draft.epochs * factor, 6)
        spec = stage_spec(parent, draft, epochs, seed, materials.revision, materials.precision)
        model = digest(spec)
        stages.append(
            Stage(
                mixture=draft.mixture,
                over_long=draft.over_long,
                without_rationale=draft.without_rationale,
                model=model,
                parent=parent,
                spec=spec,
                updates=updates_of(draft.mixture, draft.recipe, epochs),
                validation=draft.validation,
                validation_digest=draft.validation_digest,
            )
        )
        parent = model
    return stages


def stage_spec(
    parent: str | None,
    draft: Draft,
    epochs: float,
    seed: int,
    revision: str,
    precision: Mapping[str, str],
) -> StageSpec:
    """Return everything that goes into a trained model; its hash is the model's name."""
    recipe = draft.recipe
    spec: StageSpec = {
        "parent": parent,
        "mixture": draft.digest,
        "recipe": recipe.of_the_model(),
        "epochs": epochs,
        "seed": seed,
        "student_revision": revision,
        "precision": dict(precision),
        "code": versions.TRAINING,
    }
    if recipe.starts_above_zero(updates_of(draft.mixture, recipe, epochs)):
        # Not in other specs: what their models are named by stays as it was.
        spec["short"] = versions.SHORT_TRAINING
    if recipe.early_stopping and draft.validation_digest:
        # Elsewhere validation rows are only looked at: they change no weight.
        spec["validation"] = draft.validation_digest
    return spec


def recipe_of(spec: StageSpec) -> Recipe:
    """Return the recipe of a model; what makes no other model has its default."""
    return Recipe.model_validate(spec["recipe"])
