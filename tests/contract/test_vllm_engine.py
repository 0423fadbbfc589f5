"""What vLLM is asked for: a stand-in with vLLM's names records it and stops where vLLM stops."""

import json
import shutil
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from caft.errors import ModelError
from caft.prompting.chat import Chat
from caft.running.settings import Engine as Settings
from caft.students import vllm as students_vllm
from caft.students.engines import generate_with
from caft.students.folders import load_tokenizer
from caft.students.generation import Decoding, generate
from caft.students.opened import Subject, open_scorer
from caft.students.vllm import VllmModel
from caft.students.vllm import generate as generate_vllm
from caft.students.vllm import open_scorer as open_vllm


class Request(SimpleNamespace):
    """SamplingParams and LoRARequest: keeps what it was made with."""


class Engine:
    """`vllm.LLM`: writes what a script says and stops as vLLM documents it."""

    def __init__(self, **settings):
        self.settings, self.calls = settings, []

    def write(self, tokenizer, scripts):
        """Answer each prompt with the tokens of a text, whatever is asked."""
        self.tokenizer, self.scripts = tokenizer, scripts
        return self

    def generate(self, prompts, sampling_params, **settings):
        self.calls.append((prompts, sampling_params, settings))
        return [self._answer(*pair) for pair in zip(prompts, sampling_params, strict=True)]

    def _answer(self, prompt, asked):
        ids = prompt["prompt_token_ids"]
        start = next(start for start in self.scripts if tuple(ids[: len(start)]) == start)
        rest, new, reason = self.scripts[start][len(ids) - len(start) :], [], "length"
        for token in rest[: asked.max_tokens]:
            new.append(token)
            text = self.tokenizer.decode(new, skip_special_tokens=True)
            if token in asked.stop_token_ids or any(stop in text for stop in asked.stop or ()):
                reason = "stop"
                break
        written = SimpleNamespace(token_ids=new, finish_reason=reason, logprobs=None)
        if hasattr(asked, "logprobs"):
            written.logprobs = [{token: SimpleNamespace(logprob=-token / 100)} for token in new]
        return SimpleNamespace(outputs=[written])


@pytest.fixture(autouse=True)
def vllm(monkeypatch):
    """The stand-in, installed as `vllm` on a machine with a GPU."""
    module = ModuleType("vllm")
    module.__spec__ = ModuleSpec("vllm", None)
    module.__version__ = "0.0"
    module.LLM = Engine
    module.SamplingParams = type("SamplingParams", (Request,), {})
    platforms, lora, request = (
        ModuleType(f"vllm.{name}") for name in ("platforms", "lora", "lora.request")
    )
    platforms.current_platform = SimpleNamespace(device_type="cuda")

    def lora_request(name, number, path):
        return Request(name=name, number=number, path=path)

    request.LoRARequest = lora_request
    for part in (module, platforms, lora, request):
        monkeypatch.setitem(sys.modules, part.__name__, part)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    return module


ENGINE = Settings()


def asking(*questions):
    return [[{"role": "user", "content": question}] for question in questions]


def scripted(tokenizer, answers):
    """An engine that gives each question its answer, in vLLM's tokens."""
    return Engine().write(
        tokenizer,
        {
            tuple(Chat(tokenizer).prompt(asking(question)[0], "direct")): tokens
            for question, tokens in answers.items()
        },
    )


def answers(engine, tokenizer, questions, limit, seeds=(), logprobs=False, **settings):
    decoding = Decoding(limit, **settings)
    model, prompts = VllmModel(engine, "cuda"), asking(*questions)
    batches = generate_vllm(model, Chat(tokenizer), prompts, decoding, seeds, logprobs)
    found = {answer.index: answer for batch in batches for answer in batch}
    return [found[index] for index in range(len(questions))]


