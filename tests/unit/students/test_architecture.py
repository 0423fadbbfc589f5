import copy
import logging

import pytest
import torch
import transformers
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForCausalLM

from caft.errors import ModelError
from caft.prompting.chat import Chat
from caft.running.settings import Engine
from caft.students import architecture
from caft.students.architecture import describe, final_norm
from caft.students.folders import load_model, load_tokenizer, prepare_student
from caft.students.opened import Subject, open_scorer
from caft.students.settings import Student
from caft.training.recipes import trainable_model

LLAMA = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2},
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4}
YARN = {
    **{"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0},
    "original_max_position_embeddings": 512,
}


@pytest.fixture
def described(chatml, tmp_path):
    """Return a function that describes a folder with a config of a family."""

    def describe_one(family, wanted="sdpa", stated=None, **settings):
        config = getattr(transformers, f"{family}Config")(
            **{"vocab_size": len(chatml), "pad_token_id": chatml.pad_token_id, **settings}
        )
        config.save_pretrained(tmp_path / "mine")
        return describe(tmp_path / "mine", stated, wanted, Chat(chatml))

    return describe_one


@pytest.mark.parametrize(
    "family, settings, context",
    [
        ("Llama", {**LLAMA, "max_position_embeddings": 640}, 640),
        ("Llama", LLAMA, 2048),  # of the family, where a config says nothing
        ("Mistral", {**LLAMA, "max_position_embeddings": 640, "sliding_window": 16}, 640),
        ("GPT2", {**GPT, "n_positions": 128}, 128),
        ("GPTJ", {**GPT, "rotary_dim": 4, "n_positions": 96}, 96),
        ("Mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 160}, 160),
        ("Bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": 224}, 224),
        ("Rwkv", {"hidden_size": 32, "num_hidden_layers": 2, "context_length": 192}, 192),
        # Positions that are stretched to 512 x 4, whether or not the config says so.
        ("Qwen2", {**LLAMA, "max_position_embeddings": 640, "rope_parameters": YARN}, 2048),
        ("Qwen2", {**LLAMA, "max_position_embeddings": 2048, "rope_parameters": YARN}, 2048),
    ],
)
def test_the_context_is_found_under_the_name_that_a_family_has_for_it(
    described, family, settings, context
):
    assert described(family, **settings)["context"] == context


def test_context_and_vocabulary_of_a_model_of_texts_and_images_are_those_of_its_text_part(
    chatml, tmp_path
):
    text = {**LLAMA, "vocab_size": len(chatml), "max_position_embeddings": 96, "head_dim": 8}
    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision)
    config.save_pretrained(tmp_path)
    found = describe(tmp_path, None, "sdpa", Chat(chatml))
    assert (found["context"], found["vocabulary"]) == (96, len(chatml))


def test_a_context_can_be_lowered_but_not_raised(described):
    settings = {**LLAMA, "max_position_embeddings": 640}
    assert described("Llama", stated=100, **settings)["context"] == 100
    with pytest.raises(
        ModelError, match=r"students\.mine\.context: 641 is more than the model's own 640"
    ):
        described("Llama", stated=641, **settings)


def test_a_family_without_a_longest_text_needs_one(described):
    settings = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
    assert described("Mamba", stated=300, **settings)["context"] == 300
    with pytest.raises(ModelError, match=r"mamba names no longest text; set students\.mine\.con"):
        described("Mamba", **settings)


@pytest.mark.parametrize(
    "family, message",
    [
        ("T5", "t5 is no causal language model"),
        ("Bart", "bart is no causal language model"),
        ("Bert", "bert is a model that reads a text in both directions"),
        ("xLSTM", "xlstm is a model whose forward pass takes no logits_to_keep"),
    ],
)
def test_a_family_that_is_no_decoder_is_refused_by_name(described, family, message):
    with pytest.raises(ModelError, match=message):
        described(family)


def test_a_family_that_transformers_does_not_know_is_refused(chatml, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "of_tomorrow"}')
    with pytest.raises(ModelError, match=r"transformers 5.* cannot build .*of_tomorrow"):
        describe(tmp_path, None, "sdpa", Chat(chatml))


def test_a_config_that_makes_no_model_is_refused(described):
    with pytest.raises(ModelError, match="cannot build the model of its config.json"):
        described("Llama", **{**LLAMA, "pad_token_id": 5000})


