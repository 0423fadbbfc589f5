"""Cards: what a model or a set of training rows is, for people and for the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from caft.export.quoting import as_code, hub_id, quoted, shown_name
from caft.export.sources import acceptance, training_data
from caft.export.usage import usage
from caft.mixtures.recipe import Recipe
from caft.report.answer import Answer
from caft.report.paper_tables import escape_markdown
from caft.tables import parquet

_SHOWN = 1_500  # characters of a sample row
_METHOD = """\
Complexity-aware fine-tuning lets the student's own uncertainty tell which items are hard, and buys
a teacher's chain of thought for those only; other strategies serve as comparison."""
_LIMITS = """\
- Trained and tested on one data set: nothing is known about other subjects, languages or forms of
  question.
- It answers wrongly as often as the table says, without a sign of doubt, and what it writes before
  an answer need not be how it came to it.
- Errors and biases of the student, the data set and the teacher are in it. Safety was not
  evaluated.
- The results are of this model, one training seed: the intervals know the items' variation only."""


def model_card(
    name: str,
    record: Mapping[str, Any],
    stages: Sequence[Mapping[str, Any]],
    rows: pd.DataFrame,
    provenance: dict[str, Any],
    merged: Mapping[str, Any] | None = None,
    answer: Answer | None = None,
) -> str:
    """Describe a trained model, its results and its limits.

    Args:
        name: of the model.
        record: its `model.json`.
        stages: rows of the index of models up to this model, its own last.
        rows: of the table of runs about it; empty if it was not evaluated.
        provenance: of the run.
        merged: what the check of a merged model found; None for an adapter or a whole model.
        answer: what the run answers about its data set and student; None where that is not known.

    Returns:
        Markdown with the hub's YAML header. Texts of the run are quoted, so that none is markup.
    """
    from huggingface_hub import ModelCard, ModelCardData

    own, config = stages[-1], provenance["config"]
    student = config["students"][own["student"]]
    adapter = record["method"] != "full" and merged is None
    data = ModelCardData(
        base_model=student.get("hub"),
        base_model_relation=("adapter" if adapter else "finetune") if "hub" in student else None,
        license=student.get("license"),
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["caft", "complexity-aware-fine-tuning", record["method"]],
        datasets=hub_id(config["datasets"][own["dataset"]]),
        metrics=["accuracy"],
        model_name=name,
        eval_results=_results(rows, config) or None,
    )
    sections = [
        f"# {escape_markdown(name)}",
        _what_it_is(own, provenance, adapter),
        "## How to use it\n\n" + usage(record, own, provenance, adapter),
        "## Results\n\n" + _accuracies(rows, config),
        *([_comparison(answer)] if answer else []),
        "## Training data\n\n" + training_data(stages, config),
        "## Training\n\n" + _recipe(record, merged),
        "## Limits\n\n" + _LIMITS,
        "## Provenance\n\n" + _origin(own["model"], provenance),
    ]
    return _checked(ModelCard, data, sections)


