import copy
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from caft.cli.teacher import add_commands
from caft.config import resolve as settings
from caft.config.prepare import prepare
from caft.config.reading import parse
from caft.errors import BudgetError, CaftError, RankingError
from caft.mixtures.rows import wanted_by
from caft.prompting.settings import Prompt
from caft.prompting.tokens import TokenCounter
from caft.report.purchases import PLAN, plan_purchases, render, warnings_of
from caft.running.blocks import WHOLE, Shard
from caft.running.settings import Engine
from caft.store import Store
from caft.store.given_up import Note
from caft.tables import parquet
from caft.tables.files import write_json
from caft.teacher import Answer
from caft.teacher.asking import Setup
from caft.teacher.collect import collect_wanted
from caft.teacher.money.budget import Spending
from caft.teacher.money.estimate import (
    Identity,
    Missing,
    Outlook,
    Purchase,
    Seen,
    estimate,
    item_prices,
    open_budget,
    seen_of,
)
from caft.teacher.money.stored_prompts import StoredPrompts
from caft.teacher.sections import read_teacher

ROOT = Path(__file__).parents[3]
ITEMS = [f"i{number}" for number in range(8)]
BUCKET = ["easy", "easy", "medium", "medium", "medium", "hard", "hard", "hard"]
PRICES = {"prompt": 100.0, "completion": 1000.0, "entered": "2026-11-01"}


def write_tokenizer(folder):
    """Write a tokenizer that counts words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.WordLevel({"u": 0}, "u"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))


def write_buckets(bucket, student="tiny"):
    table = pd.DataFrame(
        {
            "item_id": ITEMS,
            "split": "train",
            "complexity": range(8),
            "bucket": bucket,
            "missing": False,
            "sampled": True,
        }
    )
    parquet.write("buckets", table, f"data/buckets/sums/{student}/default.parquet")


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A run up to its buckets, in the current folder; eight items, three of them hard."""
    monkeypatch.chdir(tmp_path)
    items = pd.DataFrame(
        {
            "item_id": ITEMS,
            "question": [f"one two number{number}" for number in range(8)],
            "answer": "7",
            "answer_kind": "numeric",
            "category": "c",
            "source": "sums",
            "source_id": ITEMS,
            "split": "train",
        }
    )
    parquet.write("items", items, "data/items/sums.parquet")
    for student in ("tiny", "other"):
        write_tokenizer(Path("data/models") / student)
        write_json(f"data/models/{student}/student.json", {"context": 512, "revision": student})
        write_buckets(BUCKET, student)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["teachers"] = {
        "big": {
            "provider": "openai",
            "base_url": "http://127.0.0.1:9/v1",
            "model": "big-1",
            "api_key_env": "A_KEY_THAT_IS_NOT_SET",
            "max_new_tokens": 100,
            "expected_completion_tokens": 40,
            "prices": copy.deepcopy(PRICES),
        }
    }
    config["teacher"] = "big"
    config["students"] = dict.fromkeys(["tiny", "other"], config["students"]["smollm2-135m"])
    config["run"] |= {
        "students": ["tiny"],
        "strategies": ["sft", "distill", "complexity_aware"],
    }
    config["prompts"]["letters"]["cot"] |= {"numeric": "think then answer"}
    return prepare(config).plain()


def planned(config, strategy="complexity_aware", **names):
    plan = plan_purchases(parse(config))
    rows = plan[plan["strategy"] == strategy]
    for name, value in names.items():
        rows = rows[rows[name] == value]
    (row,) = rows.to_dict("records")
    return row