@pytest.mark.parametrize("limit, stop_at_answer", [(40, True), (40, False), (3, True)])
def test_the_same_tokens_are_read_as_the_other_engine_reads_them(
    taught, lessons, limit, stop_at_answer
):
    scorer = open_scorer(Subject(taught / "student.json", None, Settings(device="cpu")))
    tokenizer, prompts = scorer.chat.tokenizer, asking(*lessons)
    expected = sorted(
        (
            answer
            for batch in generate(
                scorer.model, scorer.chat, prompts, Decoding(limit, stop_at_answer=stop_at_answer)
            )
            for answer in batch
        ),
        key=lambda answer: answer.index,
    )
    texts = {
        question: [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id]
        for question, answer in lessons.items()
    }
    engine = scripted(tokenizer, texts)
    assert (
        answers(engine, tokenizer, list(lessons), limit, stop_at_answer=stop_at_answer) == expected
    )
    assert {answer.finish_reason for answer in expected} == (
        {"stop"} if limit == 40 else {"stop", "length"}
    )


def test_prompts_are_our_tokens_and_decoding_is_greedy_with_our_ends_alone(taught):
    tokenizer = load_tokenizer(taught)
    question = "what is <|im_end|> ?"
    engine = scripted(tokenizer, {question: [tokenizer.eos_token_id]})
    answers(engine, tokenizer, [question], 7, stop_at_answer=True, batch_size=3)
    ((prompts, (asked,), settings),) = engine.calls
    assert prompts == [{"prompt_token_ids": Chat(tokenizer).prompt(asking(question)[0], "direct")}]
    assert vars(asked) == {
        "temperature": 0.0,
        "max_tokens": 7,
        "ignore_eos": True,
        "stop_token_ids": sorted(Chat(tokenizer).ends),
        "stop": ["]]"],
        "include_stop_str_in_output": True,
    }
    assert settings == {"lora_request": None, "use_tqdm": False}


def test_an_answer_goes_on_behind_brackets_that_mark_nothing(taught):
    tokenizer = load_tokenizer(taught)
    text = tokenizer("a[b[1]] is 2 so [[2]] and [[3]]")["input_ids"]
    engine = scripted(
        tokenizer, {"a": [*text, tokenizer.eos_token_id], "b": [tokenizer.eos_token_id]}
    )
    listed, empty = answers(engine, tokenizer, ["a", "b"], 60, stop_at_answer=True)
    assert (listed.text, listed.finish_reason) == ("a[b[1]] is 2 so [[2]]", "stop")
    assert (empty.text, empty.new_tokens) == ("", 1)
    again, (asked,), _ = engine.calls[1]
    assert len(engine.calls) == 2 and len(again) == 1
    assert asked.max_tokens == 60 - (len(again[0]["prompt_token_ids"]) - listed.prompt_tokens)


def test_a_sample_has_its_seed_and_goes_on_with_another_one(taught):
    tokenizer = load_tokenizer(taught)
    first = tokenizer("a[b[1]]")["input_ids"]
    whole = [*first, *tokenizer(" so [[2]]")["input_ids"]]
    engine = scripted(tokenizer, {"a": whole, "b": [tokenizer.eos_token_id]})
    listed, empty = answers(
        *(engine, tokenizer, ["a", "b"], 60, [7, 8], True),
        **{"temperature": 0.7, "top_p": 0.9, "stop_at_answer": True},
    )
    asked = [one for _, sampled, _ in engine.calls for one in sampled]
    assert {(one.temperature, one.top_p, one.logprobs) for one in asked} == {(0.7, 0.9, 0)}
    assert [one.seed for one in asked[:2]] == [7, 8]
    assert asked[2].seed not in (7, 8) and len(asked) == 3
    assert listed.text == "a[b[1]] so [[2]]"
    assert listed.measured == [[-token / 100] for token in listed.tokens]
    assert empty.measured == [] and empty.new_tokens == 1


def test_prompts_are_given_in_lots_so_that_a_kill_loses_one_at_most(taught, monkeypatch):
    monkeypatch.setitem(students_vllm._LOT, "cuda", 2)
    tokenizer = load_tokenizer(taught)
    engine = scripted(tokenizer, {name: [tokenizer.eos_token_id] for name in "abcde"})
    model, decoding = VllmModel(engine, "cuda"), Decoding(7)
    batches = generate_vllm(model, Chat(tokenizer), asking(*"abcde"), decoding)
    assert [answer.index for answer in next(batches)] == [0, 1]
    assert len(engine.calls) == 1
    assert [[answer.index for answer in batch] for batch in batches] == [[2, 3], [4]]


