"""What a model folder from elsewhere may hold; none of it runs."""

import json
import os
import shutil
from hashlib import sha256

import pytest

from caft.errors import ModelError
from caft.students.checks import check_adapter, check_folder, check_source
from caft.students.folders import load_chat, load_model, prepare_student
from caft.students.settings import Student
from caft.tables.files import write_json
from caft.teacher.local import Local

NATIVE = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}


@pytest.fixture
def copied(student, tmp_path):
    """A copy of the tiny student, to be spoilt."""
    return shutil.copytree(student, tmp_path / "copied")


@pytest.fixture
def adapter(tmp_path):
    """What is looked at in an adapter's folder before it is loaded."""
    folder = tmp_path / "adapter"
    write_json(folder / "adapter_config.json", {"peft_type": "LORA", "auto_mapping": None})
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def change(path, **more):
    write_json(path, {**(json.loads(path.read_text()) if path.exists() else {}), **more})


@pytest.mark.parametrize(
    "files, message",
    [
        (None, "no such model folder"),
        ([], "has no config.json"),
        (["config.json"], "has no weights"),
        (["config.json", "pytorch_model.bin"], "only pickled weights .* can run code"),
        (["config.json", "model.pt"], "only pickled weights"),
        (["config.json", "last.ckpt"], r"only pickled weights \(last.ckpt\)"),
        (["config.json", "WEIGHTS.PTH"], "only pickled weights"),
        (["config.json", "tf_model.h5"], r"not read from a folder \(tf_model.h5\)"),
        (["config.json", "flax_model.msgpack"], "format that is not read"),
        (["config.json", "model-q4.gguf"], "format that is not read"),
        (["config.json", "adapter_config.json", "model.safetensors"], "adapter of another model"),
    ],
)
def test_a_folder_that_cannot_be_loaded_safely_is_refused(tmp_path, files, message):
    folder = tmp_path / "model"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).write_text("{}")
    with pytest.raises(ModelError, match=message):
        check_folder(folder)
    with pytest.raises(ModelError):
        load_model(folder)
    if files:
        assert any(
            message.split()[0] in text
            for _, text in Local(provider="local", model=str(folder)).problems()
        )


@pytest.mark.parametrize(
    "index, message",
    [
        ({"weight_map": {"a": "../other/model.safetensors"}}, "no safetensors file of that folder"),
        ({"weight_map": {"a": "/etc/model.safetensors"}}, "no safetensors file of that folder"),
        ({"weight_map": {"a": "pytorch_model.bin"}}, "no safetensors file of that folder"),
        ({"weight_map": {"a": "lost.safetensors"}}, "which is not there"),
        ({"weight_map": ["a"]}, "has no weight_map"),
        ([], "has no weight_map"),
    ],
)
def test_an_index_names_only_safetensors_of_its_folder(copied, index, message):
    write_json(copied / "model.safetensors.index.json", index)
    with pytest.raises(ModelError, match=message):
        check_folder(copied)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_that_is_needed_is_refused_by_name_and_none_of_it_runs(
    copied, tmp_path, name, monkeypatch
):
    proof, code = tmp_path / "proof", tmp_path / "code"
    code.mkdir()
    (code / "config.json").write_text("{}")
    (code / "evil.py").write_text(
        f"open({str(proof)!r}, 'w').write('ran')\n"
        "from transformers import PretrainedConfig, PreTrainedTokenizerFast\n"
        "class C(PretrainedConfig):\n    model_type = 'evil'\n"
        "class T(PreTrainedTokenizerFast):\n    pass\n"
    )
    if name == "config.json":
        change(copied / name, model_type="evil", auto_map={"AutoConfig": f"{code}--evil.C"})
    else:
        auto_map = {"AutoTokenizer": [None, f"{code}--evil.T"]}
        change(copied / name, tokenizer_class="EvilTokenizer", auto_map=auto_map)
        change(copied / "config.json", model_type="smaller")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # whoever is asked says yes
    check_source(copied)  # only transformers knows what it can do without
    with pytest.raises(ModelError, match=rf"{name} names code of its own \(auto_map\)"):
        prepare_student(Student(path=str(copied)), tmp_path / "mine", tmp_path)
    if name == "config.json":
        with pytest.raises(ModelError, match=rf"{name} names code of its own \(auto_map\)"):
            load_model(copied)
    assert not proof.exists()