def answers_of(
    config,
    texts,
    teacher="big",
    student="tiny",
    strategies=None,
    shard=WHOLE,
    may_buy=None,
    **answer,
):
    """Collect with a teacher that answers each item with its text; return items in asked order."""
    asked = []

    class Fake:
        settings = read_teacher(config["teachers"][teacher])
        decoding = {"max_tokens": 100, "temperature": settings.temperature, "top_p": 1.0}
        varies = settings.temperature > 0

        def identify(self, item):
            return self.settings.model, ""

        def answer(self, requests):
            for request in requests:
                if request is None:
                    return
                asked.append(request.item_id)
                default = {"cost": 0.05, "tokens": 40, "seconds": 2.0}
                took = {**default, **answer}
                yield [
                    Answer(
                        *(request.key, texts(request.item_id, request.sample), None, "stop"),
                        *(14, took["tokens"], took["cost"], took["seconds"], {}),
                    )
                ]

    chosen = settings.strategies_of_teacher(parse(config), teacher)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("caft.teacher.asking.make_teacher", lambda *_: Fake())
        patch.setattr("caft.teacher.asking.load_tokenizer", lambda folder: None)
        buckets = parquet.read("buckets", f"data/buckets/sums/{student}/default.parquet")
        table = collect_wanted(
            parquet.read("items", "data/items/sums.parquet"),
            wanted_by(
                {"default": buckets},
                [chosen[name] for name in strategies or chosen],
                config["run"]["seeds"],
            ),
            Setup(
                *(f"teachers.{teacher}", read_teacher(config["teachers"][teacher]), Engine()),
                *(Path(f"data/models/{student}/student.json"), Path("data/store/teacher")),
            ),
            *(Prompt.model_validate(config["prompts"]["letters"]), config["seed"], shard, may_buy),
        )
    return asked, table


def test_the_next_teacher_of_a_list_is_planned_for_what_the_store_does_not_show_as_solved(config):
    config["teachers"]["large"] = {**config["teachers"]["big"], "model": "large-1"}
    config["run"]["strategies"] = ["in_turn"]
    stage = {"buckets": ["hard"], "target": "rationale", "epochs": 1, "teacher": ["big", "large"]}
    config["strategies"]["in_turn"] = {"stages": [stage]}
    config = prepare(config).plain()
    assert planned(config, "in_turn", teacher="large")["to_buy"] == 3, "nobody was asked yet"
    answers_of(config, lambda item, _: "[[7]]" if item == "i5" else "[[8]]")
    assert planned(config, "in_turn", teacher="big")["to_buy"] == 0
    assert planned(config, "in_turn", teacher="large")["wanted"] == 2


def test_each_strategy_and_all_of_them_together_have_a_row(config):
    plan = plan_purchases(parse(config))
    names = ["dataset", "student", "teacher", "strategy", "wanted", "owned", "to_buy"]
    assert plan[names].values.tolist() == [
        ["sums", "tiny", "big", "distill", 8, 0, 8],
        ["sums", "tiny", "big", "complexity_aware", 3, 0, 3],
        ["(all)", "(all)", "big", "(all)", 8, 0, 8],
    ]


def test_tokens_money_and_range_follow_from_counted_prompts_and_the_configured_length(config):
    row = planned(config)
    # Three words each of question and instruction, and four tokens to frame each message.
    assert (row["requests"], row["prompt_tokens"]) == (3, 3 * (3 + 3 + 2 * 4))
    assert [row[f"completion_tokens_{case}"] for case in ("low", "middle", "high")] == [
        60,
        120,
        240,
    ]
    # 42 prompt tokens at 100 USD and 120 completion tokens at 1000 USD per million.
    assert [row[f"cost_usd_{case}"] for case in ("low", "middle", "high")] == pytest.approx(
        [0.0642, 0.1242, 0.2442]
    )
    assert row["fits"] is True


def test_what_the_store_has_is_owned_whether_it_was_accepted_or_not(config):
    right = {"i5": "[[7]]", "i6": "[[8]]", "i7": "hm"}
    asked, _ = answers_of(config, lambda item, _: right[item], strategies=["complexity_aware"])
    assert sorted(asked) == ["i5", "i6", "i7"]
    assert (planned(config)["owned"], planned(config)["to_buy"]) == (3, 0)
    assert planned(config, "distill")["to_buy"] == planned(config, "(all)")["to_buy"] == 5
    assert planned(config)["cost_usd_high"] == 0


def test_planning_stores_and_asks_nothing(config):
    plan_purchases(parse(config))
    assert not Path("data/store").exists()


def test_a_moved_threshold_plans_exactly_the_difference(config):
    answers_of(config, lambda item, _: "[[7]]", strategies=["complexity_aware"])
    write_buckets(["easy", "easy", "medium", *["hard"] * 5])
    row = planned(config)
    assert (row["wanted"], row["owned"], row["to_buy"]) == (5, 3, 2)


def sampling(config, samples):
    config["teachers"]["big"] |= {"samples": samples, "temperature": 1.0}
    return config


