import math

import numpy as np
import pandas as pd
import pytest
import torch

from caft.complexity import METRICS
from caft.complexity.compute import compute_metric
from caft.complexity.forward import (
    Row,
    answer_logits,
    encode_rows,
    score_batch,
    score_items,
    token_batches,
)
from caft.complexity.settings import MetricSettings
from caft.mixtures.buckets import BUCKETS, build_buckets
from caft.mixtures.settings import Buckets
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.prompting.prompts import all_messages
from caft.students.folders import float32_head, load_model, load_tokenizer
from caft.students.generation import Decoding, generate
from caft.students.opened import Loaded
from caft.tables import parquet

LENGTHS = [300, 100, 100, 100, 400, 600, 700, 1200]
SENTENCE = "what is the number of options in a letter only when it is so long?"
METRIC_NAMES = sorted(name for name, metric in METRICS.items() if metric.in_pass)


def question(number):
    return f"{number}: " + SENTENCE[: 1 + (number * 23) % 70]


@pytest.fixture(scope="module")
def items():
    """Twelve choice items with three to six options and eight numeric ones, of many lengths."""
    rows = []
    for number in range(20):
        choice = number % 5 < 3
        options = [f"{number} or {k}" for k in range(3 + number % 4)] if choice else None
        rows.append(
            {
                "item_id": f"i{number:02d}",
                "question": question(number),
                "options": options,
                "answer": "ABC"[number % 3] if choice else str(number * 37 % 1000 - 100),
                "answer_kind": "choice" if choice else "numeric",
                "reference_rationale": None,
                "split": "train" if number % 2 else "test",
            }
        )
    return pd.DataFrame(rows)


def scored(items, model, tokenizer, variant, context=512, **settings):
    prompts = Asked(items, variant, 1).prompts("direct")
    student = Loaded(model, Chat(tokenizer), context)
    return pd.DataFrame(score_items(prompts, student, **settings))


@pytest.fixture
def scores(items, model, tokenizer, letters):
    return scored(items, model, tokenizer, letters)


def by_hand(item, messages, model, tokenizer):
    """Score one item alone: no padding, all logits, float64, labels looked up in the vocabulary."""
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1].double()
    p = logits.softmax(-1).numpy()
    found = {"single_token_entropy": float(-(p * np.log(p)).sum()), "answer_token": int(p.argmax())}
    if item["answer_kind"] == "choice":
        letters = "ABCDEF"[: len(item["options"])]
        shares = np.array([sum(p[tokenizer.convert_tokens_to_ids([x, "Ġ" + x])]) for x in letters])
        q = shares / shares.sum()
        found["option_entropy"] = float(-(q * np.log(q)).sum() / math.log(len(q)))
        found["option_logprobs"] = np.log(shares)
        found["cross_entropy"] = float(-np.log(shares[letters.index(item["answer"])]))
        first, second = sorted(shares)[::-1][:2]
    else:
        gold = tokenizer(item["answer"], add_special_tokens=False)["input_ids"][0]
        found["cross_entropy"] = float(-np.log(p[gold]))
        first, second = sorted(p)[::-1][:2]
    return {**found, "margin": float(second - first), "prompt_tokens": len(ids)}


def test_batched_scores_are_those_of_each_item_alone(items, scores, model, tokenizer, letters):
    messages = all_messages(items, letters, "direct", 1)
    for item, turns, row in zip(
        items.to_dict("records"), messages, scores.to_dict("records"), strict=True
    ):
        expected = by_hand(item, turns, model, tokenizer)
        assert row["status"] == "ok"
        assert row["item_id"] == item["item_id"] and row["split"] == item["split"]
        for name in ("single_token_entropy", "cross_entropy", "margin"):
            assert row[name] == pytest.approx(expected[name], abs=1e-4), (item["item_id"], name)
        for name in ("answer_token", "prompt_tokens"):
            assert row[name] == expected[name]
        assert row["answer"] == tokenizer.decode([expected["answer_token"]])
        if item["answer_kind"] == "choice":
            assert row["option_entropy"] == pytest.approx(expected["option_entropy"], abs=1e-4)
            assert row["option_logprobs"] == pytest.approx(expected["option_logprobs"], abs=1e-4)
        else:
            assert math.isnan(row["option_entropy"]) and row["option_logprobs"] is None
    assert scores["single_token_entropy"].std() > 0.05  # the items do differ


