"""Rotary positions that depend on how long a text is: each text has those that it has alone.

LongRoPE (Phi-4-mini) takes other frequencies for texts beyond a length, dynamic NTK others for each
length beyond it. transformers chooses them once for a whole batch, by the largest position in it,
and dynamic NTK also by what was computed before. Here the model is told where each text of a batch
stands, and each text's own length decides.
"""

import inspect
from collections.abc import Iterator
from typing import Any

from caft.students.architecture import ropes


def by_length(model: Any) -> bool:
    """Tell whether a text's positions depend on its length."""
    return any(_limits(model))


def is_other(model: Any, length: int) -> bool:
    """Tell whether a text has other positions than when it was a token shorter.

    What was kept of it until then is of no use.
    """
    return any(
        length == limit + 1 if kind == "longrope" else length > limit
        for kind, limit in _limits(model)
    )


def _limits(model: Any) -> Iterator[tuple[str, int]]:
    """Yield the kinds of such positions and the length up to which all texts have the same."""
    config = model.config.get_text_config(decoder=True)
    for rope in ropes(config):
        kind = rope.get("rope_type") or ""
        if kind == "longrope":
            yield kind, int(rope["original_max_position_embeddings"])
        elif "dynamic" in kind:
            yield kind, int(config.max_position_embeddings)


def separate(model: Any) -> None:
    """Give each text of a batch the positions that it has alone; once done, nothing is done again.

    Texts are told apart by `position_ids`, which begin at 0 for each text of a row; where only an
    attention mask is given they follow from it. So texts may be padded on either side, packed into
    one row, or go on from a cache.

    Args:
        model: a causal language model of transformers, without adapters around it.
    """
    if getattr(model, "_caft_separate", False) or not by_length(model):
        return
    model._caft_separate = True
    model.register_forward_pre_hook(_positions_from_mask, with_kwargs=True)
    for module in model.modules():
        if getattr(module, "rope_type", None) is not None:
            module.register_forward_hook(_rotate_separately, with_kwargs=True)


def _positions_from_mask(_: Any, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    tokens, mask = given.get("input_ids"), given.get("attention_mask")
    if given.get("position_ids") is not None or tokens is None or mask is None:
        return args, given
    if tokens.shape == mask.shape:
        given = {**given, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    return args, given


def _rotate_separately(module: Any, args: Any, named: dict[str, Any], together: Any) -> Any:
    """Return cosines and sines, each (rows, tokens, size), by the length of each token's text."""
    import torch

    given = inspect.signature(module.forward).bind(*args, **named).arguments
    positions, layer_type = given["position_ids"], given.get("layer_type")
    kind = module.rope_type[layer_type] if layer_type else module.rope_type
    if positions.dim() != 2 or not (kind == "longrope" or "dynamic" in kind):
        return None
    lengths = _lengths(positions)

    def rotated(chosen: Any) -> Any:
        """Compute the chosen texts as if there were no others."""
        return module.forward(**{**given, "position_ids": positions.where(chosen, 0)})

    if kind == "longrope":
        rope = module.config.rope_parameters
        limit = (rope[layer_type] if layer_type else rope)["original_max_position_embeddings"]
        short, long = rotated(lengths <= limit), rotated(lengths > limit)
        return _chosen(lengths > limit, long, short)
    limit = module.original_max_seq_len
    result = together
    for length in [limit, *lengths[lengths > limit].unique().tolist()]:
        chosen = lengths == length if length > limit else lengths <= limit
        # One token alone brings the module back to its first frequencies.
        module.forward(**{**given, "position_ids": torch.zeros_like(positions)})
        result = _chosen(chosen, rotated(chosen), result)
    return result


def _chosen(chosen: Any, one: Any, other: Any) -> tuple[Any, ...]:
    return tuple(a.where(chosen[..., None], b) for a, b in zip(one, other, strict=True))


def _lengths(positions: Any) -> Any:
    """Return the length of the text that each token belongs to, shape (rows, tokens).

    A text begins where its positions do; at a step from a cache it is as long as its last position.
    """
    import torch

    text = (positions == 0).cumsum(-1)
    last = torch.zeros_like(positions[:, :1]).expand(-1, positions.shape[1] + 1)
    return last.scatter_reduce(1, text, positions, "amax").gather(1, text) + 1