def test_a_tokenizer_with_tokens_that_the_model_lacks_is_refused(described, chatml):
    with pytest.raises(
        ModelError, match=r"knows 2 tokens that the model has no rows for, the first is '<\|im_end"
    ):
        described("Llama", **{**LLAMA, "vocab_size": len(chatml) - 2, "pad_token_id": None})


def test_only_a_special_token_that_no_text_uses_may_have_no_row(chatml, tmp_path):
    rows = len(chatml)
    transformers.LlamaConfig(**LLAMA, vocab_size=rows).save_pretrained(tmp_path)
    special, plain = copy.deepcopy(chatml), copy.deepcopy(chatml)
    special.add_tokens([AddedToken("<image>", special=True)])
    plain.add_tokens([AddedToken("<image>", special=False)])
    assert describe(tmp_path, None, "sdpa", Chat(special))["vocabulary"] == rows
    with pytest.raises(ModelError, match="knows 1 tokens .* the first is '<image>'"):
        describe(tmp_path, None, "sdpa", Chat(plain))


def test_a_family_without_sdpa_is_opened_and_trained_with_eager_and_says_so(
    described, chatml, recipe, tmp_path, caplog
):
    settings = {**LLAMA, "head_dim": 8}
    assert described("Llama", **settings)["attention"] == "sdpa"
    with caplog.at_level(logging.WARNING):
        assert described("Gemma2", **settings)["attention"] == "eager"
    assert "Gemma2ForCausalLM has no sdpa attention; eager is used instead" in caplog.text

    torch.manual_seed(0)
    source, folder = tmp_path / "mine", tmp_path / "prepared"
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source)).save_pretrained(source)
    chatml.save_pretrained(source)
    prepare_student(Student(path=str(source)), folder, tmp_path)
    scorer = open_scorer(Subject(folder / "student.json", None, Engine(device="cpu")))
    assert scorer.spec["attention"] == "eager"
    assert scorer.model.config._attn_implementation == "eager"
    trained = trainable_model(folder, None, recipe, "float32", "sdpa")
    assert trained.config._attn_implementation == "eager"


def test_flash_attention_that_is_not_there_is_refused_with_the_key_to_set(described, monkeypatch):
    flash = "flash_attention_2"
    with pytest.raises(ModelError, match="BloomForCausalLM has no flash.*engine.attention: sdpa"):
        described("Bloom", flash, hidden_size=32, n_layer=2, n_head=4, seq_length=64)
    monkeypatch.setattr(architecture, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="neither flash-attn nor kernels is installed"):
        described("Llama", flash, **LLAMA)


def test_a_family_that_runs_in_float32_alone_says_so(described, caplog):
    small = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    assert described("OpenAIGPT", **small)["context"] == 64
    assert "OpenAIGPTLMHeadModel: no final norm found; set engine.dtype: float32" in caplog.text


@pytest.mark.parametrize(
    "family, name",
    [
        ("Llama", "model.norm"),
        ("Olmo", "model.norm"),  # without weights
        ("GPT2", "transformer.ln_f"),
        ("OPT", "model.decoder.final_layer_norm"),
        ("Falcon", "transformer.ln_f"),
        ("GPTNeoX", "gpt_neox.final_layer_norm"),
        ("BioGpt", "biogpt.layer_norm"),
        ("Mpt", "transformer.norm_f"),
        ("Lfm2", "model.embedding_norm"),
        ("Mamba", "backbone.norm_f"),
        ("FalconH1", "model.final_layernorm"),
        ("NemotronH", "model.norm_f"),
        ("RecurrentGemma", "model.final_norm"),
        ("Gemma3nText", "model.norm"),
        ("Llama4Text", "model.norm"),
        ("Rwkv", "rwkv.ln_out"),
    ],
)
def test_the_final_norm_is_found_under_any_name(family, name):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(getattr(transformers, f"{family}Config")())
    assert final_norm(model) is model.get_submodule(name)


def test_a_prepared_student_says_what_its_architecture_says(student, tmp_path):
    folder = tmp_path / "mine"
    found = prepare_student(Student(path=str(student), context=300), folder, tmp_path)
    rows = load_model(folder).get_input_embeddings().num_embeddings
    assert (found["context"], found["vocabulary"], found["attention"]) == (300, rows, "sdpa")
    assert len(load_tokenizer(folder)) == rows
