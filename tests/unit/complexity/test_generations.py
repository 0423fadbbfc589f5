import numpy as np
import pandas as pd
import pytest
import torch

from caft.complexity.compute import compute_metric
from caft.complexity.generations import (
    Sampling,
    generate_items,
    generate_with_student,
    token_statistics,
)
from caft.complexity.settings import MetricSettings
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.prompting.prompts import all_messages
from caft.students.folders import folder_revision, load_model, load_tokenizer
from caft.students.generation import Decoding, generate
from caft.students.opened import Loaded, Subject
from caft.students.settings import TokensPerMode, Writing
from caft.tables import parquet

WRITING = Writing(max_new_tokens=TokensPerMode(cot=40), batch_size=8)
LISTS = ["tokens", "entropies", "logprobs", "gaps", "sentence_ends"]


def questions(*texts, answer="6", kind="numeric"):
    return pd.DataFrame(
        [
            {
                "item_id": f"i{number:02d}",
                "question": text,
                "options": None,
                "answer": answer,
                "answer_kind": kind,
                "reference_rationale": None,
                "split": "train" if number % 2 else "test",
            }
            for number, text in enumerate(texts)
        ]
    )


@pytest.fixture(scope="module")
def items():
    """Questions of many lengths."""
    text = "what is the number of options in it ?" * 3
    return questions(*(text[: 1 + 13 * number] for number in range(7)))


def made(items, model, tokenizer, variant, seed=1, context=512, **settings):
    writing = WRITING.model_copy(update=settings.pop("writing", {}))
    prompts, student = (
        Asked(items, variant, seed).prompts("cot"),
        Loaded(model, Chat(tokenizer), context),
    )
    rows = [
        row
        for batch in generate_items(prompts, student, writing, Sampling(**settings))
        for row in batch
    ]
    order = list(items["item_id"])
    rows.sort(key=lambda row: (row["sample"], order.index(row["item_id"])))
    return pd.DataFrame(rows)


def test_the_statistics_are_those_of_a_plain_pass_over_the_text(items, model, tokenizer, letters):
    found = made(items, model, tokenizer, letters)
    messages = all_messages(items, letters, "cot", 1)
    assert found["tokens"].map(len).sum() > 100
    for turns, row in zip(messages, found.to_dict("records"), strict=True):
        prompt, tokens = Chat(tokenizer).prompt(turns, "cot"), list(row["tokens"])
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1].double()
        p = logits.softmax(-1).numpy()
        first, second = np.sort(p)[:, ::-1][:, :2].T
        chosen = p[range(len(tokens)), tokens]
        np.testing.assert_allclose(row["entropies"], -(p * np.log(p)).sum(-1), atol=1e-4)
        np.testing.assert_allclose(row["logprobs"], np.log(chosen), atol=1e-4)
        np.testing.assert_allclose(row["gaps"], first - second, atol=1e-4)
        assert row["status"] == "ok" and row["prompt_tokens"] == len(prompt)
        assert tokens == p.argmax(-1).tolist()  # greedy
        assert row["sentence_ends"][-1] == len(tokens)
    assert np.concatenate(found["entropies"]).std() > 0.05


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_and_order_change_nothing(items, model, tokenizer, letters, batch_size):
    expected = made(items, model, tokenizer, letters).set_index("item_id")
    other = made(
        items[::-1], model, tokenizer, letters, writing={"batch_size": batch_size}
    ).set_index("item_id")
    assert list(other.index) == list(expected.index)[::-1]
    for name in LISTS:
        for item in expected.index:
            np.testing.assert_allclose(other[name][item], expected[name][item], atol=1e-4)
    assert (other["text"] == expected["text"][other.index]).all()


def test_what_is_measured_changes_no_text(items, model, tokenizer, letters):
    prompts = all_messages(items, letters, "cot", 1)
    plain, measured = (
        {
            answer.index: answer
            for batch in generate(model, Chat(tokenizer), prompts, Decoding(24), measure)
            for answer in batch
        }
        for measure in (None, token_statistics)
    )
    assert {k: a.text for k, a in plain.items()} == {k: a.text for k, a in measured.items()}
    assert all(answer.measured == [] for answer in plain.values())
    assert all(len(a.measured) == len(a.tokens) <= a.new_tokens for a in measured.values())


@pytest.fixture(scope="module")
def taught_model(taught):
    return load_model(taught)


@pytest.fixture(scope="module")
def taught_tokenizer(taught):
    """The lessons were taught without a system turn."""
    tokenizer = load_tokenizer(taught)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"
    )
    return tokenizer


def test_texts_are_read_and_their_answer_and_sentences_found(taught_model, taught_tokenizer, bare):
    asked = questions("count", "short", "say yes")
    found = made(asked, taught_model, taught_tokenizer, bare)
    assert list(found["text"]) == ["one two three four five six [[6]]", "so [[3]]", "yes, gladly"]
    assert list(found["parsed"]) == ["6", "3", "[invalid]"]
    assert list(found["correct"]) == [True, False, False]
    assert set(found["finish_reason"]) == {"stop"}
    decode = taught_tokenizer.decode
    first = found.iloc[0]
    start = int(first["answer_start"])
    assert decode(first["tokens"][:start]) == "one two three four five six [["
    assert decode(first["tokens"]).startswith("one two three four five six [[6]]")
    assert pd.isna(found["answer_start"][2])
    # The end of the turn was generated but is no token of the text.
    assert decode(found["tokens"][2]) == "yes, gladly"
    assert found["new_tokens"][2] == len(found["tokens"][2]) + 1
    assert [list(ends) for ends in found["sentence_ends"]] == [
        [len(tokens)] for tokens in found["tokens"]
    ]


