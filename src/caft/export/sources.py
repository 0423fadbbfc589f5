"""Where the rows come from that a model was trained on: data set and teachers, for cards."""

from collections.abc import Mapping, Sequence
from typing import Any

from caft.export.quoting import as_code, shown_name
from caft.mixtures.settings import StageRows
from caft.report.paper_tables import escape_markdown
from caft.shown import line
from caft.teacher import PROVIDERS
from caft.teacher.reading.reply import is_same_model


def training_data(stages: Sequence[Mapping[str, Any]], config: dict[str, Any]) -> str:
    """Say what each stage trained on, and who wrote it.

    Args:
        stages: rows of the index of models up to the model, its own last.
        config: of the run.
    """
    lines = [
        "| stage | model | bare answers | rationales | epochs |",
        "| --: | :-- | --: | --: | --: |",
        *(
            f"| {stage['stage']} | `{stage['model']}` | {stage['answer_rows']} | "
            f"{_rationales(stage)} | {stage['epochs']:g} |"
            for stage in stages
        ),
    ]
    dataset = config["datasets"][stages[-1]["dataset"]]
    source = [shown_name(dataset[key]) for key in ("id", "package", "generator") if key in dataset]
    origin = as_code(" ".join([dataset["adapter"], *source]))
    text = f"Questions: {as_code(stages[-1]['dataset'])} ({origin})."
    if terms := dataset.get("terms"):
        text += f" Their terms: {escape_markdown(line(terms))}."
    names = _teachers(stages, config)
    if not names:
        return f"{text} All targets are bare answers of the data set.\n\n" + "\n".join(lines)
    written = " ".join(_written_by(name, config["teachers"][name]) for name in names)
    return f"{text} {written}\n\n" + "\n".join(lines)


def acceptance(
    stages: Sequence[Mapping[str, Any]],
    spend: Mapping[str, Mapping[str, Any]],
    config: dict[str, Any],
) -> str:
    """Say how many answers of each teacher were accepted, and why others were not.

    Args:
        stages: rows of the index of models up to the model, its own last.
        spend: what teachers were asked for, by teacher: rows of `teacher_spend.csv`.
        config: of the run.
    """
    names = _teachers(stages, config)
    told = [_accepted_of(name, spend, config["teachers"][name]) for name in names]
    return "\n\n".join(told) or "None: all targets are bare answers."


def _teachers(stages: Sequence[Mapping[str, Any]], config: dict[str, Any]) -> list[str]:
    """Return the names of the teachers that rows of these stages may come from."""
    if not any(stage["rationale_rows"] for stage in stages):
        return []
    strategy = config["strategies"][stages[-1]["strategy"]]
    # Records of older runs have no common teacher: it was the first one defined.
    common = strategy["teacher"] or config.get("teacher") or next(iter(config["teachers"]))
    trained = [
        StageRows.model_validate({key: given.get(key) for key in StageRows.model_fields})
        for given, stage in zip(strategy["stages"], stages, strict=False)
        if stage["rationale_rows"]
    ]
    parts = (part for stage in trained for part in stage.parts_or_itself)
    return list(dict.fromkeys(name for part in parts for name in part.teachers(str(common))))


def _rationales(stage: Mapping[str, Any]) -> str:
    thought = stage.get("reasoning_rows") or 0
    behind = f" ({thought:g} behind the teacher's reasoning)" if thought else ""
    return f"{stage['rationale_rows']}{behind}"


def _written_by(name: str, teacher: Mapping[str, Any]) -> str:
    keys = PROVIDERS[teacher["provider"]].keys
    if keys.own_solutions:
        return "The rationales are the data set's own worked solutions."
    kept = "Where none was accepted, a wrong or incomplete one was kept. "
    accepted = f"accepted if right and complete. {kept if teacher['fallback'] == 'keep' else ''}"
    if keys.is_student:
        return f"The rationales are the student's own answers, {accepted}".rstrip()
    model = as_code(shown_name(teacher.get("model", name)))
    return (
        f"The rationales are answers of the model {model}, {accepted}Its maker's terms may limit "
        "what may be done with a model that was trained on them."
    )


def _accepted_of(
    name: str, spend: Mapping[str, Mapping[str, Any]], teacher: Mapping[str, Any]
) -> str:
    if name not in spend:
        return f"From {as_code(name)}; how many were accepted was not recorded."
    counts = spend[name]
    rejected = [
        f"{key.removeprefix('rejected_').replace('_', ' ')} {value:.0f}"
        for key, value in counts.items()
        if key.startswith("rejected_") and value
    ]
    return (
        f"{as_code(name)} was asked about {counts['items']:.0f} items for all strategies of the "
        f"run; {counts['accepted']:.0f} have an accepted rationale. Rejected: "
        f"{', '.join(rejected) or 'none'}."
        + _other_models(teacher.get("model"), counts.get("answered_by"))
    )


def _other_models(asked: str | None, answered: Any) -> str:
    """Say which other models answered than the one that was asked."""
    named = answered.split(", ") if isinstance(answered, str) else []
    others = [as_code(shown_name(one)) for one in named if asked and not is_same_model(asked, one)]
    return f" Answers came from {', '.join(others)}, too, by the replies' word." if others else ""
