"""How a model reads texts step by step, to go on with them.

Three ways, the first that is right for the model. All end with the same tokens as each text alone:

- `padded`: on the left, where all layers attend and are told the positions; texts join at any time;
- `aligned`: texts begin together without padding, as long as the shortest one; what is left of the
  others is read a token at a time while the shorter ones are written already;
- `again`: without a cache, for models whose cache cannot be relied on.
"""

import inspect
import logging
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from caft.students import ropes
from caft.students.reading import attends, logits_at

# Names of what a forward pass keeps of a text, by family.
_CACHES = ("past_key_values", "cache_params", "state")
_PROBE = 24  # tokens of a text that a cache is tried with
_TRIED: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()  # models whose cache was tried


class Reader(Protocol):
    """Rows of texts that go on together; at first there is none.

    Attributes:
        joins: whether texts can join rows that are under way.
        unread: per row how many tokens of its text are still to be read; until there are none, its
            logits mean nothing and what is given to it is not used.
    """

    joins: bool
    unread: list[int]

    def join(self, texts: list[list[int]]) -> Any:
        """Read texts as further rows; return their last logits, float32 (texts, vocabulary)."""

    def read(self, tokens: Any) -> Any:
        """Read one more token per row, shape (rows,), and return the last logits of each."""

    def keep(self, places: list[int]) -> None:
        """Go on with some of the rows alone."""


def open_reader(model: Any, pad: int) -> Reader:
    """Return what reads texts in the way that is right for the model."""
    ropes.separate(model)
    if attends(model):
        return _Padded(model, pad)
    if ropes.by_length(model):
        return _Again(model, pad)
    if model not in _TRIED:
        _TRIED[model] = _try_cache(model)
    return _Aligned(model) if _TRIED[model] else _Again(model, pad)


