"""The chat templates that the installed TRL ships, each with a tokenizer that knows its tokens."""

import re
from pathlib import Path

import trl
from tiny import SENTENCES, build_tokenizer

FOLDER = Path(trl.__file__).parent / "chat_templates"
_SPECIAL = re.compile(r"<[|｜][^<>{}' ]*?[|｜]?>|<\w+[|]>|</?s>|<\w+_of_\w+>|\[gMASK\]|<sop>")

# What the model's turn begins with when it answers directly, and what ends it. "·" is a blank that
# may be one token with the answer.
_CHATML = ("<|im_start|>assistant\n", "<|im_end|>")
_EMPTY = ("<|im_start|>assistant\n<think>\n\n</think>\n\n", "<|im_end|>")
_NEMOTRON = ("<|im_start|>assistant\n<think></think>", "<|im_end|>")
_GEMMA = ("<start_of_turn>model\n", "<end_of_turn>")
_GEMMA4 = ("<|turn>model\n", "<turn|>")
_LLAMA = ("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>")
_R1 = ("<｜Assistant｜><think>\n\n</think>\n\n", "<｜end▁of▁sentence｜>")
_PHI = ("<|assistant|>\n", "<|end|>")
_PLAIN = ("Assistant:·", "<end_of_utterance>")
DIRECT = {
    "cohere": ("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    "cohere2": (
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>",
        "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
    ),
    "deepseek_r1_distill": _R1,
    "deepseekv3": _R1,
    "diffusion_gemma": _GEMMA4,
    "gemma": _GEMMA,
    "gemma3": _GEMMA,
    "gemma4": _GEMMA4,
    "gemma4_v2": _GEMMA4,
    "gemma4_v3": _GEMMA4,
    "gemma4_v4": _GEMMA4,
    "gemma4_v5": _GEMMA4,
    "glm4moe": ("/nothink<|assistant|>\n<think></think>\n", "<eos>"),
    "gptoss": ("<|start|>assistant<|channel|>final<|message|>", "<|return|>"),
    "idefics3": _PLAIN,
    "lfm2": _CHATML,
    "lfm2_2_5": _CHATML,
    "lfm2_2_5_v2": _CHATML,
    "lfm2_2_5_vl": _CHATML,
    "lfm2_v2": _CHATML,
    "llama3": _LLAMA,
    "llama3_1": _LLAMA,
    "llama3_2": _LLAMA,
    "llava_next": (" [/INST]·", "</s>"),
    "muse_glimmer": ("<|start|>assistant to=user<|message|>", "<|eot|>"),
    "nemotron_3_5_lightning": _NEMOTRON,
    "nemotron_3_nano": _NEMOTRON,
    "nemotron_3_super": _NEMOTRON,
    "nemotron_3_ultra": _NEMOTRON,
    "phi3": _PHI,
    "phi3_5": _PHI,
    "qwen2_5": _CHATML,
    "qwen2_5_vl": _CHATML,
    "qwen3": _EMPTY,
    "qwen3_5_nothink": _EMPTY,
    "qwen3_5_think": _EMPTY,
    "qwen3_6": _EMPTY,
    "qwen3_8": _EMPTY,
    "qwen3_instruct_2507": _CHATML,
    "qwen3_vl": _CHATML,
    "smolvlm": _PLAIN,
}
# Where a thought begins and how it is closed, for the families that have one.
_THINK = ("<|im_start|>assistant\n<think>\n", "\n</think>\n\n")
_CHANNEL = ("<|turn>model\n<|channel>thought\n", "\n<channel|>")
_TIGHT = ("<|im_start|>assistant\n<think>", "</think>")
THOUGHT = {
    "deepseek_r1_distill": ("<｜Assistant｜><think>\n", "\n</think>\n\n"),
    "deepseekv3": ("<｜Assistant｜><think>\n", "\n</think>\n\n"),
    **dict.fromkeys((name for name in DIRECT if DIRECT[name] is _GEMMA4), _CHANNEL),
    "glm4moe": ("<|assistant|>\n<think>", "</think>\n"),
    "gptoss": (
        "<|start|>assistant<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "lfm2_2_5": _TIGHT,
    "lfm2_2_5_v2": _TIGHT,
    "lfm2_2_5_vl": _TIGHT,
    "muse_glimmer": (
        "<|start|>assistant to=self<|message|>",
        "<|eom|><|start|>assistant to=user<|message|>",
    ),
    "nemotron_3_5_lightning": ("<|im_start|>assistant\n<think>\n", "</think>"),
    "nemotron_3_nano": ("<|im_start|>assistant\n<think>\n", "\n</think>\n"),
    "nemotron_3_super": ("<|im_start|>assistant\n<think>\n", "\n</think>\n"),
    "nemotron_3_ultra": ("<|im_start|>assistant\n<think>\n", "</think>"),
    **dict.fromkeys((name for name in DIRECT if DIRECT[name] is _EMPTY), _THINK),
}
_LAST = {"phi3": "<|endoftext|>", "phi3_5": "<|endoftext|>"}  # not the end of a turn


def shipped():
    """Return the names of the base templates; those for training mark what is generated."""
    names = (path.stem for path in FOLDER.glob("*.jinja"))
    return sorted(name for name in names if not name.endswith("_training"))


def tokenizer_of(name):
    """Make a tokenizer of tiny pieces with a family's template and special tokens."""
    template = (FOLDER / f"{name}.jinja").read_text()
    eos = _LAST.get(name) or re.findall(r"\S+", DIRECT[name][1].replace("><", "> <"))[-1]
    specials = sorted({*_SPECIAL.findall(template), "<pad>", "<bos>", eos})
    named = {"eos_token": eos, "pad_token": "<pad>", "bos_token": "<bos>"}
    # A template with a page of its own would make prompts of a thousand such pieces.
    texts = [*SENTENCES, *template.split(". ")] if name in ("cohere2", "gptoss") else SENTENCES
    return build_tokenizer(template, specials, texts, **named)
