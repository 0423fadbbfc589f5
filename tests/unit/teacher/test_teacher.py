import json
import logging
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest

import caft.students.folders
from caft.errors import BudgetError, ConfigError, TeacherError
from caft.running.settings import Engine
from caft.store import Store
from caft.tables import parquet
from caft.teacher import Answer, Here, asking, make_teacher
from caft.teacher.acceptance import REASONS, Policy, Verdict, item_status, quarantine, review
from caft.teacher.asking import Asking
from caft.teacher.collect import collect_rationales
from caft.teacher.money.budget import Budget, Spending
from caft.teacher.records import make_request
from caft.teacher.reference import worked_solution
from caft.teacher.sections import read_teacher

HERE = Here(Path("no-such-store"), Engine(device="cpu"))


def item(item_id, answer="B", kind="choice", reference=None, question=None):
    return {
        "item_id": item_id,
        "question": question or f"question {item_id}",
        "options": ["w", "x", "y", "z"] if kind == "choice" else None,
        "answer": answer,
        "answer_kind": kind,
        "category": "c",
        "reference_rationale": reference,
        "source": "s",
        "source_id": item_id,
        "split": "train",
    }


def answered(text="so [[B]]", finish_reason="stop", tokens=5):
    return Answer("key", text, None, finish_reason, 3, tokens, 0.01, 0.5, {"id": 7})


class Words:
    """A tokenizer that counts words."""

    def __call__(self, text, **_):
        return {"input_ids": text.split()}


class Scripted:
    """A teacher that answers with the next of its texts and remembers what it was asked."""

    decoding = {"temperature": 1.0}

    def __init__(self, texts, varies=True, batch=2, fail_after=None, cost=0.01):
        self.texts, self.varies, self.batch, self.fail_after = texts, varies, batch, fail_after
        self.asked, self.calls, self.cost = [], 0, cost

    def identify(self, item):
        return "scripted", "1"

    def answer(self, requests):
        self.calls += 1
        stream = iter(requests)
        while lot := [request for request in islice(stream, self.batch) if request]:
            if self.fail_after is not None and len(self.asked) >= self.fail_after:
                raise TeacherError("the account is empty")
            yield [self._one(request) for request in lot]

    def _one(self, request):
        self.asked.append((request.item_id, request.sample))
        text = self.texts[request.item_id][request.sample]
        finish = {"ERROR": "error", "CUT": "length"}.get(text.split(" ")[0], "stop")
        shown = "" if finish == "error" else text
        tokens = len(shown.split())
        return Answer(
            *(request.key, shown, None, finish, 2, tokens, self.cost, 0.5),
            {"error": "it said so"} if finish == "error" else {"id": request.sample},
        )


def collect(
    items,
    teacher,
    folder,
    samples=1,
    fallback="drop",
    max_tokens=50,
    parser="marked",
    budget=lambda store: None,
    **policy,
):
    with Store(folder) as store:
        return collect_rationales(
            pd.DataFrame(items),
            {row["item_id"]: [{"role": "user", "content": row["question"]}] for row in items},
            Asking(teacher, store, budget(store)),
            Policy(parser, max_tokens, samples=samples, fallback=fallback, **policy),
        )


class Pulled(Scripted):
    """A teacher whose other thread asks for more while the first answers are being read."""

    def answer(self, requests):
        self.stream, self.more = iter(requests), []
        lot = list(islice(self.stream, self.batch))
        yield [self._one(request) for request in lot]

    def pull(self, *_):
        self.more.append(next(self.stream, None))


def test_no_more_are_asked_while_the_first_are_being_read(tmp_path, monkeypatch):
    teacher = Pulled({f"i{n}": ["CUT so"] for n in range(9)}, batch=3)
    monkeypatch.setattr(asking, "tell_oddities", teacher.pull)
    with Store(tmp_path) as store, pytest.raises(TeacherError, match="none of the first 3"):
        collect_rationales(
            pd.DataFrame([item(f"i{n}") for n in range(9)]),
            {f"i{n}": [{"role": "user", "content": f"question {n}"}] for n in range(9)},
            Asking(teacher, store, patience=3),
            Policy("marked", None),
        )
    assert teacher.more == [None]


