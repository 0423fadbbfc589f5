import copy
import json
import logging
from pathlib import Path

import pandas as pd
import pytest
import yaml

from caft.complexity import METRICS, judged
from caft.complexity.compute import compute_metric
from caft.complexity.judge_questions import (
    QUESTIONS,
    label_messages,
    rating_messages,
    read_label,
    read_rating,
)
from caft.complexity.settings import MetricSettings
from caft.config.checks import cross_check
from caft.config.prepare import prepare
from caft.config.reading import parse
from caft.errors import BudgetError, ConfigError, TeacherError
from caft.store import Store
from caft.tables import parquet
from caft.teacher import Answer, lots
from caft.teacher.asking import Asking
from caft.teacher.judge import judge_items, look_ahead
from caft.teacher.money.estimate import open_budget
from caft.teacher.sections import read_judge
from caft.teacher.settings import JudgeKeys

ROOT = Path(__file__).parents[3]
BOTH = ["education_level", "reasoning_steps"]
NO_LIMITS = {"max_requests": None, "max_tokens": None, "max_cost_usd": None}


def item(item_id, **fields):
    return {
        "item_id": item_id,
        "question": f"question {item_id}",
        "options": ["w", "x", "y", "z"],
        "answer": "B",
        "answer_kind": "choice",
        "category": "c",
        "reference_rationale": None,
        "source": "s",
        "source_id": item_id,
        "split": "train",
    } | fields


class Judge:
    """Says per item and question a level and a rating, and remembers what it was asked."""

    decoding = {"temperature": 0.0}
    varies = False

    def __init__(self, says, cost=0.01, fail_after=None):
        self.says, self.cost, self.fail_after = says, cost, fail_after
        self.asked = []

    def identify(self, item):
        return "scripted", "1"

    def answer(self, requests):
        for lot in lots(requests):
            for request in lot:
                if self.fail_after is not None and len(self.asked) >= self.fail_after:
                    raise TeacherError("the account is empty")
                yield [self._one(request)]

    def _one(self, request):
        system = request.messages[0]["content"]
        (question,) = (name for name in QUESTIONS if QUESTIONS[name].task in system)
        call = "rating" if "Rate that choice" in system else "level"
        self.asked.append((request.item_id, question, call))
        text = self.says[request.item_id, question][call == "rating"]
        finish = {"ERROR": "error", "CUT": "length", "NO": "refusal"}.get(text.split()[0], "stop")
        if finish == "error":
            raw = {"error": "status 500"}
            return Answer(request.key, "", None, "error", 0, 0, 0.0, 0.0, raw)
        return Answer(request.key, text, None, finish, 100, 7, self.cost, 0.5, {})


def ask(items, judge, folder, questions=BOTH, minimum_rating=9, budget=None):
    settings = JudgeKeys(questions=questions, minimum_rating=minimum_rating)
    with Store(folder) as store:
        return judge_items(pd.DataFrame(items), Asking(judge, store, budget), settings)


def one(level, rating, folder, **fields):
    """Judge one item in one question; return its row."""
    judge = Judge({("a", "education_level"): (level, rating)})
    (row,) = parquet.records(ask([item("a")], judge, folder, ["education_level"], **fields))
    return row


CERTAIN = {
    ("a", "education_level"): ("[[undergraduate]]", "[[9]]"),
    ("a", "reasoning_steps"): ("[[high]]", "[[10]]"),
    ("b", "education_level"): ("[[postgraduate]]", "[[9]]"),
    ("b", "reasoning_steps"): ("[[low]]", "[[9]]"),
}


def test_each_item_gets_a_level_and_its_rating_per_question(tmp_path):
    table = ask([item("b"), item("a")], Judge(CERTAIN), tmp_path)
    columns = ["item_id", "question", "label", "rating", "status"]
    assert [tuple(row) for row in table[columns].itertuples(index=False)] == [
        ("a", "education_level", "undergraduate", 9, "ok"),
        ("a", "reasoning_steps", "high", 10, "ok"),
        ("b", "education_level", "postgraduate", 9, "ok"),
        ("b", "reasoning_steps", "low", 9, "ok"),
    ]


def test_a_row_counts_both_calls(tmp_path):
    row = one("[[graduate]]", "[[9]]", tmp_path)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (200, 14)
    assert (row["cost_usd"], row["seconds"]) == (0.02, 1.0)


