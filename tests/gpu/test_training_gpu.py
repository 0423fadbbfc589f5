"""Trainings on a GPU: in parts, packed, measured against the arithmetic; elsewhere skipped."""

import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from safetensors.torch import load_file
from stages import changed, mixture_of, plan_stage

from caft.running.settings import Engine

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

ACCELERATE = Path(__file__).parents[2] / "config/accelerate"
ON_CARD = Engine(device="cuda")
TRAIN = """
import sys
from pathlib import Path
from caft.running.settings import Engine
from caft.training import train_planned
stage, folder, disk = map(Path, sys.argv[1:])
train_planned(stage, folder, Engine(device="cuda"), None, 1e-9, (), disk)
"""


@pytest.fixture
def train(student, recipe, tmp_path):
    """Train one epoch on the GPU with some settings changed."""
    from caft.training import StageJob, train_stage

    def run(folder, attention="sdpa", rows=16, **changes):
        job = StageJob(mixture_of(range(rows)), student, changed(recipe, **changes), 1, 1)
        return train_stage(job, tmp_path / folder, Engine(device="cuda", attention=attention))

    return run


def losses(record):
    return [entry["loss"] for entry in record["history"]]


def weights(folder):
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


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
    record = train_stage(StageJob(rows, folder, recipe, 1, 1), tmp_path / "model", ON_CARD)
    tokens = 4 * record["all_tokens"] / 16
    told = training_memory(shape_of(config.to_dict()), recipe, again).of(tokens)
    assert torch.cuda.max_memory_allocated() == pytest.approx(told, rel=0.3)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_training_goes_on_as_if_it_never_was_on_a_gpu(student, recipe, tmp_path, method):
    """What is drawn for the dropout goes on as well; checkpoints lie on a disk of their own."""
    from caft.training import is_trained, train_planned

    noisy = changed(recipe.lora, dropout=0.2)
    own = changed(recipe, method=method, lora=noisy, learning_rate=1e-3, schedule="cosine")
    stage = plan_stage(tmp_path, student, own, 2, mixture_of(range(37)))
    whole = train_planned(stage, tmp_path / "whole", ON_CARD)
    folder, disk = tmp_path / "killed", tmp_path / "disk"
    words = [sys.executable, "-c", TRAIN, *map(str, (stage, folder, disk))]
    process = subprocess.Popen(words)
    while not (disk / "killed/checkpoint-2/complete.json").is_file():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not is_trained(folder)
    record = train_planned(stage, folder, ON_CARD, None, 1e-9, (), disk)
    assert losses(record) == pytest.approx(losses(whole), abs=1e-2)  # in bfloat16
    pairs = zip(weights(folder).values(), weights(tmp_path / "whole").values(), strict=True)
    # A card may add in another order; an optimizer that begins anew is off by more than this.
    assert max(float((one - other).abs().mean()) for one, other in pairs) < 1e-4
    assert not disk.joinpath("killed").exists()


def test_a_training_that_uses_the_memory_up_names_the_key():
    from caft.running.ends import foreseen

    with pytest.raises(torch.OutOfMemoryError) as error:
        torch.empty(10**12, device="cuda")
    told = foreseen(error.value, "train_stage")
    assert told.startswith("the memory of the GPU is used up") and "training.batch_size" in told


@pytest.mark.parametrize(
    ("name", "method"), [("multi_gpu", "lora"), ("fsdp", "lora"), ("fsdp", "full")]
)
def test_two_cards_train_what_one_trains(student, recipe, tmp_path, name, method):
    from caft.training import train_planned

    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    own = changed(recipe, method=method)
    stage = plan_stage(tmp_path, student, own, 1, mixture_of(range(16)))
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    one = train_planned(stage, tmp_path / "one", ON_CARD)
    two = train_planned(
        stage, tmp_path / "two", ON_CARD, [*launcher, str(ACCELERATE / f"{name}.yaml")], 1e-9
    )
    assert two["processes"] == 2 and two["sharded"] is (name == "fsdp")
    assert losses(two) == pytest.approx(losses(one), abs=2e-2)
    assert weights(tmp_path / "two").keys() == weights(tmp_path / "one").keys()
