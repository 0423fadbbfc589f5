import json
import math
import shutil

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from stages import TINY_RECIPE, changed

from caft.errors import TrainingError
from caft.prompting.asked import Asked
from caft.running.settings import Engine
from caft.students.folders import folder_revision, load_chat, load_model
from caft.students.settings import WarmUp
from caft.tables import parquet
from caft.tables.files import read_json, write_json
from caft.tables.hashing import digest
from caft.training import (
    StageJob,
    encode_mixture,
    is_trained,
    train_planned,
    train_stage,
    trainer,
    warm_up,
)

ANSWERS = ["4", "12", "so it is [[7]]", "A", "two"]


@pytest.fixture(scope="module")
def mixture():
    """Five rows whose completions differ in length."""
    rows = [
        {
            "item_id": f"i{number}",
            "target": "answer",
            "messages": json.dumps([{"role": "user", "content": f"what is {number} ?"}]),
            "completion": answer,
        }
        for number, answer in enumerate(ANSWERS)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def short_recipe():
    return changed(TINY_RECIPE, learning_rate=0.02)


CPU = Engine(device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def first(mixture, student, short_recipe, tmp_path_factory):
    """A LoRA run of ten epochs: folder and record."""
    folder = tmp_path_factory.mktemp("trained") / "first"
    return folder, train_stage(StageJob(mixture, student, short_recipe, 10, 1), folder, CPU)


@pytest.fixture
def trained(first, tmp_path):
    """A copy of the trained folder, to be spoilt."""
    return shutil.copytree(first[0], tmp_path / "copied")


def loss_of(model, rows):
    with torch.inference_mode():
        losses = [
            model(
                input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])
            ).loss.item()
            for row in rows
        ]
    return sum(losses) / len(losses)


def test_the_weights_of_a_model_have_the_rights_that_the_umask_leaves(first):
    folder, _ = first
    rights = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert set(rights.values()) == {folder.stat().st_mode & 0o666}
    assert "adapter_model.safetensors" in rights


def test_only_the_completion_and_its_end_of_turn_carry_loss(mixture, chat, tokenizer):
    for row, text in zip(encode_mixture(mixture, chat), ANSWERS, strict=True):
        assert len(row["labels"]) == len(row["input_ids"])
        start = row["labels"].count(-100)
        assert row["labels"][:start] == [-100] * start
        assert row["labels"][start:] == row["input_ids"][start:]
        assert tokenizer.decode(row["input_ids"][start:]) == text + "<|im_end|>"
        assert tokenizer.decode(row["input_ids"][:start]).endswith("<|im_start|>assistant\n")


def test_the_trainer_sees_exactly_these_labels(
    mixture, student, chat, short_recipe, tmp_path, monkeypatch
):
    batches = []

    class Recording(trainer.StageTrainer):
        def training_step(self, model, inputs, *args, **kwargs):
            batches.append({key: value.tolist() for key, value in inputs.items()})
            return super().training_step(model, inputs, *args, **kwargs)

    monkeypatch.setattr(trainer, "StageTrainer", Recording)
    record = train_stage(StageJob(mixture, student, short_recipe, 1, 1), tmp_path / "model", CPU)
    assert [len(batch["labels"]) for batch in batches] == [4, 1]
    assert record["steps"] == 2
    found = []
    for batch in batches:
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            end = max(place for place, label in enumerate(labels) if label != -100) + 1
            assert set(labels[end:]) <= {-100}  # padding carries no loss
            found.append((ids[:end], labels[:end]))
    expected = [(row["input_ids"], row["labels"]) for row in encode_mixture(mixture, chat)]
    assert sorted(found) == sorted(expected)


def test_an_adapter_run_lowers_the_loss_and_is_complete(first, mixture, student, chat):
    folder, record = first
    assert is_trained(folder)
    losses = [entry["loss"] for entry in record["history"]]
    assert record["steps"] == len(losses) == 20
    assert losses[-1] < losses[0] / 2
    rows = encode_mixture(mixture, chat)
    before = loss_of(load_model(student), rows)
    after = loss_of(load_model(student, adapter=folder), rows)
    assert after < before / 2


def test_the_record_counts_tokens_and_names_what_made_the_model(first, mixture, chat):
    folder, record = first
    rows = encode_mixture(mixture, chat)
    targets = sum(label != -100 for row in rows for label in row["labels"])
    tokens = sum(len(row["input_ids"]) for row in rows)
    assert record["rows"] == 5
    assert record["target_tokens_one_pass"] == targets
    assert record["target_tokens"] == 10 * targets
    assert record["all_tokens"] == 10 * tokens
    assert set(record["libraries"]) == {"torch", "transformers", "trl", "peft", "accelerate"}
    assert list(record["weights_sha256"]) == ["adapter_model.safetensors"]
    assert read_json(folder / "training.json") == record