def test_an_answer_that_fills_the_context_ends_there(taught):
    tokenizer = load_tokenizer(taught)
    engine = scripted(tokenizer, {"a": tokenizer("one two")["input_ids"]})
    (answer,) = answers(engine, tokenizer, ["a"], 60)
    assert (answer.text, answer.finish_reason) == ("one two", "length")


def test_a_student_is_started_in_the_precision_of_the_device(vllm, taught):
    scorer = open_vllm(Subject(taught / "student.json", None, ENGINE))
    assert scorer.model.adapter is None
    assert scorer.model.engine.settings == {
        "model": str(taught),
        "tokenizer": str(taught),
        "dtype": "bfloat16",
        "generation_config": "vllm",
        "trust_remote_code": False,
        "max_model_len": 512,
    }
    assert (scorer.spec["device"], scorer.spec["libraries"]["vllm"]) == ("cuda", "0.0")
    exact = open_vllm(Subject(taught / "student.json", None, Settings(dtype="float32")))
    assert exact.model.engine.settings["dtype"] == "float32"


def trained(folder, method, **adapter):
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"method": method}))
    if method == "lora":
        (folder / "adapter_config.json").write_text(json.dumps(adapter))
        (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder / "model.json"


def test_an_adapter_is_laid_over_the_student(vllm, taught, tmp_path):
    record = trained(tmp_path / "d1", "lora", r=20, use_dora=False)
    model = open_vllm(Subject(taught / "student.json", record, ENGINE)).model
    assert model.engine.settings["model"] == str(taught)
    assert (model.engine.settings["enable_lora"], model.engine.settings["max_lora_rank"]) == (
        True,
        32,
    )
    assert vars(model.adapter) == {"name": "1-d1", "number": 1, "path": str(tmp_path / "d1")}
    tokenizer = load_tokenizer(taught)
    model.engine.write(tokenizer, {(): [*Chat(tokenizer).prompt(asking("a")[0], "direct"), 5]})
    list(generate_vllm(model, Chat(tokenizer), asking("a"), Decoding(1)))
    assert model.engine.calls[0][2]["lora_request"] is model.adapter


def test_a_whole_model_replaces_the_student(vllm, taught, tmp_path):
    record = trained(tmp_path / "d2", "full")
    for part in ("config.json", "model.safetensors"):
        shutil.copy(taught / part, tmp_path / "d2")
    settings = open_vllm(Subject(taught / "student.json", record, ENGINE)).model.engine.settings
    assert (settings["model"], settings["tokenizer"]) == (str(tmp_path / "d2"), str(taught))


@pytest.mark.parametrize(
    "adapter, message", [({"r": 600}, "rank 512"), ({"r": 4, "use_dora": True}, "DoRA")]
)
def test_an_adapter_that_vllm_does_not_know_is_refused(vllm, taught, tmp_path, adapter, message):
    record = trained(tmp_path / "d3", "lora", **adapter)
    with pytest.raises(ModelError, match=f"{message}.*evaluation.engine: transformers"):
        _ = open_vllm(Subject(taught / "student.json", record, ENGINE)).model


@pytest.mark.parametrize("found, wanted", [("", "auto"), ("tpu", "auto"), ("cuda", "cpu")])
def test_a_device_that_vllm_does_not_run_on_is_refused(vllm, taught, found, wanted):
    vllm.platforms = sys.modules["vllm.platforms"]
    vllm.platforms.current_platform.device_type = found
    with pytest.raises(ModelError, match=f"runs on {found or 'no device here'}, .*{wanted}"):
        open_vllm(Subject(taught / "student.json", None, Settings(device=wanted)))


def test_a_missing_vllm_says_what_to_install(monkeypatch, taught):
    monkeypatch.setattr("caft.students.vllm.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"evaluation\.engine: .*`pip install vllm`"):
        open_vllm(Subject(taught / "student.json", None, ENGINE))


def test_the_setting_chooses_the_engine():
    assert (generate_with("vllm"), generate_with("transformers")) == (generate_vllm, generate)
