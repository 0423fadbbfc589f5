import math

import numpy as np
import pandas as pd
import pytest
import torch

from caft.complexity.compute import compute_metric
from caft.complexity.likelihoods import (
    likelihoods,
    likelihoods_with_student,
    target_prompts,
)
from caft.complexity.settings import MetricSettings
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.prompting.prompts import all_messages
from caft.students.folders import folder_revision, load_model
from caft.students.opened import Loaded, Subject
from caft.tables import parquet

NUMBERS = ["conditioned", "unconditioned"]


@pytest.fixture(scope="module")
def items():
    """Choice and numeric items of many lengths; every third one has a worked solution."""
    rows = []
    for number in range(12):
        choice = number % 2 == 0
        rows.append(
            {
                "item_id": f"i{number:02d}",
                "question": "what is the number of options in it ?"[: 3 + 17 * number % 30],
                "options": ["one", f"{number}", "none"] if choice else None,
                "answer": "ABC"[number % 3] if choice else str(number * 37),
                "answer_kind": "choice" if choice else "numeric",
                "reference_rationale": f"It is so: {number} + 5." if number % 3 == 0 else None,
                "split": "train" if number % 4 else "test",
            }
        )
    return pd.DataFrame(rows)


def losses(items, model, tokenizer, variant, context=512, **settings):
    prompts = target_prompts(Asked(items, variant, 1))
    student = Loaded(model, Chat(tokenizer), context)
    return pd.DataFrame(likelihoods(prompts, student, **settings))


@pytest.fixture
def measured(items, model, tokenizer, letters):
    return losses(items, model, tokenizer, letters)


def mean_loss(model, before, target):
    with torch.inference_mode():
        logits = model(torch.tensor([before + target])).logits[0, len(before) - 1 : -1].double()
    return -float(logits.log_softmax(-1)[range(len(target)), target].mean())


def test_losses_are_those_of_each_target_alone_in_full_precision(
    items, measured, model, tokenizer, letters
):
    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    alone = encode("<|im_start|>assistant\n")
    modes = [all_messages(items, letters, mode, 1) for mode in ("direct", "cot")]
    for item, direct, cot, row in zip(
        items.to_dict("records"), *modes, measured.to_dict("records"), strict=True
    ):
        reasoned = isinstance(item["reference_rationale"], str)
        text = f"{item['reference_rationale']} [[{item['answer']}]]" if reasoned else item["answer"]
        prompt = encode(
            "".join(
                f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n"
                for turn in (cot if reasoned else direct)
            )
            + "<|im_start|>assistant\n"
        )
        target = encode(text)
        assert row["status"] == "ok" and row["item_id"] == item["item_id"]
        assert row["target"] == ("rationale" if reasoned else "answer")
        assert (row["prompt_tokens"], row["target_tokens"]) == (len(prompt), len(target))
        assert row["conditioned"] == pytest.approx(mean_loss(model, prompt, target), abs=1e-4)
        assert row["unconditioned"] == pytest.approx(mean_loss(model, alone, target), abs=1e-4)
    assert measured["conditioned"].std() > 0.05


@pytest.mark.parametrize("budget", [1, 150, 100_000])
def test_batches_and_order_change_no_loss(items, measured, model, tokenizer, letters, budget):
    other = losses(items[::-1], model, tokenizer, letters, token_budget=budget)
    assert list(other["item_id"]) == list(measured["item_id"])[::-1]
    np.testing.assert_allclose(
        other[NUMBERS].to_numpy()[::-1], measured[NUMBERS].to_numpy(), atol=1e-4
    )


def test_a_target_that_does_not_fit_has_a_reason_and_no_number(
    items, measured, model, tokenizer, letters, tmp_path
):
    lengths = measured["prompt_tokens"] + measured["target_tokens"]
    context = int(sorted(lengths)[7])
    found = losses(items, model, tokenizer, letters, context)
    fits = (lengths <= context).tolist()
    assert list(found["status"]) == ["ok" if fit else "too_long" for fit in fits]
    parquet.write("likelihoods", found, tmp_path / "l.parquet")
    stored = parquet.read("likelihoods", tmp_path / "l.parquet")
    metric = compute_metric("ifd", MetricSettings(), stored, items)
    assert metric["value"].notna().tolist() == fits
    assert set(metric["reason"].dropna()) == {"too_long"}
    expected = (measured["conditioned"] / measured["unconditioned"])[fits]
    np.testing.assert_allclose(metric["value"].dropna(), expected, atol=1e-4)


def test_a_non_finite_logit_gives_a_status_and_never_a_number(items, student, tokenizer, letters):
    broken = load_model(student)
    broken.model.norm.weight.data[0] = float("nan")
    found = losses(items, broken, tokenizer, letters)
    assert set(found["status"]) == {"non_finite_logits"}
    assert found[NUMBERS].isna().all(axis=None)


def test_a_target_alone_follows_what_opens_the_models_turn(chatml, spaced, unnamed):
    opening = chatml("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    assert Chat(chatml).opening("direct") == opening
    # This template opens turns with nothing, and texts with <s>.
    assert Chat(spaced).opening("direct") == [spaced.bos_token_id]
    before = unnamed.chat_template
    unnamed.chat_template = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
    try:
        assert Chat(unnamed).opening("direct") == [unnamed.eos_token_id]
    finally:
        unnamed.chat_template = before


def test_a_text_opener_that_the_turn_opener_begins_with_is_not_doubled(chatml):
    opening = Chat(chatml).opening("direct")
    chatml.bos_token = "<|im_start|>"
    try:
        assert Chat(chatml).opening("direct") == opening
    finally:
        chatml.bos_token = None


def test_the_job_loads_a_student_and_says_what_it_did(
    student, items, letters, engine, cache, tmp_path
):
    subject = Subject(student / "student.json", None, engine)
    table, spec, run = likelihoods_with_student(Asked(items, letters, 1), subject, cache)
    parquet.write("likelihoods", table, tmp_path / "l.parquet", spec)
    assert spec["student"] == folder_revision(student) and spec["warm_up"] is None
    assert run["status"] == {"ok": 12} and run["target"] == {"answer": 8, "rationale": 4}
    assert not table["warm_up"].any()
    assert math.isfinite(compute_metric("ifd", MetricSettings(), table, items)["value"].sum())
