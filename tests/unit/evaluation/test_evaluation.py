import shutil

import pandas as pd
import pytest
import torch
from harness import change_weights

from caft.evaluation.evaluate import Way, _read, evaluate, evaluate_model
from caft.evaluation.settings import Evaluation
from caft.prompting.answers import ABSTAINED, INVALID, TOO_LONG
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.running.jobs import Progress
from caft.students.folders import folder_revision, load_model, load_tokenizer
from caft.students.generation import Generated
from caft.students.opened import Loaded, Subject
from caft.students.settings import TokensPerMode
from caft.tables.files import write_json
from caft.training.records import weights_sha256

SETTINGS = Evaluation(max_new_tokens=TokensPerMode(direct=14, cot=40), batch_size=2)
CHOICE = {"item_id": "i", "answer": "B", "answer_kind": "choice", "options": ["x", "y", "z"]}
NUMBER = {"item_id": "i", "answer": "1200", "answer_kind": "numeric", "options": None}


def read(item, text, variant, parser="any"):
    row = _read(item, Generated(0, text, 5, 3, "stop"), variant, parser)
    return row["parsed"], row["correct"], row["invalid"]


def test_a_right_a_wrong_and_an_unreadable_answer_are_told_apart(letters):
    assert read(CHOICE, "[[B]]", letters) == ("B", True, False)
    assert read(CHOICE, "[[C]]", letters) == ("C", False, False)
    assert read(CHOICE, "[[D]]", letters) == (INVALID, False, True)
    assert read(NUMBER, "so [[1,200.0]]", letters) == ("1200", True, False)
    assert read(NUMBER, "so 1200", letters) == (INVALID, False, True)


def test_an_abstention_is_wrong_but_not_unreadable(letters):
    variant = letters.model_copy(update={"labels": "number", "abstain": "0"})
    assert read(CHOICE, "0", variant, "leading") == (ABSTAINED, False, False)
    assert read(CHOICE, "2", variant, "leading") == ("B", True, False)


@pytest.mark.parametrize("text", ["[[[invalid]]]", "[invalid]", ""])
def test_a_text_answer_that_looks_unreadable_is_wrong(letters, text):
    item = {"item_id": "i", "answer": "[invalid]", "answer_kind": "text", "options": None}
    assert read(item, text, letters)[1] is False


@pytest.fixture
def items(lessons):
    rows = [
        {
            "item_id": f"i{number}",
            "question": question,
            "options": None,
            "answer": "4" if question == "2 + 2 ?" else "6",
            "answer_kind": "numeric",
            "reference_rationale": None,
            "split": "test",
        }
        for number, question in enumerate(lessons)
    ]
    return pd.DataFrame([{**rows[0], "item_id": "other", "split": "train"}, *rows])


def without_system(tokenizer):
    # The lessons were taught without a system turn.
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"
    )
    return tokenizer


def table_of(batches):
    return pd.DataFrame([row for rows in batches for row in rows])


def answered(items, folder, variant, mode):
    model, tokenizer = load_model(folder), without_system(load_tokenizer(folder))
    prompts = Asked(items, variant, 1).prompts(mode)
    line = Progress("answering", len(items))
    return table_of(evaluate(prompts, Loaded(model, Chat(tokenizer)), mode, SETTINGS, line))


def test_items_are_answered_and_marked(items, taught, bare):
    direct = answered(items, taught, bare, "direct")
    found = direct.set_index("item_id").sort_index()
    assert list(found.index) == ["i0", "i1", "i2", "i3", "i4", "other"]
    found = found.drop("other")
    assert list(found["parsed"]) == ["4", "12", INVALID, INVALID, "3"]
    assert list(found["correct"]) == [True, False, False, False, False]
    assert list(found["invalid"]) == [False, False, True, True, False]
    assert list(found["finish_reason"]) == ["stop", "stop", "stop", "length", "stop"]


def test_thinking_stops_at_the_marked_answer(items, taught, bare):
    cot = answered(items, taught, bare, "cot")
    counted = cot.set_index("item_id").loc["i3"]
    assert counted["text"] == "one two three four five six [[6]]"
    assert (counted["parsed"], counted["correct"]) == ("6", True)