def test_an_item_is_owned_once_accepted_or_once_all_samples_are_used(config):
    sampling(config, 2)
    texts = {"i5": "[[7]]", "i6": "[[8]]", "i7": "[[8]]"}
    asked, _ = answers_of(config, lambda item, _: texts[item], strategies=["complexity_aware"])
    assert sorted(asked) == ["i5", "i6", "i6", "i7", "i7"]
    assert planned(config)["owned"] == 3
    config["teachers"]["big"]["samples"] = 4
    row = planned(config)
    assert (row["owned"], row["to_buy"]) == (1, 2)
    assert row["requests"] == 2, "too few answers to know the acceptance: one more each"
    assert row["completion_tokens_high"] == 2 * 2 * 80, "at most two more samples of each"


def one_missing(samples, count=1):
    from caft.teacher import Request

    request = [Request(str(number), "i", [], {}, 0, None, "m", "") for number in range(count)]
    return [Missing(one, 10, samples) for one in request]


def test_rejected_answers_are_followed_by_others_at_the_known_acceptance(config):
    big = read_teacher(config["teachers"]["big"])
    known = Outlook({}, reviewed=20, accepted=10)
    found = estimate(one_missing(3, 4), big, Seen(completion=(10, 20, 30)), known)
    assert [found[case].requests for case in ("low", "middle", "high")] == [4, 7, 12]
    assert [found[case].prompt_tokens for case in ("low", "middle", "high")] == [40, 70, 120]
    assert [found[case].completion_tokens for case in ("low", "middle", "high")] == [40, 140, 360]


def test_items_that_ask_the_same_are_one_request(config):
    missing, big = [*one_missing(1), *one_missing(1)], read_teacher(config["teachers"]["big"])
    assert estimate(missing, big, Seen(), Outlook({}))["high"].requests == 1


def stored(lengths, first=0, **fields):
    default = {"kind": "rationale", "model_id": "big-1", "revision": "", "prompt_tokens": 100}
    default |= {"text": "", "cost_usd": 0.5, "seconds": 3.0, "raw": "{}", "finish_reason": "stop"}
    records = [
        {**default, "key": f"{number:064x}", "completion_tokens": length, **fields}
        for number, length in enumerate(lengths, first)
    ]
    with Store("data/store/teacher") as store:
        store.append(records)
    return store


def test_lengths_are_estimated_from_the_store_once_it_has_enough_answers(config):
    big = read_teacher(config["teachers"]["big"])
    few = seen_of(stored(range(1, 20)), Identity("big-1", ""), big)
    assert few.completion is None
    many = seen_of(stored([20, 21], first=19), Identity("big-1", ""), big)
    assert many.completion == (3.0, 11.0, 19.0)
    assert planned(config)["completion_tokens_middle"] == 33


def test_what_was_spent_is_everything_this_model_was_paid_for(config):
    big = read_teacher(config["teachers"]["big"])
    seen = seen_of(stored([10, 20]), Identity("big-1", ""), big)
    assert (seen.spent.requests, seen.spent.tokens, seen.spent.cost_usd) == (2, 230, 1.0)
    assert seen.seconds == 3.0
    assert seen_of(Store("data/store/teacher"), Identity("other", ""), big) == Seen()


def test_what_was_given_up_may_have_been_paid_for_at_the_price_of_then_or_of_today(config):
    big = read_teacher(config["teachers"]["big"])
    store = stored([10])
    for amounts in ((1, 200, 0.25), (2, 300, 0.0), (1, 0, 0.0)):
        Note(store.folder, "big-1", "").write(*amounts)
    Note(store.folder, "big-2", "").write(7, 7, 7.0)
    seen = seen_of(store, Identity("big-1", ""), big)
    # 300 tokens of an unknown kind at the dearer price, 1000 USD per million.
    assert seen.lost == Spending(4, 500, pytest.approx(0.55))
    assert seen.taken == seen.spent + seen.lost
    own = Note(store.folder, "big-1", "")
    own.write(9, 9, 9.0)
    assert seen_of(store, Identity("big-1", ""), big, own.path) == seen


def test_imported_answers_were_not_paid_for(config):
    imported = stored([10, 20], raw=json.dumps({"imported": True}), cost_usd=0.0)
    seen = seen_of(imported, Identity("big-1", ""), read_teacher(config["teachers"]["big"]))
    assert seen.spent.requests == seen.spent.tokens == seen.spent.cost_usd == 0


