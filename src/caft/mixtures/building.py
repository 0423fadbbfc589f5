"""Builds the plan of a run: its models, named by what they are made from."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from caft import layout, versions
from caft.mixtures.plan import Place, Plan, PlannedStage, PlannedStrategy, Trained
from caft.mixtures.recipe import FEW
from caft.mixtures.rows import NO_RATIONALES, Materials, mixture_table
from caft.mixtures.settings import BOUGHT, ResolvedStrategy
from caft.mixtures.stages import Draft, SeededStrategy, Stage, build_stages, draft_stages
from caft.tables import parquet
from caft.tables.files import read_json, write_json


def build_plan(
    materials: Materials,
    buckets: Mapping[str, pd.DataFrame],
    rationales: Mapping[str, pd.DataFrame],
    strategies: Mapping[str, ResolvedStrategy],
    seeds: list[int],
    student_file: Path,
    warm_up_file: Path | None,
) -> tuple[Plan, pd.DataFrame, pd.DataFrame]:
    """Resolve every strategy to mixtures and model digests, and write both under their hashes.

    `layout.MIXTURE` and `layout.PLANNED_STAGE` are written where they are not there yet.

    Args:
        materials: items, prompts and the student.
        buckets: buckets tables by name.
        rationales: rationales tables by teacher.
        strategies: of the run, by name.
        seeds: of training; each makes models of its own.
        student_file: the student's `student.json`.
        warm_up_file: the warm-up's `model.json` where a strategy starts from it.

    Returns:
        The plan, one table of all stages for people to read, and the rows left out as too long.
    """
    texts = {teacher: _selected(table) for teacher, table in rationales.items()}
    trained: dict[str, dict[int, Trained]] = {name: {} for name in strategies}
    over_long = []
    places: dict[str, Place] = {}  # the first one of each model
    drafts: dict[str, list[Draft]] = {}
    for seed in seeds:
        built: dict[str, list[Stage]] = {}
        # A strategy that matches another one's amount is built after it.
        for name, strategy in sorted(strategies.items(), key=lambda one: bool(one[1].match)):
            start = warm_up_file if strategy.start == "warm_up" else None
            seeded = SeededStrategy(name, strategy, seed)
            if strategy.follows_seed or name not in drafts:
                drafts[name] = draft_stages(materials, seeded, buckets, texts)
            built[name] = build_stages(
                materials,
                drafts[name],
                seeded,
                read_json(start)["digest"] if start else None,
                built[strategy.match.strategy] if strategy.match else None,
            )
            parent_file = start
            for number, stage in enumerate(built[name], start=1):
                place = places.setdefault(stage.model, Place(name, seed, number))
                _write_stage(stage, place, student_file, parent_file)
                parent_file = Path(layout.at(layout.MODEL, digest=stage.model))
        for name in strategies:
            trained[name][seed] = _trained(built[name])
            over_long += [
                stage.over_long[["item_id", "target", "prompt_tokens", "target_tokens"]].assign(
                    strategy=name, seed=seed, stage=number, reason="too_long"
                )
                for number, stage in enumerate(built[name], start=1)
            ]
    left_out = pd.concat(over_long) if over_long else pd.DataFrame(columns=["item_id"])
    plan = Plan(
        {
            name: PlannedStrategy(
                strategy.trained_mode, strategy.buckets, strategy.teacher, trained[name]
            )
            for name, strategy in strategies.items()
        }
    )
    _warn_of_few_updates(plan)
    return plan, _index(plan), left_out


def _warn_of_few_updates(plan: Plan) -> None:
    """Tell of stages that can hardly learn anything, each once for all seeds."""
    for name, strategy in plan.strategies.items():
        for number, stage in enumerate(strategy.first.stages, start=1):
            if stage.updates is not None and stage.updates < FEW:
                logging.getLogger("caft").warning(
                    "strategies.%s, stage %d: few updates (%d); raise its epochs, or lower "
                    "training.batch_size, training.gradient_accumulation or training.update_rows",
                    *(name, number, stage.updates),
                )


def _selected(rationales: pd.DataFrame) -> pd.DataFrame:
    chosen = rationales[rationales["selected"].astype(bool)]
    return chosen.set_index("item_id")[["accepted", *NO_RATIONALES]]


def _trained(stages: list[Stage]) -> Trained:
    trained = [stage.mixture["item_id"] for stage in stages]
    return Trained(
        final=stages[-1].model if stages else "base",
        items=pd.concat(trained).nunique() if trained else 0,
        stages=[_planned(stage) for stage in stages],
    )


def _write_stage(stage: Stage, place: Place, student_file: Path, parent_file: Path | None) -> None:
    planned = {
        "spec": stage.spec,
        "place": place._asdict(),
        "mixture_file": _write_rows(stage.mixture, stage.spec["mixture"]),
        "validation_file": None,
        "student_file": str(student_file),
        "parent_file": str(parent_file) if parent_file else None,
    }
    if stage.validation is not None and stage.validation_digest:
        planned["validation_file"] = _write_rows(stage.validation, stage.validation_digest)
    write_json(layout.at(layout.PLANNED_STAGE, digest=stage.model), planned)


def _write_rows(rows: pd.DataFrame, name: str) -> str:
    path = layout.at(layout.MIXTURE, mixture=name)
    if not parquet.is_current("mixtures", path):
        parquet.write("mixtures", mixture_table(rows), path, code=versions.MIXTURES)
    return path


def _planned(stage: Stage) -> PlannedStage:
    mixture, epochs = stage.mixture, stage.spec["epochs"]
    targets = int(mixture["target_tokens"].sum())
    return PlannedStage(
        model=stage.model,
        parent=stage.parent,
        mixture=stage.spec["mixture"],
        epochs=epochs,
        rows=len(mixture),
        answer_rows=int((mixture["target"] == "answer").sum()),
        rationale_rows=int(mixture["target"].isin(BOUGHT).sum()),
        reasoning_rows=int((mixture["target"] == "reasoning").sum()),
        over_long=len(stage.over_long),
        without_rationale=stage.without_rationale,
        target_tokens_one_pass=targets,
        target_tokens=round(targets * epochs),
        all_tokens=round((targets + int(mixture["prompt_tokens"].sum())) * epochs),
        updates=stage.updates,
    )


def _index(plan: Plan) -> pd.DataFrame:
    shown = [
        "model", "parent", "epochs", "updates", "rows", "answer_rows", "rationale_rows",
        "reasoning_rows",
        "over_long", "without_rationale", "target_tokens_one_pass", "target_tokens", "all_tokens",
    ]  # fmt: skip
    rows = [
        {**place._asdict(), **{key: getattr(stage, key) for key in shown}}
        for place, stage in plan.stages()
    ]
    return pd.DataFrame(rows, columns=[*Place._fields, *shown])