@pytest.mark.parametrize(
    ("level", "rating", "expected"),
    [
        ("so [[graduate]]", "so [[9]]", ("graduate", 9, "ok")),
        ("[[graduate]]", "[[8]]", ("graduate", 8, "low_rating")),
        ("[[graduate]]", "very sure", ("graduate", None, "unparsed_rating")),
        ("[[graduate]]", "[[11]]", ("graduate", None, "unparsed_rating")),
        ("[[graduate]]", "CUT [[9]]", ("graduate", None, "unparsed_rating")),
        ("graduate", "unused", (None, None, "unparsed_label")),
        ("[[college]]", "unused", (None, None, "unparsed_label")),
        ("CUT not [[graduate]] but", "unused", (None, None, "unparsed_label")),
        ("NO [[graduate]]", "unused", (None, None, "unparsed_label")),
        ("ERROR", "unused", (None, None, "error")),
        ("[[graduate]]", "ERROR", ("graduate", None, "error")),
    ],
)
def test_every_outcome_is_kept_with_a_status(tmp_path, level, rating, expected):
    row = one(level, rating, tmp_path)
    rating = None if pd.isna(row["rating"]) else row["rating"]
    label = None if pd.isna(row["label"]) else row["label"]
    assert (label, rating, row["status"]) == expected


def test_a_rating_is_asked_for_only_where_a_level_could_be_read(tmp_path):
    judge = Judge({**CERTAIN, ("b", "education_level"): ("hm", "unused")})
    table = ask([item("a"), item("b")], judge, tmp_path, ["education_level"])
    assert judge.asked == [
        ("a", "education_level", "level"),
        ("b", "education_level", "level"),
        ("a", "education_level", "rating"),
    ]
    assert list(table["rating_key"].isna()) == [False, True]
    assert list(table["prompt_tokens"]) == [200, 100]


def test_an_unknown_price_stays_unknown(tmp_path):
    judge = Judge(CERTAIN, cost=None)
    assert ask([item("a")], judge, tmp_path)["cost_usd"].isna().all()


def test_a_second_run_in_another_order_asks_nothing_and_gives_the_same_table(tmp_path):
    first = ask([item("a"), item("b")], Judge(CERTAIN), tmp_path)
    judge = Judge({})
    second = ask([item("b"), item("a")], judge, tmp_path, BOTH[::-1])
    assert judge.asked == []
    pd.testing.assert_frame_equal(first, second)


def test_another_minimum_rating_buys_nothing(tmp_path):
    assert one("[[graduate]]", "[[8]]", tmp_path)["status"] == "low_rating"
    judge = Judge({})
    table = ask([item("a")], judge, tmp_path, ["education_level"], minimum_rating=8)
    assert (judge.asked, list(table["status"])) == ([], ["ok"])


def test_a_further_question_asks_only_that(tmp_path):
    ask([item("a")], Judge(CERTAIN), tmp_path, ["education_level"])
    judge = Judge(CERTAIN)
    ask([item("a")], judge, tmp_path)
    assert {question for _, question, _ in judge.asked} == {"reasoning_steps"}


def test_a_run_that_broke_off_goes_on_where_it_was(tmp_path):
    items = [item("a"), item("b")]
    with pytest.raises(TeacherError, match="account is empty"):
        ask(items, Judge(CERTAIN, fail_after=6), tmp_path)
    judge = Judge(CERTAIN)
    assert len(ask(items, judge, tmp_path)) == 4
    assert judge.asked == [
        ("b", "education_level", "rating"),
        ("b", "reasoning_steps", "rating"),
    ]


def test_an_error_says_why_is_not_stored_and_is_asked_again(tmp_path):
    row = one("[[graduate]]", "ERROR", tmp_path)
    assert (row["status"], row["error"]) == ("error", "status 500")
    judge = Judge({("a", "education_level"): ("unused", "[[9]]")})
    table = ask([item("a")], judge, tmp_path, ["education_level"])
    assert list(table["status"]) == ["ok"]
    assert judge.asked == [("a", "education_level", "rating")]


def test_the_stored_answer_holds_the_prompt_and_its_kind(tmp_path):
    row = one("[[graduate]]", "[[9]]", tmp_path)
    stored = Store(tmp_path).get([row["label_key"], row["rating_key"]])
    level, rating = (stored[row[name]] for name in ("label_key", "rating_key"))
    assert level["kind"] == rating["kind"] == "judge"
    asked = label_messages(item("a"), "education_level")
    assert json.loads(level["request"])["messages"] == asked
    asked = rating_messages(item("a"), "education_level", "graduate")
    assert json.loads(rating["request"])["messages"] == asked


def test_the_counts_of_each_outcome_are_told(tmp_path, caplog):
    judge = Judge({**CERTAIN, ("b", "education_level"): ("hm", "unused")})
    with caplog.at_level(logging.INFO, "caft"):
        ask([item("a"), item("b")], judge, tmp_path, ["education_level"])
    assert "judge: education_level: 2 items = 1 ok + 1 unparsed_label" in caplog.text
    assert "214 tokens, $0.0200 so far, 0 retries, 50% readable" in caplog.text