class Words:
    """Counts the words of prompts."""

    def prompts(self, prompts):
        return [sum(len(one["content"].split()) for one in messages) for messages in prompts]


def asked(text):
    return json.dumps({"messages": [{"role": "user", "content": text}]})


def test_prompts_that_no_endpoint_counted_are_counted(config):
    big = read_teacher(config["teachers"]["big"])
    stored([10], prompt_tokens=9)
    store = stored([10, 20], 1, prompt_tokens=None, request=asked("w " * 3000))
    seen = seen_of(store, Identity("big-1", ""), big, None, StoredPrompts(store, Words()))
    assert seen.spent.tokens == 9 + 2 * 3000 + 40
    by_bytes = seen_of(store, Identity("big-1", ""), big)
    assert 9 + 2 * 6000 + 40 <= by_bytes.spent.tokens <= 9 + 2 * 6100 + 40


@pytest.mark.parametrize("request_", [None, "{", "[]", '{"messages": [{"role": "user"}]}'])
def test_a_prompt_that_can_be_neither_known_nor_counted_is_as_long_as_the_longest(config, request_):
    big = read_teacher(config["teachers"]["big"])
    store = stored([10], prompt_tokens=None, request=request_)
    assert seen_of(store, Identity("big-1", ""), big).spent.tokens == 10
    prompts = StoredPrompts(store, Words(), longest=50)
    assert seen_of(store, Identity("big-1", ""), big, None, prompts).spent.tokens == 60
    stored([10], 1, prompt_tokens=70)
    store.refresh()
    assert seen_of(store, Identity("big-1", ""), big, None, prompts).spent.tokens == 160


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(("seconds", "cost"), [(3.0, 0.02), (0.0, 0.01), (None, 0.02)])
def test_an_answer_without_a_cost_has_the_price_of_how_it_was_asked_for(
    config, batch, seconds, cost
):
    big = read_teacher({**config["teachers"]["big"], "batch": batch})
    seen = seen_of(stored([10], cost_usd=None, seconds=seconds), Identity("big-1", ""), big)
    assert seen.spent.cost_usd == pytest.approx(cost)


def test_answers_of_unknown_cost_count_at_todays_prices(config):
    seen = seen_of(
        stored([10, 20], cost_usd=None),
        Identity("big-1", ""),
        read_teacher(config["teachers"]["big"]),
    )
    # 200 prompt tokens at 100 USD and 30 completion tokens at 1000 USD per million.
    assert seen.spent.cost_usd == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("settings_", "minutes"),
    [
        ({"requests_per_minute": 6}, 0.5),
        ({"tokens_per_minute": 54}, 3.0),
        ({"requests_per_minute": 6, "tokens_per_minute": 54}, 3.0),
        ({"concurrency": 4}, 3 * 3.0 / 4 / 60),
        ({"batch": True}, None),
    ],
)
def test_time_follows_from_rates_or_else_from_stored_latencies(config, settings_, minutes):
    stored([40])
    config["teachers"]["big"] |= settings_
    found = planned(config)["minutes"]
    assert found == pytest.approx(minutes) if minutes else pd.isna(found)


def test_without_prices_the_cost_is_unknown_and_not_nothing(config):
    config["teachers"]["big"]["prices"] = None
    plan = plan_purchases(parse(config))
    assert plan["cost_usd_middle"].isna().all()
    assert "unknown" in render(plan)


def test_a_free_teacher_has_a_plan_too(config):
    config["teacher"] = "worked"
    config["teachers"] = {
        "worked": {
            **{"provider": "reference", "samples": 1, "parser": "any", "max_tokens": 9},
            **{"prompt": "letters", "fallback": "drop"},
        }
    }
    row = planned(config)
    assert (row["to_buy"], row["cost_usd_high"], row["fits"]) == (3, 0.0, True)


