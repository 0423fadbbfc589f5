"""Tiny random models of many families: batches say what each text alone says."""

import pytest
import torch
import transformers

from caft.complexity.forward import Row, answer_logits
from caft.students import readers
from caft.students.decoder import Decoder, Text

TOKENS = 61
PROMPTS = [2, 9, 12, 24, 14, 7]  # lengths
SPREAD = {"vocab_size": TOKENS, "initializer_range": 0.3}
COMMON = {
    **SPREAD,
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
HEADS = {**COMMON, "head_dim": 8}
WINDOWS = {**HEADS, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 2}
GPT = {**SPREAD, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}
LATENT = {
    **{"q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8},
    **{"v_head_dim": 8, "num_key_value_heads": 4},
}
EXPERTS = {
    **{"num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2},
    **{"moe_intermediate_size": 32, "shared_expert_intermediate_size": 32},
    **{"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "n_shared_experts": 1},
}
LINEAR = {
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8},
    **{"linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention"] * 2},
}
MAMBA = {"hidden_size": 32, "num_hidden_layers": 3, "state_size": 8, **SPREAD}
MIXED = {
    **{"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_chunk_size": 16},
    **{"mamba_expand": 2, "mamba_n_groups": 1},
}
CONVOLVED = {"conv_L_cache": 3, "layer_types": ["conv", "full_attention"] * 2}

PADDED = {
    "Llama": COMMON,
    "Qwen3": HEADS,
    "Mistral": {**HEADS, "sliding_window": 8},
    "Gemma2": {**WINDOWS, "query_pre_attn_scalar": 8},
    "Gemma3Text": {**WINDOWS, "query_pre_attn_scalar": 8},
    "Cohere2": WINDOWS,
    "SmolLM3": COMMON,
    "Olmo2": COMMON,
    "Phi3": COMMON,
    "GptOss": {**WINDOWS, **EXPERTS},
    "Qwen3Moe": {**HEADS, **EXPERTS},
    "Llama4Text": {**HEADS, **EXPERTS, "attention_chunk_size": 8, "intermediate_size_mlp": 64},
    "DeepseekV3": {**COMMON, **EXPERTS, **LATENT},
    "GPT2": GPT,
    "GPTJ": {**GPT, "rotary_dim": 4},
    "OPT": {**COMMON, "ffn_dim": 64, "word_embed_proj_dim": 32},
}
# Beyond 13 tokens all positions of a text are other ones.
LONG = {
    "original_max_position_embeddings": 13,
    "rope_parameters": {
        **{"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 13},
        **{"short_factor": [1.0] * 4, "long_factor": [1.0, 3.0, 9.0, 20.0], "factor": 8.0},
    },
}
ALIGNED = {
    "Bloom": {**SPREAD, "hidden_size": 32, "n_layer": 3, "n_head": 4},
    "Mpt": {**SPREAD, "d_model": 32, "n_heads": 4, "n_layers": 3, "max_seq_len": 128},
    "Lfm2": {**COMMON, **CONVOLVED, "block_multiple_of": 8},
    "Qwen3_5Text": {**HEADS, **LINEAR},
    "Qwen3Next": {**HEADS, **LINEAR, **EXPERTS},
    "OlmoHybrid": {**HEADS, **LINEAR},
    "FalconH1": {**HEADS, **MIXED, "mamba_d_head": 8, "mamba_d_ssm": 32},
    "Bamba": {**COMMON, **MIXED, "attn_layer_indices": [1, 3]},
    "Jamba": {
        **{**COMMON, **EXPERTS, "mamba_d_state": 8, "mamba_d_conv": 4, "mamba_dt_rank": 4},
        **{"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    },
    "NemotronH": {
        **{**HEADS, "ssm_state_size": 8, "mamba_num_heads": 4, "mamba_head_dim": 16},
        **{"n_groups": 1, "chunk_size": 16},
        "layers_block_type": ["linear_attention", "full_attention", "mlp", "linear_attention"],
    },
    "Mamba2": {**MAMBA, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 16},
    # A cache of the model's own: rows that are done stay in it.
    "MiniMax": {**HEADS, **EXPERTS, "layer_types": LINEAR["layer_types"], "block_size": 8},
}
# With transformers 5.23 what these keep of a text is wrong, or not returned.
AGAIN = {
    "Mamba": MAMBA,
    "RecurrentGemma": {
        **{**MAMBA, "num_attention_heads": 4, "num_key_value_heads": 1, "lru_width": 32},
        **{"intermediate_size": 64, "attention_window_size": 8},
    },
}
FAMILIES = {**PADDED, **ALIGNED, **AGAIN, "Phi3-long": {**COMMON, **LONG}}


def built(family):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family.partition('-')[0]}Config")(**FAMILIES[family])
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def prompts(lengths=PROMPTS):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, TOKENS, (n,), generator=generator).tolist() for n in lengths]


def is_done(new):
    """End at other numbers of tokens, even where a model says one token again and again."""
    return (sum(new) + len(new)) % 4 == 0 or len(new) == 12


def written_alone(model, prompt):
    """Continue one prompt: no cache, no padding, no batch."""
    new = []
    while not (new and is_done(new)):
        tokens = torch.tensor([prompt + new])
        new.append(int(model(input_ids=tokens, use_cache=False).logits[0, -1].argmax()))
    return new


def decoded(model, texts, is_done=is_done, longest=12, rows=64, measure=None):
    """Write all texts with one decoder, so many at once; return them in order."""
    decoder = Decoder(model, 0, is_done, longest, rows, measure)
    batches = decoder.write(Text(*pair) for pair in enumerate(texts))
    return sorted((one for done in batches for one in done), key=lambda one: one.index)


def written(model, texts, **settings):
    return [one.new for one in decoded(model, texts, **settings)]


@torch.inference_mode()
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_is_written_and_scored_as_each_text_alone(family):
    model, texts = built(family), prompts()
    alone = [written_alone(model, text) for text in texts]
    assert len({len(new) for new in alone}) > 1
    assert written(model, texts) == alone
    assert written(model, texts, rows=3) == alone  # the others join later
    assert [written(model, [text])[0] for text in texts[:2]] == alone[:2]

    rows = [Row(n, text, len(text) - 2, text[-2:], None, 0) for n, text in enumerate(texts)]
    for text, logits in zip(texts, answer_logits(model, rows, 0), strict=True):
        plain = model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -2:]
        assert torch.allclose(logits, plain, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize("family", ["Llama", "Lfm2", "Mamba"])
def test_what_is_measured_belongs_to_the_tokens_that_are_written(family):
    model, texts = built(family), prompts()

    def measure(logits, chosen):
        return torch.stack([chosen.float(), logits.max(-1).values], dim=-1)

    for text, one in zip(texts, decoded(model, texts, measure=measure), strict=True):
        assert [row[0] for row in one.measured] == one.new
        first = model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].max()
        assert one.measured[0][1] == pytest.approx(float(first.detach()), rel=1e-3)


def test_a_cache_that_says_something_else_than_the_text_is_found(caplog):
    assert all(readers.cache_is_right(built(family)) for family in ("Llama", "Lfm2", "MiniMax"))
    assert not any(readers.cache_is_right(built(family)) for family in AGAIN)
    model = built("RecurrentGemma")
    written(model, prompts([3, 4]))
    written(model, prompts([3, 4]))
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "RecurrentGemmaForCausalLM"
    ]


def test_rows_that_are_done_leave_the_cache_of_a_hybrid_model():
    model, texts = built("Lfm2"), prompts()
    sizes = []
    model.register_forward_pre_hook(
        lambda _, __, given: sizes.append(len(given["input_ids"])), with_kwargs=True
    )
    alone = [len(new) for new in written(model, texts)]
    assert sizes[-1] < len(texts)
    assert len(set(alone)) > 1


@torch.inference_mode()
def test_texts_before_and_beyond_the_length_where_positions_turn_are_not_mixed():
    model = built("Phi3-long")
    for lengths in ([11, 12, 13], [3, 4], [14, 20], [13, 14]):
        texts = prompts(lengths)
        assert written(model, texts) == [written_alone(model, text) for text in texts]


def test_no_family_reads_beyond_the_longest_text_of_its_batch():
    model = built("GPT2")
    positions = []
    model.register_forward_pre_hook(
        lambda _, __, given: positions.append(int(given["position_ids"].max())), with_kwargs=True
    )
    texts = prompts([120, 100, 4])
    answers = written(model, texts, is_done=lambda new: len(new) == 8, longest=8)
    assert [len(new) for new in answers] == [8, 8, 8]
    assert max(positions) == 126