def outcome(table):
    columns = ["item_id", "sample", "parsed", "accepted", "selected"]
    return [tuple(row) for row in table[columns].itertuples(index=False)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answered(), ("B", True, None)),
        (answered("so [[C]]"), ("C", False, "wrong_answer")),
        (answered("no idea"), ("[invalid]", False, "unparsed")),
        (answered(finish_reason="length"), ("B", False, "truncated")),
        (answered(finish_reason="content_filter"), ("B", False, "refused")),
        (answered(finish_reason="refusal"), ("B", False, "refused")),
        (answered(tokens=11), ("B", False, "too_long")),
        (answered(tokens=10), ("B", True, None)),
        (answered("", finish_reason="error"), ("[invalid]", False, "error")),
    ],
)
def test_an_answer_is_accepted_or_has_a_reason(answer, expected):
    verdict = review(answer, item("a"), Policy("marked", 10))
    assert (verdict.parsed, verdict.accepted, verdict.reason) == expected


def test_the_first_reason_in_order_is_given():
    given = [
        review(answered(text, finish, tokens), item("a"), Policy("marked", 10)).reason
        for text, finish, tokens in (
            ("", "error", 99),
            ("", "refusal", 99),
            ("", "length", 99),
            ("", "broken_off", 99),
            ("", "unreadable", 99),
            ("", "eos_sometimes", 99),
            ("", "stop", 99),
            ("", "stop", 1),
            ("[[A]]", "stop", 1),
        )
    ]
    assert given == list(REASONS)


def test_without_a_limit_no_answer_is_too_long():
    assert review(answered(tokens=10**6), item("a"), Policy("marked", None)).accepted


def test_numbers_are_compared_by_value():
    asked = item("a", "1000", "numeric")
    assert review(answered("so [[1,000.0]]"), asked, Policy("marked", 10)).accepted


def test_every_item_has_a_row_and_the_accepted_one_is_selected(tmp_path):
    teacher = Scripted({"a": ["so [[B]]"], "b": ["so [[C]]"]})
    table = collect([item("a"), item("b")], teacher, tmp_path)
    assert outcome(table) == [("a", 0, "B", True, True), ("b", 0, "C", False, False)]
    assert list(table["reason"].fillna("-")) == ["-", "wrong_answer"]
    assert list(table.columns) == parquet.SCHEMAS["rationales"].names


def test_a_rejected_answer_is_sampled_again_until_one_is_accepted(tmp_path):
    texts = {"a": ["[[B]]", "unused"], "b": ["[[C]]", "hm", "[[B]]", "unused"]}
    teacher = Scripted(texts)
    table = collect([item("a"), item("b")], teacher, tmp_path, samples=4)
    assert teacher.asked == [("a", 0), ("b", 0), ("b", 1), ("b", 2)]
    assert outcome(table.sort_values("item_id", kind="stable")) == [
        ("a", 0, "B", True, True),
        ("b", 0, "C", False, False),
        ("b", 1, "[invalid]", False, False),
        ("b", 2, "B", True, True),
    ]


def test_sampling_ends_at_the_limit(tmp_path):
    teacher = Scripted({"a": ["[[C]]"] * 5})
    assert list(collect([item("a")], teacher, tmp_path, samples=3)["sample"]) == [0, 1, 2]


def test_a_teacher_that_would_say_the_same_is_not_asked_again(tmp_path):
    teacher = Scripted({"a": ["[[C]]"]}, varies=False)
    assert len(collect([item("a")], teacher, tmp_path, samples=3)) == 1


@pytest.mark.parametrize(
    ("fallback", "selected"), [("keep", [1]), ("drop", []), ("train_on_answer", [])]
)
def test_only_keep_selects_a_rejected_answer_the_last_that_could_be_read(
    tmp_path, fallback, selected
):
    texts = {"a": ["[[A]]", "CUT [[C]]", "no idea"], "b": ["[[B]]"]}
    table = collect([item("a"), item("b")], Scripted(texts), tmp_path, 3, fallback)
    of_a = table[table["item_id"] == "a"]
    assert list(of_a["sample"][of_a["selected"]]) == selected
    assert table["selected"][table["item_id"] == "b"].all()