def test_what_is_left_of_the_budget_is_shown_and_whether_it_suffices(config):
    stored([10])
    config["teachers"]["big"]["budget"] = {"max_requests": 5, "max_tokens": None, "max_cost_usd": 1}
    plan = plan_purchases(parse(config)).set_index("strategy")
    assert plan["budget_requests_left"].tolist() == [4, 4, 4]
    assert plan["budget_usd_left"].tolist() == [0.5, 0.5, 0.5]
    assert plan["budget_tokens_left"].isna().all()
    assert plan["fits"].to_dict() == {"distill": False, "complexity_aware": True, "(all)": False}
    lines = render(plan_purchases(parse(config))).splitlines()
    assert lines[1].endswith("NO") and lines[2].endswith("yes")
    assert "0.12 (0.06-0.24)" in lines[2]


def test_students_share_answers_in_the_row_of_all(config):
    config["run"]["students"] = ["tiny", "other"]
    write_buckets(["hard", *["easy"] * 7], "other")
    config["run"]["strategies"] = ["complexity_aware"]
    assert planned(config, student="other")["to_buy"] == 1
    assert planned(config, "(all)")["to_buy"] == 4
    write_buckets(BUCKET, "other")
    assert planned(config, "(all)")["to_buy"] == 3
    answers_of(config, lambda item, _: "[[7]]")
    assert planned(config, student="other")["owned"] == 3


def write_ranking(values, right, student="tiny", answers=None):
    """Write what the student answered and how its metric orders that, as after a warm-up."""
    table = pd.DataFrame(
        {
            "item_id": ITEMS,
            "split": "train",
            "warm_up": False,
            "status": "ok",
            "answer": answers or list("71234567"),
            "answer_valid": True,
            "correct": [bool(value) for value in right],
        }
    )
    place = f"sums/{student}"
    parquet.write("scores", table, f"data/scores/{place}/warm_up/letters.parquet")
    metrics = table[["item_id", "split", "warm_up"]].assign(value=values)
    parquet.write("metrics", metrics, f"data/metrics/{place}/single_token_entropy.parquet")


def write_gold(gold):
    items = parquet.read("items", "data/items/sums.parquet")
    parquet.write("items", items.assign(answer=gold), "data/items/sums.parquet")


RANKED = [0.1, 0.2, 0.3, 0.35, 0.9, 1.0, 1.1, 1.2]


def test_the_plan_tells_whether_the_student_can_rank_what_a_strategy_buys(config):
    write_gold(list("71234598"))
    write_ranking(RANKED, [1, 1, 1, 1, 1, 1, 0, 0])
    row = planned(config)
    assert (row["metric"], row["accuracy"], row["roc_auc"]) == ("single_token_entropy", 0.75, 1.0)
    assert (row["chance"], row["commonest_answer"], row["valid_mass"]) == (1 / 8, 2 / 8, 1.0)
    assert row["ranking"] == "ok" and pd.isna(row["warning"])
    assert pd.isna(planned(config, "distill")["ranking"]), "it buys all items anyway"
    assert pd.isna(planned(config, "(all)")["ranking"])
    assert warnings_of(plan_purchases(parse(config))) == []


def test_the_plan_warns_of_a_student_that_answers_all_alike(config):
    write_gold(list("71234598"))
    write_ranking(RANKED, [1, 0, 1, 0, 1, 0, 1, 0], answers=["7"] * 8)
    row = planned(config)
    assert row["ranking"] == "doubtful"
    (line,) = warnings_of(plan_purchases(parse(config)))
    assert line.startswith("tiny may not be able to rank sums for big (complexity_aware): ")
    for said in ("begins 100% of its answers with '7'", "may be chance", "students.tiny.warm_up"):
        assert said in row["warning"] and said in line


def test_what_a_demanding_teacher_refuses_stands_in_the_plan_before_it_is_bought(config):
    write_gold(list("71234598"))
    write_ranking(RANKED, [1, 1, 1, 1, 0, 1, 0, 0])
    config["teachers"]["big"]["require_auc"] = 0.97
    row = planned(config)
    assert (row["ranking"], row["require_auc"]) == ("refused", 0.97)
    assert row["warning"].startswith("teachers.big.require_auc: the ROC AUC of single_token_")
    assert pd.isna(planned(config, "distill")["ranking"])
    config["teachers"]["big"]["require_auc"] = row["roc_auc_low"]
    assert planned(config)["ranking"] == "ok"


def test_what_the_store_has_is_not_refused(config):
    write_gold(list("71234598"))
    write_ranking(RANKED, [1, 1, 1, 1, 0, 1, 0, 0])
    answers_of(config, lambda item, _: "[[7]]", strategies=["complexity_aware"])
    config["teachers"]["big"]["require_auc"] = 0.97
    assert planned(config)["ranking"] == "ok"


