"""Both engines of the evaluation answer alike; skipped where vLLM or its device is missing."""

import json
from dataclasses import replace

import pytest

from caft.complexity.generations import Sampling, generate_with_student
from caft.evaluation.settings import Evaluation
from caft.evaluation.together import Question, answer_together
from caft.prompting.asked import Asked
from caft.running.blocks import Cache
from caft.running.settings import Engine
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
    prompts = [
        [{"role": "user", "content": f"What is {number} + {number * 7} ?" + " A B" * number}]
        for number in range(24)
    ]
    engine = Engine(device=platform, dtype="float32")
    decoding = Decoding(24, stop_at_answer=True)
    student = Subject(wide / "student/student.json", None, engine)
    adapted = replace(student, trained_file=wide / "adapter/model.json")

    def texts(name, scorer, model):
        batches = generate_with(name)(model, scorer.chat, prompts, decoding)
        return sorted((answer.index, answer.text) for batch in batches for answer in batch)

    expected = []
    for subject in (student, adapted):
        scorer = open_scorer(subject)
        expected.append(texts("transformers", scorer, scorer.model))
    assert expected[0] != expected[1]
    # One engine for both: a second one would find the GPU's memory taken.
    opened = vllm.open_scorer(adapted)
    engine = vllm.Engine(None, lambda: vllm.needs(opened, prompts, "direct", 24))
    scorer = engine.answering(opened)
    for model, answers in zip(
        (replace(scorer.model, adapter=None), scorer.model), expected, strict=True
    ):
        assert texts("vllm", scorer, model) == answers


def test_one_engine_answers_for_a_student_and_its_adapter_in_both_modes(
    platform, wide, letters, choices
):
    student = Subject(wide / "student/student.json", None, Engine(device=platform, dtype="float32"))
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
    student = Subject(wide / "student/student.json", None, Engine(device=platform, dtype="float32"))
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
