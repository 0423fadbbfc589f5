"""Trainings on a GPU: in parts, packed, measured against the arithmetic; elsewhere skipped."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from stages import changed, mixture_of, plan_stage

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

ACCELERATE = Path(__file__).parents[2] / "config/accelerate"


@pytest.fixture
def train(student, recipe, tmp_path):
    """Train one epoch on the GPU with some settings changed."""
    from caft.running.settings import Engine
    from caft.training import StageJob, train_stage

    def run(folder, attention="sdpa", rows=16, **changes):
        job = StageJob(mixture_of(range(rows)), student, changed(recipe, **changes), 1, 1)
        return train_stage(job, tmp_path / folder, Engine(device="cuda", attention=attention))

    return run


def losses(record):
    return [entry["loss"] for entry in record["history"]]


def test_a_training_names_its_card_and_what_fits_it(train):
    record = train("model", batch_size="auto", update_rows=8, gradient_checkpointing="auto")
    assert record["device"] == "cuda" and torch.cuda.get_device_name() in record["gpu"]
    assert record["tokens_at_once"] == 32768 and record["checkpointing"] is False


def test_a_step_in_parts_learns_what_the_whole_one_does_on_a_gpu(train, monkeypatch):
    from caft.training import memory

    whole = train("whole", batch_size=8)
    monkeypatch.setattr(memory, "MOST_TOKENS", 100)
    parts = train("parts", batch_size="auto", update_rows=8)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-2)  # in bfloat16


@pytest.mark.parametrize("attention", ["sdpa", "flash_attention_2"])
def test_packed_rows_do_not_see_each_other_on_a_gpu(train, attention):
    if attention != "sdpa" and not (find_spec("flash_attn") or find_spec("kernels")):
        pytest.skip("needs flash-attn or kernels")
    padded = train("padded", batch_size=8)
    packed = train("packed", attention, batch_size=8, packing="padding_free")
    assert losses(packed) == pytest.approx(losses(padded), abs=2e-2)


@pytest.mark.parametrize("again", [False, True])
def test_the_arithmetic_of_memory_is_near_what_is_measured(chatml, tmp_path, again):
    """A student of 0.5B, whose activations are most of it; the arithmetic is for larger ones."""
    from tiny import save_student
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from caft.mixtures.recipe import Recipe
    from caft.running.settings import Engine
    from caft.training import StageJob, train_stage
    from caft.training.memory import shape_of, training_memory

    config = Qwen2Config(
        vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
        eos_token_id=chatml.eos_token_id,
    )  # fmt: skip
    folder = save_student(Qwen2ForCausalLM(config).bfloat16(), chatml, tmp_path / "student")
    rows = mixture_of(range(16))
    rows["completion"] = "so it is " * 500
    recipe = Recipe(batch_size=4, gradient_checkpointing=again)
    torch.cuda.reset_peak_memory_stats()
    record = train_stage(
        StageJob(rows, folder, recipe, 1, 1), tmp_path / "model", Engine(device="cuda")
    )
    tokens = 4 * record["all_tokens"] / 16
    told = training_memory(shape_of(config.to_dict()), recipe, again).of(tokens)
    assert torch.cuda.max_memory_allocated() == pytest.approx(told, rel=0.3)


@pytest.mark.parametrize("name", ["multi_gpu", "fsdp"])
def test_two_cards_train_what_one_trains(student, recipe, tmp_path, name):
    from caft.running.settings import Engine
    from caft.training import train_planned

    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    stage = plan_stage(tmp_path, student, recipe, 1, mixture_of(range(16)))
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    engine = Engine(device="cuda")
    one = train_planned(stage, tmp_path / "one", engine)
    two = train_planned(
        stage, tmp_path / "two", engine, [*launcher, str(ACCELERATE / f"{name}.yaml")], 1e-9
    )
    assert two["processes"] == 2 and two["sharded"] is (name == "fsdp")
    assert losses(two) == pytest.approx(losses(one), abs=2e-2)