def test_a_ranking_that_nobody_knows_is_said_to_be_unknown_and_refused_on_demand(config):
    row = planned(config)
    assert row["ranking"] == "unknown" and "--cores all data/metrics/sums/tiny" in row["warning"]
    config["teachers"]["big"]["require_auc"] = 0.5
    assert planned(config)["ranking"] == "refused"


def test_a_judge_s_metric_is_judged_by_the_student_s_own_answers(config):
    config["judges"] = {"j": {**config["teachers"]["big"]}}
    for name in ("prompt", "parser", "fallback", "max_tokens", "samples"):
        config["judges"]["j"].pop(name, None)
    config["metrics"]["judge_reasoning_steps"] = {"judge": "j"}
    config["buckets"]["default"]["metric"] = "judge_reasoning_steps"
    write_gold(list("71234598"))
    write_ranking(RANKED, [1, 1, 1, 1, 1, 1, 0, 0])
    Path("data/metrics/sums/tiny/single_token_entropy.parquet").rename(
        "data/metrics/sums/tiny/judge_reasoning_steps.parquet"
    )
    row = planned(config)
    assert (row["metric"], row["roc_auc"], row["ranking"]) == ("judge_reasoning_steps", 1.0, "ok")
    Path("data/scores/sums/tiny/warm_up/letters.parquet").unlink()
    row = planned(config)
    assert row["ranking"] == "unknown"
    assert "--cores all data/scores/sums/tiny/warm_up/letters.parquet" in row["warning"]
    assert "students.tiny.warm_up" not in row["warning"], "a warm-up changes no judge"


def test_nothing_is_asked_where_the_purchase_is_refused(config):
    def refuse(missing):
        assert sorted(missing) == ["i5", "i6", "i7"]
        raise RankingError("no")

    asked = []
    with pytest.raises(RankingError):
        answers_of(
            config,
            lambda item, _: asked.append(item),
            strategies=["complexity_aware"],
            may_buy=refuse,
        )
    assert asked == []


def test_a_plan_before_its_tables_names_the_command_that_makes_them(config):
    Path("data/buckets/sums/tiny/default.parquet").unlink()
    with pytest.raises(CaftError, match="default.parquet is not there yet.*--cores all buckets"):
        plan_purchases(parse(config))


def test_a_run_without_rationales_plans_nothing(config):
    config["run"]["strategies"] = ["sft"]
    plan = plan_purchases(parse(config))
    assert plan.empty and list(plan.columns) == PLAN
    assert "nothing to buy" in render(plan)


def test_nothing_is_asked_when_the_middle_estimate_is_above_the_budget(config):
    stored([10, 20])
    config["teachers"]["big"]["budget"]["max_cost_usd"] = 1.1
    with pytest.raises(BudgetError) as caught:
        answers_of(config, None, strategies=["complexity_aware"])
    assert str(caught.value).startswith(
        "teachers.big.budget.max_cost_usd: 1.1 USD is too little: 1 USD spent and about "
        "0.1242 USD (0.0642 USD to 0.2442 USD) to come for 3 items. Nothing was asked."
    )


class FirstOnly(Shard):
    """The job that is there for `i5` alone; real ids are hashes."""

    def has(self, item_id):
        return item_id == "i5"


def test_a_shard_asks_for_its_items_only_and_the_others_read_them(config):
    chosen = {"strategies": ["complexity_aware"]}
    asked, table = answers_of(config, lambda *_: "[[7]]", shard=FirstOnly(), **chosen)
    assert asked == ["i5"] == list(table["item_id"])
    asked, table = answers_of(config, lambda *_: "[[7]]", **chosen)
    assert sorted(asked) == ["i6", "i7"] and len(table) == 3


def test_a_shard_asks_nothing_where_the_budget_is_too_small_for_all_shards(config):
    config["teachers"]["big"]["budget"]["max_cost_usd"] = 0.1  # 0.0414 USD per item
    with pytest.raises(BudgetError, match="to come for 3 items. Nothing was asked"):
        answers_of(config, None, strategies=["complexity_aware"], shard=FirstOnly())


