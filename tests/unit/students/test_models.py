import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file

from caft.errors import ModelError
from caft.running import devices
from caft.running.settings import Engine
from caft.students.checks import check_folder
from caft.students.folders import (
    float32_head,
    folder_revision,
    load_chat,
    load_model,
    load_tokenizer,
    pick_device,
    prepare_student,
)
from caft.students.settings import Student
from caft.tables.files import write_json


@pytest.fixture
def copied(student, tmp_path):
    """A copy of the tiny student, to be spoilt."""
    return shutil.copytree(student, tmp_path / "copied")


def test_a_local_student_is_linked_and_described(student, tmp_path):
    folder = tmp_path / "mine"
    described = prepare_student(Student(path=str(student)), folder, tmp_path)
    assert (folder / "model.safetensors").resolve() == student / "model.safetensors"
    assert described["source"] == {"path": str(student)}
    assert described["context"] == 512
    assert described["revision"] == folder_revision(student)
    assert json.loads((folder / "student.json").read_text()) == described
    assert load_model(folder).config.hidden_size == 32


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("PreTrainedTokenizerFast", "TokenizersBackend"),
        ("LlamaTokenizerFast", "TokenizersBackend"),  # whose file is none of Llama 2
        ("Qwen2TokenizerFast", "Qwen2Tokenizer"),
        ("GPT2Tokenizer", "GPT2Tokenizer"),
        ("NobodysTokenizer", "TokenizersBackend"),
    ],
)
def test_a_prepared_student_has_the_tokenizer_that_transformers_chooses(
    copied, tmp_path, named, found
):
    config = copied / "tokenizer_config.json"
    write_json(config, {**json.loads(config.read_text()), "tokenizer_class": named})
    described = prepare_student(Student(path=str(copied)), tmp_path / "mine", tmp_path)
    assert described["tokenizer"] == found
    chosen = transformers.AutoTokenizer.from_pretrained(copied)
    loaded = load_tokenizer(tmp_path / "mine")
    text = "<|im_start|>user\n What is 12 + 5 ?\tÄ  [[A]]<|im_end|>"
    assert type(loaded) is type(chosen)
    assert loaded(text)["input_ids"] == chosen(text)["input_ids"]
    assert loaded.special_tokens_map == chosen.special_tokens_map


def test_a_class_that_transformers_does_not_know_is_found_again(student, copied):
    record = copied / "student.json"
    write_json(record, {**json.loads(record.read_text()), "tokenizer": "OfLaterVersions"})
    assert load_tokenizer(copied).get_vocab() == load_tokenizer(student).get_vocab()


