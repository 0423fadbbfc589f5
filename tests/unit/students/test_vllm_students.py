"""What caft asks of vLLM and reads of it, with a stand-in at its edge: vLLM itself is not here."""

import importlib.machinery
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest

from caft.errors import ModelError
from caft.evaluation.evaluate import Way, evaluate_model
from caft.evaluation.settings import Evaluation
from caft.evaluation.together import Question, answer_together, weights_file
from caft.prompting.asked import Asked
from caft.running.blocks import Cache
from caft.running.settings import Engine, Vllm
from caft.students import vllm
from caft.students.folders import load_chat
from caft.students.opened import Subject
from caft.tables.files import write_json


@pytest.fixture
def installed(monkeypatch):
    """A vLLM that runs on what is said; its engines note how they were started."""
    state = SimpleNamespace(device="cuda", started=[])

    def module(name, **content):
        made = ModuleType(name)
        made.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)

    class Platform:
        @property
        def device_type(self):
            return state.device

    module("vllm", __version__="0.19.0")
    module("vllm.platforms", current_platform=Platform())
    monkeypatch.setattr(vllm.devices, "asked", lambda: state.gpus)
    monkeypatch.setattr(vllm.devices, "driver", lambda: "driver 550.1")
    state.gpus = 0
    return state


@pytest.mark.parametrize(
    ("found", "wanted", "gpus", "device"),
    [
        ("cuda", "auto", 0, "cuda"),
        ("cuda", "cuda", 1, "cuda"),
        ("cpu", "auto", 0, "cpu"),
        ("cpu", "auto", 1, None),  # a GPU was asked for, and would stay unused
        ("cpu", "cuda", 0, None),
        ("cuda", "cpu", 0, None),
        ("", "auto", 0, None),
    ],
)
def test_vllm_runs_on_the_device_that_is_asked_for(installed, found, wanted, gpus, device):
    installed.device, installed.gpus = found, gpus
    if device:
        assert vllm._device(wanted) == device
    else:
        with pytest.raises(ModelError, match=r"the installed vLLM runs on .* \(driver 550.1\)"):
            vllm._device(wanted)


QUESTIONS = pd.DataFrame(
    [
        {
            "item_id": f"{number:016x}",
            "question": f"Which is {number}?" + " and so" * (40 if number == 3 else 0),
            "options": ["one", "two"],
            "answer": "A",
            "answer_kind": "choice",
            "reference_rationale": None,
            "split": "test",
        }
        for number in range(4)
    ]
)


@pytest.fixture
def answering(installed, monkeypatch, student):
    """Engines that end every answer at once; the state tells how they were started and asked."""
    end = sorted(load_chat(student).ends)[0]

    class LLM:
        def __init__(self, **given):
            if installed.refusal:
                raise ValueError(installed.refusal)
            installed.started.append(given)

        def generate(self, prompts, params, lora_request, use_tqdm):
            longest = installed.started[-1]["max_model_len"]
            for prompt, sampled in zip(prompts, params, strict=True):
                assert len(prompt["prompt_token_ids"]) + sampled.max_tokens <= longest
            installed.asked.append(lora_request and lora_request[:2])
            answer = SimpleNamespace(token_ids=[end], finish_reason="stop")
            return [SimpleNamespace(outputs=[answer]) for _ in prompts]

    sys.modules["vllm"].LLM = LLM
    sys.modules["vllm"].SamplingParams = lambda **given: SimpleNamespace(**given)
    request = ModuleType("vllm.lora.request")
    request.LoRARequest = lambda *given: given
    for name, made in (("vllm.lora", ModuleType("vllm.lora")), ("vllm.lora.request", request)):
        monkeypatch.setitem(sys.modules, name, made)
    installed.device, installed.refusal, installed.asked = "cpu", None, []
    return installed


@pytest.fixture
def subjects(student, tmp_path):
    """A student and two adapters on it, of ranks 4 and 12."""
    found = [Subject(student / "student.json", None, Engine(dtype="float32"))]
    for rank in (4, 12):
        folder = tmp_path / f"adapter-{rank}"
        write_json(folder / "adapter_config.json", {"r": rank})
        (folder / "adapter_model.safetensors").touch()
        write_json(folder / "model.json", {"method": "lora", "spec": {"rank": rank}})
        found.append(replace(found[0], trained_file=folder / "model.json"))
    return found


def limited(subjects, length):
    engine = subjects[0].engine.model_copy(update={"vllm": Vllm(max_model_len=length)})
    return [replace(subject, engine=engine) for subject in subjects]


SETTINGS = Evaluation(engine="vllm")


