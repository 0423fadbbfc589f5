"""Both engines of the evaluation answer alike; skipped where vLLM or its device is missing."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from caft.complexity.generations import Sampling, generate_with_student
from caft.evaluation.settings import Evaluation
from caft.evaluation.together import Question, answer_together
from caft.prompting.asked import Asked
from caft.running.blocks import Cache
from caft.running.settings import Engine, Vllm
from caft.students import vllm
from caft.students.engines import generate_with
from caft.students.generation import Decoding
from caft.students.opened import Subject, open_scorer
from caft.students.settings import TokensPerMode, Writing

pytest.importorskip("vllm", reason="needs vLLM, which is installed beside caft, not with it")


@pytest.fixture(scope="module")
def platform():
    from vllm.platforms import current_platform

    if current_platform.device_type not in ("cuda", "cpu"):
        pytest.skip("needs a GPU, or vLLM's build for CPUs")
    return current_platform.device_type


def settings(platform, dtype="float32"):
    """Of one of several engines: on a GPU none of them is given back before the tests end."""
    share = {"vllm": Vllm(gpu_memory_utilization=0.1)} if platform == "cuda" else {}
    return Engine(device=platform, dtype=dtype, **share)


@pytest.fixture(scope="module")
def wide(chatml, tmp_path_factory):
    """A random student with heads as wide as vLLM's kernels want them, and an adapter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from tiny import save_student
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(chatml),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        tie_word_embeddings=True,
        eos_token_id=chatml.eos_token_id,
    )
    folder = tmp_path_factory.mktemp("models")
    save_student(LlamaForCausalLM(config), chatml, folder / "student")
    lora = LoraConfig(
        r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )
    get_peft_model(LlamaForCausalLM.from_pretrained(folder / "student"), lora).save_pretrained(
        folder / "adapter"
    )
    (folder / "adapter/model.json").write_text(json.dumps({"method": "lora"}))
    return folder


def test_both_engines_write_the_same_greedy_answers(platform, wide):
    """On a GPU vLLM's adapters compute in bfloat16, where near ties fall differently."""
    is_exact = platform == "cpu"
    prompts = [
        [{"role": "user", "content": f"What is {number} + {number * 7} ?" + " A B" * number}]
        for number in range(24)
    ]
    engine = settings(platform, "float32" if is_exact else "bfloat16")
    decoding = Decoding(24, stop_at_answer=True)
    student = Subject(wide / "student/student.json", None, engine)
    adapted = replace(student, trained_file=wide / "adapter/model.json")

    def texts(name, scorer, model):
        batches = generate_with(name)(model, scorer.chat, prompts, decoding)
        tokens = {answer.index: answer.tokens for batch in batches for answer in batch}
        return [tokens[index][: None if is_exact else 4] for index in range(len(prompts))]

    expected = []
    for subject in (student, adapted):
        scorer = open_scorer(subject)
        expected.append(texts("transformers", scorer, scorer.model))
    assert _share(*expected) < 0.2
    opened = vllm.open_scorer(adapted)
    engine = vllm.Engine(engine.vllm, lambda: vllm.needs(opened, prompts, "direct", 24))
    scorer = engine.answering(opened)
    for model, answers in zip(
        (replace(scorer.model, adapter=None), scorer.model), expected, strict=True
    ):
        assert _share(texts("vllm", scorer, model), answers) >= (1 if is_exact else 0.5)


def _share(texts, others):
    """Return the share of texts that are equal."""
    return sum(one == other for one, other in zip(texts, others, strict=True)) / len(texts)


def test_one_engine_answers_for_a_student_and_its_adapter_in_both_modes(
    platform, wide, letters, choices
):
    precise = settings(platform, "float32" if platform == "cpu" else "bfloat16")
    student = Subject(wide / "student/student.json", None, precise)
    subjects = [student, replace(student, trained_file=wide / "adapter/model.json")]
    asked = Asked(choices(12), letters, 1)
    questions = [Question(asked, mode) for mode in ("direct", "cot")]
    cache = Cache(wide / "blocks")
    told = answer_together(questions, "test", subjects, Evaluation(engine="vllm"), cache)
    assert told["models"] == 2 and len(told["blocks"]) == 4


def test_samples_follow_their_seeds_and_are_those_that_the_other_engine_could_draw(
    platform, wide, letters, choices
):
    """The numbers drawn differ between the engines; from the likeliest token alone both draw it."""
    student = Subject(wide / "student/student.json", None, settings(platform))
    asked, limits = Asked(choices(12), letters, 1), TokensPerMode(cot=16)

    def drawn(engine, top_p, folder):
        writing, cache = Writing(max_new_tokens=limits, engine=engine), Cache(wide / folder)
        table, _, run = generate_with_student(
            asked, student, writing, cache, Sampling(2, 1.0, top_p)
        )
        assert run["status"] == {"ok": 24}
        return list(table.sort_values(["item_id", "sample"])["text"])

    likeliest = drawn("transformers", 1e-6, "likeliest")
    assert drawn("vllm", 1e-6, "likeliest-vllm") == likeliest
    any_token = drawn("vllm", 1.0, "any")
    assert any_token == drawn("vllm", 1.0, "again") != likeliest
    assert len(set(any_token)) > 12


# As a job does it: a script without a main guard, which has opened the GPU before vLLM starts.
DIVIDED = """
import sys
from pathlib import Path
import torch
from caft.running.settings import Engine, Vllm
from caft.students import vllm
from caft.students.generation import Decoding
from caft.students.opened import Subject

torch.cuda.init()
divided = Vllm(tensor_parallel_size=2, gpu_memory_utilization=0.1)
engine = Engine(device="cuda", gpus=2, vllm=divided)
scorer = vllm.open_scorer(Subject(Path(sys.argv[1]), None, engine))
prompts = [[{"role": "user", "content": f"What is {number} ?"}] for number in range(8)]
found = vllm.generate(scorer.model, scorer.chat, prompts, Decoding(8))
print("answered", sum(map(len, found)), flush=True)
"""


def test_a_model_is_divided_among_two_cards(platform, wide, tmp_path, monkeypatch):
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    monkeypatch.setenv("CAFT_GPUS", "2")  # as a job has it that asked for two
    script = tmp_path / "job.py"
    script.write_text(DIVIDED)
    student = wide / "student/student.json"
    done = subprocess.run([sys.executable, script, student], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("answered")] == [
        "answered 8"
    ]
