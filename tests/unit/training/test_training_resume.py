import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stages import CPU, TINY_RECIPE, changed, mixture_of, plan_stage

from caft.tables.files import read_json
from caft.training import is_trained, train_planned, trainer
from caft.training.callbacks import wait_between
from caft.training.checkpoints import MARK, complete, keep_usable, make_room

EVERY_STEP = 1e-9  # minutes
TRAIN = """
import sys
from pathlib import Path
from caft.running.settings import Engine
from caft.training import train_planned
engine = Engine(device="cpu", dtype="float32")
train_planned(Path(sys.argv[1]), Path(sys.argv[2]), engine, None, 1e-9)
"""


@pytest.fixture(scope="module")
def noisy():
    """A recipe in which everything random matters: dropout, row order, a schedule, two steps."""
    return changed(
        TINY_RECIPE,
        lora=changed(TINY_RECIPE.lora, dropout=0.2),
        schedule="cosine",
        warmup_share=0.2,
        gradient_accumulation=2,
        keep_epochs=True,
    )


@pytest.fixture(scope="module")
def stage(student, noisy, tmp_path_factory):
    """A stage of 15 updates: 37 rows by 8, three epochs, with validation rows."""
    folder = tmp_path_factory.mktemp("stage")
    return plan_stage(folder, student, noisy, 3, mixture_of(range(37)), mixture_of(range(40, 50)))


@pytest.fixture(scope="module")
def whole(stage, tmp_path_factory):
    """The record of an uninterrupted training without checkpoints."""
    return train_planned(stage, tmp_path_factory.mktemp("models") / "whole", CPU)


def same_training(record, whole):
    """Tell whether weights, every kept epoch and all losses are equal to the last bit."""
    names = ("weights_sha256", "history", "steps", "epochs", "files")
    return {name: record[name] for name in names} == {name: whole[name] for name in names}