def test_a_model_that_transformers_knows_is_loaded_without_the_code_it_names(copied, tmp_path):
    change(copied / "config.json", auto_map=NATIVE)
    change(copied / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]})
    (copied / "evil.py").write_text("raise SystemExit('it ran')")
    prepare_student(Student(path=str(copied)), tmp_path / "mine", tmp_path)
    assert load_model(tmp_path / "mine").config.model_type == "llama"
    assert load_chat(tmp_path / "mine").tokenizer.eos_token_id is not None


@pytest.mark.parametrize(
    "name, named",
    [
        ("processor_config.json", {"auto_map": {"AutoProcessor": "evil.P"}}),
        ("processor_config.json", {"image_processor": {"auto_map": {"AutoImageProcessor": "e.P"}}}),
        ("preprocessor_config.json", {"auto_map": {"AutoFeatureExtractor": "evil.P"}}),
        ("video_preprocessor_config.json", {"auto_map": {"AutoVideoProcessor": "evil.P"}}),
        ("generation_config.json", {"custom_generate": "someone/loop"}),
        ("generation_config.json", {"auto_map": {"GenerationConfig": "evil.G"}}),
    ],
)
def test_other_configs_that_name_code_are_refused_by_name(copied, tmp_path, name, named):
    change(copied / name, **named)
    with pytest.raises(ModelError, match=f"{name} names code of its own"):
        prepare_student(Student(path=str(copied)), tmp_path / "mine", tmp_path)
    with pytest.raises(ModelError, match=f"{name} names code of its own"):
        load_model(copied)


@pytest.mark.parametrize(
    "named",
    [
        {"auto_mapping": {"base_model_class": "system", "parent_library": "os"}},
        {"megatron_config": {"a": 1}, "megatron_core": "evil"},
        {"auto_map": {"AutoModelForCausalLM": "evil.M"}},
    ],
)
def test_an_adapter_that_names_code_is_refused_by_name(student, adapter, named):
    check_adapter(adapter)
    change(adapter / "adapter_config.json", **named)
    with pytest.raises(ModelError, match="adapter_config.json names code of its own"):
        load_model(student, adapter=adapter)


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt"])
def test_an_adapter_of_another_format_is_not_read(student, adapter, name):
    (adapter / "adapter_model.safetensors").rename(adapter / name)
    with pytest.raises(ModelError, match=rf"pickled weights \({name}\).*no adapter_model.safe"):
        load_model(student, adapter=adapter)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\ufeff{}", ""])
def test_a_config_that_is_no_json_is_an_error_of_the_folder(copied, text):
    (copied / "generation_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"generation_config.json: is no JSON"):
        check_folder(copied)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x80\x04."], ids=["none", "zip", "pickle"]
)
def test_nothing_but_gguf_is_read_out_of_a_package(tmp_path, content):
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    member = {"member": "x/pytorch_model.bin", "sha256": sha256(content).hexdigest()}
    with pytest.raises(ModelError, match="pytorch_model.bin: is no GGUF file"):
        prepare_student(Student(package="x==1", **member), tmp_path / "mine", tmp_path)


def refused(folder, tmp_path, message):
    with pytest.raises(ModelError, match=message):
        prepare_student(Student(path=str(folder)), tmp_path / "mine", tmp_path)
    assert message in dict(Local(provider="local", model=str(folder)).problems())["model"]