def bytes_per_token(model: Any) -> int:
    """Return what is kept of a token of a text that goes on; 0 where that does not grow with it."""
    import torch

    reader = open_reader(model, 0)
    if not isinstance(reader, _Padded):
        return 0
    with torch.inference_mode():
        reader.join([[0]])
    return reader.nbytes


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
            reader, rows = _Aligned(model), [0, 1]
            found.append(reader.join([text[:head] for text in texts]))
            for step in range(head, _PROBE):
                if step == leaves:
                    reader.keep([1])
                    rows = [1]
                tokens = torch.tensor([texts[row][step] for row in rows], device=model.device)
                found.append(reader.read(tokens))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        return False
    far = [
        float((step - full[-len(step) :]).norm() / full[-len(step) :].norm())
        for step, full in zip(found, whole, strict=True)
    ]
    # In low precision the two orders of summing differ, and experts may be chosen differently.
    exact = model.dtype == torch.float32
    return max(far) < 0.02 if exact else sorted(far)[len(far) // 2] < 0.3


class _Padded:
    """Texts that end together: on the left the shorter ones have padding, which none attends to."""

    joins = True

    def __init__(self, model: Any, pad: int):
        self.model, self.pad = model, pad
        self.unread: list[int] = []
        self._lengths: list[int] = []
        self._cache: Any = None
        self._mask: Any = None  # (rows, width): 0 on padding
        self._next: Any = None  # (rows, 1): the position of each row's next token

    def join(self, texts: list[list[int]]) -> Any:
        import torch
        from transformers import DynamicCache

        lengths, device = [len(text) for text in texts], self.model.device
        width = max(lengths)
        tokens = torch.tensor([[self.pad] * (width - len(text)) + text for text in texts])
        count = torch.tensor(lengths)[:, None]
        mask = (torch.arange(width) >= width - count).long().to(device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self.model.config)
        logits = self._forward(tokens.to(device), mask, positions, cache)
        if self._cache is None:
            self._cache, self._mask, self._next = cache, mask, count.to(device)
        else:
            _append(self._cache, cache)
            self._mask = _side_by_side(self._mask, mask, dim=1)
            self._next = torch.cat([self._next, count.to(device)])
        self._lengths += lengths
        self.unread += [0] * len(texts)
        return logits

    def read(self, tokens: Any) -> Any:
        import torch

        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
        logits = self._forward(tokens[:, None], self._mask, self._next, self._cache)
        self._next = self._next + 1
        self._lengths = [length + 1 for length in self._lengths]
        return logits

    def keep(self, places: list[int]) -> None:
        import torch

        self._lengths = [self._lengths[place] for place in places]
        self.unread = [0] * len(places)
        if not places:
            self._cache = None
            return
        kept = torch.tensor(places, device=self.model.device)
        width = max(self._lengths)
        _select(self._cache, kept, width)
        self._mask, self._next = self._mask[kept, -width:], self._next[kept]

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        parts = [part for layer in _filled(self._cache) for part in (layer.keys, layer.values)]
        return sum(int(part.nbytes) for part in parts)

    def _forward(self, tokens: Any, mask: Any, positions: Any, cache: Any) -> Any:
        output = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()


def _filled(cache: Any) -> list[Any]:
    """Return the layers that keep keys and values; others read those of another layer."""
    return [layer for layer in cache.layers if layer.keys is not None]


def _append(cache: Any, new: Any) -> None:
    """Add the rows of a new cache to another one; both end with their last token."""
    for layer, added in zip(_filled(cache), _filled(new), strict=True):
        layer.keys = _side_by_side(layer.keys, added.keys, dim=-2)
        layer.values = _side_by_side(layer.values, added.values, dim=-2)
        if layer.is_sliding:
            layer.cumulative_length = max(layer.cumulative_length, added.cumulative_length)


def _select(cache: Any, rows: Any, width: int) -> None:
    """Keep some rows of a cache, and no more columns than the longest of them has tokens."""
    for layer in _filled(cache):
        layer.keys = layer.keys[..., -width:, :].index_select(0, rows)
        layer.values = layer.values[..., -width:, :].index_select(0, rows)
        if layer.is_sliding:
            layer.cumulative_length = width


def _side_by_side(one: Any, other: Any, dim: int) -> Any:
    """Put rows of unlike width together, the narrower ones with zeros on the left."""
    import torch
    from torch.nn.functional import pad

    width = max(one.shape[dim], other.shape[dim])
    behind = [0, 0] * (-1 - dim if dim < 0 else one.dim() - 1 - dim)
    return torch.cat([pad(part, [*behind, width - part.shape[dim], 0]) for part in (one, other)])


class _Aligned:
    """Texts that begin together: as many tokens as the shortest has at once, then one at a time."""

    joins = False

    def __init__(self, model: Any):
        self.model = model
        self.unread: list[int] = []
        self._takes = inspect.signature(model.forward).parameters
        self._name = next((name for name in _CACHES if name in self._takes), "")
        self._cache: Any = None
        self._width = 0
        self._rest: list[list[int]] = []  # per row of the cache what is unread, last token first
        self._places: list[int] = []  # rows of the cache that still go on

    def join(self, texts: list[list[int]]) -> Any:
        import torch

        head = min(len(text) for text in texts)
        self._rest = [text[head:][::-1] for text in texts]
        self._places = list(range(len(texts)))
        self._width, self._cache = 0, None
        return self._forward(torch.tensor([text[:head] for text in texts]))

    def read(self, tokens: Any) -> Any:
        import torch

        given = torch.zeros(len(self._rest), dtype=torch.long, device=tokens.device)
        given[self._places] = tokens
        if any(self._rest):
            rest = [self._rest[place].pop() if self._rest[place] else -1 for place in self._places]
            own = torch.tensor(rest, device=tokens.device)
            given[self._places] = own.where(own >= 0, tokens)
        return self._forward(given[:, None])

    def keep(self, places: list[int]) -> None:
        import torch
        from transformers import cache_utils

        self._places = [self._places[place] for place in places]
        self.unread = [self.unread[place] for place in places]
        # A model's own cache may hold more than its layers say: there, rows that are done stay.
        own = type(self._cache) is not cache_utils.DynamicCache or any(
            type(layer).__module__ != cache_utils.__name__ for layer in self._cache.layers
        )
        if own or not places:
            return
        # `batch_select_indices` is missing where a layer keeps a state, this is not.
        self._cache.reorder_cache(torch.tensor(self._places, device=self.model.device))
        self._rest = [self._rest[place] for place in self._places]
        self._places = list(range(len(places)))

    def _forward(self, tokens: Any) -> Any:
        import torch

        tokens = tokens.to(self.model.device)
        begin, self._width = self._width, self._width + tokens.shape[1]
        mask = torch.ones(len(tokens), self._width, dtype=torch.long, device=tokens.device)
        positions = torch.arange(begin, self._width, device=tokens.device).expand(len(tokens), -1)
        given = {"attention_mask": mask, "position_ids": positions, self._name: self._cache}
        output = self.model(
            input_ids=tokens,
            use_cache=True,
            logits_to_keep=1,
            **{name: value for name, value in given.items() if name in self._takes},
        )
        self._cache = getattr(output, self._name)
        self.unread = [len(self._rest[place]) for place in self._places]
        return output.logits[self._places, -1].float()


class _Again:
    """Texts that are read from their beginning at every step."""

    joins = True

    def __init__(self, model: Any, pad: int):
        self.model, self.pad = model, pad
        self.unread: list[int] = []
        self._texts: list[list[int]] = []

    def join(self, texts: list[list[int]]) -> Any:
        self._texts += [list(text) for text in texts]
        self.unread = [0] * len(self._texts)
        return self._last(self._texts[-len(texts) :])

    def read(self, tokens: Any) -> Any:
        for text, token in zip(self._texts, tokens.tolist(), strict=True):
            text.append(token)
        return self._last(self._texts)

    def keep(self, places: list[int]) -> None:
        self._texts = [self._texts[place] for place in places]
        self.unread = [0] * len(places)

    def _last(self, texts: list[list[int]]) -> Any:
        import torch

        ends = [range(len(text) - 1, len(text)) for text in texts]
        return torch.cat(logits_at(self.model, texts, ends, self.pad))
