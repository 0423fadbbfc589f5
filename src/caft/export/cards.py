"""Cards: what a model or a set of training rows is, for people and for the Hugging Face hub."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from caft.config.modes import ADAPTIVE
from caft.mixtures.recipe import Recipe
from caft.mixtures.settings import StageRows
from caft.report.answer import Answer
from caft.report.paper_tables import escape_markdown
from caft.shown import escaped, line
from caft.tables import parquet
from caft.teacher import PROVIDERS
from caft.teacher.reading.reply import is_same_model

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_PATH = re.compile(r"[/~.\\]|[A-Za-z]:|file:")
_SHOWN = 1_500  # characters of a sample row
_METHOD = """\
Complexity-aware fine-tuning lets the student's own uncertainty tell which items are hard, and buys
a teacher's chain of thought for those only; other strategies serve as comparison."""
_MODEL = """\
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

model = AutoModelForCausalLM.from_pretrained("FOLDER", dtype="auto")"""
# Not by peft's own classes: what they ask of transformers is deprecated, and warns.
_ADAPTED = """\
from peft import PeftConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

adapter = PeftConfig.from_pretrained("FOLDER")
base, revision = adapter.base_model_name_or_path, adapter.revision or "main"
model = AutoModelForCausalLM.from_pretrained(base, revision=revision, dtype="auto")
model.load_adapter("FOLDER")"""
_CODE = """\
MODEL
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
MESSAGES
greedy = GenerationConfig.from_pretrained("FOLDER", max_new_tokens=256)
output = model.generate(**inputs, generation_config=greedy)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))"""
_MESSAGES = """\
inputs = tokenizer.apply_chat_template(
    [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
    add_generation_prompt=True, return_tensors="pt", return_dict=True,
)"""
# What stands between the generation prompt and every answer is part of what it was trained after.
_MESSAGES_OF_FAMILY = """\
prompt = tokenizer.apply_chat_template(
    [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
    add_generation_prompt=True, tokenize=False, **VARIABLES,
) + BLOCK
inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")"""
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
        datasets=_hub_id(config["datasets"][own["dataset"]]),
        metrics=["accuracy"],
        model_name=name,
        eval_results=_results(rows, config) or None,
    )
    sections = [
        f"# {escape_markdown(name)}",
        _what_it_is(own, provenance, adapter),
        "## How to use it\n\n" + _usage(config, adapter, _form(record, own, provenance)),
        "## Results\n\n" + _accuracies(rows, config),
        *([_comparison(answer)] if answer else []),
        "## Training data\n\n" + _training(stages, config),
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
        source_datasets=[hub] if (hub := _hub_id(config["datasets"][own["dataset"]])) else None,
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
        "## Stages\n\n" + _training(stages, config),
        "## The teacher's answers\n\n" + _acceptance(stages, spend, config),
        "## Licence\n\nQuestions come from the data set named above and keep its licence. "
        "A teacher's text may carry terms of its maker, some of which forbid training other models "
        "on it or passing it on: check them before you publish this.",
        "## A row\n\n"
        + quoted(f"{first['messages'][:_SHOWN]}\n\n-> {first['completion'][:_SHOWN]}"),
        "## Provenance\n\n" + _origin(own["model"], provenance),
    ]
    return _checked(DatasetCard, data, sections)