def test_one_engine_answers_for_all_models_and_modes(answering, subjects, letters, tmp_path):
    asked, cache = Asked(QUESTIONS, letters, 1), Cache(tmp_path / "blocks")
    questions = [Question(asked, mode) for mode in ("direct", "cot")]
    told = answer_together(questions, "test", subjects, SETTINGS, cache)
    assert told["models"] == 3 and len(told["blocks"]) == 6
    (started,) = answering.started
    assert started["max_lora_rank"] == 16
    assert not {"gpu_memory_utilization", "tensor_parallel_size"} & set(started)
    assert answering.asked == 2 * [None] + 2 * [("1-adapter-4", 1)] + 2 * [("2-adapter-12", 2)]
    chat = load_chat(subjects[0].student_file.parent)
    longest = max(len(chat.prompt(turns, "cot")) for turns in asked.prompts("cot").messages)
    assert started["max_model_len"] == longest + SETTINGS.max_new_tokens.cot
    for subject in subjects:
        table, _, _ = evaluate_model(asked, Way("test", "cot"), subject, SETTINGS, cache)
        assert list(table["parsed"]) == 4 * ["[invalid]"]
    assert len(answering.started) == 1, "the answers were there"


def test_a_prompt_that_vllm_has_no_room_for_is_a_row(answering, subjects, letters, tmp_path):
    asked, cache = Asked(QUESTIONS, letters, 1), Cache(tmp_path / "blocks")
    student, *_ = limited(subjects, 300)
    table, *_ = evaluate_model(asked, Way("test", "cot"), student, SETTINGS, cache)
    assert list(table["parsed"]) == [*3 * ["[invalid]"], "[too_long]"]
    assert answering.started[0]["max_model_len"] == 300
    assert vllm.open_scorer(student).spec["context"] == 300


def test_how_an_engine_runs_is_a_setting(answering, subjects, letters, tmp_path):
    own = Vllm(gpu_memory_utilization=0.5, tensor_parallel_size=2)
    engine = subjects[0].engine.model_copy(update={"vllm": own})
    asked, cache = Asked(QUESTIONS, letters, 1), Cache(tmp_path / "blocks")
    evaluate_model(asked, Way("test", "cot"), replace(subjects[0], engine=engine), SETTINGS, cache)
    started = answering.started[0]
    assert (started["gpu_memory_utilization"], started["tensor_parallel_size"]) == (0.5, 2)


def test_an_engine_without_room_for_its_longest_text_says_what_to_set(
    answering, subjects, letters, tmp_path
):
    answering.refusal = "To serve at least one request with the model's max seq len (8192), ..."
    answering.refusal += " KV cache is needed. Try decreasing `max_model_len`."
    asked, cache = Asked(QUESTIONS, letters, 1), Cache(tmp_path / "blocks")
    with pytest.raises(ModelError, match=r"raise engine\.vllm\.gpu_memory_utilization, or lower"):
        evaluate_model(asked, Way("test", "cot"), subjects[0], SETTINGS, cache)


def test_a_model_with_weights_of_its_own_is_left_to_its_own_job(
    answering, subjects, letters, tmp_path
):
    write_json(tmp_path / "full/model.json", {"method": "full", "spec": {}})
    full = replace(subjects[0], trained_file=tmp_path / "full/model.json")
    questions = [Question(Asked(QUESTIONS, letters, 1), "direct")]
    cache = Cache(tmp_path / "blocks")
    told = answer_together(questions, "test", [subjects[0], full], SETTINGS, cache)
    assert (told["models"], told["own_weights"]) == (1, 1)


@pytest.mark.parametrize(("length", "is_told"), [(4096, False), (4097, True)])
def test_where_vllm_takes_other_factors_for_positions_the_log_says_so(
    tmp_path, caplog, length, is_told
):
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 4096, "factor": 32.0}
    factors = {"short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "rope_theta": 10000.0}
    config = {"model_type": "phi3", "hidden_size": 64, "num_attention_heads": 4}
    config |= {"max_position_embeddings": 131072, "rope_scaling": {**rope, **factors}}
    config |= {"original_max_position_embeddings": 4096, "num_key_value_heads": 4}
    write_json(tmp_path / "config.json", config)
    vllm._tell_of_factors(tmp_path, length)
    assert ("vLLM reads all texts with the factors for more than 4096" in caplog.text) is is_told


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("base", None),
        ("0123456789abcdef", "results/models/0123456789abcdef/model.json"),
        ("0123456789abcdef-best", "results/models/0123456789abcdef/epochs/3/model.json"),
    ],
)
def test_a_models_weights_are_found_by_its_name(model, file):
    found = weights_file(model, {"0123456789abcdef": 3})
    assert found == (file and Path(file))