@pytest.mark.parametrize("budget", [1, 150, 100_000])
def test_the_batch_budget_changes_no_score(items, scores, model, tokenizer, letters, budget):
    other = scored(items, model, tokenizer, letters, token_budget=budget)
    np.testing.assert_allclose(
        other[METRIC_NAMES].to_numpy(float), scores[METRIC_NAMES].to_numpy(float), atol=1e-4
    )
    assert list(other["answer_token"]) == list(scores["answer_token"])
    assert list(other["correct"]) == list(scores["correct"])


def test_the_order_of_the_items_changes_no_score(items, scores, model, tokenizer, letters):
    turned = scored(items.iloc[::-1], model, tokenizer, letters)
    assert list(turned["item_id"]) == list(scores["item_id"])[::-1]
    np.testing.assert_allclose(
        turned[METRIC_NAMES].to_numpy(float)[::-1], scores[METRIC_NAMES].to_numpy(float), atol=1e-4
    )


def test_the_answer_entropy_of_a_choice_is_that_of_its_one_token(items, scores):
    choice = items["answer_kind"] == "choice"
    alone = scores["single_token_entropy"][choice]
    assert list(scores["answer_entropy"][choice]) == list(alone)


def test_the_answer_entropy_is_the_mean_over_the_gold_answers_tokens_alone(
    items, scores, model, tokenizer, letters
):
    messages = all_messages(items, letters, "direct", 1)
    lengths = set()
    for item, turns, row in zip(
        items.to_dict("records"), messages, scores.to_dict("records"), strict=True
    ):
        if item["answer_kind"] == "choice":
            continue
        prompt = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        gold = tokenizer(item["answer"], add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([prompt + gold])).logits[0].double()
        p = logits.softmax(-1).numpy()[len(prompt) - 1 : -1]
        assert len(p) == len(gold)
        lengths.add(len(gold))
        expected = float(-(p * np.log(p)).sum(-1).mean())
        assert row["answer_entropy"] == pytest.approx(expected, abs=1e-4)
        if len(gold) > 1:
            assert abs(row["answer_entropy"] - row["single_token_entropy"]) > 1e-3
    assert len(lengths) > 1


def row_of(tokens, gold=()):
    return Row(0, tokens, len(tokens) - max(1, len(gold)), list(gold), None, 0)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_on_the_right_cannot_reach_an_earlier_token(student, attention):
    model = load_model(student, attention=attention)
    short, long = row_of([5, 6, 7]), row_of(list(range(20, 80)))
    (alone,) = answer_logits(model, [short], pad=0)
    for pad in (0, 9, 200):
        padded, _ = answer_logits(model, [short, long], pad)
        torch.testing.assert_close(padded, alone, atol=1e-4, rtol=0)


def test_each_row_has_the_logits_of_its_own_answer_positions(model):
    rows = [row_of([5, 6, 7, 8, 9], gold=[8, 9, 3]), row_of([4] * 9)]
    logits = answer_logits(model, rows, pad=0)
    assert [tuple(values.shape) for values in logits] == [
        (3, model.config.vocab_size),
        (1, model.config.vocab_size),
    ]
    with torch.inference_mode():
        whole = model(input_ids=torch.tensor([rows[0].tokens])).logits[0]
    torch.testing.assert_close(logits[0], whole[2:5], atol=1e-4, rtol=0)


def test_batches_keep_to_the_budget_padding_included():
    rows = [
        Row(number, [0] * length, 0, [], None, 0) for number, length in enumerate([9, 2, 3, 40])
    ]
    batches = [[len(row.tokens) for row in batch] for batch in token_batches(rows, 10)]
    assert batches == [[2, 3], [9], [40]]
    assert list(token_batches([], 10)) == []


