"""How a trained model is used, as code that a reader of its card can run."""

from collections.abc import Mapping
from typing import Any

from caft.config.modes import ADAPTIVE
from caft.export.quoting import quoted

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


def usage(
    record: Mapping[str, Any], own: Mapping[str, Any], provenance: dict[str, Any], adapter: bool
) -> str:
    """Show the code that asks a model, and the system messages that it knows.

    Args:
        record: its `model.json`.
        own: its row of the index of models.
        provenance: of the run.
        adapter: whether it is loaded onto its student.
    """
    config = provenance["config"]
    code = _CODE.replace("MESSAGES", _asked(*_form(record, own, provenance)))
    code = code.replace("MODEL", _ADAPTED if adapter else _MODEL)
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


def _asked(variables: dict[str, Any], block: str, folded: bool) -> str:
    """Return the code that makes the input from a system message and a question."""
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
    return asked


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
