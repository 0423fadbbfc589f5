"""What caft asks of vLLM and reads of it, with a stand-in at its edge: vLLM itself is not here."""

import importlib.machinery
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from caft.complexity.generations import Sampling, generate_with_student
from caft.errors import ModelError
from caft.evaluation.evaluate import Way, evaluate_model
from caft.evaluation.settings import Evaluation
from caft.evaluation.together import Question, answer_together, weights_file
from caft.prompting.asked import Asked
from caft.running.settings import Engine, Vllm
from caft.students import vllm
from caft.students.folders import load_chat
from caft.students.opened import Subject
from caft.students.settings import TokensPerMode, Writing
from caft.tables.files import write_json
from caft.teacher import Here, make_teacher
from caft.teacher.asking import Setup
from caft.teacher.collect import collect_wanted
from caft.teacher.sections import read_teacher


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


@pytest.fixture
def asked(choices, letters):
    """Four questions; the last one is long."""
    items = choices(4)
    items.loc[3, "question"] += " and so" * 40
    return Asked(items, letters, 1)


@pytest.fixture
def answering(installed, monkeypatch, student):
    """Engines that end every answer at once; the state tells how they were started and asked."""
    installed.written, installed.logprob = sorted(load_chat(student).ends)[:1], -0.5

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
            installed.sampled += params
            tokens = installed.written
            numbers = [{token: SimpleNamespace(logprob=installed.logprob)} for token in tokens]
            answer = SimpleNamespace(token_ids=tokens, finish_reason="stop", logprobs=numbers)
            return [SimpleNamespace(outputs=[answer]) for _ in prompts]

    sys.modules["vllm"].LLM = LLM
    sys.modules["vllm"].SamplingParams = lambda **given: SimpleNamespace(**given)
    request = ModuleType("vllm.lora.request")
    request.LoRARequest = lambda *given: given
    for name, made in (("vllm.lora", ModuleType("vllm.lora")), ("vllm.lora.request", request)):
        monkeypatch.setitem(sys.modules, name, made)
    installed.device, installed.refusal = "cpu", None
    installed.asked, installed.sampled = [], []
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


def longest(subjects, asked):
    chat = load_chat(subjects[0].student_file.parent)
    return max(len(chat.prompt(turns, "cot")) for turns in asked.prompts("cot").messages)


SETTINGS = Evaluation(engine="vllm")


def test_one_engine_answers_for_all_models_and_modes(answering, subjects, asked, cache):
    questions = [Question(asked, mode) for mode in ("direct", "cot")]
    told = answer_together(questions, "test", subjects, SETTINGS, cache)
    assert told["models"] == 3 and len(told["blocks"]) == 6
    (started,) = answering.started
    assert started["max_lora_rank"] == 16
    assert not {"gpu_memory_utilization", "tensor_parallel_size"} & set(started)
    assert answering.asked == 2 * [None] + 2 * [("1-adapter-4", 1)] + 2 * [("2-adapter-12", 2)]
    assert started["max_model_len"] == longest(subjects, asked) + SETTINGS.max_new_tokens.cot
    for subject in subjects:
        table, _, _ = evaluate_model(asked, Way("test", "cot"), subject, SETTINGS, cache)
        assert list(table["parsed"]) == 4 * ["[invalid]"]
    assert len(answering.started) == 1, "the answers were there"


def test_a_prompt_that_vllm_has_no_room_for_is_a_row(answering, subjects, asked, cache):
    student, *_ = limited(subjects, 300)
    table, *_ = evaluate_model(asked, Way("test", "cot"), student, SETTINGS, cache)
    assert list(table["parsed"]) == [*3 * ["[invalid]"], "[too_long]"]
    assert answering.started[0]["max_model_len"] == 300
    assert vllm.open_scorer(student).spec["context"] == 300


def test_how_an_engine_runs_is_a_setting(answering, subjects, asked, cache):
    own = Vllm(gpu_memory_utilization=0.5, tensor_parallel_size=2)
    engine = subjects[0].engine.model_copy(update={"vllm": own})
    evaluate_model(asked, Way("test", "cot"), replace(subjects[0], engine=engine), SETTINGS, cache)
    started = answering.started[0]
    assert (started["gpu_memory_utilization"], started["tensor_parallel_size"]) == (0.5, 2)


def test_an_engine_without_room_for_its_longest_text_says_what_to_set(
    answering, subjects, asked, cache
):
    answering.refusal = "To serve at least one request with the model's max seq len (8192), ..."
    answering.refusal += " KV cache is needed. Try decreasing `max_model_len`."
    with pytest.raises(ModelError, match=r"raise engine\.vllm\.gpu_memory_utilization, or lower"):
        evaluate_model(asked, Way("test", "cot"), subjects[0], SETTINGS, cache)