def test_the_table_can_be_written_and_read(tmp_path):
    judge = Judge({**CERTAIN, ("b", "education_level"): ("hm", "unused")})
    table = ask([item("a"), item("b")], judge, tmp_path / "store")
    parquet.write("judgements", table, tmp_path / "j.parquet")
    read = parquet.read("judgements", tmp_path / "j.parquet")
    assert list(read["rating"].fillna(-1)) == [9, 10, -1, 9]
    assert list(read["question"]) == BOTH * 2


@pytest.mark.parametrize("question", BOTH)
def test_prompts_hold_question_options_and_levels_but_not_the_answer(question):
    given = item("a", answer="secret", reference_rationale="because secret")
    for messages in (label_messages(given, question), rating_messages(given, question, "low")):
        system, user = (message["content"] for message in messages)
        assert user == "question a\nA) w\nB) x\nC) y\nD) z"
        assert all(name in system for name in QUESTIONS[question].levels)
        assert "secret" not in system + user


def test_an_open_question_stands_alone():
    messages = label_messages(item("a", options=None, answer_kind="numeric"), "reasoning_steps")
    assert messages[-1]["content"] == "question a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[graduate]]", "graduate"),
        ("either [[undergraduate]] or, no: [[graduate]].", "graduate"),
        ("[[ **Graduate** ]]", "graduate"),
        ("[[High school and easier]]", "high_school_and_easier"),
        ("[[high-school_and_easier]]", "high_school_and_easier"),
        ("[[not graduate]]", None),
        ("[[name]]", None),
        ("[[low]]", None),
        ("[[]]", None),
        ("", None),
    ],
)
def test_the_last_marked_level_is_read(text, expected):
    assert read_label(text, "education_level") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[1]]", 1),
        ("first [[3]], then [[10]]", 10),
        ("[[ 9 / 10 ]]", 9),
        ("[[9.0]]", 9),
        ("[[**9**]]", 9),
        ("[[-9]]", None),
        ("[[9]] or [[10]]", None),
        ("[[0]]", None),
        ("[[11]]", None),
        ("[[8.5]]", None),
        ("[[9 or 10]]", None),
        ("[[number]]", None),
        ("9", None),
    ],
)
def test_the_last_marked_rating_is_read_if_it_is_on_the_scale(text, expected):
    assert read_rating(text) == expected


class Words:
    """Counts 50 tokens per prompt."""

    def prompts(self, prompts):
        return [50 for _ in prompts]


def limited(**limits):
    return read_judge(
        {
            "provider": "openai",
            "model": "scripted",
            "base_url": "http://127.0.0.1:9/v1",
            "max_new_tokens": 100,
            "expected_completion_tokens": 10,
            "prices": {"prompt": 1.0, "completion": 2.0},
            "budget": limits,
        }
    )


def budget_for(items, judge, folder, settings):
    store, counter = Store(folder), Words()
    outlook = look_ahead(pd.DataFrame(items), judge, store, settings, counter)
    return open_budget("judges.strict", settings, store, outlook, counter)


def test_what_is_missing_counts_a_rating_for_each_level_that_may_come(tmp_path):
    items, settings = [item("a"), item("b")], JudgeKeys(questions=["education_level"])
    said = {**CERTAIN, ("b", "education_level"): ("hm", "unused")}

    def missing(*items):
        table, store = pd.DataFrame(items), Store(tmp_path)
        return len(look_ahead(table, Judge({}), store, settings, Words()).missing)

    assert missing(*items) == 4
    with pytest.raises(TeacherError):
        ask(items, Judge(said, fail_after=2), tmp_path, ["education_level"])
    assert missing(*items) == 1
    ask(items, Judge(said), tmp_path, ["education_level"])
    assert missing(*items) == 0
    assert missing(*items, item("c")) == 2


def test_a_budget_that_cannot_reach_refuses_before_anything_is_asked(tmp_path):
    items = [item("a"), item("b")]
    with pytest.raises(BudgetError, match=r"judges.strict.budget.max_requests: 7 requests is too"):
        budget_for(items, Judge({}), tmp_path, limited(max_requests=7))


def test_the_estimate_of_a_budget_is_prompts_and_expected_answers(tmp_path):
    needed = 8 * (50 * 1.0 + 10 * 2.0) / 1e6
    items = [item("a"), item("b")]
    assert budget_for(items, Judge({}), tmp_path, limited(max_cost_usd=needed))
    with pytest.raises(BudgetError, match=r"max_cost_usd: .* Nothing was asked"):
        budget_for(items, Judge({}), tmp_path, limited(max_cost_usd=needed - 1e-6))