def test_equal_inputs_and_seed_give_an_equal_model(first, mixture, student, short_recipe, tmp_path):
    again = train_stage(StageJob(mixture, student, short_recipe, 10, 1), tmp_path / "again", CPU)
    other = train_stage(StageJob(mixture, student, short_recipe, 10, 2), tmp_path / "other", CPU)
    assert again["weights_sha256"] == first[1]["weights_sha256"] != other["weights_sha256"]


def test_a_low_precision_student_is_tuned_with_float32_adapters(
    mixture, student, short_recipe, tmp_path
):
    engine = CPU.model_copy(update={"dtype": "bfloat16"})
    record = train_stage(StageJob(mixture, student, short_recipe, 4, 1), tmp_path / "model", engine)
    weights = load_file(tmp_path / "model" / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert record["history"][-1]["loss"] < record["history"][0]["loss"]


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_model_that_lost_a_file_is_not_complete(trained, name):
    assert is_trained(trained)
    (trained / name).unlink()
    assert not is_trained(trained)


def test_a_model_with_a_cut_file_or_without_a_record_is_not_complete(trained, tmp_path):
    weights = trained / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not is_trained(trained)
    (trained / "training.json").unlink()
    assert not is_trained(trained)
    assert not is_trained(tmp_path / "nowhere")


def test_a_second_stage_goes_on_with_the_same_adapter(
    first, mixture, student, short_recipe, tmp_path
):
    # A rate too small to move anything shows where the second stage starts.
    still = changed(short_recipe, learning_rate=1e-12)
    train_stage(StageJob(mixture, student, still, 1, 1, parent=first[0]), tmp_path / "second", CPU)
    before = load_file(first[0] / "adapter_model.safetensors")
    after = load_file(tmp_path / "second" / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    for name in before:
        torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)
    assert any(weight.abs().max() > 0.01 for name, weight in after.items() if "lora_B" in name)


def test_a_second_stage_learns_and_leaves_the_first_model_alone(
    first, mixture, student, chat, short_recipe, tmp_path
):
    other = mixture.assign(completion="no, B")
    weights = (first[0] / "adapter_model.safetensors").read_bytes()
    train_stage(
        StageJob(other, student, short_recipe, 6, 1, parent=first[0]), tmp_path / "second", CPU
    )
    rows = encode_mixture(other, chat)
    before = loss_of(load_model(student, adapter=first[0]), rows)
    after = loss_of(load_model(student, adapter=tmp_path / "second"), rows)
    assert after < before / 2
    assert (first[0] / "adapter_model.safetensors").read_bytes() == weights


def test_a_merged_low_precision_model_keeps_its_float32_head(first, student):
    low = load_model(student, "bfloat16", adapter=first[0])
    exact = load_model(student, adapter=first[0])
    tokens = torch.arange(30)[None]
    with torch.inference_mode():
        rounded, whole = low(input_ids=tokens).logits, exact(input_ids=tokens).logits
    assert rounded.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(rounded, whole, dim=-1).min() > 0.99


def test_the_full_method_saves_a_whole_model_that_a_next_stage_goes_on_with(
    mixture, student, chat, short_recipe, tmp_path
):
    full = changed(short_recipe, method="full", learning_rate=0.005)
    record = train_stage(StageJob(mixture, student, full, 6, 1), tmp_path / "one", CPU)
    assert record["method"] == "full" and is_trained(tmp_path / "one")
    rows = encode_mixture(mixture, chat)
    before = loss_of(load_model(student), rows)
    after = loss_of(load_model(tmp_path / "one"), rows)
    assert after < before / 2
    assert encode_mixture(mixture, load_chat(tmp_path / "one")) == rows
    still = changed(full, learning_rate=1e-12)
    train_stage(
        StageJob(mixture, student, still, 1, 1, parent=tmp_path / "one"), tmp_path / "two", CPU
    )
    assert loss_of(load_model(tmp_path / "two"), rows) == pytest.approx(after, abs=1e-3)


def test_what_answers_in_bfloat16_keeps_whole_weights_so(mixture, student, short_recipe, tmp_path):
    full = changed(short_recipe, method="full")
    job = StageJob(mixture, student, full, 1, 1)
    for dtype in ("float32", "bfloat16"):
        train_stage(job, tmp_path / dtype, Engine(device="cpu", dtype=dtype))
    whole, half = (
        load_file(tmp_path / dtype / "model.safetensors") for dtype in ("float32", "bfloat16")
    )
    assert set(whole) == set(half), "tied weights are there once"
    assert all(torch.equal(weight.bfloat16(), half[name]) for name, weight in whole.items())
    assert read_json(tmp_path / "bfloat16/config.json")["dtype"] == "bfloat16"
    go_on = StageJob(mixture, student, full, 1, 1, parent=tmp_path / "bfloat16")
    train_stage(go_on, tmp_path / "next", Engine(device="cpu", dtype="bfloat16"))
    assert load_file(tmp_path / "next/model.safetensors").keys() == half.keys()


def test_a_loss_that_is_not_finite_stops_the_run(
    mixture, student, short_recipe, tmp_path, monkeypatch
):
    class Diverging(trainer.StageTrainer):
        def log(self, logs, *args, **kwargs):
            super().log({**logs, "loss": math.nan} if "loss" in logs else logs, *args, **kwargs)

    monkeypatch.setattr(trainer, "StageTrainer", Diverging)
    with pytest.raises(TrainingError, match=r"lower training\.learning_rate"):
        train_stage(StageJob(mixture, student, short_recipe, 1, 1), tmp_path / "model", CPU)
    assert not is_trained(tmp_path / "model")


@pytest.fixture
def planned(mixture, student, short_recipe, tmp_path):
    """A stage file as the mixtures job writes it."""
    parquet.write("mixtures", mixture, tmp_path / "rows.parquet")
    recipe = short_recipe.of_the_model()
    spec = {"recipe": recipe, "epochs": 1, "seed": 1, "mixture": "m", "parent": None}
    write_json(
        tmp_path / "stage.json",
        {
            "spec": spec,
            "mixture_file": str(tmp_path / "rows.parquet"),
            "student_file": str(student / "student.json"),
            "parent_file": None,
        },
    )
    return tmp_path / "stage.json"


def test_a_complete_model_is_not_trained_again(planned, tmp_path, monkeypatch):
    record = train_planned(planned, tmp_path / "model", CPU)
    assert record["spec"] == read_json(planned)["spec"]
    monkeypatch.setattr("caft.training.launch.train_stage", lambda *_: pytest.fail("trained again"))
    assert train_planned(planned, tmp_path / "model", CPU) == record


def test_an_incomplete_model_is_trained_again(planned, tmp_path):
    record = train_planned(planned, tmp_path / "model", CPU)
    (tmp_path / "model" / "adapter_model.safetensors").unlink()
    again = train_planned(planned, tmp_path / "model", CPU)
    assert again["weights_sha256"] == record["weights_sha256"]
    assert is_trained(tmp_path / "model")


def test_a_planned_stage_goes_on_from_its_parent(planned, first, tmp_path):
    stage = read_json(planned)
    stage["spec"]["recipe"]["learning_rate"] = 1e-12
    stage["parent_file"] = str(first[0] / "model.json")
    write_json(planned, stage)
    train_planned(planned, tmp_path / "model", CPU)
    before = load_file(first[0] / "adapter_model.safetensors")
    after = load_file(tmp_path / "model" / "adapter_model.safetensors")
    name = next(name for name in before if "lora_B" in name)
    torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)


