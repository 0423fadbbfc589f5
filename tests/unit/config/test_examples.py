import json
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from caft.config.prepare import prepare
from caft.errors import ConfigError

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "config/examples").glob("*.yaml"))
OFFLINE = {"smoke", "mmlu_dev", "math", "offline", "study"}


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def merged(example):
    """Lay an example over config.yaml as Snakemake does for --configfile."""
    config = read(ROOT / "config.yaml")
    update_config(config, read(example))
    return config


def supply(config):
    """Make the files and folders that a user brings, in the current folder."""
    for dataset in config["datasets"].values():
        for path in (dataset.get("path"), dataset.get("rationales", {}).get("path")):
            if path:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).touch()
    students = [one["path"] for one in config["students"].values() if "path" in one]
    teachers = [one["model"] for one in config["teachers"].values() if "model" in one]
    for folder in map(Path, {*students, *teachers}):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({}), encoding="utf-8")
        (folder / "model.safetensors").touch()
    scores = [one["hub"] for one in config["metrics"].values() if "hub" in one]
    for one in [*config["datasets"].values(), *scores]:
        if "id" in one and "revision" not in one:
            Path(one["id"]).mkdir(parents=True, exist_ok=True)


def repeated(example, default, path=""):
    """Yield the keys to which an example gives the value that they have anyway."""
    for key, value in example.items():
        if isinstance(value, dict) and isinstance(default.get(key), dict):
            yield from repeated(value, default[key], f"{path}{key}.")
        elif key in default and default[key] == value:
            yield f"{path}{key}"


def test_the_examples_are_there():
    names = {path.stem for path in EXAMPLES}
    assert {"smoke", "mmlu_dev", "mmlu_pro", "gsm8k", "medmcqa", "own_data", "study"} <= names
    assert {"mmlu_pro_paper_v1", "mmlu_pro_paper_v3"} <= names


def test_the_default_run_is_valid_and_needs_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(read(ROOT / "config.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_over_the_default(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = merged(example)
    if example.stem not in OFFLINE:
        supply(config)
    prepare(config)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_gives_only_what_differs(example):
    assert list(repeated(read(example), read(ROOT / "config.yaml"))) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_names_its_own_command(example):
    assert f"--configfile config/examples/{example.name}" in example.read_text(encoding="utf-8")


def prepared(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = merged(ROOT / f"config/examples/{name}.yaml")
    supply(config)
    return prepare(config).plain()


def shown(config, *names):
    return {name: config["training"][name] for name in names}


def epochs(config, strategy):
    return [stage["epochs"] for stage in config["strategies"][strategy]["stages"]]


def test_the_first_published_recipe_is_full_fine_tuning_for_five_and_five_epochs(
    tmp_path, monkeypatch
):
    config = prepared("mmlu_pro_paper_v1", monkeypatch, tmp_path)
    assert shown(config, "method", "learning_rate", "schedule", "warmup_share", "weight_decay") == {
        "method": "full",
        "learning_rate": 1e-5,
        "schedule": "constant",
        "warmup_share": 0.0,
        "weight_decay": 0.01,
    }
    assert shown(config, "batch_size", "update_rows") == {"batch_size": "auto", "update_rows": 16}
    assert epochs(config, "complexity_aware") == [5, 5] == epochs(config, "random_same_size")
    assert config["strategies"]["random_same_size"]["membership"] == "random"
    prompt = config["prompts"][config["prompt"]]
    assert (prompt["labels"], prompt["abstain"]) == ("number", "0")
    assert config["buckets"]["default"]["quantiles"] == [0.25, 0.75]
    assert config["buckets"]["default"]["per_bucket"] == 900


def test_the_published_thresholds_stand_in_the_first_recipe():
    text = (ROOT / "config/examples/mmlu_pro_paper_v1.yaml").read_text(encoding="utf-8")
    lines = [
        yaml.safe_load(line.strip("# ")) for line in text.splitlines() if "# thresholds:" in line
    ]
    assert lines == [{"thresholds": [0.4526, 1.608]}, {"thresholds": [0.01236, 0.899]}]


def test_the_last_published_recipe_is_an_adapter_for_twenty_epochs(tmp_path, monkeypatch):
    config = prepared("mmlu_pro_paper_v3", monkeypatch, tmp_path)
    assert shown(config, "method", "lora", "learning_rate", "schedule") == {
        "method": "lora",
        "lora": {
            "variant": "lora",
            "r": 64,
            "alpha": 128,
            "dropout": 0.05,
            "target_modules": "all-linear",
        },
        "learning_rate": 1e-4,
        "schedule": "constant",
    }
    assert shown(config, "batch_size", "update_rows") == {"batch_size": "auto", "update_rows": 256}
    assert epochs(config, "complexity_aware") == [20, 20]
    assert epochs(config, "sft") == epochs(config, "distill") == [20]


@pytest.mark.parametrize(
    "example, students",
    [("mmlu_pro_paper_v1", 2), ("mmlu_pro_paper_v3", 3), ("gsm8k", 4), ("medmcqa", 4)],
)
def test_students_and_questions_of_the_hub_are_pinned(example, students):
    config = read(ROOT / f"config/examples/{example}.yaml")
    (dataset,) = config["datasets"].values()
    assert len(config["students"]) == students
    for part in (dataset, *config["students"].values()):
        assert len(part["revision"]) == 40 and int(part["revision"], 16)


def test_a_mistake_in_an_example_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = merged(ROOT / "config/examples/own_data.yaml")
    with pytest.raises(ConfigError, match=r"no file questions\.jsonl"):
        prepare(config)
