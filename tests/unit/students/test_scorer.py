import json
import shutil

import pandas as pd
import pytest
import torch

from caft.complexity.score import score_with_student
from caft.prompting.asked import Asked
from caft.students.opened import Subject, open_scorer
from caft.training.records import weights_sha256

ITEMS = pd.DataFrame(
    [
        {
            "item_id": f"i{number}",
            "question": f"{number} + 5 ?",
            "options": None,
            "answer": "7",
            "answer_kind": "numeric",
            "reference_rationale": None,
            "split": "train",
        }
        for number in range(3)
    ]
)


def write_record(folder, **record):
    made = {"spec": {"epochs": 1}, "weights_sha256": weights_sha256(folder)}
    (folder / "model.json").write_text(json.dumps({**made, **record}))
    return folder / "model.json"


@pytest.fixture(scope="module")
def adapter(student, tmp_path_factory):
    """A LoRA adapter that changes what the student says, as a warm-up or a stage leaves it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(student)
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = get_peft_model(model, settings)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    folder = tmp_path_factory.mktemp("models") / "adapter"
    tuned.save_pretrained(folder)
    return write_record(folder, method="lora", rows=2, sample=["i1"])


@pytest.fixture(scope="module")
def whole(student, taught, tmp_path_factory):
    """A fully tuned model, as a stage leaves it: its record names no warm-up sample."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    shutil.copytree(taught, folder)
    return write_record(folder, method="full", rows=5)


def scored(student, trained, letters, engine, cache):
    file = student / "student.json"
    return score_with_student(Asked(ITEMS, letters, 1), Subject(file, trained, engine), cache)


def test_a_student_is_scored_as_it_is_or_as_a_warm_up_or_a_stage_left_it(
    student, taught, adapter, whole, letters, engine, cache
):
    entropies = [
        scored(student, trained, letters, engine, cache)[0]["single_token_entropy"].tolist()
        for trained in (None, adapter, whole)
    ]
    assert len({tuple(values) for values in entropies}) == 3
    alone = scored(taught, None, letters, engine, cache)[0]["single_token_entropy"].tolist()
    assert entropies[2] == alone


def test_items_of_the_warm_up_sample_are_marked(student, adapter, whole, letters, engine, cache):
    table, spec, _ = scored(student, adapter, letters, engine, cache)
    assert list(table["warm_up"]) == [False, True, False]
    assert spec["warm_up"] == {"epochs": 1}
    assert not scored(student, whole, letters, engine, cache)[0]["warm_up"].any()


def test_the_untuned_student_has_no_training_behind_it(student, engine):
    scorer = open_scorer(Subject(student / "student.json", None, engine))
    assert (scorer.trained, scorer.sample, scorer.spec["warm_up"]) == ({}, [], None)
    assert (scorer.context, scorer.spec["dtype"]) == (512, "float32")
