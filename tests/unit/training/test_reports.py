import json
import sys

import pytest
from stages import CPU, mixture_of, plan_stage

from caft.errors import TrainingError
from caft.layout import LIVE_LOSSES
from caft.tables.files import read_json, write_json
from caft.training import train_planned
from caft.training.callbacks import LiveLosses, StepProgress
from caft.training.records import WORK

# What tensorboardX gives: a writer that gets every number with its step.
WRITER = """
import json, os

class SummaryWriter:
    def __init__(self, log_dir):
        os.makedirs(log_dir)
        self.file = open(os.path.join(log_dir, "numbers.jsonl"), "w")
    def add_text(self, *_):
        pass
    def add_scalar(self, name, value, step):
        self.file.write(json.dumps([name, value, step]) + "\\n")
    def flush(self):
        self.file.flush()
    def close(self):
        self.file.close()
"""
# What trackio gives: runs with a name in a project.
RUNS = """
import json
from contextvars import ContextVar

class context_vars:
    current_space_id = ContextVar("space", default=None)

config = {}
__version__ = "0.1"

class Config(dict):
    def update(self, values, **_):
        pass

config = Config()

def init(**named):
    log({key: named[key] for key in ("project", "name")})

def log(values, **_):
    with open("trackio.jsonl", "a") as file:
        file.write(json.dumps(values) + "\\n")

def finish():
    log("finished")
"""


@pytest.fixture
def stage(tmp_path, student, recipe, monkeypatch):
    """A planned stage of four updates in a folder of its own, with two stand-ins to be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "boards")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "tensorboardX.py").write_text(WRITER)
    (packages / "trackio.py").write_text(RUNS)
    monkeypatch.syspath_prepend(packages)
    rows = mixture_of(range(8)), mixture_of(range(40, 43))
    path = plan_stage(tmp_path, student, recipe, 2, *rows)
    planned = read_json(path)
    planned["place"] = {"strategy": "sft", "seed": 3, "stage": 1}
    write_json(path, planned)
    yield path
    for name in ("tensorboardX", "trackio"):
        sys.modules.pop(name, None)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_trackers_get_every_loss_under_the_name_of_strategy_seed_and_stage(stage, tmp_path):
    record = train_planned(stage, tmp_path / "feed", CPU, report_to=["tensorboard", "trackio"])
    losses = [entry["loss"] for entry in record["history"] if "loss" in entry]
    held_out = [one["validation_loss"] for one in record["history"] if "validation_loss" in one]
    assert len(losses) == 4 and len(held_out) == 2
    board = lines(tmp_path / "boards/sft-stage1-seed3-feed/numbers.jsonl")
    assert [[value, step] for name, value, step in board if name == "train/loss"] == [
        [loss, step] for step, loss in enumerate(losses, start=1)
    ]
    assert [value for name, value, _ in board if name == "eval/loss"] == held_out
    start, *logged = lines(tmp_path / "trackio.jsonl")
    assert start == {"project": "caft", "name": "sft-stage1-seed3-feed"}
    told = [one["train/loss"] for one in logged if "train/loss" in one]
    assert told == losses


def test_what_watches_a_training_changes_nothing_about_the_model(stage, tmp_path):
    plain = train_planned(stage, tmp_path / "plain", CPU)
    watched = train_planned(stage, tmp_path / "watched", CPU, report_to=["tensorboard"])
    assert not (tmp_path / "boards/sft-stage1-seed3-plain").exists()
    for name in ("weights_sha256", "history", "spec"):
        assert plain[name] == watched[name]


def test_launched_processes_hand_their_losses_over_once(stage, tmp_path, monkeypatch):
    paths = [str(tmp_path / "packages"), *sys.path]
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in paths if path))
    record = train_planned(
        stage, tmp_path / "feed", CPU, [sys.executable], report_to=["tensorboard"]
    )
    board = lines(tmp_path / "boards/sft-stage1-seed3-feed/numbers.jsonl")
    assert sum(name == "train/loss" for name, *_ in board) == record["steps"] == 4


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_trained(stage, tmp_path):
    missing = r"training\.report_to: not installed here: mlflow, wandb; install it"
    with pytest.raises(TrainingError, match=missing):
        train_planned(stage, tmp_path / "model", CPU, report_to=["mlflow", "tensorboard", "wandb"])
    assert not (tmp_path / "model").exists()


def test_losses_can_be_read_while_the_training_runs(stage, tmp_path, monkeypatch):
    live, seen = tmp_path / "model" / WORK / LIVE_LOSSES, []

    def look(self, args, state, control, **named):
        LiveLosses.on_log(self, args, state, control, **named)
        seen.append(len(lines(live)))

    class Watched(LiveLosses):
        on_log = look

    monkeypatch.setattr("caft.training.callbacks.LiveLosses", Watched)
    train_planned(stage, tmp_path / "model", CPU)
    assert seen == [1, 2, 3, 4, 5, 6, 6], "updates and validations; the last one tells the time"
    assert not live.exists(), "the record has them"


def test_a_resumed_training_goes_on_with_the_losses_of_its_checkpoint(stage, tmp_path, monkeypatch):
    live, told = tmp_path / "model" / WORK / LIVE_LOSSES, StepProgress.on_log

    def stop(self, args, state, control, **named):
        told(self, args, state, control, **named)
        if state.global_step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StepProgress, "on_log", stop)
        train_planned(stage, tmp_path / "model", CPU, None, 1e-9)
    before = lines(live)
    kept = {}
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: kept.update(rows=lines(live)))
    record = train_planned(stage, tmp_path / "model", CPU, None, 1e-9)
    assert kept["rows"] == record["history"] and kept["rows"][: len(before)] == before