def test_a_cut_text_says_so_and_keeps_what_was_written(taught_model, taught_tokenizer, bare):
    found = made(
        questions("count"),
        taught_model,
        taught_tokenizer,
        bare,
        writing={"max_new_tokens": TokensPerMode(cot=3)},
    ).iloc[0]
    assert (found["finish_reason"], len(found["tokens"])) == ("length", 3)
    assert len(found["entropies"]) == 3 and pd.isna(found["answer_start"])


def test_a_prompt_without_room_for_an_answer_is_too_long(
    items, model, tokenizer, letters, tmp_path
):
    lengths = made(items, model, tokenizer, letters)["prompt_tokens"]
    context = sorted(lengths)[3] + 40
    found = made(items, model, tokenizer, letters, context=context)
    fits = [length + 40 <= context for length in lengths]
    assert list(found["status"]) == ["ok" if fit else "too_long" for fit in fits]
    assert 0 < sum(fits) < len(fits)
    stored = store(found, tmp_path)
    assert stored["tokens"].notna().tolist() == fits
    assert stored["prompt_tokens"].tolist() == list(lengths)
    metric = compute_metric("cot_mean", MetricSettings(), stored, items)
    assert [reason for reason in metric["reason"] if isinstance(reason, str)] == ["too_long"] * (
        len(fits) - sum(fits)
    )


def store(table, folder):
    parquet.write("generations", table.drop(columns="new_tokens"), folder / "g.parquet")
    return parquet.read("generations", folder / "g.parquet")


def test_a_stored_table_gives_the_same_metrics(items, model, tokenizer, letters, tmp_path):
    found = made(items, model, tokenizer, letters)
    stored = store(found, tmp_path)
    for name in ("cot_mean", "cot_sentence_max_of_means", "cot_answer_entropy", "cot_mix"):
        one, other = (
            compute_metric(name, MetricSettings(), table, items) for table in (found, stored)
        )
        pd.testing.assert_frame_equal(one, other, check_dtype=False)
    expected = [float(values.mean()) for values in found["entropies"]]
    assert compute_metric("cot_mean", MetricSettings(), stored, items)["value"].tolist() == expected


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_non_finite_logit_gives_a_status_and_never_a_number(
    items, student, tokenizer, letters, tmp_path, temperature
):
    broken = load_model(student)
    broken.model.norm.weight.data[0] = float("nan")
    found = made(items, broken, tokenizer, letters, temperature=temperature)
    assert set(found["status"]) == {"non_finite_logits"}
    stored = store(found, tmp_path)
    assert stored[["entropies", "logprobs", "gaps", "correct", "parsed"]].isna().all(axis=None)
    for name in ("cot_mean", "reasoning_length", "pass_rate"):
        metric = compute_metric(name, MetricSettings(), stored, items)
        assert metric["value"].isna().all() and set(metric["reason"]) == {"non_finite_logits"}


def test_samples_differ_from_each_other_and_follow_the_seed(items, model, tokenizer, letters):
    def sampled(seed):
        return made(items, model, tokenizer, letters, seed=seed, samples=3, temperature=2.0)

    one, same, other = sampled(1), sampled(1), sampled(2)
    assert list(one["text"]) == list(same["text"]) != list(other["text"])
    assert list(one["sample"]) == [0] * 7 + [1] * 7 + [2] * 7
    assert list(one["item_id"]) == list(items["item_id"]) * 3
    texts = one.groupby("item_id")["text"].nunique()
    assert (texts == 3).all()


def test_samples_keep_no_lists_and_give_a_pass_rate(taught_model, taught_tokenizer, bare, tmp_path):
    asked = questions("count", "short")
    found = made(asked, taught_model, taught_tokenizer, bare, samples=4, temperature=0.01)
    stored = store(found, tmp_path)
    assert stored[[*LISTS, "answer_start"]].isna().all(axis=None)
    assert list(stored["sample"]) == [0, 1, 2, 3] * 2
    assert list(compute_metric("pass_rate", MetricSettings(), stored, asked)["value"]) == [0.0, 1.0]


def test_the_job_loads_a_student_and_says_what_it_did(
    student, items, letters, engine, cache, tmp_path
):
    subject = Subject(student / "student.json", None, engine)
    table, spec, run = generate_with_student(Asked(items, letters, 1), subject, WRITING, cache)
    parquet.write("generations", table, tmp_path / "g.parquet", spec)
    assert parquet.footer(tmp_path / "g.parquet")["spec"]["student"] == folder_revision(student)
    assert spec["max_new_tokens"] == 40 and spec["temperature"] == 0.0
    assert run["items"] == 7 and run["status"] == {"ok": 7}
    assert run["new_tokens"] >= table["tokens"].map(len).sum()
    assert not table["warm_up"].any()
