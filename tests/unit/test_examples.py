import json
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from caft import config as settings

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
EXAMPLES = sorted((ROOT / "config/examples").glob("*.yaml"))
OFFLINE = {"smoke", "mmlu_dev"}


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
                Path(path).touch()
    for student in config["students"].values():
        if "path" in student:
            folder = Path(student["path"])
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(json.dumps({}), encoding="utf-8")
            (folder / "model.safetensors").touch()
    for teacher in config["teachers"].values():
        if "model" in teacher:
            Path(teacher["model"]).mkdir(parents=True)


def repeated(example, default, path=""):
    """Yield the keys to which an example gives the value that they have anyway."""
    for key, value in example.items():
        if isinstance(value, dict) and isinstance(default.get(key), dict):
            yield from repeated(value, default[key], f"{path}{key}.")
        elif key in default and default[key] == value:
            yield f"{path}{key}"


def test_the_examples_are_there():
    names = {path.stem for path in EXAMPLES}
    assert {"smoke", "mmlu_dev", "mmlu_pro", "gsm8k", "medmcqa", "own_data"} <= names


def test_the_default_run_is_valid_and_needs_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings.prepare(read(ROOT / "config.yaml"), SCHEMA)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_over_the_default(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = merged(example)
    if example.stem not in OFFLINE:
        supply(config)
    settings.prepare(config, SCHEMA)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_gives_only_what_differs(example):
    assert list(repeated(read(example), read(ROOT / "config.yaml"))) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_names_its_own_command(example):
    assert f"--configfile config/examples/{example.name}" in example.read_text(encoding="utf-8")


def test_a_mistake_in_an_example_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = merged(ROOT / "config/examples/own_data.yaml")
    with pytest.raises(settings.ConfigError, match=r"no file questions\.jsonl"):
        settings.prepare(config, SCHEMA)
