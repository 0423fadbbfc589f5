"""The shipped workflow, killed while it trains: the same command goes on from the checkpoint."""

import copy

from harness import Project

from caft.tables.files import read_json


def test_a_run_killed_while_training_goes_on_from_its_checkpoint(config, tmp_path):
    changed = copy.deepcopy(config)
    changed["run"] = {**config["run"], "strategies": ["sft"], "modes": ["direct"]}
    changed["strategies"] = {
        "sft": {
            "stages": [{"buckets": ["easy", "medium", "hard"], "target": "answer", "epochs": 30}]
        }
    }
    changed["training"] = {**config["training"], "checkpoint_minutes": 1e-9}
    project = Project(tmp_path / "project", changed)
    project.run("mixtures")  # so that the wait below is for the training alone
    project.run_and_kill("results/models/*/trainer/checkpoint-*/complete.json")
    assert not list(project.folder.glob("results/models/*/model.json"))
    project.run("models")
    (log,) = project.folder.glob("logs/train_stage/*.log")
    assert "going on from results/models/" in log.read_text()
    (model,) = project.folder.glob("results/models/*/model.json")
    record = read_json(model)
    steps = [entry["step"] for entry in record["history"]]
    assert steps == list(range(1, record["steps"] + 1))
    assert not (model.parent / "trainer").exists()
    # Other minutes between checkpoints: the same model, nothing is trained again.
    changed["training"]["checkpoint_minutes"] = None
    project.write(changed)
    project.run("models")
    assert "nothing to train" in log.read_text()
    assert read_json(model) == record