def test_the_budget_stops_a_run_and_what_was_bought_is_kept(tmp_path):
    items = [item("a"), item("b")]
    budget = budget_for(items, Judge({}), tmp_path, limited(max_cost_usd=0.055))
    judge = Judge(CERTAIN, cost=0.02)  # far more than the prices say
    with pytest.raises(BudgetError, match=r"judges.strict.budget"):
        ask(items, judge, tmp_path, budget=budget)
    # The first two show what answers really take: there is no room for a third.
    assert len(judge.asked) == len(Store(tmp_path).keys()) == 2


def judgements(*rows):
    columns = ["item_id", "question", "label", "status"]
    return pd.DataFrame(rows, columns=columns)


def values(table):
    return [
        (row["item_id"], None if pd.isna(row["value"]) else row["value"], row["reason"])
        for row in parquet.records(table.assign(reason=table["reason"].fillna("-")))
    ]


def test_the_value_is_the_place_of_the_level_and_null_has_a_reason():
    table = judgements(
        ("a", "education_level", "high_school_and_easier", "ok"),
        ("b", "education_level", "undergraduate", "ok"),
        ("c", "education_level", "graduate", "ok"),
        ("d", "education_level", "postgraduate", "ok"),
        ("e", "education_level", "graduate", "low_rating"),
        ("f", "education_level", None, "unparsed_label"),
        ("g", "reasoning_steps", "high", "ok"),
        ("h", "education_level", "college", "ok"),
    )
    items = pd.DataFrame({"item_id": list("hgfedcba")})
    assert values(judged.education_level(table, items, {})) == [
        ("h", None, "unknown_level"),
        ("g", None, "not_judged"),
        ("f", None, "unparsed_label"),
        ("e", None, "low_rating"),
        ("d", 3.0, "-"),
        ("c", 2.0, "-"),
        ("b", 1.0, "-"),
        ("a", 0.0, "-"),
    ]


def test_reasoning_steps_go_from_low_to_high():
    table = judgements(
        ("a", "reasoning_steps", "low", "ok"),
        ("b", "reasoning_steps", "medium", "ok"),
        ("c", "reasoning_steps", "high", "ok"),
        ("c", "education_level", "graduate", "ok"),
        ("d", "reasoning_steps", "low", "error"),
    )
    items = pd.DataFrame({"item_id": list("abcd")})
    found = values(judged.reasoning_steps(table, items, {}))
    assert found == [("a", 0.0, "-"), ("b", 1.0, "-"), ("c", 2.0, "-"), ("d", None, "error")]


def test_both_metrics_are_registered_and_read_no_label():
    table = judgements(
        ("a", "education_level", "graduate", "ok"), ("a", "reasoning_steps", "low", "ok")
    )
    for name, value in (("judge_education_level", 2.0), ("judge_reasoning_steps", 0.0)):
        assert (METRICS[name].needs, METRICS[name].source) == ({"judge"}, "judgements")
        found = compute_metric(name, MetricSettings(), table, pd.DataFrame([item("a")]))
        assert list(found["value"]) == [value]


def test_no_judgements_at_all_give_nulls_with_a_reason(tmp_path):
    parquet.write("judgements", judgements(), tmp_path / "j.parquet")
    table = parquet.read("judgements", tmp_path / "j.parquet")
    found = judged.education_level(table, pd.DataFrame({"item_id": ["a"]}), {})
    assert values(found) == [("a", None, "not_judged")]


@pytest.fixture
def config():
    """The shipped configuration with a judge."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    endpoint = {"provider": "openai", "base_url": "http://localhost:1/v1", "model": "m"}
    return copy.deepcopy(config) | {"judges": {"strict": endpoint}}


def test_a_judge_has_defaults_and_no_settings_of_rationales(config):
    judge = prepare(config).plain()["judges"]["strict"]
    assert (judge["questions"], judge["minimum_rating"]) == (BOTH, 9)
    assert (judge["max_new_tokens"], judge["concurrency"], judge["budget"]) == (512, 32, NO_LIMITS)
    assert {"prompt", "parser", "fallback", "samples", "max_tokens"} & set(judge) == set()


def test_worked_solutions_are_no_judge(config):
    config["judges"]["strict"] = {"provider": "reference"}
    with pytest.raises(ConfigError, match=r"judges.strict.provider: 'reference' is not one of"):
        prepare(config)


def test_a_metric_needs_a_judge_that_is_defined_and_in_order(config):
    level = {"metric": "judge_education_level", "prompt": None, "scored_with": "default"}
    config["metrics"]["level"] = {**level, "judge": "lenient"}
    assert list(cross_check(parse(config))) == [
        "metrics.level.judge: no judge 'lenient'; known are strict."
    ]
    config["metrics"]["level"]["judge"] = "strict"
    assert list(cross_check(parse(config))) == []
    config["judges"]["strict"]["base_url"] = "localhost/v1"
    assert "judges.strict.base_url: is no address" in next(iter(cross_check(parse(config))))
