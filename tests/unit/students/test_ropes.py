"""Positions that depend on a text's length: a batch says what each text alone says."""

from functools import cache

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM
from transformers.models.phimoe import PhimoeConfig, PhimoeForCausalLM
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from caft.complexity.forward import Row, answer_logits
from caft.complexity.generations import token_statistics
from caft.complexity.likelihoods import mean_losses
from caft.running.jobs import Progress
from caft.students import ropes
from caft.students.decoder import Decoder, Text
from caft.training.recipes import trainable_model

TURN, TOKENS, NEW = 24, 61, 8
COMMON = {
    **{"vocab_size": TOKENS, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
FACTORS = {"short_factor": [1.0] * 4, "long_factor": [1.0, 3.0, 9.0, 20.0]}
KINDS = {
    "longrope": {"original_max_position_embeddings": TURN, **FACTORS, "factor": 8.0},
    "phimoe": {
        **{"rope_type": "longrope", "original_max_position_embeddings": TURN, **FACTORS},
        **{"short_mscale": 1.0, "long_mscale": 1.3, "factor": 8.0},
    },
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": TURN},
    "llama3": {
        **{"factor": 4.0, "original_max_position_embeddings": TURN},
        **{"low_freq_factor": 1.0, "high_freq_factor": 4.0},
    },
    "linear": {"factor": 4.0},
}
LENGTHS = [30, 22, 9, TURN, TURN + 1, 17, 40]  # of texts: on both sides, some cross while they grow


def built(kind):
    """A random model whose positions are of a kind; each call makes it anew."""
    torch.manual_seed(0)
    rope = {"rope_type": kind, "rope_theta": 1e4, "partial_rotary_factor": 1.0, **KINDS[kind]}
    config = {**COMMON, "rope_parameters": rope}
    config["max_position_embeddings"] = TURN if kind == "dynamic" else 128
    if kind == "longrope":
        model = Phi3ForCausalLM(Phi3Config(**config, original_max_position_embeddings=TURN))
    elif kind == "phimoe":
        experts = {"num_local_experts": 2, "num_experts_per_tok": 1, "head_dim": 8}
        model = PhimoeForCausalLM(PhimoeConfig(**config, **experts))
    else:
        model = LlamaForCausalLM(LlamaConfig(**config))
    return model.eval()


def texts(lengths=LENGTHS):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, TOKENS, (n,), generator=generator).tolist() for n in lengths]


@cache
def untouched(kind):
    return built(kind)


@torch.inference_mode()
def alone(kind, text):
    """Return log-probabilities after each token of one text, by transformers alone."""
    model = untouched(kind)
    model(input_ids=torch.tensor([[3]]), use_cache=False)  # forgets the text before (dynamic)
    return model(input_ids=torch.tensor([text]), use_cache=False).logits[0].log_softmax(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_which_positions_depend_on_the_length(kind):
    model = built(kind)
    assert ropes.by_length(model) == (kind in ("longrope", "phimoe", "dynamic"))
    others = [length for length in range(TURN - 1, TURN + 4) if ropes.is_other(model, length)]
    once = [TURN + 1] if ropes.by_length(model) else []
    assert others == ([TURN + 1, TURN + 2, TURN + 3] if kind == "dynamic" else once)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_each_text_alone(kind):
    model = built(kind)
    rows = [Row(n, text, len(text) - 3, text[-3:], None, 0) for n, text in enumerate(texts())]
    for batch in (rows, rows[1:2], rows[:1], rows[3:4]):  # the long ones before and after
        for row, logits in zip(batch, answer_logits(model, batch, 0), strict=True):
            expected = alone(kind, row.tokens)[-3:]
            torch.testing.assert_close(logits.log_softmax(-1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_likelihoods_are_those_of_each_text_alone(kind):
    rows = [Row(n, text, 4, [*text[5:], 7], None, 0) for n, text in enumerate(texts())]
    found = dict(mean_losses(built(kind), _Pad, rows, Progress("x", len(rows)), 400))
    for row in rows:
        log_probs = alone(kind, row.tokens)[4:]
        expected = -float(log_probs[range(len(row.gold)), row.gold].mean())
        assert found[row.index] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_what_the_whole_text_says(kind):
    decoder = Decoder(built(kind), 0, lambda new: len(new) >= NEW, NEW, 3, token_statistics)
    prompts = texts()
    done = [one for part in decoder.write(map(Text, range(9), prompts)) for one in part]
    assert sorted(one.index for one in done) == list(range(len(prompts)))
    for one in done:
        for place, (token, (_, log_prob, _)) in enumerate(zip(one.new, one.measured, strict=True)):
            expected = alone(kind, one.prompt + one.new[:place])[-1]
            assert expected.argmax() == token
            assert float(expected[token]) == pytest.approx(log_prob, abs=1e-4)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "kind, method", [*((kind, "full") for kind in KINDS), ("longrope", "lora")]
)
def test_the_loss_of_a_batch_is_that_of_its_rows_alone(kind, method, packed, recipe, tmp_path):
    built(kind).save_pretrained(tmp_path)
    recipe = recipe.model_copy(update={"method": method})
    model = trainable_model(tmp_path, None, recipe, "float32", "sdpa").eval()
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=packed)
    rows = texts()
    batch = collate([{"input_ids": text} for text in rows])
    if packed:  # a pack is a row: its texts are told apart by their positions
        batch = {name: batch[name] for name in ("input_ids", "labels", "position_ids")}
    with torch.no_grad():
        found = model(**batch, use_cache=False)
    log_probs = found.logits.log_softmax(-1)
    parts = log_probs[0].split(list(map(len, rows))) if packed else log_probs
    total = 0.0
    for text, part in zip(rows, parts, strict=True):
        expected = alone(kind, text)
        torch.testing.assert_close(part[: len(text)], expected, atol=1e-4, rtol=0)
        total -= float(expected[:-1].gather(1, torch.tensor(text)[1:, None]).sum())
    tokens = sum(len(text) - 1 for text in rows)
    assert float(found.loss) == pytest.approx(total / tokens, abs=1e-4)


class _Pad:
    pad_token_id = 0
