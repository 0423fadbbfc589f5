"""What a model folder's architecture allows, told from its config before weights are read."""

import inspect
import logging
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypedDict

from caft.errors import ModelError
from caft.prompting.chat import Chat
from caft.prompting.template import special_tokens
from caft.students.checks import without_code

# Names of the longest text: the first one stands for those that a family maps to it.
_CONTEXTS = ("max_position_embeddings", "max_seq_len", "seq_length", "n_positions", "n_ctx")


class Architecture(TypedDict):
    """What `student.json` says of it.

    Attributes:
        context: longest text in tokens.
        vocabulary: tokens that the model can both read and write.
        attention: what `engine.attention: sdpa` comes to: `eager` where the family has no sdpa.
    """

    context: int
    vocabulary: int
    attention: str


def describe(folder: Path, stated: int | None, wanted: str, chat: Chat) -> Architecture:
    """Check that caft can score, tune and ask a model of this architecture.

    Args:
        folder: a model folder; it has the student's name.
        stated: `students.<name>.context`.
        wanted: `engine.attention`.
        chat: tokenizer and chat template of the folder.

    Raises:
        ModelError: if the architecture is unknown or no causal language model, its context is
            unknown, it has no rows for tokens of the tokenizer, or it lacks the attention that the
            config asks for.
    """
    model, log = empty_model(folder), logging.getLogger("caft")
    _check_attention(folder, model, wanted)
    text = model.config.get_text_config(decoder=True)
    attention = text._attn_implementation
    if wanted == "sdpa" != attention:
        log.warning(
            "%s: %s has no sdpa attention; %s is used instead",
            *(folder, type(model).__name__, attention),
        )
    try:
        final_norm(model)
    except ModelError as error:  # only a job that opens it knows whether that is its precision
        log.warning("%s: %s", folder, error)
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    vocabulary = min(layer.weight.shape[0] for layer in layers)
    _check_vocabulary(folder, chat, vocabulary)
    return {
        "context": _context(folder, text, stated),
        "vocabulary": vocabulary,
        "attention": attention,
    }


def implementation(wanted: str) -> str | None:
    """Return what to ask transformers for: its default is sdpa, or eager where there is none."""
    return None if wanted == "sdpa" else wanted


def empty_model(folder: Path) -> Any:
    """Build the model of a folder without its weights, which takes no memory.

    Raises:
        ModelError: if it is no causal language model that transformers knows.
    """
    import torch
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
        AutoConfig,
        AutoModelForCausalLM,
    )

    try:
        with without_code(folder):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or config.is_encoder_decoder:
            raise _refused(folder, config, "no causal language model (a decoder alone)")
        if type(config) in MODEL_FOR_MASKED_LM_MAPPING and not config.is_decoder:
            raise _refused(folder, config, "a model that reads a text in both directions")
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{folder}: transformers {version('transformers')} cannot build the model of its "
            f"config.json ({_line(error)}); check the folder, or use another "
            "student."
        ) from error
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        raise _refused(folder, config, "a model whose forward pass takes no logits_to_keep")
    return model


def final_norm(model: Any) -> Any:
    """Return the layer whose output the head reads: the last norm outside the blocks.

    Raises:
        ModelError: if there is none.
    """
    head = model.get_output_embeddings()
    decoder = model.get_decoder()
    if decoder is model or decoder is head:  # of some families it is not what it says
        decoder = model.base_model
    found = None
    for name, layer in decoder.named_modules():
        *_, last = path = name.split(".")
        if any(part.isdigit() for part in path) or any(layer.children()):
            continue
        weight = getattr(layer, "weight", None)  # some norms have none
        if ("norm" in last.lower() or last.startswith("ln")) and (
            weight is None or tuple(weight.shape) == (head.in_features,)
        ):
            found = layer
    if found is None:
        raise ModelError(f"{type(model).__name__}: no final norm found; set engine.dtype: float32.")
    return found


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _refused(folder: Path, config: Any, reason: str) -> ModelError:
    return ModelError(f"{folder}: {config.model_type} is {reason}; use another student.")


def _check_attention(folder: Path, model: Any, wanted: str) -> None:
    if wanted != "flash_attention_2":  # transformers writes every family's attention as eager too
        return
    name, mend = type(model).__name__, "set engine.attention: sdpa (or eager)"
    if not model._supports_flash_attn:
        raise ModelError(f"{folder}: {name} has no flash attention; {mend}.")
    if find_spec("flash_attn") is None and find_spec("kernels") is None:
        raise ModelError(
            f"{folder}: engine.attention is flash_attention_2 and neither flash-attn nor kernels "
            f"is installed; install one, or {mend}."
        )


def _check_vocabulary(folder: Path, chat: Chat, rows: int) -> None:
    """Refuse tokens that texts may hold and the model does not know.

    Special tokens of other uses (of images) may be beyond: no text of an item becomes one.
    """
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    tokenizer, written = chat.tokenizer, chat.render(probe, opened=False)
    special = special_tokens(tokenizer)
    used = {tokenizer.eos_token, tokenizer.pad_token}
    beyond = [
        text
        for text, token in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
        if token >= rows and (text not in special or text in used or text in written)
    ]
    if beyond:
        raise ModelError(
            f"{folder}: the tokenizer knows {len(beyond)} tokens that the model has no rows for, "
            f"the first is {beyond[0]!r} (rows: {rows}); resize the model's embeddings "
            "(resize_token_embeddings), or use the tokenizer that belongs to it."
        )


def _context(folder: Path, text: Any, stated: int | None) -> int:
    key = f"students.{folder.name}.context"
    sizes = (getattr(text, name, None) for name in _CONTEXTS)
    found = next((size for size in sizes if isinstance(size, int) and size > 0), None)
    if found is None and stated is None:
        raise ModelError(
            f"{folder}: the config of {text.model_type} names no longest text; set {key} to the "
            "tokens that it was trained for."
        )
    if found is None:
        return stated or 0
    found = max([found, *_stretched(text)])
    if stated is not None and stated > found:
        raise ModelError(f"{key}: {stated} is more than the model's own {found}; lower it.")
    return stated or found


def _stretched(text: Any) -> list[int]:
    """Return the contexts that YaRN stretches positions to: the config may keep the old one."""
    return [
        int(rope["factor"] * rope["original_max_position_embeddings"])
        for rope in ropes(text)
        if rope.get("rope_type") == "yarn" and rope.get("original_max_position_embeddings")
    ]


def ropes(text: Any) -> list[dict[str, Any]]:
    """Return the rotary settings of a config: of all layers, or of each kind of them."""
    given = getattr(text, "rope_parameters", None) or {}
    return [given, *(kind for kind in given.values() if isinstance(kind, dict))]