def test_the_entropy_of_the_first_answer_token_is_that_of_the_next_token_distribution(
    items, taught, bare
):
    model, chat = load_model(taught), Chat(without_system(load_tokenizer(taught)))
    prompts, line = Asked(items, bare, 1).prompts("direct"), Progress("x", len(items))
    student = Loaded(model, chat)
    found = table_of(evaluate(prompts, student, "direct", SETTINGS, line, entropy=True))
    without = table_of(evaluate(prompts, student, "direct", SETTINGS, line))
    assert without["first_token_entropy"].isna().all()
    column = "first_token_entropy"
    pd.testing.assert_frame_equal(found.drop(columns=column), without.drop(columns=column))
    by_item = found.set_index("item_id")[column]
    for item_id, turns in zip(items["item_id"], prompts.messages, strict=True):
        ids = torch.tensor([chat.prompt(turns, "direct")])
        with torch.inference_mode():
            next_token = model(ids).logits[0, -1].float().softmax(-1)
        entropy = float(torch.distributions.Categorical(next_token).entropy())
        assert by_item[item_id] == pytest.approx(entropy, abs=1e-4)


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_what_does_not_fit_into_the_context_is_too_long_and_never_sent(
    items, taught, letters, engine, monkeypatch
):
    items = items.assign(answer=TOO_LONG, answer_kind="text")  # not even then it is right
    prompts, tokenizer = Asked(items, letters, 1).prompts("direct"), load_tokenizer(taught)
    lengths = [len(Chat(tokenizer).prompt(turns, "direct")) for turns in prompts.messages]
    settings = SETTINGS.model_copy(update={"engine": engine})
    limit, sent = settings.max_new_tokens.direct, []

    def ask(model, chat, messages, decoding):
        sent.extend(messages)
        yield [
            Generated(n, "4", len(chat.prompt(turns, "direct")), 2, "stop")
            for n, turns in enumerate(messages)
        ]

    monkeypatch.setattr("caft.evaluation.evaluate.generate_with", lambda engine: ask)

    def asked(context):
        sent.clear()
        student = Loaded(None, Chat(tokenizer), context)
        line = Progress("x", len(items))
        table = table_of(evaluate(prompts, student, "direct", settings, line))
        return table.set_index("item_id").loc[items["item_id"]]

    middle = sorted(lengths)[2]
    table = asked(middle + limit)
    fits = [length <= middle for length in lengths]
    assert 0 < sum(fits) < len(fits)
    assert sent == [turns for turns, fit in zip(prompts.messages, fits, strict=True) if fit]
    assert list(table["finish_reason"]) == ["stop" if fit else "too_long" for fit in fits]
    assert list(table["parsed"]) == ["4" if fit else TOO_LONG for fit in fits]
    assert list(table["new_tokens"]) == [2 if fit else 0 for fit in fits]
    assert not table["correct"].any() and not table["invalid"].any()

    assert set(asked(min(lengths) + limit - 1)["parsed"]) == {TOO_LONG}
    assert sent == []


def test_one_split_is_answered_by_the_untuned_student(items, student, letters, engine, cache):
    subject = Subject(student / "student.json", None, engine)
    predictions, spec, run = evaluate_model(
        Asked(items, letters, 1), Way("test", "direct"), subject, SETTINGS, cache
    )
    assert list(predictions["item_id"]) == ["i0", "i1", "i2", "i3", "i4"]
    assert (spec["mode"], spec["dtype"]) == ("direct", "float32")
    assert spec["model"] == folder_revision(student)
    assert run["new_tokens"] == predictions["new_tokens"].sum() > 0
    assert run["seconds"] > 0


def test_answers_of_an_epoch_name_the_model_and_follow_from_its_weights(
    items, taught, letters, engine, cache, tmp_path
):
    folder = tmp_path / "aaaa000000000001/epochs/3"
    shutil.copytree(taught, folder)
    record = {"method": "full", "spec": {}, "epoch": 3}

    def ask():
        write_json(folder / "model.json", {**record, "weights_sha256": weights_sha256(folder)})
        subject = Subject(taught / "student.json", folder / "model.json", engine)
        asked = Asked(items, letters, 1)
        return evaluate_model(asked, Way("test", "direct"), subject, SETTINGS, cache)[1:]

    spec, first = ask()
    assert (spec["model"], spec["epoch"]) == ("aaaa000000000001", 3)
    assert ask()[1]["new_tokens"] == first["new_tokens"]
    assert len(list(tmp_path.glob("blocks/**/*.parquet"))) == 1
    change_weights(folder)
    ask()
    assert len(list(tmp_path.glob("blocks/**/*.parquet"))) == 2