def test_keep_does_not_select_what_is_too_long_to_train_on(tmp_path):
    teacher = Scripted({"a": ["[[A]]", "one two three [[B]]"]})
    table = collect([item("a")], teacher, tmp_path, 2, "keep", max_tokens=3)
    assert outcome(table) == [("a", 0, "A", False, True), ("a", 1, "B", False, False)]


def test_a_second_run_asks_nothing_and_gives_the_same_table(tmp_path):
    items = [item("a"), item("b"), item("c")]
    texts = {"a": ["[[B]]"], "b": ["[[C]]", "[[C]]"], "c": ["hm", "[[B]]"]}
    first = collect(items, Scripted(texts), tmp_path, samples=2)
    teacher = Scripted({})
    second = collect(items, teacher, tmp_path, samples=2)
    assert teacher.calls == 0
    pd.testing.assert_frame_equal(first, second)


def test_only_the_new_row_of_a_reordered_table_is_asked_for(tmp_path):
    items = [item("a"), item("b"), item("c")]
    texts = {name: ["[[B]]"] for name in "abcd"}
    collect(items, Scripted(texts), tmp_path)
    teacher = Scripted(texts)
    collect([items[2], item("d"), items[0], items[1]], teacher, tmp_path)
    assert teacher.asked == [("d", 0)]


def test_a_raised_limit_asks_only_for_the_further_samples(tmp_path):
    texts = {"a": ["[[C]]", "[[C]]", "[[B]]"]}
    collect([item("a")], Scripted(texts), tmp_path, samples=1)
    teacher = Scripted(texts)
    collect([item("a")], teacher, tmp_path, samples=3)
    assert teacher.asked == [("a", 1), ("a", 2)]


def test_items_that_ask_the_same_share_one_answer(tmp_path):
    items = [item("a", "B", question="same?"), item("b", "C", question="same?")]
    teacher = Scripted({"a": ["[[B]]"], "b": ["[[B]]"]})
    table = collect(items, teacher, tmp_path)
    assert teacher.asked in ([("a", 0)], [("b", 0)])
    assert list(table["accepted"]) == [True, False]


def test_an_error_is_a_row_but_not_stored_and_asked_again_by_the_next_run(tmp_path):
    items = [item("a"), item("b")]
    teacher = Scripted({"a": ["ERROR"], "b": ["[[B]]"]})
    table = collect(items, teacher, tmp_path, samples=3)
    assert list(table["reason"].fillna("-")) == ["error", "-"]
    assert teacher.asked == [("a", 0), ("b", 0)]
    again = Scripted({"a": ["[[B]]"]})
    assert collect(items, again, tmp_path, samples=3)["accepted"].all()
    assert again.asked == [("a", 0)]


def test_what_came_before_a_teacher_gave_up_is_not_bought_again(tmp_path):
    items = [item(name) for name in "abcd"]
    texts = {name: ["[[B]]"] for name in "abcd"}
    with pytest.raises(TeacherError, match="account is empty"):
        collect(items, Scripted(texts, batch=1, fail_after=3), tmp_path)
    teacher = Scripted(texts)
    assert len(collect(items, teacher, tmp_path)) == 4
    assert teacher.asked == [("d", 0)]


def test_an_answer_is_stored_before_it_is_used(tmp_path):
    seen = []

    class Watched(Store):
        def append(self, records):
            super().append(records)
            seen.extend(Store(self.folder).get(record["key"] for record in records))

    teacher = Scripted({"a": ["[[B]]"]})
    prompt = [{"role": "user", "content": "q"}]
    with Watched(tmp_path) as store:
        table = collect_rationales(
            pd.DataFrame([item("a")]), {"a": prompt}, Asking(teacher, store), Policy("marked", 50)
        )
    assert seen == list(table["key"])


