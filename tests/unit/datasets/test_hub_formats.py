"""The examples' data sets and a student, read from folders as the hub lays them out."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from caft.datasets import load, read_section
from caft.datasets.ingest import ingest
from caft.errors import ModelError
from caft.students.folders import load_model, prepare_student
from caft.students.settings import Student

EXAMPLES = Path(__file__).parents[3] / "config/examples"


def write_dataset(folder, configs):
    """Write Parquet files and the card that names them: config -> part -> path -> rows."""
    card = []
    for config, parts in configs.items():
        files = []
        for part, rows_of_file in parts.items():
            for path, rows in rows_of_file.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
                pq.write_table(table, folder / path)
            files.append({"split": part, "path": path.rsplit("-", 3)[0] + "-*"})
        card.append({"config_name": config, "data_files": files})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': card})}---\n")


def read(example, folder, tmp_path, **changes):
    """Ingest an example's data set with the folder in place of its hub id."""
    (spec,) = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())["datasets"].values()
    spec = {**spec, "id": str(folder), **changes}
    del spec["revision"]
    settings = read_section(spec)
    return ingest(load(settings, 1, tmp_path / "downloads"), settings.splits, 1, example, 0.5)


def pro(number, options):
    return {
        "question_id": number,
        "question": f"Which is {number}?",
        "options": options,
        "answer": chr(ord("A") + len(options) - 1),
        "answer_index": len(options) - 1,
        "cot_content": "",
        "category": "math",
        "src": "ori_mmlu",
    }


@pytest.mark.parametrize("example", ["mmlu_pro", "mmlu_pro_paper_v1", "mmlu_pro_paper_v3"])
def test_mmlu_pro_in_several_files_is_one_part(tmp_path, example):
    ten = [f"option {number}" for number in range(10)]
    shards = {
        "data/test-00000-of-00002.parquet": [pro(70, ten), pro(71, ten[:3])],
        "data/test-00001-of-00002.parquet": [pro(72, ten[:4])],
    }
    other = {"data/validation-00000-of-00001.parquet": [pro(0, ten)]}
    write_dataset(tmp_path / "hub", {"default": {"test": shards, "validation": other}})
    items = read(example, tmp_path / "hub", tmp_path).items.set_index("source_id")
    assert sorted(items.index) == ["70", "71", "72"]
    assert list(items.loc["70", "options"]) == ten
    assert items["answer"].to_dict() == {"70": "J", "71": "C", "72": "D"}
    assert set(items["category"]) == {"math"}


def problem(config, text, answer):
    steps = "How many? ** " if config == "socratic" else ""
    return {"question": text, "answer": f"{steps}48/2 = <<48/2=24>>24 clips.\n#### {answer}"}


@pytest.mark.parametrize("config", ["main", "socratic"])
def test_each_configuration_of_gsm8k_has_its_own_solutions(tmp_path, config):
    write_dataset(
        tmp_path / "hub",
        {
            name: {
                part: {f"{name}/{part}-00000-of-00001.parquet": [problem(name, f"{part}?", answer)]}
                for part, answer in (("train", "1,080"), ("test", "-3"))
            }
            for name in ("main", "socratic")
        },
    )
    items = read("gsm8k", tmp_path / "hub", tmp_path, config=config).items.set_index("split")
    assert items["answer"].to_dict() == {"train": "1080", "test": "-3"}
    solution = items.loc["test", "reference_rationale"]
    assert solution.startswith("How many?") == (config == "socratic")
    assert solution.endswith("48/2 = <<48/2=24>>24 clips.")


def exam(rows):
    """Make a table of medical questions as the hub stores it: `cop` is a class label."""
    names = ("id", "question", "opa", "opb", "opc", "opd", "cop", "choice_type", "exp")
    names += ("subject_name", "topic_name")
    table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])
    features = {name: {"dtype": "string", "_type": "Value"} for name in names}
    features["cop"] = {"names": ["a", "b", "c", "d"], "_type": "ClassLabel"}
    info = json.dumps({"info": {"features": features}})
    return table.replace_schema_metadata({"huggingface": info})


def test_medmcqa_counts_options_from_0_and_explains_some(tmp_path):
    options = ("one", "two", "three", "four")
    known = exam(
        [
            ("x1", "First?", *options, 2, "single", "Because of three.", "Anatomy", None),
            ("x2", "Second?", *options, 0, "multi", None, "Surgery", "Bones"),
        ]
    )
    test = exam([("x3", "Third?", *options, -1, "single", None, "Anatomy", None)])
    parts = {
        "train": {"data/train-00000-of-00001.parquet": known.slice(0, 1)},
        "validation": {"data/validation-00000-of-00001.parquet": known.slice(1)},
        "test": {"data/test-00000-of-00001.parquet": test},
    }
    write_dataset(tmp_path / "hub", {"default": parts})
    items = read("medmcqa", tmp_path / "hub", tmp_path).items.set_index("source_id")
    assert items["answer"].to_dict() == {"x1": "C", "x2": "A"}
    assert items.loc["x1", "reference_rationale"] == "Because of three."
    assert items["reference_rationale"].isna().to_dict() == {"x1": False, "x2": True}
    keyless = read("medmcqa", tmp_path / "hub", tmp_path, parts=["train", "test"])
    assert list(keyless.quarantine["source_id"]) == ["x3"]


REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(student, tmp_path, monkeypatch):
    """A student in several weight files, in a hub cache, with the network off."""
    from huggingface_hub import constants

    cache = tmp_path / "cache"
    folder = cache / "models--someone--tiny" / "snapshots" / REVISION
    load_model(student).save_pretrained(folder, max_shard_size="60KB")
    for part in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(student / part, folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def test_a_student_of_the_hub_comes_out_of_the_cache_without_a_network(cached, student, tmp_path):
    import torch

    assert len(list(cached.glob("*.safetensors"))) > 1
    described = prepare_student(
        Student(hub="someone/tiny", revision=REVISION), tmp_path / "mine", tmp_path
    )
    assert described["source"] == {"hub": "someone/tiny", "revision": REVISION}
    index = tmp_path / "mine/model.safetensors.index.json"
    assert index.resolve() == cached / index.name
    tokens = torch.arange(30)[None]
    with torch.inference_mode():
        whole, parts = (
            load_model(folder)(input_ids=tokens).logits for folder in (student, tmp_path / "mine")
        )
    assert torch.equal(whole, parts)


def test_another_revision_than_the_cached_one_is_not_there(cached, tmp_path):
    with pytest.raises(ModelError, match="someone/tiny at revision ffff.*give a local folder"):
        prepare_student(Student(hub="someone/tiny", revision="f" * 40), tmp_path / "mine", tmp_path)


def test_a_lost_weight_file_is_an_error(cached, tmp_path):
    next(iter(sorted(cached.glob("*.safetensors")))).unlink()
    with pytest.raises(ModelError, match=r"index\.json names model-00001-of-.* which is not there"):
        prepare_student(Student(hub="someone/tiny", revision=REVISION), tmp_path / "mine", tmp_path)
