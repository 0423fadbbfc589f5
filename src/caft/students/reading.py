"""How a model reads texts: whole ones for their logits, or step by step to go on with them.

Three ways of going on, the first that is right for the model. All end with the same tokens as each
text alone:

- `padded`: on the left, where all layers attend and are told the positions;
- `aligned`: texts begin together without padding, as long as the shortest one; what is left of the
  others is read a token at a time while the shorter ones are written already;
- `again`: without a cache, for models whose cache cannot be relied on.
"""

import inspect
import logging
import sys
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from caft.students.architecture import ropes

# Names of what a forward pass keeps of a text, by family.
_CACHES = ("past_key_values", "cache_params", "state")
_PROBE = 24  # tokens of a text that a cache is tried with
_TRIED: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()  # models whose cache was tried


class Reader(Protocol):
    """Rows of texts that go on together.

    Attributes:
        rest: per row what it has still to read, last token first; until then it writes nothing.
    """

    rest: list[list[int]]

    def read(self, tokens: list[int] | None) -> Any:
        """Read one more token per row, or the beginning, and return the last logits of each row."""

    def keep(self, places: list[int]) -> bool:
        """Go on with some of the rows alone; False if they cannot be told apart."""


def logits_at(model: Any, texts: list[list[int]], wanted: list[range], pad: int) -> list[Any]:
    """Run one forward pass and return each text's logits at some positions, float32.

    Returns:
        Per text a tensor of shape (positions, vocabulary).
    """
    import torch

    turn = _turn(model)
    if min(map(len, texts)) <= turn < max(map(len, texts)):
        found: dict[int, Any] = {}
        for beyond in (False, True):
            part = [place for place, text in enumerate(texts) if (len(text) > turn) == beyond]
            logits = logits_at(model, [texts[n] for n in part], [wanted[n] for n in part], pad)
            found |= zip(part, logits, strict=True)
        return [found[place] for place in range(len(texts))]
    width = max(len(text) for text in texts)
    # Right padding and no mask: with a causal decoder later pads cannot reach an earlier token
    # (checked in tests/unit/complexity/test_forward.py), and sdpa keeps its fast causal path.
    tokens = torch.tensor([text + [pad] * (width - len(text)) for text in texts])
    kept = sorted({position for positions in wanted for position in positions})
    with torch.inference_mode():
        output = model(
            input_ids=tokens.to(model.device),
            logits_to_keep=torch.tensor(kept, device=model.device),
            use_cache=False,
        )
    place = {position: slot for slot, position in enumerate(kept)}
    return [
        output.logits[number, [place[position] for position in positions]].float()
        for number, positions in enumerate(wanted)
    ]


def open_reader(model: Any, texts: list[list[int]], pad: int) -> Reader:
    """Return what reads these texts in the way that is right for the model."""
    if _attends(model):
        if min(map(len, texts)) <= _turn(model) < max(map(len, texts)):
            return _Again(model, texts, pad)
        return _Cached(model, texts, pad, max(len(text) for text in texts))
    if model not in _TRIED:
        _TRIED[model] = _try_cache(model)
    if _TRIED[model]:
        return _Cached(model, texts, pad, min(len(text) for text in texts))
    return _Again(model, texts, pad)


def _try_cache(model: Any) -> bool:
    if cache_is_right(model):
        return True
    logging.getLogger("caft").warning(
        "%s: its cache does not say what the whole text says, with the transformers and kernels "
        "that are installed; every token reads the whole text again, which is slow",
        type(model).__name__,
    )
    return False