def test_a_large_batch_ends_before_it_is_padding():
    rows = [Row(number, [1] * length, 0, [], None, 0) for number, length in enumerate(LENGTHS)]
    batches = [[len(row.tokens) for row in batch] for batch in token_batches(rows, 32768)]
    assert batches == [[100, 100, 100], [300, 400, 600], [700, 1200]]


def test_the_gold_answer_of_an_open_question_follows_its_prompt(items, tokenizer, letters):
    row = encode_rows(Asked(items, letters, 1).prompts("direct"), Chat(tokenizer))[4]
    assert items["answer_kind"][4] == "numeric"
    assert tokenizer.decode(row.tokens[: row.first + 1]).endswith("<|im_start|>assistant\n")
    assert tokenizer.decode(row.gold) == items["answer"][4] + "<|im_end|>"
    assert row.tokens[row.first + 1 :] == row.gold[:-1]


def test_the_gold_answer_cannot_be_seen_by_the_score(items, model, tokenizer, letters):
    changed = items.assign(
        answer=["77" if kind == "numeric" else "B" for kind in items["answer_kind"]]
    )
    blind = [name for name in METRIC_NAMES if "label" not in METRICS[name].needs]
    assert blind == ["margin", "option_entropy", "single_token_entropy"]
    one = scored(items, model, tokenizer, letters)
    other = scored(changed, model, tokenizer, letters)
    np.testing.assert_allclose(other[blind].to_numpy(float), one[blind].to_numpy(float), atol=1e-4)
    assert not np.allclose(other["cross_entropy"], one["cross_entropy"], atol=1e-2)


def test_an_item_longer_than_the_context_has_a_status_and_no_score(
    items, model, tokenizer, letters, tmp_path
):
    rows = encode_rows(Asked(items, letters, 1).prompts("direct"), Chat(tokenizer))
    lengths = [len(row.tokens) for row in rows]
    context = sorted(lengths)[9]
    scores = scored(items, model, tokenizer, letters, context)
    fits = [length <= context for length in lengths]
    assert list(scores["status"]) == ["ok" if fit else "too_long" for fit in fits]
    assert scores["single_token_entropy"].notna().tolist() == fits
    parquet.write("scores", scores, tmp_path / "scores.parquet")
    stored = parquet.read("scores", tmp_path / "scores.parquet")
    assert stored["correct"].notna().tolist() == fits
    assert stored["prompt_tokens"].notna().all()


@pytest.fixture
def poisoned(student, tokenizer):
    """The student with a NaN in the embedding of one rare token, which only some questions hold."""
    model = load_model(student)
    float32_head(model)  # unties the head, which would spread the NaN to every item
    weight = model.get_input_embeddings().weight
    weight.data = weight.data.clone()
    weight.data[tokenizer.convert_tokens_to_ids("~")] = float("nan")
    return model


def test_a_non_finite_logit_gives_a_status_and_never_a_number(
    items, scores, poisoned, tokenizer, letters
):
    marked = [number in (1, 4, 8) for number in range(20)]
    spoilt = items.assign(
        question=[
            text + " ~" if mark else text
            for text, mark in zip(items["question"], marked, strict=True)
        ]
    )
    found = scored(spoilt, poisoned, tokenizer, letters, token_budget=100_000)
    expected = ["non_finite_logits" if mark else "ok" for mark in marked]
    assert list(found["status"]) == expected
    assert found.loc[marked, [*METRIC_NAMES, "answer", "correct"]].isna().all(axis=None)
    healthy = [not mark for mark in marked]
    np.testing.assert_allclose(
        found.loc[healthy, METRIC_NAMES].to_numpy(float),
        scores.loc[healthy, METRIC_NAMES].to_numpy(float),
        atol=1e-4,
    )