@pytest.mark.parametrize("name", ["notes.txt", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_out_of_the_folder_is_refused(copied, tmp_path, name, relative):
    outside = tmp_path / "outside"
    outside.write_text("a secret")
    (copied / name).unlink(missing_ok=True)
    (copied / name).symlink_to("../outside" if relative else outside)
    refused(copied, tmp_path, "is a link out of")


def test_a_folder_that_is_linked_in_or_linked_twice_is_refused(copied, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (copied / "additional_chat_templates").symlink_to(tmp_path / "elsewhere")
    refused(copied, tmp_path, "is a link out of")
    (copied / "additional_chat_templates").unlink()
    (tmp_path / "step").symlink_to("/etc/hostname")
    (copied / "notes.txt").symlink_to(tmp_path / "step")
    refused(copied, tmp_path, "is a link out of")


@pytest.mark.parametrize("target", ["lost.json", "extra.json"], ids=["dangling", "loop"])
def test_a_link_that_leads_to_no_file_is_refused(copied, tmp_path, target):
    (copied / "extra.json").symlink_to(target)
    refused(copied, tmp_path, "leads to no file")


def test_what_is_no_file_is_refused(copied, tmp_path):
    os.mkfifo(copied / "extra.json")
    refused(copied, tmp_path, "leads to no file")


def test_links_inside_a_folder_and_to_the_folder_are_no_harm(copied, tmp_path):
    (copied / "model.safetensors").rename(copied / "weights.safetensors")
    (copied / "model.safetensors").symlink_to("weights.safetensors")
    (tmp_path / "named").symlink_to(copied)
    prepare_student(Student(path=str(tmp_path / "named")), tmp_path / "mine", tmp_path)
    assert load_model(tmp_path / "mine").config.hidden_size == 32


@pytest.fixture
def snapshot(student, tmp_path):
    """The tiny student as the hub's client lays it out in its cache."""
    cache = tmp_path / "hub"
    snapshot = cache / "models--a--b/snapshots" / ("0" * 40)
    blobs = cache / "models--a--b/blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in student.iterdir():
        shutil.copy(path, blobs / f"{path.name}-hash")
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}-hash")
    return snapshot


def test_the_links_of_a_hub_cache_are_followed(snapshot, tmp_path):
    prepare_student(Student(path=str(snapshot)), tmp_path / "mine", tmp_path)
    assert load_model(tmp_path / "mine").config.hidden_size == 32


@pytest.mark.parametrize(
    "target",
    ["../../refs/main", "../../../models--c--d/blobs/x", "../../blobs/away", "/etc/passwd"],
)
def test_links_of_a_hub_cache_lead_to_blobs_of_the_same_repository(snapshot, tmp_path, target):
    repository = snapshot.parent.parent
    for name in ("refs/main", "../models--c--d/blobs/x"):
        (repository / name).parent.mkdir(parents=True)
        (repository / name).write_text("{}")
    (repository / "blobs/away").symlink_to("/etc/passwd")
    (snapshot / "extra.json").symlink_to(target)
    refused(snapshot, tmp_path, "is a link out of")


def test_a_folder_that_is_only_called_like_a_cache_is_none(copied, tmp_path):
    (tmp_path / "snapshots").mkdir()
    folder = shutil.move(copied, tmp_path / "snapshots/mine")
    (tmp_path / "extra.json").write_text("{}")
    (folder / "extra.json").symlink_to("../../extra.json")
    refused(folder, tmp_path, "is a link out of")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 200_000, b"null", b"[]"])
@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
)
def test_a_file_that_is_no_json_object_is_named(copied, tmp_path, name, content):
    (copied / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name}: (is no JSON that can be read|holds no JSON)"):
        prepare_student(Student(path=str(copied)), tmp_path / "made", tmp_path)


def test_a_tokenizer_of_other_content_is_told(copied, tmp_path):
    (copied / "tokenizer.json").write_text('{"a": 1}')
    with pytest.raises(ModelError, match=r"cannot load its tokenizer \(KeyError"):
        prepare_student(Student(path=str(copied)), tmp_path / "made", tmp_path)