def quoted(text: str, language: str = "text") -> str:
    """Put a text into a code block that it cannot leave, whatever it holds."""
    clean = escaped(text)
    longest = max((len(run) for run in re.findall("`+", clean)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{clean}\n{fence}"


def _checked(card: Any, data: Any, sections: list[str]) -> str:
    # Reading the card back checks the header: a result without value, say, is refused.
    return str(card(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"))


def _hub_id(dataset: Mapping[str, Any]) -> str | None:
    """Return a data set's id on the hub; None if it is from elsewhere, a local folder say."""
    name = dataset.get("id", "")
    return name if _HUB_ID.fullmatch(name) and not Path(name).exists() else None


def _name(text: str) -> str:
    """Return what a model or data set is called, without the folder on this machine it lies in."""
    if _PATH.match(text) or Path(text).exists():
        return re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return text


def _size(count: int) -> str:
    bounds = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((name for bound, name in bounds.items() if count < bound), "1M<n<10M")


def _results(rows: pd.DataFrame, config: dict[str, Any]) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="question-answering",
            dataset_type=_hub_id(config["datasets"][row["dataset"]]) or row["dataset"],
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
    base = source.get("hub") or source.get("package") or _name(source["path"])
    revision = f" at revision `{source['revision']}`" if "revision" in source else ""
    kind = "A LoRA adapter for" if adapter else "A fine-tuned copy of"
    where = (
        " `adapter_config.json` names the student's folder in the run; elsewhere, write there "
        "where the student lies."
    )
    return (
        f"{kind} {_code(base)}{revision} (files `{student['revision']}`), trained on the data set "
        f"{_code(own['dataset'])} with the strategy {_code(own['strategy'])} of caft."
        f"{where if adapter and 'hub' not in source else ''}\n\n{_METHOD}"
    )


def _form(
    record: Mapping[str, Any], own: Mapping[str, Any], provenance: dict[str, Any]
) -> tuple[dict[str, Any], str, bool]:
    """Return how the template is used in the form of the last stage.

    Returns:
        The template's variables; the block behind the prompt; whether the system message goes in
        front of the question.
    """
    found = provenance["students"][own["student"]].get("template", {}).get("found", {})
    place = "direct"
    if own["rationale_rows"]:
        place = "thought" if record.get("thinks") else "cot"
    folded = found.get("system_message", "of its own") != "of its own"
    variables, blocks = found.get("variables", {}), found.get("block", {})
    return variables.get(place, {}), blocks.get(place, ""), folded


def _usage(config: dict[str, Any], adapter: bool, form: tuple[dict[str, Any], str, bool]) -> str:
    variables, block, folded = form
    asked = _MESSAGES
    if variables or block:
        given = ", ".join(f"{name}={value!r}" for name, value in variables.items())
        asked = _MESSAGES_OF_FAMILY.replace("BLOCK", repr(block))
        asked = asked.replace("**VARIABLES", given) if given else asked.replace(" **VARIABLES,", "")
    if folded:
        before, system, question = "[", '{"role": "system", "content": SYSTEM}, ', "QUESTION}"
        asked = asked.replace(before + system, before)
        asked = asked.replace(
            f'"content": {question}', f'"content": SYSTEM + "\\n\\n" + {question}'
        )
    code = _CODE.replace("MESSAGES", asked).replace("MODEL", _ADAPTED if adapter else _MODEL)
    variant = config["prompts"][config["prompt"]]
    systems = "\n".join(
        f"{mode}, {kind}: {text}"
        for mode in config["run"]["modes"]
        if mode != ADAPTIVE
        for kind, text in variant[mode].items()
    )
    shots = variant.get("few_shot")
    shown = f" after {shots} worked examples" if shots else ""
    return (
        f"{quoted(code, 'python')}\n\nIt was trained and evaluated with these system messages"
        f"{shown}. After a chain of thought the answer stands in `[[...]]`; evaluation stopped "
        f"there.\n\n{quoted(systems)}"
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


def _training(stages: Sequence[Mapping[str, Any]], config: dict[str, Any]) -> str:
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
    source = [_name(dataset[key]) for key in ("id", "package", "generator") if key in dataset]
    origin = _code(" ".join([dataset["adapter"], *source]))
    text = f"Questions: {_code(stages[-1]['dataset'])} ({origin})."
    if terms := dataset.get("terms"):
        text += f" Their terms: {escape_markdown(line(terms))}."
    names = _teachers(stages, config)
    if not names:
        return f"{text} All targets are bare answers of the data set.\n\n" + "\n".join(lines)
    written = " ".join(_written_by(name, config["teachers"][name]) for name in names)
    return f"{text} {written}\n\n" + "\n".join(lines)


def _written_by(name: str, teacher: Mapping[str, Any]) -> str:
    keys = PROVIDERS[teacher["provider"]].keys
    if keys.own_solutions:
        return "The rationales are the data set's own worked solutions."
    kept = "Where none was accepted, a wrong or incomplete one was kept. "
    accepted = f"accepted if right and complete. {kept if teacher['fallback'] == 'keep' else ''}"
    if keys.is_student:
        return f"The rationales are the student's own answers, {accepted}".rstrip()
    model = _code(_name(teacher.get("model", name)))
    return (
        f"The rationales are answers of the model {model}, {accepted}Its maker's terms may limit "
        "what may be done with a model that was trained on them."
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


def _acceptance(
    stages: Sequence[Mapping[str, Any]],
    spend: Mapping[str, Mapping[str, Any]],
    config: dict[str, Any],
) -> str:
    names = _teachers(stages, config)
    told = [_accepted_of(name, spend, config["teachers"][name]) for name in names]
    return "\n\n".join(told) or "None: all targets are bare answers."


def _accepted_of(
    name: str, spend: Mapping[str, Mapping[str, Any]], teacher: Mapping[str, Any]
) -> str:
    if name not in spend:
        return f"From {_code(name)}; how many were accepted was not recorded."
    counts = spend[name]
    rejected = [
        f"{key.removeprefix('rejected_').replace('_', ' ')} {value:.0f}"
        for key, value in counts.items()
        if key.startswith("rejected_") and value
    ]
    return (
        f"{_code(name)} was asked about {counts['items']:.0f} items for all strategies of the run; "
        f"{counts['accepted']:.0f} have an accepted rationale. Rejected: "
        f"{', '.join(rejected) or 'none'}."
        + _other_models(teacher.get("model"), counts.get("answered_by"))
    )


def _other_models(asked: str | None, answered: Any) -> str:
    """Say which other models answered than the one that was asked."""
    named = answered.split(", ") if isinstance(answered, str) else []
    others = [_code(_name(one)) for one in named if asked and not is_same_model(asked, one)]
    return f" Answers came from {', '.join(others)}, too, by the replies' word." if others else ""


def _origin(model: str, provenance: dict[str, Any]) -> str:
    commit = f" (commit `{provenance['commit']}`)" if provenance["commit"] else ""
    return f"Made by caft {provenance['caft']}{commit}, model `{model}` of its run."


def _code(text: str) -> str:
    """Show a name as code, whatever it holds."""
    clean = line(" ".join(str(text).split()))
    longest = max((len(run) for run in re.findall("`+", clean)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{clean}{space}{fence}"