def dataset_card(
    name: str,
    mixtures: Sequence[pd.DataFrame],
    stages: Sequence[Mapping[str, Any]],
    spend: Mapping[str, Mapping[str, Any]],
    provenance: dict[str, Any],
) -> str:
    """Describe the rows that a model was trained on.

    Args:
        name: of the model.
        mixtures: the mixtures table of each stage.
        stages: rows of the index of models, as many.
        spend: what teachers were asked for, by teacher: rows of `teacher_spend.csv`.
        provenance: of the run.

    Returns:
        Markdown with the hub's YAML header; one row is shown, quoted.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    own, config = stages[-1], provenance["config"]
    count = sum(len(mixture) for mixture in mixtures)
    data = DatasetCardData(
        pretty_name=f"{name}: training rows",
        task_categories=["text-generation"],
        size_categories=[_size(count)],
        tags=["caft", "complexity-aware-fine-tuning"],
        source_datasets=[hub] if (hub := hub_id(config["datasets"][own["dataset"]])) else None,
        configs=[
            {"config_name": name, "data_files": f"{name}.parquet"}
            for name in (f"stage-{stage['stage']}" for stage in stages)
        ],
    )
    first = mixtures[0].iloc[0]
    sections = [
        f"# {escape_markdown(name)}: training rows",
        f"What the model `{own['model']}` was trained on, {count} rows in {len(stages)} stages, "
        "one file per stage: `item_id`, `target`, `messages` (the prompt as JSON), `completion` "
        "(what the model learns to write), `reasoning` (what it learns to think before that, where "
        "the target is reasoning), `prompt_tokens`, `target_tokens`.",
        "## Stages\n\n" + training_data(stages, config),
        "## The teacher's answers\n\n" + acceptance(stages, spend, config),
        "## Licence\n\nQuestions come from the data set named above and keep its licence. "
        "A teacher's text may carry terms of its maker, some of which forbid training other models "
        "on it or passing it on: check them before you publish this.",
        "## A row\n\n"
        + quoted(f"{first['messages'][:_SHOWN]}\n\n-> {first['completion'][:_SHOWN]}"),
        "## Provenance\n\n" + _origin(own["model"], provenance),
    ]
    return _checked(DatasetCard, data, sections)


def _checked(card: Any, data: Any, sections: list[str]) -> str:
    # Reading the card back checks the header: a result without value, say, is refused.
    return str(card(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"))


def _size(count: int) -> str:
    bounds = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((name for bound, name in bounds.items() if count < bound), "1M<n<10M")


def _results(rows: pd.DataFrame, config: dict[str, Any]) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="question-answering",
            dataset_type=hub_id(config["datasets"][row["dataset"]]) or row["dataset"],
            dataset_name=row["dataset"],
            dataset_split=config["run"]["split"],
            metric_type="accuracy",
            metric_name=f"accuracy ({_asked(row)})",
            metric_value=round(row["accuracy"], 4),
            metric_args={
                "mode": row["mode"],
                "shots": int(row["shots"]),
                "items": int(row["n"]),
                "interval_95": [round(row["accuracy_low"], 4), round(row["accuracy_high"], 4)],
            },
        )
        for row in parquet.records(rows)
    ]


def _asked(row: Mapping[str, Any]) -> str:
    return f"{row['mode']}, {row['shots']}-shot"


def _what_it_is(own: Mapping[str, Any], provenance: dict[str, Any], adapter: bool) -> str:
    student = provenance["students"][own["student"]]
    source = student["source"]
    base = source.get("hub") or source.get("package") or shown_name(source["path"])
    revision = f" at revision `{source['revision']}`" if "revision" in source else ""
    kind = "A LoRA adapter for" if adapter else "A fine-tuned copy of"
    where = (
        " `adapter_config.json` names the student's folder in the run; elsewhere, write there "
        "where the student lies."
    )
    return (
        f"{kind} {as_code(base)}{revision} (files `{student['revision']}`), trained on the data "
        f"set {as_code(own['dataset'])} with the strategy {as_code(own['strategy'])} of caft."
        f"{where if adapter and 'hub' not in source else ''}\n\n{_METHOD}"
    )


def _accuracies(rows: pd.DataFrame, config: dict[str, Any]) -> str:
    if rows.empty:
        return (
            "These weights were not evaluated: they are of an intermediate stage, or the run "
            "evaluated the best epochs alone."
        )
    lines = [
        "| asked | accuracy | 95% interval | items | easy | medium | hard |",
        "| :-- | --: | --: | --: | --: | --: | --: |",
    ]
    for row in parquet.records(rows):
        shares = [row[f"accuracy_{bucket}"] for bucket in ("easy", "medium", "hard")]
        lines.append(
            f"| {_asked(row)} | {row['accuracy']:.3f} | {row['accuracy_low']:.3f} to "
            f"{row['accuracy_high']:.3f} | {row['n']:.0f} | "
            + " | ".join("-" if pd.isna(share) else f"{share:.3f}" for share in shares)
            + " |"
        )
    return (
        f"Split `{config['run']['split']}`, greedy answers; the mode it was trained for is "
        f"`{rows['trained_mode'].iloc[0]}`.\n\n" + "\n".join(lines)
    )


def _comparison(answer: Answer) -> str:
    """Say what the overview of the run says."""
    told = " ".join([*answer.result, *answer.costs])
    known = [*answer.warnings, *answer.conditions]
    return (
        f"## The comparison it is from\n\n{escape_markdown(told)} A verdict decides, an interval "
        "shows the size.\n\n" + "\n".join(f"- {escape_markdown(one)}" for one in known)
    )


def _recipe(record: Mapping[str, Any], merged: Mapping[str, Any] | None) -> str:
    recipe, spec = record["spec"]["recipe"], record["spec"]
    shown = {
        "method": record["method"],
        "learning rate": f"{recipe['learning_rate']:g}, {recipe['schedule']}",
        "rows per update": Recipe.model_validate(recipe).rows_per_update,
        "seed": spec["seed"],
        "precision": record["dtype"],
        "updates of the last stage": record["steps"],
        "libraries": ", ".join(f"{name} {value}" for name, value in record["libraries"].items()),
    }
    if record["method"] != "full":
        shown["LoRA"] = f"rank {recipe['lora']['r']}, alpha {recipe['lora']['alpha']}"
    text = "\n".join(f"- {name}: {escape_markdown(str(value))}" for name, value in shown.items())
    if merged:
        text += (
            f"\n\nThe adapter was merged in float32 and saved in {merged['dtype']}: "
            f"{merged['changed']} of {merged['answers']} greedy answers differ from the adapter's."
        )
    return text


def _origin(model: str, provenance: dict[str, Any]) -> str:
    commit = f" (commit `{provenance['commit']}`)" if provenance["commit"] else ""
    return f"Made by caft {provenance['caft']}{commit}, model `{model}` of its run."