def test_each_answer_is_reviewed_once_for_each_item_that_it_answers(tmp_path, monkeypatch):
    reviewed = []

    def review_and_note(answer, item, policy):
        reviewed.append((item["item_id"], answer.text))
        return review(answer, item, policy)

    monkeypatch.setattr("caft.teacher.collect.review", review_and_note)
    items = [item("a", question="same"), item("b", answer="C", question="same"), item("c")]
    texts = {"b": ["[[B]]", "[[C]]"], "c": ["[[A]]", "[[B]]"]}  # of "a" is asked what "b" asks
    table = collect(items, Scripted(texts), tmp_path, samples=2)
    assert len(reviewed) == len(set(reviewed)) == len(table) == 5
    assert table.groupby("item_id")["accepted"].any().all()


def test_the_stored_record_holds_request_price_and_raw_answer(tmp_path):
    table = collect([item("a")], Scripted({"a": ["so [[B]]"]}), tmp_path)
    (stored,) = Store(tmp_path).get(table["key"]).values()
    assert json.loads(stored["request"]) == {
        "messages": [{"role": "user", "content": "question a"}],
        "decoding": {"temperature": 1.0},
        "sample": 0,
    }
    assert (stored["kind"], stored["model_id"], stored["cost_usd"]) == (
        *("rationale", "scripted"),
        0.01,
    )
    assert json.loads(stored["raw"]) == {"id": 0}
    assert stored["received_at"].endswith("+00:00")
    assert "item_id" not in stored


def test_progress_tells_tokens_money_retries_and_acceptance_so_far(tmp_path, caplog):
    teacher = Scripted({"a": ["[[B]]"], "b": ["[[C]]"]})
    teacher.retries = 3
    with caplog.at_level(logging.INFO, "caft"):
        collect([item("a"), item("b")], teacher, tmp_path)
    assert "2/2 (100%)" in caplog.text
    assert "6 tokens, $0.0200 so far, 3 retries, 50% accepted" in caplog.text


def test_an_unknown_cost_is_never_shown_or_stored_as_nothing(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "caft"):
        table = collect([item("a")], Scripted({"a": ["[[B]]"]}, cost=None), tmp_path / "s")
    assert "cost unknown, 0 retries" in caplog.text
    assert table["cost_usd"].isna().all()
    parquet.write("rationales", table, tmp_path / "r.parquet")
    assert parquet.read("rationales", tmp_path / "r.parquet")["cost_usd"].isna().all()


def test_every_item_ends_accepted_or_quarantined_with_the_last_reason(tmp_path, caplog):
    texts = {"a": ["[[C]]", "[[B]]"], "b": ["[[C]]", "hm"], "c": ["ERROR"], "d": ["[[B]]"]}
    with caplog.at_level(logging.INFO, "caft"):
        table = collect([item(name) for name in "abcd"], Scripted(texts), tmp_path, samples=2)
    status = item_status(table)
    assert status["accepted"].to_dict() == {"a": True, "b": False, "c": False, "d": True}
    assert status["reason"].dropna().to_dict() == {"b": "unparsed", "c": "error"}
    assert "4 items = 2 accepted + 2 quarantined" in caplog.text
    kept = quarantine(table)
    assert kept[["item_id", "sample", "item_accepted"]].values.tolist() == [
        ["a", 0, True],
        ["b", 0, False],
        ["c", 0, False],
        ["b", 1, False],
    ]
    assert kept.loc[kept["item_id"] == "c", "error"].tolist() == ["it said so"]


def test_a_changed_parser_or_policy_reads_again_and_asks_nothing(tmp_path):
    items = [item("a"), item("b")]
    texts = {"a": ["The answer is (B)."], "b": ["one two three [[B]]"]}
    first = collect(items, Scripted(texts), tmp_path)
    teacher = Scripted({})
    parsed = collect(items, teacher, tmp_path, parser="any")
    shorter = collect(items, teacher, tmp_path, parser="any", max_tokens=3, fallback="keep")
    assert teacher.calls == 0
    assert [list(table["accepted"]) for table in (first, parsed, shorter)] == [
        [False, True],
        [True, True],
        [False, False],
    ]


def test_reasoning_that_is_kept_apart_makes_no_rationale_too_long():
    class Words:
        def texts(self, texts):
            return [len(text.split()) for text in texts]

    thought = answered("so [[B]]", tokens=900)
    too_long = Verdict("B", "too_long")
    assert review(thought, item("a"), Policy("marked", 10)) == too_long
    assert review(thought, item("a"), Policy("marked", 10, Words())).accepted
    assert review(thought, item("a"), Policy("marked", 1, Words())) == too_long