@pytest.fixture
def warm(student, letters, short_recipe, tmp_path):
    """Warm a student up on four of six training items."""
    items = pd.DataFrame(
        [
            {
                "item_id": f"i{number}",
                "question": f"{number} + 0 ?",
                "options": None,
                "answer": str(number),
                "answer_kind": "numeric",
                "reference_rationale": None,
                "split": "train" if number < 6 else "test",
            }
            for number in range(8)
        ]
    )

    def warm(items=items, seed=1):
        return warm_up(
            Asked(items, letters, seed),
            student / "student.json",
            tmp_path / "warm",
            WarmUp(items=4, epochs=2),
            short_recipe,
            CPU,
        )

    warm.items = items
    return warm


def test_a_warm_up_trains_an_adapter_on_a_sample_of_the_training_split(warm, student, tmp_path):
    record = warm()
    assert len(record["sample"]) == record["rows"] == 4
    assert set(record["sample"]) <= {f"i{number}" for number in range(6)}
    assert record["method"] == "lora" and is_trained(tmp_path / "warm")
    assert record["digest"] == digest(record["spec"])
    assert record["spec"]["student_revision"] == folder_revision(student)


def test_a_warm_up_that_is_there_is_not_trained_again(warm, tmp_path):
    first = warm()
    shown = (tmp_path / "warm/training.json").stat().st_mtime_ns
    assert warm(warm.items[warm.items["item_id"] != "i7"]) == first, "i7 is a test item"
    assert (tmp_path / "warm/training.json").stat().st_mtime_ns == shown
    assert warm(seed=2)["digest"] != first["digest"]
    assert (tmp_path / "warm/training.json").stat().st_mtime_ns > shown