def cache_is_right(model: Any) -> bool:
    """Try on the model itself whether its cache says what the whole text says.

    Two texts of any tokens are read at once, and once more step by step; then one leaves.
    """
    import torch

    count = model.get_input_embeddings().weight.shape[0]
    texts = [[(3 + 7 * step * step + 11 * row) % count for step in range(_PROBE)] for row in (0, 1)]
    head, leaves = _PROBE // 2, _PROBE - 4
    positions = [range(head - 1, _PROBE)] * 2
    whole = torch.stack(logits_at(model, texts, positions, 0)).transpose(0, 1)
    found = []
    try:
        with torch.inference_mode():
            reader, rows = _Cached(model, [text[:head] for text in texts], 0, head), [0, 1]
            found.append(reader.read(None))
            for step in range(head, _PROBE):
                if step == leaves and reader.keep([1]):
                    rows = [1]
                found.append(reader.read([texts[row][step] for row in rows]))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        return False
    far = [
        float((step - full[-len(step) :]).norm() / full[-len(step) :].norm())
        for step, full in zip(found, whole, strict=True)
    ]
    # In low precision the two orders of summing differ, and experts may be chosen differently.
    exact = model.dtype == torch.float32
    return max(far) < 0.02 if exact else sorted(far)[len(far) // 2] < 0.3


class _Cached:
    """Texts that go on from a cache: the first `head` tokens at once, on the left what is less."""

    def __init__(self, model: Any, texts: list[list[int]], pad: int, head: int):
        import torch

        self.model = model
        self.rest = [text[head:][::-1] for text in texts]
        # Beyond the length where positions turn the texts are read again.
        turn, begun = _turn(model), [text[:head] for text in texts]
        self._turn = turn if max(map(len, begun)) <= turn else sys.maxsize
        self._again = _Again(model, begun, pad)
        padding = [max(0, head - len(text)) for text in texts]
        self._tokens = torch.tensor(
            [[pad] * count + text for count, text in zip(padding, begun, strict=True)],
            device=model.device,
        )
        mask = (torch.arange(head) >= torch.tensor(padding)[:, None]).long().to(model.device)
        self._mask, self._positions = mask, (mask.cumsum(-1) - 1).clamp(min=0)
        self._takes = inspect.signature(model.forward).parameters
        self._name = next((name for name in _CACHES if name in self._takes), "")
        self._cache: Any = None

    def read(self, tokens: list[int] | None) -> Any:
        import torch

        if tokens is not None:
            if self._again.add(tokens) > self._turn:
                return self._again.read(None)
            self._tokens = torch.tensor(tokens, device=self.model.device)[:, None]
            self._positions = self._positions[:, -1:] + 1
            self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
        given = {
            "attention_mask": self._mask,
            "position_ids": self._positions,
            self._name: self._cache,
        }
        output = self.model(
            input_ids=self._tokens,
            use_cache=True,
            logits_to_keep=1,
            **{name: value for name, value in given.items() if name in self._takes},
        )
        self._cache = getattr(output, self._name)
        return output.logits[:, -1].float()

    def keep(self, places: list[int]) -> bool:
        import torch
        from transformers import cache_utils

        # A model's own cache may hold more than its layers say.
        own = type(self._cache) is not cache_utils.DynamicCache or any(
            type(layer).__module__ != cache_utils.__name__ for layer in self._cache.layers
        )
        if own:
            return False
        kept = torch.tensor(places, device=self.model.device)
        self._again.keep(places)
        # `batch_select_indices` is missing where a layer keeps a state, this is not.
        self._cache.reorder_cache(kept)
        self._mask, self._positions = self._mask[kept], self._positions[kept]
        self.rest = [self.rest[place] for place in places]
        return True


class _Again:
    """Texts that are read from their beginning at every step."""

    def __init__(self, model: Any, texts: list[list[int]], pad: int):
        self.model, self.pad = model, pad
        self.rest: list[list[int]] = [[] for _ in texts]
        self._texts = [list(text) for text in texts]

    def read(self, tokens: list[int] | None) -> Any:
        import torch

        self.add(tokens or [])
        last = [range(len(text) - 1, len(text)) for text in self._texts]
        return torch.cat(logits_at(self.model, self._texts, last, self.pad))

    def add(self, tokens: list[int]) -> int:
        """Write the texts on, and return the length of the longest."""
        for text, token in zip(self._texts, tokens, strict=bool(tokens)):
            text.append(token)
        return max(map(len, self._texts))

    def keep(self, places: list[int]) -> bool:
        self.rest = [self.rest[place] for place in places]
        self._texts = [self._texts[place] for place in places]
        return True


def _turn(model: Any) -> int:
    """Return the length beyond which a text's positions are all other ones (LongRoPE).

    Shorter and longer texts cannot share a batch, nor what was kept of a text that grows past it.
    """
    turns = [
        int(rope["original_max_position_embeddings"])
        for rope in ropes(model.config.get_text_config(decoder=True))
        if rope.get("rope_type") == "longrope"
    ]
    return min(turns, default=sys.maxsize)


def _attends(model: Any) -> bool:
    """Tell whether padding on the left changes nothing: all layers attend, and positions are given.

    A state that runs along the text, or a summary of a block of it, would begin in the padding.
    """
    from transformers import cache_utils

    takes = inspect.signature(model.forward).parameters
    if not {"attention_mask", "position_ids", "past_key_values"} <= set(takes):
        return False
    known = (
        cache_utils.DynamicLayer,
        cache_utils.DynamicSlidingWindowLayer,
        cache_utils.DummyLayer,
    )
    layers = cache_utils.DynamicCache(config=model.config).layers
    return all(type(layer) in known for layer in layers)