def test_the_tokenizer_of_a_prepared_student_needs_no_torch(student, tmp_path):
    prepare_student(Student(path=str(student)), tmp_path / "mine", tmp_path)
    code = (
        "import sys, caft.mixtures.building, caft.report.samples\n"
        "from caft.students.folders import load_chat\n"
        "load_chat(sys.argv[1]).prompt([{'role': 'user', 'content': 'a'}], 'direct')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "mine")], check=True)


def test_nothing_is_left_of_a_student_from_elsewhere(student, copied, tmp_path):
    """A student of one file comes after one in parts, and after links to another one's folder."""
    (copied / "model.safetensors").rename(copied / "model-00001-of-00001.safetensors")
    names = dict.fromkeys(
        load_file(student / "model.safetensors"), "model-00001-of-00001.safetensors"
    )
    write_json(copied / "model.safetensors.index.json", {"metadata": {}, "weight_map": names})
    before = sorted(path.name for path in copied.iterdir())
    folder = tmp_path / "mine"
    prepare_student(Student(path=str(copied)), folder, tmp_path)
    (folder / "model.safetensors").write_text("of a model that was written here")
    described = prepare_student(Student(path=str(student)), folder, tmp_path)
    assert described["revision"] == folder_revision(student)
    assert sorted(path.name for path in folder.glob("*.safetensors*")) == ["model.safetensors"]
    assert sorted(path.name for path in copied.iterdir()) == before


def test_a_student_that_changed_its_weights_has_another_revision(copied):
    before = folder_revision(copied)
    (copied / "notes.md").write_text("not part of the model")
    assert folder_revision(copied) == before
    (copied / "chat_template.jinja").write_text("other")
    assert folder_revision(copied) != before


def test_a_student_without_a_chat_template_is_refused(copied, tmp_path):
    (copied / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="has no chat template"):
        prepare_student(Student(path=str(copied)), tmp_path / "mine", tmp_path)
    assert not (tmp_path / "mine" / "student.json").exists()


def test_of_several_chat_templates_the_default_one_is_used(student, copied, tmp_path):
    template = (copied / "chat_template.jinja").read_text()
    (copied / "chat_template.jinja").unlink()
    config = json.loads((copied / "tokenizer_config.json").read_text())

    def prepared(*names):
        named = [{"name": name, "template": f"{template}{{# {name} #}}"} for name in names]
        write_json(copied / "tokenizer_config.json", config | {"chat_template": named})
        prepare_student(Student(path=str(copied)), tmp_path / "mine", tmp_path)
        return load_chat(tmp_path / "mine").prompt([{"role": "user", "content": "a"}], "direct")

    assert prepared("tool_use", "default") == load_chat(student).prompt(
        [{"role": "user", "content": "a"}], "direct"
    )
    with pytest.raises(ModelError, match="none that is the default one"):
        prepared("tool_use", "rag")


def test_a_tokenizer_that_can_neither_pad_nor_end_is_refused(copied, tmp_path):
    config = json.loads((copied / "tokenizer_config.json").read_text())
    left = {name: value for name, value in config.items() if name not in ("pad_token", "eos_token")}
    write_json(copied / "tokenizer_config.json", left)
    with pytest.raises(ModelError, match="neither a token for padding nor one that ends"):
        prepare_student(Student(path=str(copied)), tmp_path / "mine", tmp_path)


def test_a_pickle_beside_the_safetensors_is_not_read(copied):
    (copied / "pytorch_model.bin").write_bytes(b"no pickle at all")
    check_folder(copied)
    assert load_model(copied).dtype == torch.float32


def test_a_missing_pad_token_becomes_the_end_of_sequence(unnamed, tmp_path):
    unnamed.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize(
    "gpu, device, dtype, expected",
    [
        (False, "auto", "auto", ("cpu", "float32")),
        (True, "auto", "auto", ("cuda", "bfloat16")),
        (True, "cpu", "auto", ("cpu", "float32")),
        (False, "auto", "bfloat16", ("cpu", "bfloat16")),
        (True, "auto", "float32", ("cuda", "float32")),
    ],
)
def test_device_and_precision_follow_the_machine_unless_they_are_given(
    monkeypatch, gpu, device, dtype, expected
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert pick_device(Engine(device=device, dtype=dtype)) == expected


@pytest.mark.parametrize(
    ("device", "held", "cuda", "told"),
    [
        ("cuda", 0, "12.8", "engine.device: cuda asked for, and torch 2.9.1, built for CUDA 12.8"),
        ("auto", 2, "12.8", "engine.gpus: 2 asked for, and torch 2.9.1, built for CUDA 12.8, sees"),
        ("auto", 1, None, "built for CPUs, sees none (driver 550.1); install a build of torch"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_an_error_with_versions_and_mend(
    monkeypatch, device, held, cuda, told
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "__version__", "2.9.1")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(devices, "take", lambda: None)
    monkeypatch.setattr(devices, "asked", lambda: held)
    monkeypatch.setattr(devices, "driver", lambda: "driver 550.1")
    with pytest.raises(ModelError) as error:
        pick_device(Engine(device=device))
    assert told in str(error.value)
    assert "engine: {gpus: 0, device: cpu}" in str(error.value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(
        ModelError, match=r"none \(driver 550.1\); unset CUDA_VISIBLE_DEVICES, which"
    ):
        pick_device(Engine(device=device))


@pytest.mark.parametrize(
    ("device", "wanted"), [("cuda", {"device_map": {"": "cuda"}}), ("cpu", {})]
)
def test_a_model_is_loaded_straight_to_its_device(monkeypatch, student, device, wanted):
    class Enough(Exception):
        pass

    def from_pretrained(folder, **given):
        assert {name: given[name] for name in given if name == "device_map"} == wanted
        raise Enough

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(Enough):
        load_model(student, device=device)


def test_a_low_precision_model_has_a_float32_head_of_its_own(student, tokenizer):
    low = load_model(student, "bfloat16")
    head, embeddings = low.get_output_embeddings(), low.get_input_embeddings()
    assert embeddings.weight.dtype == torch.bfloat16
    assert head.weight.dtype == torch.float32
    assert head.weight.data_ptr() != embeddings.weight.data_ptr()
    assert torch.equal(head.weight, embeddings.weight.float())
    assert low.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16


def test_the_logits_of_a_low_precision_model_are_float32_and_close(student, model):
    low = load_model(student, "bfloat16")
    tokens = torch.arange(40)[None]
    with torch.inference_mode():
        rounded, exact = low(input_ids=tokens).logits, model(input_ids=tokens).logits
    assert rounded.dtype == torch.float32
    # Values between two bfloat16 numbers show that norm and head were not rounded.
    assert not torch.equal(rounded, rounded.bfloat16().float())
    assert torch.nn.functional.cosine_similarity(rounded, exact, dim=-1).min() > 0.99


def test_a_model_without_a_final_norm_asks_for_float32(student):
    model = load_model(student)
    del model.model.norm
    with pytest.raises(ModelError, match=r"engine\.dtype: float32"):
        float32_head(model)


def test_a_family_that_does_not_run_with_a_float32_head_asks_for_float32(chatml, tmp_path):
    """It has a layer between the final norm and the head."""
    from transformers import ModernBertDecoderConfig, ModernBertDecoderForCausalLM

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "pad_token_id": 0}
    config = ModernBertDecoderConfig(vocab_size=len(chatml), num_attention_heads=4, **small)
    ModernBertDecoderForCausalLM(config).save_pretrained(tmp_path)
    assert load_model(tmp_path).dtype == torch.float32
    with pytest.raises(ModelError, match=r"ModernBert.*engine\.dtype: float32"):
        load_model(tmp_path, "bfloat16")


def test_a_model_of_another_family_gets_a_float32_head_too():
    from transformers import GPT2Config, GPT2LMHeadModel

    low = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=4)).bfloat16()
    float32_head(low)
    with torch.inference_mode():
        assert low(input_ids=torch.arange(5)[None]).logits.dtype == torch.float32
    assert low.transformer.wte.weight.dtype == torch.bfloat16


THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


DAYS = ("2026-01-01", "2026-01-02")


def prepared(copied, tmp_path, template, thoughts=False, **settings):
    (copied / "chat_template.jinja").write_text(template)
    student = Student.model_validate({"path": str(copied), "template": settings})
    return prepare_student(student, tmp_path / "mine", tmp_path, thoughts=thoughts)


def test_what_a_prompt_is_beyond_the_template_belongs_to_the_revision(copied, tmp_path):
    described = prepared(copied, tmp_path, THINKING)
    assert described["revision"] != folder_revision(copied)
    assert described["template"]["found"]["block"]["direct"] == "<think>\n\n</think>\n\n"
    marked = prepared(copied, tmp_path, THINKING, thinks=False)
    assert marked["revision"] != described["revision"]
    assert load_chat(tmp_path / "mine").place("cot") == "cot"
    assert prepared(copied, tmp_path, THINKING)["revision"] == described["revision"]


def test_the_day_that_a_template_is_told_belongs_to_the_revision(copied, tmp_path):
    dated = "{{ strftime_now('%d %b %Y') }}" + THINKING
    one, other = (prepared(copied, tmp_path, dated, today=day) for day in DAYS)
    assert one["revision"] != other["revision"]
    one, other = (prepared(copied, tmp_path, THINKING, today=day) for day in DAYS)
    assert one["revision"] == other["revision"]
    chat = load_chat(tmp_path / "mine")
    assert chat.settings.today == "2026-01-02"


@pytest.mark.parametrize(
    "template, message",
    [
        ("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}", None),
        (
            "{% for m in messages %}<|im_end|>{{ m.role }}: {{ m.content }}\n{% endfor %}",
            "opens no turn",
        ),
        ("{{ raise_exception('none of yours') }}", "none of yours"),
        ("{% for m in messages %}{{ m.content }", "cannot render"),
        ("no messages at all", "leaves out a part"),
    ],
)
def test_a_template_that_carries_no_answer_is_refused_by_name(copied, tmp_path, template, message):
    if message is None:  # turns without any header: an answer follows the question's end
        assert prepared(copied, tmp_path, template)["template"]["found"]["block"]["direct"] == ""
        return
    with pytest.raises(ModelError, match=f"students.mine: .*{message}"):
        prepared(copied, tmp_path, template)
    assert not (tmp_path / "mine" / "student.json").exists()


def test_a_student_for_thoughts_needs_a_place_for_them(student, copied, tmp_path):
    plain = (student / "chat_template.jinja").read_text()
    prepared(copied, tmp_path, plain)
    with pytest.raises(ModelError, match=r"students.mine: .*template\.thought"):
        prepared(copied, tmp_path, plain, thoughts=True)
    prepared(copied, tmp_path, plain, thoughts=True, thought=["<think>", "</think>"])
    prepared(copied, tmp_path, THINKING, thoughts=True)


def test_what_the_makers_say_ends_a_turn_too(copied):
    write_json(copied / "generation_config.json", {"eos_token_id": [2, 7]})
    assert load_chat(copied).ends >= {2, 7}
    write_json(copied / "generation_config.json", {"eos_token_id": 5})
    assert 5 in load_chat(copied).ends
