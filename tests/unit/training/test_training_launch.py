import logging
import sys
from pathlib import Path

import pytest
from stages import CPU, changed, mixture_of, plan_stage

from caft.errors import TrainingError
from caft.mixtures.recipe import EarlyStopping
from caft.students.folders import load_model
from caft.training import is_trained, train_planned
from caft.training.recipes import trainable_model

ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
CONFIG = Path(__file__).parents[3] / "config/accelerate"
TWO = [*ACCELERATE, str(CONFIG / "cpu_two_processes.yaml")]
PYTHON = [sys.executable]


@pytest.fixture
def log(caplog):
    """What the job's log gets."""
    caplog.set_level(logging.INFO, logger="caft")
    return caplog


def test_two_processes_train_what_one_trains(student, recipe, tmp_path, log):
    """Tolerance 1e-4 in the losses: sums are added up in another order."""
    several = changed(recipe, gradient_accumulation=2, schedule="cosine", keep_epochs=True)
    # 13 rows by 8: the last step has one row for two processes, the other gets one without loss.
    rows, held_out = mixture_of(range(13)), mixture_of(range(40, 43))
    stage = plan_stage(tmp_path, student, several, 2, rows, held_out)
    one = train_planned(stage, tmp_path / "one", CPU)
    two = train_planned(stage, tmp_path / "two", CPU, TWO, 1e-9)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert len(one["history"]) == len(two["history"]) == 6
    for mine, theirs in zip(one["history"], two["history"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)
    assert is_trained(tmp_path / "two") and not (tmp_path / "two/trainer").exists()
    for name in ("rows", "steps", "target_tokens", "all_tokens", "epochs", "spec"):
        assert one[name] == two[name]
    assert sorted(one["files"]) == sorted(two["files"])
    assert "epoch 2: validation loss" in log.text
    assert log.text.count("epoch 2: validation loss") == 2  # one line per training


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_process_that_is_given_its_weights_has_an_address_for_each(
    student, recipe, method, monkeypatch
):
    """accelerate finds the weights that an optimizer moves by their addresses."""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
    monkeypatch.setenv("RANK", "1")
    given = trainable_model(student, None, changed(recipe, method=method), "float32", "sdpa")
    weights = [weight for weight in given.parameters() if weight.requires_grad]
    assert len({weight.data_ptr() for weight in weights}) == len(weights) > 10
    whole = load_model(student, "float32", "cpu")
    base = given.get_base_model() if method == "lora" else given
    assert base.lm_head.weight is base.model.embed_tokens.weight
    computed = dict(base.named_buffers())
    assert computed and all((computed[name] == one).all() for name, one in whole.named_buffers())


def test_a_launched_process_fails_with_its_reason(student, recipe, tmp_path, log):
    early = changed(recipe, early_stopping=EarlyStopping(patience=1))
    stage = plan_stage(tmp_path, student, early, 1, mixture_of(range(8)))
    with pytest.raises(TrainingError, match=r"training\.early_stopping needs validation rows"):
        train_planned(stage, tmp_path / "model", CPU, PYTHON)
    assert "Traceback" not in log.text


def test_an_unexpected_failure_is_named_and_its_traceback_logged(student, recipe, tmp_path, log):
    stage = plan_stage(tmp_path, student, recipe, 1, mixture_of(range(8)))
    stage.write_text("{}")
    with pytest.raises(TrainingError, match="KeyError: 'spec'"):
        train_planned(stage, tmp_path / "model", CPU, PYTHON)
    assert "Traceback" in log.text


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        (["/nowhere/launch"], r"training\.launcher: /nowhere/launch cannot be run"),
        (["false"], r"training\.launcher ended with status 1"),
        (["true"], "trained nothing; does it start the command"),
    ],
)
def test_a_launcher_that_does_not_launch_is_an_error(student, recipe, tmp_path, launcher, message):
    stage = plan_stage(tmp_path, student, recipe, 1, mixture_of(range(8)))
    with pytest.raises(TrainingError, match=message):
        train_planned(stage, tmp_path / "model", CPU, launcher)