def limited(store, **limits):
    spent = Spending(len(store.keys()), 0, 0.01 * len(store.keys()))
    return Budget(limits, spent, lambda request: Spending(1, 10, 0.02), name="teachers.t.budget")


def test_a_budget_stops_the_run_and_a_raised_one_buys_only_the_rest(tmp_path):
    items = [item(name) for name in "abcde"]
    teacher = Scripted({name: ["[[B]]"] for name in "abcde"}, batch=1)
    expected = "teachers.t.budget: no room for another answer within max_requests 3 requests"
    with pytest.raises(BudgetError, match=expected) as caught:
        collect(items, teacher, tmp_path, budget=lambda store: limited(store, max_requests=3))
    assert "3 of 5 answers are there and kept" in str(caught.value)
    assert [name for name, _ in teacher.asked] == ["a", "b", "c"]
    again = Scripted({name: ["[[B]]"] for name in "abcde"})
    table = collect(items, again, tmp_path, budget=lambda store: limited(store, max_requests=5))
    assert [name for name, _ in again.asked] == ["d", "e"]
    assert len(table) == 5


def test_what_is_under_way_holds_its_worst_case_until_it_is_stored(tmp_path):
    # Two at once reserve 0.04 and take 0.02: the third is asked for once the first two are settled.
    items = [item(name) for name in "abc"]
    teacher = Scripted({name: ["[[B]]"] for name in "abc"}, batch=3)
    lots = []
    answer = teacher.answer
    teacher.answer = lambda requests: (lots.append(len(lot)) or lot for lot in answer(requests))
    collect(items, teacher, tmp_path, budget=lambda store: limited(store, max_cost_usd=0.045))
    assert lots == [2, 1]


@pytest.mark.parametrize(("seconds", "looks"), [(0.0, 100), (0.125, 100), (2.0, 13), (20.0, 2)])
def test_looks_at_a_large_store_take_a_small_part_of_the_time(seconds, looks, monkeypatch):
    class Large:
        now = looks = 0

        def refresh(self):
            self.now, self.looks = self.now + seconds, self.looks + 1

        def keys(self):
            return set()

        def monotonic(self):
            return self.now

    store = Large()
    monkeypatch.setattr(asking, "time", store)
    stream = asking._Stream([], Asking(None, store), None)
    for _ in range(100):
        store.now += 10
        stream.settle([])
    assert store.looks == looks


def test_what_another_job_stores_meanwhile_is_not_asked_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("caft.teacher.asking._SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr("caft.teacher.asking._LOOKS_BETWEEN_LOOKS", 0)
    items = [item(name) for name in "abc"]
    texts = {name: ["[[B]]"] for name in "abc"}

    class Slow(Scripted):
        def _one(self, request):
            if request.item_id == "a":
                collect([items[1]], Scripted(texts), tmp_path)
            return super()._one(request)

    looks = []

    def budget(store):
        made = limited(store, max_requests=3)
        made._look = lambda: (looks.append(len(store.keys())) or Spending(looks[-1]), Spending())
        return made

    teacher = Slow(texts, batch=1)
    with caplog.at_level(logging.INFO, "caft"):
        table = collect(items, teacher, tmp_path, budget=budget)
    assert [name for name, _ in teacher.asked] == ["a", "c"]
    assert list(table["accepted"]) == [True] * 3
    assert looks == [2, 3]
    assert "1 answers came from other jobs" in caplog.text


def test_the_table_can_be_written_and_read(tmp_path):
    teacher = Scripted({"a": ["[[B]]"], "b": ["ERROR"]})
    table = collect([item("a"), item("b")], teacher, tmp_path / "store")
    parquet.write("rationales", table, tmp_path / "r.parquet")
    assert list(parquet.read("rationales", tmp_path / "r.parquet")["selected"]) == [True, False]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("because x", "because x\n[[B]]"),
        ("because x [[B]]", "because x [[B]]"),
        ("The answer is (B).\n", "The answer is (B).\n[[B]]"),
        ("The answer is (C).", "The answer is (C).\n[[C]]"),
        (None, None),
        (float("nan"), None),
        ("  ", None),
    ],
)
def test_a_worked_solution_ends_in_the_answer_it_states(reference, expected):
    assert worked_solution(item("a", reference=reference)) == expected


