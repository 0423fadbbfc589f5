"""How a model reads whole texts for their logits: once what they share at their beginning."""

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from caft.prompting.template import common
from caft.students import ropes

_SHARED = 64  # tokens that texts begin with, at least, where what they share is read once
_STILL = 0.9  # of what texts share, which is enough where it was read before


def shares(model: Any) -> bool:
    """Tell whether `logits_at` reads once what texts share at their beginning."""
    return attends(model) and not ropes.by_length(model)


def shared(texts: list[list[int]], starts: Iterable[int]) -> int:
    """Return how many tokens `logits_at` would read once for all texts; 0 where it pays little.

    Args:
        texts: two at least, in any order.
        starts: the first position whose logits are wanted, of each.
    """
    longest = max(map(len, texts))
    count = min(len(common(*texts)), *starts)
    return count if count >= max(_SHARED, longest / 2) else 0


@dataclass
class Beginning:
    """What was read of texts that begin alike, for one model that stays as it is.

    Attributes:
        tokens: of the beginning.
        cache: what the model keeps of them, for one row; None before any was read.
    """

    tokens: list[int] = field(default_factory=list)
    cache: Any = None

    def read(self, model: Any, text: list[int]) -> int:
        """Read a text, unless most of it was read before; return how many tokens are read."""
        import torch
        from transformers import DynamicCache

        count = len(self.tokens)
        if self.cache is None or count < _STILL * len(text) or text[:count] != self.tokens:
            cache = DynamicCache(config=model.config)
            given = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
            with torch.inference_mode():
                model(input_ids=torch.tensor([text], device=model.device), **given)
            self.tokens, self.cache = text, cache  # not before: memory may be short on the way
        return len(self.tokens)

    def of(self, rows: int) -> Any:
        """Return a cache of so many rows that all begin so."""
        import torch

        with torch.inference_mode():
            cache = deepcopy(self.cache)
            cache.batch_repeat_interleave(rows)
        return cache


def logits_at(
    model: Any,
    texts: list[list[int]],
    wanted: list[range],
    pad: int,
    beginning: Beginning | None = None,
) -> list[Any]:
    """Run one forward pass and return each text's logits at some positions, float32.

    Where all texts begin alike for the greater part, as few-shot prompts do, the beginning is read
    in a pass of its own, once.

    Args:
        model: on its device.
        texts: token ids, of any length each.
        wanted: positions of each, one after the other.
        pad: a token that fills rows up.
        beginning: of earlier texts; the same one is read again for no later ones.

    Returns:
        Per text a tensor of shape (positions, vocabulary), on the model's device.
    """
    import torch

    ropes.separate(model)
    given: dict[str, Any] = {"use_cache": False}
    if len(texts) > 1 and shares(model):
        starts = [positions.start for positions in wanted]
        if count := shared(texts, starts):
            beginning = beginning or Beginning()
            count = beginning.read(model, texts[0][:count])
            given = {"past_key_values": beginning.of(len(texts)), "use_cache": True}
            texts = [text[count:] for text in texts]
            wanted = [range(one.start - count, one.stop - count) for one in wanted]
    width = max(len(text) for text in texts)
    # Right padding and no mask: with a causal decoder later pads cannot reach an earlier token
    # (checked in tests/unit/complexity/test_forward.py), and sdpa keeps its fast causal path.
    tokens = torch.tensor([text + [pad] * (width - len(text)) for text in texts])
    if ropes.by_length(model):  # a text's length is told by the mask
        lengths = torch.tensor([len(text) for text in texts])
        mask = torch.arange(width) < lengths[:, None]
        given["attention_mask"] = mask.long().to(model.device)
    rows = [row for row, positions in enumerate(wanted) for _ in positions]
    columns = [position for positions in wanted for position in positions]
    with torch.inference_mode(), _head_of(model, rows, columns):
        output = model(input_ids=tokens.to(model.device), **given)
    found = output.logits[0].float()
    return list(found.split([len(positions) for positions in wanted]))


@contextmanager
def _head_of(model: Any, rows: list[int], columns: list[int]) -> Iterator[None]:
    """Let the head compute some tokens alone: of a batch's answers they are few, it is wide."""
    import torch

    places = torch.tensor([rows, columns]).to(model.device)

    def gather(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0][places[0], places[1]][None], *inputs[1:])

    hook = model.get_output_embeddings().register_forward_pre_hook(gather)
    try:
        yield
    finally:
        hook.remove()


def attends(model: Any) -> bool:
    """Tell whether padding on the left changes nothing: all layers attend, and positions are given.

    A state that runs along the text, or a summary of a block of it, would begin in the padding.
    """
    from transformers import cache_utils

    takes = inspect.signature(model.forward).parameters
    if not {"attention_mask", "position_ids", "past_key_values"} <= set(takes):
        return False
    names = ("DynamicLayer", "DynamicSlidingWindowLayer", "DummyLayer")
    # transformers before 5.20, which vLLM 0.32 asks for, has no layer without a state of its own.
    known = [getattr(cache_utils, name) for name in names if hasattr(cache_utils, name)]
    layers = cache_utils.DynamicCache(config=model.config).layers
    return all(type(layer) in known for layer in layers)
