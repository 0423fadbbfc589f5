"""How much memory of a card a training takes, by arithmetic from the shape of its model.

Bytes per token and layer are those that autograd keeps of a Qwen2 block (gated MLP, RMSNorm with a
float32 copy, flash or memory-efficient attention) under bfloat16 autocast: counted on small shapes
with `torch.autograd.graph.saved_tensors_hooks` (tests/unit/training/test_training_memory.py),
linear in each width without a rest. The way of counting is that of Korthikanti et al., arXiv
2205.05198. TRL's head keeps no logits (`trl.kernels.chunked_logprob`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caft.mixtures.recipe import Recipe

_HEAD_ROWS, _HEAD_COLUMNS = 4096, 32768  # the tile of logits that TRL's head computes at once
_LOW, _FULL = 2, 4  # bytes of bfloat16 and float32
_ADAM = 2  # numbers that it keeps per weight
_USABLE = 0.9  # of a card: CUDA's context, fragments and the kernels' own space take the rest
# What does not fit is too much for one step, what fits easily gains nothing from more.
MOST_TOKENS, ENOUGH_TOKENS, TOKENS_ON_A_CPU = 32768, 8192, 1024


@dataclass(frozen=True)
class Shape:
    """Widths of a decoder, in numbers per token.

    Attributes:
        layers: of the decoder.
        hidden: of the residual stream.
        queries: of all heads together.
        keys: of all key heads together; the values have as many.
        inner: of the gated MLP.
        vocabulary: rows of the head.
        tied: whether the embeddings are the head's weights.
    """

    layers: int
    hidden: int
    queries: int
    keys: int
    inner: int
    vocabulary: int
    tied: bool

    @property
    def parameters(self) -> int:
        """Weights of the embeddings, the head and all linear layers; norms and biases are few."""
        block = self.hidden * (2 * self.queries + 2 * self.keys + 3 * self.inner)
        return self.layers * block + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapters(self, rank: int) -> int:
        """Weights of adapters of a rank on all linear layers."""
        around = self.hidden + self.queries, self.hidden + self.keys, self.hidden + self.inner
        return self.layers * rank * sum(map(lambda width, times: width * times, around, (2, 2, 3)))


@dataclass(frozen=True)
class Memory:
    """Bytes on one card.

    Attributes:
        fixed: weights, gradients and optimizer, whatever the batch.
        per_token: of each token that is trained on at once.
        head: of the head's tile and its gradients.
    """

    fixed: float
    per_token: float
    head: float

    def of(self, tokens: float) -> float:
        """Bytes with so many tokens at once."""
        return self.fixed + self.head + self.per_token * tokens

    def tokens(self, card: float) -> int:
        """Return how many tokens at once fit on a card of so many bytes; below 0 if none do."""
        return int((_USABLE * card - self.fixed - self.head) // self.per_token)


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """Read the shape of a model from its `config.json`; None where that has other names.

    Args:
        config: of a model of text, or of several kinds of input with a `text_config`.
    """
    text = config.get("text_config") or config
    try:
        hidden, heads = text["hidden_size"], text["num_attention_heads"]
        width = text.get("head_dim") or hidden // heads
        return Shape(
            layers=text["num_hidden_layers"],
            hidden=hidden,
            queries=width * heads,
            keys=width * (text.get("num_key_value_heads") or heads),
            inner=text["intermediate_size"],
            vocabulary=text["vocab_size"],
            tied=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))),
        )
    except (KeyError, TypeError):
        return None


def training_memory(
    shape: Shape, recipe: Recipe, checkpointing: bool, low_precision: bool = True, shards: int = 1
) -> Memory:
    """Return what training takes on each card.

    Args:
        shape: of the student.
        recipe: method and rank of adapters.
        checkpointing: whether activations are computed again instead of kept.
        low_precision: whether frozen weights and what is computed are bfloat16, else float32.
        shards: cards that weights, gradients and optimizer are divided among (FSDP).
    """
    is_full = recipe.method == "full"
    trained = shape.parameters if is_full else shape.adapters(recipe.lora.r)
    number = _LOW if low_precision else _FULL
    fixed: float = trained * _FULL * (2 + _ADAM)  # with their gradients
    if not is_full:
        fixed += shape.parameters * (number if shards == 1 else _FULL)
    fixed /= shards
    if low_precision:
        fixed += trained * _LOW  # copies that autocast keeps through an update
    layer = _layer_bytes(shape, recipe) * number / _LOW
    # A backward pass needs about as much beside what a layer keeps as that is.
    kept = shape.hidden * (_FULL if is_full else number) if checkpointing else layer
    per_token = shape.layers * kept + 2 * layer + 2 * _FULL * shape.hidden
    head = min(shape.vocabulary, _HEAD_COLUMNS) * (_HEAD_ROWS + shape.hidden) * number
    if is_full:
        head += shape.vocabulary * shape.hidden * _FULL  # gradient of the head, before it is added
    return Memory(fixed, per_token, head)


def _layer_bytes(shape: Shape, recipe: Recipe) -> float:
    """Return the bytes that autograd keeps per token and layer in bfloat16."""
    if recipe.method == "full":
        return 26 * shape.hidden + 4.25 * shape.queries + 4 * shape.keys + 8 * shape.inner + 8
    widths = 18 * shape.hidden + 6.25 * shape.queries + 4 * shape.keys + 8 * shape.inner
    return widths + 7 * _LOW * recipe.lora.r + 8


@dataclass(frozen=True)
class Fit:
    """How a training is fitted to its card.

    Attributes:
        checkpointing: whether activations are computed again instead of kept.
        tokens: most that are trained on at once; None where the rows per step are configured.
    """

    checkpointing: bool
    tokens: int | None


def fit(
    recipe: Recipe,
    shape: Shape | None,
    card: float | None,
    step: int,
    low_precision: bool = True,
    shards: int = 1,
) -> Fit:
    """Choose what `auto` stands for in a recipe; the model that is made is the same.

    Args:
        recipe: with `auto` for the batch size, for the checkpointing, or for neither.
        shape: of the student; None if its config has unknown names.
        card: bytes that are free on the card; None on a CPU.
        step: tokens of the longest step, where the rows per step are configured.
        low_precision: as for `training_memory`.
        shards: cards that the weights are divided among.
    """
    is_auto = recipe.batch_size == "auto"
    if card is None or shape is None:
        again = recipe.gradient_checkpointing is True or (
            recipe.gradient_checkpointing == "auto" and card is not None
        )
        return Fit(again, TOKENS_ON_A_CPU if is_auto else None)
    needed = ENOUGH_TOKENS if is_auto else step
    again = recipe.gradient_checkpointing is True
    if recipe.gradient_checkpointing == "auto":
        without = training_memory(shape, recipe, False, low_precision, shards)
        again = without.tokens(card) < needed
    fitting = training_memory(shape, recipe, again, low_precision, shards).tokens(card)
    return Fit(again, max(1, min(fitting, MOST_TOKENS)) if is_auto else None)
