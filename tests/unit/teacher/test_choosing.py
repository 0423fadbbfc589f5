from dataclasses import replace

import pandas as pd
import pytest
import torch
from test_teacher import Scripted, collect, item

from caft.complexity.likelihoods import TOKEN_BUDGET
from caft.mixtures.rows import solved_in
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.store import Store
from caft.students.folders import load_model
from caft.students.opened import Loaded, Subject
from caft.teacher.acceptance import Policy
from caft.teacher.choosing import choose_likely, likelihoods
from caft.teacher.money.estimate import Seen, estimate, look_up
from caft.teacher.sections import read_teacher

TEXTS = {
    "a": ["a long way to it [[B]]", "[[B]]", "[[C]]", "so [[B]]"],
    "b": ["[[C]]", "well [[B]]", "[[B]]", "[[A]]"],
    "c": ["[[C]]"] * 4,
}


class Words:
    def texts(self, texts):
        return [len(text.split()) for text in texts]

    def prompts(self, prompts):
        return [7 for _ in prompts]


class Thinking(Scripted):
    """A teacher that shows reasoning where its text begins with `so`."""

    def _one(self, request):
        answer = super()._one(request)
        return replace(answer, reasoning="hm" if answer.text.startswith("so") else None)


def kept(folder, choose, items=TEXTS, **more):
    rows = [item(name) for name in items]
    policy = {"keep_all": True, "choose": choose, "counter": Words(), **more}
    return collect(rows, Scripted(TEXTS), folder, samples=4, **policy)


def chosen(table):
    rows = table[table["selected"]]
    return dict(zip(rows["item_id"], rows["sample"], strict=True))


def test_all_samples_are_asked_for_and_all_right_ones_kept(tmp_path):
    table = kept(tmp_path, "first")
    assert len(table) == 12
    assert table[table["accepted"]].groupby("item_id")["sample"].agg(list).to_dict() == {
        "a": [0, 1, 3],
        "b": [1, 2],
    }


@pytest.mark.parametrize(
    ("choose", "samples"), [("first", {"a": 0, "b": 1}), ("shortest", {"a": 1, "b": 2})]
)
def test_one_right_answer_of_each_item_is_chosen(tmp_path, choose, samples):
    assert chosen(kept(tmp_path, choose)) == samples


def test_a_random_choice_is_each_items_own_and_the_seeds(tmp_path):
    found = [chosen(kept(tmp_path, "random", seed=seed)) for seed in range(12)]
    assert {one["a"] for one in found} == {0, 1, 3} and {one["b"] for one in found} == {1, 2}
    assert chosen(kept(tmp_path, "random", ["b"], seed=3)) == {"b": found[3]["b"]}


def test_the_fallback_keeps_its_own_choice_for_items_without_a_right_answer(tmp_path):
    assert chosen(kept(tmp_path, "shortest", fallback="keep"))["c"] == 3


@pytest.mark.parametrize(
    ("choose", "thoughts", "sample"),
    [("first", False, 0), ("first", True, 3), ("shortest", False, 1), ("shortest", True, 3)],
)
def test_where_reasoning_is_trained_on_a_right_answer_that_shows_some_is_chosen(
    tmp_path, choose, thoughts, sample
):
    found = collect(
        [item("a"), item("b")], Thinking(TEXTS), tmp_path, samples=4, keep_all=True,
        choose=choose, counter=Words(), thoughts=thoughts,
    )  # fmt: skip
    assert chosen(found)["a"] == sample
    solved = solved_in({"w": found})("w", "reasoning")
    assert solved == {"a"}, "no right answer of b shows any"


def test_an_item_is_solved_by_any_right_answer_that_shows_reasoning(tmp_path):
    texts = {"a": TEXTS["a"][::-1]}  # what shows some comes first, others that are right later
    collect([item("a")], Thinking(texts), tmp_path, samples=4, keep_all=True)
    asking = {"prompts": {"a": [{"role": "user", "content": "question a"}]}, "counter": Words()}
    with Store(tmp_path) as store:
        policy = Policy("marked", 50, samples=4, keep_all=True)
        outlook = look_up(
            [item("a")], teacher=Thinking(texts), store=store, policy=policy, reads_all=True,
            **asking,
        )  # fmt: skip
    assert outlook.solved == {"a": True}