def test_what_is_stored_needs_no_budget(config):
    answers_of(config, lambda item, _: "[[7]]", strategies=["complexity_aware"])
    config["teachers"]["big"]["budget"]["max_cost_usd"] = 0.01
    asked, table = answers_of(config, None, strategies=["complexity_aware"])
    assert asked == [] and table["accepted"].all()


def test_a_run_that_costs_more_than_expected_stops_at_the_limit_and_goes_on_later(config):
    # Expected are 0.0414 USD per item, reserved at most 0.1014; each takes 0.1.
    budget = config["teachers"]["big"]["budget"]
    budget["max_cost_usd"] = 0.25
    with pytest.raises(BudgetError, match=r"no room .* \(spent: 0.2 USD\); 2 of 3 answers"):
        answers_of(config, lambda item, _: "[[7]]", strategies=["complexity_aware"], cost=0.1)
    budget["max_cost_usd"] = 0.31
    asked, table = answers_of(config, lambda *_: "[[7]]", strategies=["complexity_aware"], cost=0.1)
    assert len(asked) == 1 and len(table) == 3


def test_a_limit_in_money_needs_prices(config):
    config["teachers"]["big"] |= {"prices": None, "budget": {"max_cost_usd": 1}}
    big = read_teacher(config["teachers"]["big"])
    with pytest.raises(BudgetError, match=r"max_cost_usd: needs teachers\.big\.prices"):
        open_budget("teachers.big", big, Store("s"), Outlook({}), TokenCounter("."))


def test_jobs_of_different_students_ask_in_different_orders(config):
    spec = config["teachers"]["big"]["model"]
    config["teachers"]["big"]["model"] = "elsewhere"
    one, _ = answers_of(config, lambda *_: "[[7]]")
    config["teachers"]["big"]["model"] = spec
    two, _ = answers_of(config, lambda *_: "[[7]]", student="other")
    assert sorted(one) == sorted(two) == ITEMS
    assert one != two


def test_items_are_priced_alike_before_and_after_they_were_bought(config):
    config["buckets"]["default"]["hard"] = {"budget_usd": 1, "teacher": "big"}
    purchase = settings.purchase_of(parse(config), "default")
    assert purchase["prices"] == {
        **{"prompt": 100.0, "completion": 1000.0},
        **{"cached": None, "batch_share": 0.5},
    }
    items = parquet.read("items", "data/items/sums.parquet")
    items.loc[0, "split"] = "test"
    items.loc[1, "question"] = "one two three four number"
    purchase = Purchase.model_validate(purchase)
    prices = item_prices(items, purchase, Path("data/models/tiny"), 1)
    assert prices.to_dict() == pytest.approx(
        {"i1": (16 * 100 + 40 * 1000) / 1e6} | dict.fromkeys(ITEMS[2:], (14 * 100 + 40_000) / 1e6)
    )
    answers_of(config, lambda *_: "[[7]]")
    pd.testing.assert_series_equal(
        item_prices(items, purchase, Path("data/models/tiny"), 1), prices
    )
    config["teachers"]["big"]["batch"] = True
    purchase = Purchase.model_validate(settings.purchase_of(parse(config), "default"))
    half = item_prices(items, purchase, Path("data/models/tiny"), 1)
    assert half["i2"] == pytest.approx(prices["i2"] / 2)


def run_command(*arguments):
    import argparse

    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    parsed = parser.parse_args(["teacher", "plan", *arguments])
    parsed.run(parsed)


def test_the_command_reads_files_over_each_other_and_prints_the_plan(config, capsys):
    Path("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    Path("more.yaml").write_text("teachers: {big: {expected_completion_tokens: 80}}")
    Path("last.yaml").write_text("run: {strategies: [complexity_aware]}")
    run_command("--configfile", "more.yaml", "last.yaml", "--csv", "plan.csv")
    way, *lines = capsys.readouterr().out.splitlines()
    assert way == "teacher big: http://127.0.0.1:9/v1, key from $A_KEY_THAT_IS_NOT_SET"
    assert lines[0].split()[:7] == [
        *("dataset", "student", "teacher", "strategy"),
        *("wanted", "owned", "to_buy"),
    ]
    assert [line.split()[3] for line in lines[1:]] == ["complexity_aware", "(all)"]
    assert list(pd.read_csv("plan.csv")["completion_tokens_middle"]) == [240, 240]