def test_the_reference_teacher_answers_at_no_cost_with_counted_tokens(tmp_path):
    items = [item("a", "18", "numeric", "9 + 9 = 18\n#### 18"), item("b")]
    table = collect(
        items,
        make_teacher(read_teacher({"provider": "reference"}), Words(), HERE),
        tmp_path,
        samples=3,
    )
    assert list(table["reason"].fillna("-")) == ["-", "error"]
    first = table.iloc[0]
    assert first["text"] == "9 + 9 = 18\n#### 18\n[[18]]"
    assert (first["prompt_tokens"], first["completion_tokens"], first["cost_usd"]) == (2, 8, 0.0)
    assert Store(tmp_path).get(table["key"]).keys() == {first["key"]}


def test_a_corrected_reference_is_a_new_answer():
    teacher = make_teacher(read_teacher({"provider": "reference"}), Words(), HERE)
    keys = [
        make_request(teacher, item("a", reference=text), [], 0).key
        for text in ("one", "one", "two")
    ]
    assert keys[0] == keys[1] != keys[2]


def test_every_provider_can_be_imported_without_torch():
    import subprocess
    import sys

    code = (
        "import sys, caft.teacher.collect; from caft.teacher import PROVIDERS; "
        "list(PROVIDERS.values()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


TEMPLATE = (
    "{% for m in messages %}<s>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>{% endif %}"
)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = {word: number for number, word in enumerate(["<s>", "</s>", "u", *"abcdefgh?", "q"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="u"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def local(folder, **changed):
    spec = {"model": str(folder), "max_new_tokens": 6, "batch_size": 2, "dtype": "float32"}
    return read_teacher({"provider": "local", **spec, **changed})


def test_a_local_teacher_loads_its_model_only_for_what_is_not_stored(tiny_model, tmp_path):
    items = [item("a", question="a b ?"), item("b", question="c ?"), item("c", question="d e f ?")]
    teacher = make_teacher(local(tiny_model), None, HERE)
    first = collect(items, teacher, tmp_path)
    assert list(first["item_id"]) == ["a", "b", "c"]
    assert list(first["prompt_tokens"]) == [6, 5, 7]
    assert set(first["finish_reason"]) <= {"stop", "length"}
    assert first["completion_tokens"].between(1, 6).all()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("caft.teacher.local.load_model", lambda *_, **__: pytest.fail("loaded"))
        second = collect(items, make_teacher(local(tiny_model), None, HERE), tmp_path)
    pd.testing.assert_frame_equal(first, second)


def test_a_local_folder_is_known_by_its_content_not_by_its_place(tiny_model, tmp_path):
    (tmp_path / "moved").symlink_to(tiny_model)
    here = make_teacher(local(tiny_model), None, HERE).identify({})
    there = make_teacher(local(tmp_path / "moved"), None, HERE).identify({})
    assert here == there == ("local", caft.students.folders.folder_revision(tiny_model))


def test_samples_of_a_local_teacher_differ_when_it_samples(tiny_model, tmp_path):
    teacher = make_teacher(local(tiny_model, temperature=1.0), None, HERE)
    table = collect([item("a", question="a b ?")], teacher, tmp_path, samples=4)
    assert len(table) == 4
    assert table["text"].nunique() > 1


def test_a_greedy_local_teacher_is_asked_once(tiny_model, tmp_path):
    teacher = make_teacher(local(tiny_model), None, HERE)
    assert len(collect([item("a", question="a b ?")], teacher, tmp_path, samples=4)) == 1


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_hub_teacher_needs_a_commit(revision):
    with pytest.raises(ConfigError, match="give the commit"):
        make_teacher(local("org/model", revision=revision), None, HERE)


def test_a_hub_teacher_is_known_by_id_and_commit_without_fetching_it():
    commit = "0123456789abcdef0123456789abcdef01234567"
    teacher = make_teacher(local("org/model", revision=commit), None, HERE)
    assert teacher.identify({}) == ("org/model", commit)
