import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from caft.mixtures.recipe import Lora, Recipe
from caft.training.memory import Fit, Shape, fit, shape_of, training_memory

# As their makers' config.json has them.
QWEN = {
    "hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 2,
    "num_hidden_layers": 36, "intermediate_size": 11008, "vocab_size": 151936,
    "tie_word_embeddings": True,
}  # fmt: skip
LLAMA_8B = {
    "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "num_hidden_layers": 32, "intermediate_size": 14336, "vocab_size": 128256,
    "tie_word_embeddings": False,
}  # fmt: skip
FULL, LORA = Recipe(method="full"), Recipe(lora=Lora(r=64, alpha=128))
GB = 1e9
TOKENS = 61  # no width of the small shapes


def test_the_shape_of_a_model_is_read_from_its_config():
    assert shape_of(QWEN) == Shape(36, 2048, 2048, 256, 11008, 151936, True)
    assert shape_of({"text_config": LLAMA_8B}) == Shape(32, 4096, 4096, 1024, 14336, 128256, False)
    assert shape_of({"n_embd": 768, "n_layer": 12, "n_head": 12}) is None


@pytest.mark.parametrize(
    ("config", "parameters", "adapters"),
    [(QWEN, 3.09e9, 120e6), (LLAMA_8B, 8.03e9, 168e6)],
)
def test_parameters_follow_from_the_shape(config, parameters, adapters):
    """The makers name 3.09 and 8.03 billion; PEFT counts 119,734,272 and 167,772,160 at rank 64."""
    shape = shape_of(config)
    assert shape.parameters == pytest.approx(parameters, rel=0.01)
    assert shape.adapters(64) == pytest.approx(adapters, rel=0.01)


@pytest.mark.parametrize(
    ("config", "recipe", "rows", "length", "gigabytes"),
    [
        (QWEN, FULL, 2, 2048, 59),
        (QWEN, FULL, 4, 6000, 68),
        (QWEN, LORA, 2, 2048, 11),
        (QWEN, LORA, 4, 6000, 19),
        (LLAMA_8B, FULL, 2, 2048, 150),
        (LLAMA_8B, FULL, 4, 6000, 166),
        (LLAMA_8B, LORA, 2, 2048, 23),
        (LLAMA_8B, LORA, 4, 6000, 37),
    ],
)
def test_memory_is_near_an_estimate_that_was_made_apart_from_it(
    config, recipe, rows, length, gigabytes
):
    """Neither was measured on a card; with checkpointing."""
    found = training_memory(shape_of(config), recipe, True).of(rows * length) / GB
    assert found == pytest.approx(gigabytes, rel=0.2)


def kept_bytes(shape, recipe, checkpointing):
    """Count what autograd keeps of the tokens of a small model's decoder, in bytes."""
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.queries // 16,
        num_key_value_heads=shape.keys // 16,
        head_dim=16,
    )
    model = Qwen2ForCausalLM(config)
    decoder = model.model
    if recipe.method == "lora":
        lora = LoraConfig(r=recipe.lora.r, target_modules="all-linear")
        model = get_peft_model(model.to(torch.bfloat16), lora)
        for weight in model.parameters():
            weight.data = weight.data.float() if weight.requires_grad else weight.data
        model.enable_input_require_grads()
        decoder = model.get_base_model().model
    if checkpointing:
        decoder.gradient_checkpointing_enable({"use_reentrant": False})
    kept = {}

    def keep(tensor):
        if TOKENS in tensor.shape:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes(), tensor
        return tensor

    model.train()
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        decoder(input_ids=torch.ones(1, TOKENS, dtype=torch.long), use_cache=False)
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("widths", [(48, 64, 32, 80), (80, 64, 16, 112)])
def test_what_a_layer_keeps_of_a_token_is_what_autograd_keeps(method, checkpointing, widths):
    recipe = Recipe(method=method, lora=Lora(r=4, alpha=8))
    few, more = (Shape(layers, *widths, 64, True) for layers in (1, 3))
    counted = kept_bytes(more, recipe, checkpointing) - kept_bytes(few, recipe, checkpointing)
    told = [training_memory(shape, recipe, checkpointing).per_token for shape in (few, more)]
    assert counted / TOKENS == pytest.approx(told[1] - told[0], rel=0.01)


AUTO = {"batch_size": "auto", "update_rows": 256, "gradient_checkpointing": "auto"}


@pytest.mark.parametrize(
    ("keys", "config", "card", "step", "expected"),
    [
        # Adapters of 3B have room for 8192 tokens on 80 GB, all its weights have not.
        ({**AUTO, "lora": {"r": 64, "alpha": 1}}, QWEN, 80, 0, (False, 11000, 13000)),
        ({**AUTO, "method": "full"}, QWEN, 80, 0, (True, 8192, 32768)),
        ({**AUTO, "method": "full"}, QWEN, 24, 0, (True, 1, 1)),
        ({**AUTO, "gradient_checkpointing": True}, QWEN, 80, 0, (True, 32768, 32768)),
        ({"gradient_checkpointing": "auto"}, QWEN, 80, 4 * 512, (False, None, None)),
        ({"gradient_checkpointing": "auto"}, QWEN, 80, 4 * 6000, (True, None, None)),
        ({}, QWEN, 80, 4 * 6000, (False, None, None)),
        (AUTO, QWEN, None, 0, (False, 1024, 1024)),  # a CPU
        (AUTO, {}, 80, 0, (True, 1024, 1024)),  # an unknown shape
    ],
)
def test_a_training_is_fitted_to_what_is_free_on_its_card(keys, config, card, step, expected):
    found = fit(Recipe(**keys), shape_of(config), card and card * GB, step)
    again, least, most = expected
    assert found.checkpointing is again
    assert found.tokens is least if least is None else least <= found.tokens <= most


def test_a_recipe_without_auto_is_left_as_it_is():
    assert fit(Recipe(), None, None, 1) == Fit(False, None)