def kill_at(stage, folder, step):
    """Train in a process of its own; SIGKILL it while it writes the checkpoint of a step."""
    process = subprocess.Popen([sys.executable, "-c", TRAIN, str(stage), str(folder)])
    deadline = time.monotonic() + 300
    while not (folder / f"trainer/checkpoint-{step}").is_dir():
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_a_killed_training_ends_as_if_it_never_was(stage, whole, tmp_path):
    step = random.Random(11).randint(3, 14)
    kill_at(stage, tmp_path / "model", step)
    assert not is_trained(tmp_path / "model")
    before = sorted(path.parent.name for path in tmp_path.glob(f"model/trainer/*/{MARK}"))
    assert f"checkpoint-{step - 1}" in before
    record = train_planned(stage, tmp_path / "model", CPU, None, EVERY_STEP)
    assert same_training(record, whole)
    assert [entry["step"] for entry in record["history"] if "loss" in entry] == [*range(1, 16)]
    assert not (tmp_path / "model/trainer").exists()


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("step", [1, 5, 7, 10, 14])
def test_it_goes_on_from_any_step_and_from_between_two_epochs(
    stage, whole, tmp_path, monkeypatch, step
):
    first_steps = []

    class Dying(trainer.StageTrainer):
        def _save_checkpoint(self, *arguments):
            super()._save_checkpoint(*arguments)
            if self.state.global_step == step:
                raise Interrupted

        def training_step(self, *arguments, **named):
            first_steps.append(self.state.global_step)
            return super().training_step(*arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(trainer, "StageTrainer", Dying)
        train_planned(stage, tmp_path / "model", CPU, None, EVERY_STEP)
    kept = {path.parent.name for path in tmp_path.glob(f"model/trainer/*/{MARK}")}
    assert kept == {f"checkpoint-{number}" for number in (step - 1, step) if number}
    first_steps.clear()
    monkeypatch.setattr(trainer, "StageTrainer", Dying)
    with monkeypatch.context() as patch:
        patch.setattr(Dying, "_save_checkpoint", lambda *_: pytest.fail("asked for none"))
        record = train_planned(stage, tmp_path / "model", CPU)
    assert first_steps[0] == step
    assert same_training(record, whole)


def test_seconds_are_the_sum_over_the_parts(stage, tmp_path, monkeypatch):
    class Dying(trainer.StageTrainer):
        def _save_checkpoint(self, *arguments):
            self.meter.before = {"seconds": 1000.0, "energy_wh": None}  # as if it had run so long
            super()._save_checkpoint(*arguments)
            raise Interrupted

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(trainer, "StageTrainer", Dying)
        train_planned(stage, tmp_path / "model", CPU, None, EVERY_STEP)
    record = train_planned(stage, tmp_path / "model", CPU)
    assert 1000 < record["seconds"] < 2000
    assert record["energy_wh"] is None


def test_no_checkpoint_is_written_before_its_time(stage, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(
        trainer.StageTrainer, "_save_checkpoint", lambda *_: pytest.fail("too early")
    )
    assert same_training(train_planned(stage, tmp_path / "model", CPU, None, 600), whole)


@pytest.mark.parametrize(
    ("minutes", "cost", "seconds"),
    [(10, 0, 600), (10, 30, 600), (10, 60, 1140), (1, 4, 76), (1e-9, 60, 6e-8)],
)
def test_checkpoints_take_a_twentieth_of_the_time_at_most(minutes, cost, seconds):
    assert wait_between(minutes, cost) == pytest.approx(seconds)


def test_checkpoints_on_another_disk_are_gone_on_from_and_removed(
    stage, whole, tmp_path, monkeypatch
):
    class Dying(trainer.StageTrainer):
        def _save_checkpoint(self, *arguments):
            super()._save_checkpoint(*arguments)
            assert self.checkpoint_seconds > 0
            if self.state.global_step == 7:
                raise Interrupted

    where = {"checkpoint_folder": tmp_path / "disk"}
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(trainer, "StageTrainer", Dying)
        train_planned(stage, tmp_path / "model", CPU, None, EVERY_STEP, **where)
    assert {path.name for path in (tmp_path / "disk/model").iterdir()} == {
        "checkpoint-6",
        "checkpoint-7",
    }
    assert not list((tmp_path / "model/trainer").glob("checkpoint-*"))
    record = train_planned(stage, tmp_path / "model", CPU, **where)
    assert same_training(record, whole)
    assert not (tmp_path / "disk/model").exists()


def test_a_disk_without_room_is_left_without_a_checkpoint(
    stage, whole, tmp_path, monkeypatch, caplog
):
    free = type(shutil.disk_usage(tmp_path))(1e9, 1e9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "complete", lambda *_, **__: pytest.fail("written"))
        record = train_planned(stage, tmp_path / "model", CPU, checkpoint_minutes=EVERY_STEP)
    assert same_training(record, whole)
    assert "set training.checkpoint_folder to a larger disk" in caplog.text


def test_a_checkpoint_of_another_training_is_not_used(student, noisy, stage, tmp_path, monkeypatch):
    class Dying(trainer.StageTrainer):
        def _save_checkpoint(self, *arguments):
            super()._save_checkpoint(*arguments)
            raise Interrupted

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(trainer, "StageTrainer", Dying)
        train_planned(stage, tmp_path / "model", CPU, None, EVERY_STEP)
    other = changed(noisy, learning_rate=0.02, keep_epochs=False)
    planned = plan_stage(tmp_path, student, other, 1, mixture_of(range(37)))
    monkeypatch.setattr(
        trainer.StageTrainer, "go_on_from", lambda *_: pytest.fail("went on from the other's")
    )
    assert train_planned(planned, tmp_path / "model", CPU)["steps"] == 5


def checkpoint(folder, step, identity="mine", files=("weights", "state")):
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    for name in files:
        (made / name).write_text(f"{name} {step}")
    complete(made, identity, seconds=1.0)
    return made


def test_the_newest_complete_checkpoint_is_used_and_the_torn_are_removed(tmp_path):
    checkpoint(tmp_path, 8)
    ninth = checkpoint(tmp_path, 9)
    cut, lost, unmarked, foreign = (checkpoint(tmp_path, step) for step in (10, 11, 12, 13))
    (cut / "weights").write_text("w")
    (lost / "state").unlink()
    (unmarked / MARK).unlink()
    shutil.rmtree(foreign)
    checkpoint(tmp_path, 13, identity="another")
    assert keep_usable(tmp_path, "mine") == ninth
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-8", "checkpoint-9"]
    assert keep_usable(tmp_path / "nowhere", "mine") is None


def test_before_a_checkpoint_is_written_only_the_newest_complete_one_stays(tmp_path):
    for step in (7, 8, 9):
        checkpoint(tmp_path, step)
    (checkpoint(tmp_path, 10) / "weights").write_text("w")
    make_room(tmp_path, "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-9"]
    make_room(tmp_path / "nowhere", "mine")


def test_a_checkpoint_is_on_disk_before_its_mark(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def recording(descriptor):
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve().name.split(".tmp")[0])
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    made = checkpoint(tmp_path, 1)
    mark = next(place for place, name in enumerate(synced) if MARK in name)
    assert {"state", "weights", "checkpoint-1"} <= set(synced[:mark])
    assert read_json(made / MARK)["files"] == {"state": 7, "weights": 9}
