"""Merging an adapter into its student, and checking that the answers stay what they were."""

from pathlib import Path
from typing import Any

import pandas as pd

from caft import layout
from caft.config.modes import ADAPTIVE
from caft.errors import ExportError, MergeError
from caft.evaluation.evaluate import evaluate
from caft.evaluation.settings import Evaluation
from caft.export.choice import Choice
from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.running.jobs import Progress
from caft.running.settings import Engine
from caft.students.architecture import implementation
from caft.students.checks import check_adapter, check_folder
from caft.students.folders import (
    STUDENT_FILE,
    load_chat,
    load_model,
    pick_device,
)
from caft.students.opened import Loaded
from caft.tables import parquet
from caft.tables.files import read_json


def merge(choice: Choice, target: Path, items: int, tolerance: float) -> dict[str, Any]:
    """Write the student with the adapter merged into it, in the student's precision.

    Both are asked in float32, so that what is compared is the merged weights as they were saved,
    rounding included, and nothing else.

    Args:
        choice: a model trained with adapters.
        target: an existing folder that the model goes to.
        items: at most so many items of each data set are asked, in each mode of the run.
        tolerance: share of the answers that may change.

    Returns:
        `answers`, `changed` (another answer is read out), `reworded` (the text differs), `dtype`.

    Raises:
        MergeError: if more answers change.
        ExportError: if there is nothing to merge.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM

    if choice.record["method"] == "full":
        raise ExportError(f"{choice.model}: is a whole model already; export it without --merge.")
    student = choice.student_folder
    device, attention = _place(Engine.model_validate(choice.provenance["config"]["engine"]))
    check_folder(student)
    check_adapter(choice.folder)
    base: Any = AutoModelForCausalLM.from_pretrained(
        student,
        dtype=torch.float32,
        attn_implementation=implementation(attention),
        use_safetensors=True,
        trust_remote_code=False,
    )
    adapted = PeftModel.from_pretrained(base, choice.folder).to(device).eval()
    before = _answers(choice, adapted.get_base_model(), items)
    config = AutoConfig.from_pretrained(student, trust_remote_code=False)
    dtype = config.dtype or torch.float32
    adapted.merge_and_unload().to(dtype).save_pretrained(target)
    del adapted, base
    after = _answers(choice, load_model(target, device=device, attention=attention), items)
    found = compare(before, after)
    if found["changed"] > tolerance * found["answers"]:
        raise MergeError(
            f"{choice.model}: merging changed {found['changed']} of {found['answers']} greedy "
            f"answers, more than --tolerance {tolerance:g} allows (weights saved in {_name(dtype)})"
            "; export the adapter without --merge, or allow more."
        )
    return {**found, "dtype": _name(dtype)}


def _place(engine: Engine) -> tuple[str, str]:
    """Return device and attention: a GPU if this machine has one, whatever the run's had.

    Flash attention does not compute in float32.
    """
    exact = Engine(
        device="cpu" if engine.device == "cpu" else "auto",
        attention="eager" if engine.attention == "eager" else "sdpa",
    )
    return pick_device(exact)[0], exact.attention


def compare(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, int]:
    """Count how many answers two models give differently to the same questions.

    An answer that cannot be read is its text.

    Args:
        before: predictions, one row per question.
        after: the same questions in the same order.
    """
    one, other = (
        table["parsed"].where(~table["invalid"], table["text"]).to_numpy()
        for table in (before, after)
    )
    return {
        "answers": len(before),
        "changed": int((one != other).sum()),
        "reworded": int((before["text"].to_numpy() != after["text"].to_numpy()).sum()),
    }


def _answers(choice: Choice, model: Any, items: int) -> pd.DataFrame:
    config = choice.provenance["config"]
    settings = Evaluation.model_validate(config["evaluation"])
    settings = settings.model_copy(update={"engine": "transformers"})  # whatever the run asked with
    chat, thinks = load_chat(choice.student_folder), choice.record.get("thinks")
    context = read_json(choice.student_folder / STUDENT_FILE)["context"]
    variant, found = Prompt.model_validate(config["prompts"][config["prompt"]]), []
    for dataset in choice.datasets:
        table = parquet.read("items", layout.at(layout.ITEMS, dataset=dataset))
        # item_id is a hash, so the first ones are a sample.
        chosen = (table["split"] == config["run"]["split"]).to_numpy().nonzero()[0][:items].tolist()
        for mode in [mode for mode in config["run"]["modes"] if mode != ADAPTIVE]:
            answers = evaluate(
                Asked(table, variant, config["seed"]).prompts(mode).part(chosen),
                Loaded(model, chat, context, thinks),
                mode,
                settings,
                Progress(f"comparing answers ({mode})", len(chosen)),
            )
            rows = [row for part in answers for row in part]
            found.append(pd.DataFrame(rows).sort_values("item_id"))
    return pd.concat(found)


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