@pytest.mark.parametrize("on_missing", ["easy", "medium"])
@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_items_of_a_broken_model_are_never_hard(
    items, student, tokenizer, letters, tmp_path, metric, on_missing
):
    broken = load_model(student)
    broken.model.norm.weight.data[0] = float("nan")
    scores = scored(items, broken, tokenizer, letters)
    assert set(scores["status"]) == {"non_finite_logits"}
    parquet.write("scores", scores, tmp_path / "scores.parquet")
    cut = Buckets(metric=metric, quantiles=[0.25, 0.75], on_missing=on_missing)
    stored = parquet.read("scores", tmp_path / "scores.parquet")
    values = compute_metric(metric, MetricSettings(), stored, items)
    buckets, report = build_buckets(values, cut, 1)
    assert set(buckets["bucket"]) == {on_missing}
    assert report["missing"] == 20
    assert set(BUCKETS) == set(report["counts"]["train"])


def test_an_item_without_a_finite_logit_does_not_spoil_its_batch(poisoned, tokenizer):
    bad = tokenizer.convert_tokens_to_ids("~")
    results = score_batch(poisoned, tokenizer, [row_of([5, 6, 7, 8]), row_of([5, bad, 7, 8])])
    assert [result["status"] for result in results] == ["ok", "non_finite_logits"]
    assert results[1] == {"status": "non_finite_logits"}


def test_a_number_is_correct_exactly_if_greedy_generation_writes_it(taught, lessons, bare):
    model, tokenizer = load_model(taught), load_tokenizer(taught)
    asked = {
        "2 + 2 ?": ["4", "41", "5"],
        "7 + 5 ?": ["12", "1", "13"],
    }
    rows = [
        {
            "item_id": f"{question} {answer}",
            "question": question,
            "options": None,
            "answer": answer,
            "answer_kind": "numeric",
            "reference_rationale": None,
            "split": "train",
        }
        for question, answers in asked.items()
        for answer in answers
    ]
    items = pd.DataFrame(rows)
    user = [
        [turn for turn in turns if turn["role"] == "user"]
        for turns in all_messages(items, bare, "direct", 1)
    ]
    scores = _score_without_system(items, model, tokenizer, bare)
    written = {
        answer.index: answer
        for batch in generate(model, Chat(tokenizer), user, Decoding(12))
        for answer in batch
    }
    greedy = [
        written[k].text == items["answer"][k] and written[k].finish_reason == "stop"
        for k in range(len(items))
    ]
    assert greedy == [True, False, False, True, False, False]
    assert list(scores["correct"]) == greedy
    assert all(scores["answer_valid"])


def _score_without_system(items, model, tokenizer, variant):
    """Score as the lessons were taught: without a system turn."""
    original = tokenizer.chat_template
    tokenizer.chat_template = original.replace(
        "{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"
    )
    try:
        return scored(items, model, tokenizer, variant)
    finally:
        tokenizer.chat_template = original


def test_greedy_generation_and_the_score_agree_on_a_random_student(model, tokenizer, letters):
    prompts = pd.DataFrame(
        [
            {
                "item_id": f"i{number}",
                "question": question(number),
                "options": None,
                "answer": "0",
                "answer_kind": "text",
                "reference_rationale": None,
                "split": "train",
            }
            for number in range(6)
        ]
    )
    messages = all_messages(prompts, letters, "direct", 1)
    first = {
        answer.index: answer.text
        for batch in generate(model, Chat(tokenizer), messages, Decoding(1))
        for answer in batch
    }
    scores = scored(prompts, model, tokenizer, letters)
    assert [first[number] for number in range(6)] == [
        text.replace("<|im_end|>", "").replace("<|pad|>", "").replace("<|im_start|>", "")
        for text in scores["answer"]
    ]


def test_a_low_precision_student_is_scored_with_float32_logits(student, tokenizer, items, letters):
    low = load_model(student, "bfloat16")
    rows = encode_rows(Asked(items, letters, 1).prompts("direct"), Chat(tokenizer))
    logits = answer_logits(low, rows[:3], tokenizer.pad_token_id)
    assert all(values.dtype == torch.float32 for values in logits)
    assert set(scored(items, low, tokenizer, letters)["status"]) == {"ok"}