def test_what_is_still_to_be_asked_is_every_sample(tmp_path):
    rows, teacher = [item("a")], Scripted(TEXTS)
    asking = {"prompts": {"a": [{"role": "user", "content": "question a"}]}, "counter": Words()}
    policy = Policy("marked", 50, samples=4, keep_all=True)
    collect(rows, Scripted(TEXTS), tmp_path)  # the first sample alone
    with Store(tmp_path) as store:
        outlook = look_up(rows, teacher=teacher, store=store, policy=policy, **asking)
        known = look_up(rows, teacher=teacher, store=store, policy=Policy("marked", 50), **asking)
    (missing,) = outlook.missing.values()
    assert (missing.request.sample, missing.samples) == (1, 3) and known.missing == {}
    spec = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
    for case in estimate([missing], read_teacher(spec), Seen(), outlook).values():
        assert case.requests == 3


@pytest.fixture
def several(letters):
    items = pd.DataFrame([item("a"), item("b"), item("c")])
    rows = [
        {"item_id": name, "sample": sample, "text": text, "accepted": "[[B]]" in text}
        for name, texts in TEXTS.items()
        for sample, text in enumerate(texts)
        if (name, sample) != ("b", 1)  # leaves one right answer of b, which needs no measuring
    ]
    table = pd.DataFrame(rows)
    return Asked(items, letters, 1), table.assign(selected=table["accepted"])


def test_the_likely_rationale_is_measured_per_token_behind_its_prompt(
    several, student, tokenizer, engine, cache
):
    asked, table = several
    model = load_model(student)
    subject = Subject(student / "student.json", None, engine)
    found, run = choose_likely(table, asked, subject, cache)
    chat, own = Chat(tokenizer), {}
    prompt = asked.prompts("cot").messages[0]
    for sample in (0, 1, 3):
        before, target = chat.row(prompt, TEXTS["a"][sample], "cot")
        ids = torch.tensor([before + target[:-1]])
        logits = model(ids).logits[0].log_softmax(-1)
        places = range(len(before) - 1, len(before) + len(target) - 2)
        each = [float(logits[at, ids[0, at + 1]]) for at in places]
        own[sample] = sum(each) / len(each)
    measured = found[found["log_likelihood"].notna()].set_index("sample")["log_likelihood"]
    assert measured.to_dict() == pytest.approx(own, abs=1e-4)
    assert chosen(found) == {"a": max(own, key=own.get), "b": 2}
    again, second = choose_likely(table, asked, subject, cache)
    assert second["blocks"] == run["blocks"] and again.equals(found)


def test_of_likely_rationales_one_that_shows_reasoning_comes_first(several, student, engine, cache):
    asked, table = several
    thinks = table.assign(reasoning=["thought" if one == 3 else None for one in table["sample"]])
    subject = Subject(student / "student.json", None, engine)
    found, _ = choose_likely(thinks, asked, subject, cache, thoughts=True)
    assert chosen(found) == {"a": 3, "b": 2}, "whatever is most likely"


def test_where_no_item_has_several_nothing_is_measured(several, student, engine, cache):
    asked, table = several
    alone = table[table["item_id"] != "a"].reset_index(drop=True)
    subject = Subject(student / "student.json", None, engine)
    found, run = choose_likely(alone, asked, subject, cache)
    assert run["blocks"] == [] and found["log_likelihood"].isna().all()
    assert chosen(found) == {"b": 2}


def test_a_rationale_that_does_not_fit_has_no_likelihood(several, student, tokenizer):
    asked, _ = several
    part = asked.prompts("cot").part([0])
    loaded = Loaded(load_model(student), Chat(tokenizer), 3)
    found = likelihoods(part, {"a": [(0, "[[B]]")]}, loaded, TOKEN_BUDGET["cpu"])
    assert found == [{"item_id": "a", "sample": 0, "log_likelihood": None}]