@pytest.mark.parametrize("divided", [1, 2])
def test_a_job_that_asks_for_none_takes_a_gpu_for_each_part_of_a_model(
    answering, subjects, monkeypatch, divided
):
    taken = []
    answering.device = "cuda"
    monkeypatch.setattr(vllm.devices, "take", lambda count=1: taken.append(count))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    own = Vllm(tensor_parallel_size=divided)
    engine = subjects[0].engine.model_copy(update={"vllm": own})
    assert vllm.open_scorer(replace(subjects[0], engine=engine)).spec["device"] == "cuda"
    assert taken[0] == divided


SCRIPT = """
import multiprocessing, os, types, sys
from pathlib import Path
from caft.running.settings import Vllm
from caft.students import vllm

KEY = "PYTORCH_ALLOC_CONF"
os.environ[KEY] = "expandable_segments:True"
print("the script runs", flush=True)

class LLM:
    def __init__(self, **_):
        context = multiprocessing.get_context(os.environ["VLLM_WORKER_MULTIPROCESSING_METHOD"])
        worker = context.Process(target=print, args=["a worker", os.environ.get(KEY)])
        worker.start()
        worker.join()

sys.modules["vllm"] = types.SimpleNamespace(LLM=LLM)
vllm.check_folder = vllm._tell_of_factors = lambda *_: None
opened = types.SimpleNamespace(folder=Path("s"), spec={"dtype": "bfloat16"})
vllm._start(opened, Path("s"), Vllm(tensor_parallel_size=2), vllm.Needs(512))
print(Path(__file__).name, os.environ[KEY])
"""


def test_processes_of_an_engine_begin_anew_and_do_not_run_the_jobs_script_again(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "the script runs",
        "a worker None",
        "job.py expandable_segments:True",
    ]


def test_a_model_with_weights_of_its_own_is_left_to_its_own_job(
    answering, subjects, asked, cache, tmp_path
):
    write_json(tmp_path / "full/model.json", {"method": "full", "spec": {}})
    full = replace(subjects[0], trained_file=tmp_path / "full/model.json")
    questions = [Question(asked, "direct")]
    told = answer_together(questions, "test", [subjects[0], full], SETTINGS, cache)
    assert (told["models"], told["own_weights"]) == (1, 1)


WRITING = Writing(max_new_tokens=TokensPerMode(cot=5), engine="vllm")


def test_samples_are_drawn_by_one_engine_and_are_never_taken_for_the_other_ones(
    answering, subjects, asked, cache
):
    short, sampling = longest(subjects, asked) + 4, Sampling(2, 0.7)
    student, *_ = limited(subjects, short)
    table, spec, run = generate_with_student(asked, student, WRITING, cache, sampling)
    assert list(table["status"]) == [*6 * ["ok"], *2 * ["too_long"]]
    assert len(answering.started) == 1 and spec["libraries"]["vllm"] == "0.19.0"
    assert {one.temperature for one in answering.sampled} == {0.7}
    assert len({one.seed for one in answering.sampled}) == 6
    other = WRITING.model_copy(update={"engine": "transformers"})
    _, _, apart = generate_with_student(asked, student, other, cache, sampling)
    assert not set(run["blocks"]) & set(apart["blocks"])


def test_a_logit_that_is_not_finite_is_seen_in_samples(answering, subjects, asked, cache):
    answering.written, answering.logprob = [5, *answering.written], float("nan")
    table, *_ = generate_with_student(asked, subjects[0], WRITING, cache, Sampling(1, 0.7))
    assert set(table["status"]) == {"non_finite_logits"}


def test_greedy_chains_and_their_statistics_stay_with_transformers(
    answering, subjects, asked, cache
):
    table, *_ = generate_with_student(asked, subjects[0], WRITING, cache)
    assert not answering.started
    assert table["entropies"].map(len).min() > 0


@pytest.mark.parametrize("trained", [0, 1])
def test_a_student_teaches_itself_with_one_engine(answering, subjects, asked, trained, tmp_path):
    keys = {"provider": "student", "max_new_tokens": 9, "samples": 2}
    setup = Setup(
        *("teachers.self", read_teacher(keys), subjects[0].engine, subjects[0].student_file),
        tmp_path / "store",
        trained_file=subjects[trained].trained_file,
        writes_with="vllm",
    )
    if trained:
        record = {"method": "lora", "weights_sha256": {}, "spec": {}}
        write_json(subjects[trained].trained_file, record)
    wanted = set(asked.items["item_id"])
    table = collect_wanted(asked.items, wanted, setup, asked.variant, 1)
    assert list(table["reason"]) == 8 * ["unparsed"]
    (started,) = answering.started
    assert started["max_model_len"] == longest(subjects, asked) + 9
    assert len({one.seed for one in answering.sampled}) == 8
    plain, own = (
        make_teacher(
            read_teacher(keys), None, Here(tmp_path, student=subjects[0].student_file, **on)
        )
        for on in ({}, {"writes_with": "vllm"})
    )
    assert own.decoding == {**plain.decoding, "engine": "vllm"}


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
