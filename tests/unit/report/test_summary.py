import re

import numpy as np
import pandas as pd
import pytest
from configurations import configuration

from caft.mixtures.plan import read_plan
from caft.report.complexity import complexity_table, rank_metrics, thresholds_table
from caft.report.costs import behind, complexity_costs, saved, teacher_costs
from caft.report.provenance import provenance
from caft.report.results import as_prompted
from caft.report.summary import model_index, read_all, summarize
from caft.tables import parquet
from caft.tables.files import read_json, write_json

KNOWING = ["score_seconds", *(f"warm_up_{what}" for what in ("items", "target_tokens"))]
KNOWING += ["warm_up_all_tokens", "warm_up_seconds"]
IDS = ["t1", "t2", "t3", "t4"]
BUCKETS = ["easy", "medium", "hard", "hard"]
# What each model gets right, per mode.
RIGHT = {
    ("base", "direct"): [1, 0, 0, 0],
    ("base", "cot"): [0, 0, 0, 0],
    ("aaaa", "direct"): [1, 1, 0, 0],
    ("aaaa", "cot"): [0, 1, 0, 0],
    ("bbbb", "direct"): [1, 0, 0, 0],
    ("bbbb", "cot"): [1, 1, 1, 0],
    ("cccc", "direct"): [1, 1, 0, 0],
    ("cccc", "cot"): [1, 1, 1, 1],
}


def stage(model, tokens, epochs):
    return {
        "model": model,
        "parent": None,
        "mixture": "rows",
        "epochs": epochs,
        "rows": 3,
        "answer_rows": 3,
        "rationale_rows": 0,
        "over_long": 0,
        "without_rationale": 0,
        "target_tokens_one_pass": tokens,
        "target_tokens": tokens * epochs,
        "all_tokens": 10 * tokens * epochs,
    }


def planned(final, mode, items, stages, teacher=None):
    return {
        "trained_mode": mode,
        "buckets": "default",
        "teacher": teacher,
        "seeds": {"1": {"final": final, "items": items, "stages": stages}},
    }


def strategy(*parts, membership="complexity"):
    """A strategy whose last stage trains on rationales if it is not the only one."""
    targets = ["answer"] * (len(parts) - 1) + ["rationale" if len(parts) > 1 else "answer"]
    stages = [
        {"buckets": list(part), "target": target, "epochs": 1}
        for part, target in zip(parts, targets, strict=False)
    ]
    return {
        "membership": membership,
        "start": "student",
        "buckets": "default",
        "teacher": "w",
        "stages": stages,
    }


def rationales_for(names):
    made = strategy(names)
    made["stages"][0]["target"] = "rationale"
    return made


def write_predictions(model, mode, right):
    table = pd.DataFrame(
        {
            "item_id": IDS,
            "correct": [bool(value) for value in right],
            "invalid": [False, False, False, model == "base"],
            "new_tokens": 3,
            "finish_reason": ["stop", "too_long" if model == "base" else "stop", "stop", "stop"],
        }
    )
    place = f"results/predictions/sums/tiny/{model}.{mode}"
    parquet.write("predictions", table, f"{place}.parquet")
    write_json(f"{place}.run.json", {"seconds": 5.0, "energy_wh": 0.5})


def write_record(model, tokens, seconds, energy):
    record = {"target_tokens": tokens, "all_tokens": 10 * tokens, "seconds": seconds}
    write_json(f"results/models/{model}/model.json", {**record, "energy_wh": energy})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The tables of a finished run with four test items, and its configuration."""
    monkeypatch.chdir(tmp_path)
    first = stage("aaaa", 6, 2)
    whole = ["easy", "medium", "hard"]
    write_json(
        "data/mixtures/sums/tiny/1/plan.json",
        {
            "base": planned("base", "direct", 0, []),
            "sft": planned("aaaa", "direct", 2, [first]),
            "distill": planned("bbbb", "cot", 3, [stage("bbbb", 90, 2)], "w"),
            "complexity_aware": planned("cccc", "cot", 3, [first, stage("cccc", 30, 4)], "w"),
        },
    )
    for (model, mode), right in RIGHT.items():
        write_predictions(model, mode, right)
    buckets = pd.DataFrame(
        {
            "item_id": [*IDS, "i1", "i2", "i3"],
            "bucket": [*BUCKETS, "easy", "medium", "hard"],
            "sampled": [False] * 4 + [True] * 3,
        }
    )
    parquet.write("buckets", buckets, "data/buckets/sums/tiny/default.parquet")
    rationales = pd.DataFrame(
        {
            "item_id": ["i1", "i2", "i3", "i3", "i9"],
            "sample": [0, 0, 0, 1, 0],
            "key": ["k1", "k2", "k3", "k4", "k9"],
            "finish_reason": ["stop", "stop", "length", "stop", "stop"],
            "prompt_tokens": [10, 10, 10, 10, 10],
            "completion_tokens": [1, 2, 4, 8, 16],
            "cost_usd": [0.1, 0.1, 0.2, 0.2, 9.0],
        }
    )
    parquet.write("rationales", rationales, "data/rationales/sums/tiny/1/w.parquet")
    write_record("aaaa", 12, 10.0, 1.0)
    write_record("bbbb", 180, 20.0, 2.0)
    write_record("cccc", 120, 30.0, 3.0)
    taken = {"seconds": 7.0, "energy_wh": 0.25}
    write_json("data/scores/sums/tiny/warm_up/letters.run.json", taken)
    tokens = {"rows": 4, "target_tokens": 8, "all_tokens": 20}
    taken = {"seconds": 2.0, "energy_wh": 0.125}
    write_json("data/warm_up/sums/tiny/letters/model.json", {**tokens, **taken})
    return {
        "seed": 1,
        "run": {
            "datasets": ["sums"],
            "students": ["tiny"],
            "strategies": ["base", "sft", "distill", "complexity_aware"],
            "modes": ["direct", "cot"],
            "seeds": [1],
            "shots": None,
            "checkpoints": ["last"],
            "relevant_difference": 0.05,
        },
        "students": {"tiny": {"path": "tiny"}},
        "teachers": {"w": {"provider": "reference"}},
        "teacher": "w",
        "buckets": {"default": {"metric": "entropy"}},
        "metrics": {
            "entropy": {
                "metric": "single_token_entropy",
                "prompt": "letters",
                "scored_with": "warm_up",
            }
        },
        "strategies": {
            "base": strategy(),
            "sft": strategy(whole),
            "distill": rationales_for(whole),
            "complexity_aware": strategy(["easy", "medium"], ["hard"]),
        },
    }


def compared(run):
    """Return summary, runs and comparisons of a configuration that a test has changed."""
    return summarize(configuration(run), read_all(configuration(run)))


@pytest.fixture
def summary(run):
    return compared(run)[0].set_index(["strategy", "mode"])


def test_every_strategy_is_shown_in_every_mode(run):
    table, _, _ = compared(run)
    assert table[["strategy", "mode"]].values.tolist() == [
        [name, mode]
        for name in ("base", "sft", "distill", "complexity_aware")
        for mode in ("direct", "cot")
    ]


def test_accuracy_is_shown_whole_and_by_bucket(summary):
    row = summary.loc["complexity_aware", "direct"]
    assert (row["n"], row["n_seeds"], row["accuracy"]) == (4, 1, 0.5)
    assert row["accuracy_low"] < 0.5 < row["accuracy_high"]
    assert row[["accuracy_easy", "accuracy_medium", "accuracy_hard"]].tolist() == [1, 1, 0]
    assert row[["n_easy", "n_medium", "n_hard"]].tolist() == [1, 1, 2]
    # Wilson's interval of 0 of 2 ends at z² / (2 + z²).
    assert row[["accuracy_hard_low", "accuracy_hard_high"]].tolist() == pytest.approx([0, 0.65762])
    assert summary.loc[("base", "cot"), "invalid_rate"] == 0.25
    assert summary.loc[("base", "cot"), "too_long_rate"] == 0.25
    assert row["too_long_rate"] == 0


def test_differences_compare_models_asked_alike_and_as_each_was_trained(summary):
    row = summary.loc["complexity_aware", "cot"]
    assert row["vs_base"] == 1.0  # both asked to think
    assert row["vs_distill"] == row["vs_distill_as_trained"] == 0.25
    assert row["vs_sft"] == 0.75  # sft asked to think
    assert row["vs_sft_as_trained"] == 0.5  # sft asked directly, as it was trained
    assert summary.loc[("complexity_aware", "direct"), "vs_distill"] == 0.25
    assert summary.loc[("complexity_aware", "direct"), "vs_distill_as_trained"] == -0.25
    same = summary.loc["sft", "direct"]
    assert same["vs_sft"] == 0


def test_a_difference_to_a_strategy_that_was_not_run_is_unknown(run):
    plan = read_json("data/mixtures/sums/tiny/1/plan.json")
    del plan["sft"]
    write_json("data/mixtures/sums/tiny/1/plan.json", plan)
    run["run"]["strategies"].remove("sft")
    table, _, _ = compared(run)
    assert table[["vs_sft", "vs_sft_low", "vs_sft_as_trained"]].isna().all(axis=None)
    assert table["vs_base"].notna().all()


def test_a_difference_as_trained_is_unknown_where_that_mode_was_not_asked(run):
    run["run"]["modes"] = ["direct"]
    table = compared(run)[0].set_index("strategy")
    assert np.isnan(table.loc["sft", "vs_distill_as_trained"])
    assert table.loc["sft", "vs_distill"] == 0.25


def test_tokens_are_counted_in_one_pass_and_over_all_epochs(summary):
    row = summary.loc["complexity_aware", "cot"]
    assert row["items"] == 3
    assert row["target_tokens_one_pass"] == 36
    assert row["target_tokens"] == 6 * 2 + 30 * 4
    assert row["all_tokens"] == 10 * (6 * 2 + 30 * 4)
    assert row["train_seconds"] == 10 + 30
    assert row["evaluate_seconds"] == 5
    assert (
        summary.loc[("base", "cot"), ["items", "target_tokens", "train_seconds"]].tolist()
        == [0] * 3
    )


def test_what_is_saved_against_distill_is_told_under_each_definition(summary):
    row = summary.loc["complexity_aware", "cot"]
    assert row["saved_target_tokens_one_pass"] == pytest.approx(1 - 36 / 90)
    assert row["saved_target_tokens"] == pytest.approx(1 - 132 / 180)
    assert row["saved_all_tokens"] == pytest.approx(1 - 132 / 180)
    assert row["saved_teacher_completion_tokens"] == pytest.approx(1 - 12 / 15)
    assert summary.loc[("distill", "direct"), "saved_target_tokens"] == 0


def test_half_the_epochs_alone_are_half_of_what_is_published_as_saved():
    """Three bands of 2,500 texts: the hard band holds 38% of their tokens."""
    hard, whole, answers = 38_000, 100_000, 200
    one_pass = saved(hard + answers, whole)
    over_epochs = saved((hard + answers) * 5, whole * 10)
    assert (round(one_pass, 2), round(over_epochs, 2)) == (0.62, 0.81)


def test_a_strategy_pays_for_its_own_items_rejected_answers_included(summary):
    columns = ["teacher_requests", "teacher_prompt_tokens", "teacher_completion_tokens", "cost_usd"]
    aware = summary.loc[("complexity_aware", "cot"), columns]
    assert aware.tolist() == pytest.approx([2, 20, 12, 0.4])
    distill = summary.loc[("distill", "cot"), columns]
    assert distill.tolist() == pytest.approx([4, 40, 15, 0.6])
    assert summary.loc[("sft", "direct"), columns].tolist() == [0, 0, 0, 0]


def change_rationales(**columns):
    path = "data/rationales/sums/tiny/1/w.parquet"
    parquet.write("rationales", parquet.read("rationales", path).assign(**columns), path)


def test_one_unknown_length_makes_the_tokens_of_its_strategies_unknown(run):
    table = parquet.read("rationales", "data/rationales/sums/tiny/1/w.parquet")
    change_rationales(completion_tokens=table["completion_tokens"].where(table.index > 0, None))
    costs = compared(run)[0].set_index(["strategy", "mode"])
    assert costs.loc[("distill", "cot"), "teacher_prompt_tokens"] == 40
    assert np.isnan(costs.loc[("distill", "cot"), "teacher_completion_tokens"])
    assert costs.loc[("sft", "direct"), "teacher_completion_tokens"] == 0


def test_one_unknown_cost_makes_the_cost_of_its_strategies_unknown(run):
    change_rationales(cost_usd=[None, 0.1, 0.2, 0.2, 9.0])
    costs = compared(run)[0].set_index(["strategy", "mode"])["cost_usd"]
    assert np.isnan(costs["distill", "cot"])
    assert costs["complexity_aware", "cot"] == pytest.approx(0.4)
    assert costs["sft", "cot"] == 0


def test_an_answer_that_items_share_is_paid_once(run):
    change_rationales(key=["k1", "k1", "k3", "k4", "k9"])
    row = compared(run)[0].set_index(["strategy", "mode"]).loc["distill", "cot"]
    assert row["teacher_requests"] == 3
    assert row["cost_usd"] == pytest.approx(0.5)


def test_only_a_strategy_that_tells_buckets_apart_pays_for_scoring(summary):
    assert summary.loc[("complexity_aware", "cot"), KNOWING].tolist() == [7, 4, 8, 20, 2]
    assert summary.loc[("distill", "cot"), KNOWING].tolist() == [0, 0, 0, 0, 0]


def test_whoever_trains_on_likely_rationales_pays_for_finding_them(run):
    run["teachers"]["w"] = {
        "provider": "openai",
        "base_url": "http://127.0.0.1:9/v1",
        "model": "m",
        "samples": 2,
        "keep": "all",
        "choose": "most_likely",
    }
    taken = {"seconds": 5.0, "energy_wh": None}
    write_json("data/rationales/sums/tiny/1/w.run.json", taken)
    costs = compared(run)[0].set_index(["strategy", "mode"])["score_seconds"]
    assert (costs["distill", "cot"], costs["complexity_aware", "cot"]) == (5, 7 + 5)
    assert costs["sft", "direct"] == 0


def test_scores_that_two_definitions_share_are_paid_once(run):
    """The second stage is divided by another metric of the same forward pass."""
    run["buckets"]["second"] = {"metric": "margin"}
    run["metrics"]["margin"] = {**run["metrics"]["entropy"], "metric": "margin"}
    run["strategies"]["complexity_aware"]["stages"][1]["divided_by"] = "second"
    table = parquet.read("buckets", "data/buckets/sums/tiny/default.parquet")
    parquet.write("buckets", table, "data/buckets/sums/tiny/second.parquet")
    costs = compared(run)[0].set_index(["strategy", "mode"])
    assert costs.loc[("complexity_aware", "cot"), KNOWING].tolist() == [7, 4, 8, 20, 2]


def test_a_strategy_that_starts_from_the_warm_up_pays_for_it_and_for_no_scores(run):
    run["strategies"]["sft"]["start"] = "warm_up"
    costs = compared(run)[0].set_index(["strategy", "mode"])
    assert costs.loc[("sft", "direct"), KNOWING].tolist() == [0, 4, 8, 20, 2]


@pytest.mark.parametrize(("scorer", "seconds"), [("complexity_aware.1", 7), ("distill.1", 7 + 20)])
def test_a_stage_that_scores_is_paid_once(run, scorer, seconds):
    """The first stage of complexity_aware stands in its training; that of distill does not."""
    run["metrics"]["entropy"]["scored_with"] = scorer
    taken = {"seconds": 7.0, "energy_wh": 0.25}
    write_json(f"data/scores/sums/tiny/{scorer}/letters.run.json", taken)
    plan = read_plan(["data/mixtures/sums/tiny/1/plan.json"])
    own = ["aaaa", "cccc"]
    found, records = complexity_costs(
        configuration(run), "sums", "tiny", "complexity_aware", plan, own
    )
    assert [found[name] for name in KNOWING] == [seconds, 0, 0, 0, 0]
    assert sum(record["seconds"] for record in records) == seconds


@pytest.fixture
def chain(run):
    """`last` is taught by a stage of `middle`, whose buckets a stage of `first` scores."""
    run["run"] |= {"strategies": ["base", "first", "middle", "last"], "seeds": [1]}
    run["teachers"]["own"] = {"provider": "student", "sampled_with": "middle.1"}
    run["metrics"] |= {"entropy": {**run["metrics"]["entropy"], "scored_with": "first.2"}}
    whole = {"buckets": ["easy", "medium", "hard"], "target": "rationale", "epochs": 1}
    easy, hard = {**whole, "buckets": ["easy"]}, {**whole, "buckets": ["hard"]}
    answers = {**whole, "target": "answer"}
    run["strategies"] |= {
        "first": {"stages": [answers, whole, answers], "membership": "random", "start": "warm_up"},
        "middle": {"stages": [hard, easy]},
        "last": {"stages": [{**whole, "teacher": ["own", "default"]}]},
    }
    plans = {
        "first": planned("s3", "cot", 3, [stage(f"s{n}", 10, 1) for n in (1, 2, 3)], "w"),
        "middle": planned("m2", "cot", 3, [stage("m1", 10, 1), stage("m2", 10, 1)], "w"),
        "last": planned("l1", "cot", 3, [stage("l1", 10, 1)], "own"),
    }
    write_json("data/mixtures/sums/tiny/1/plan.json", plans)
    for seconds, model in enumerate(("s1", "s2", "s3", "m1", "m2", "l1")):
        write_record(model, 10, 10.0**seconds, None)
    taken = {"seconds": 0.5, "energy_wh": None}
    write_json("data/scores/sums/tiny/first.2/letters.run.json", taken)
    return configuration(run)


def test_the_stages_behind_a_strategy_are_those_that_it_cannot_do_without(chain):
    assert {name: len(one.stages) for name, one in behind(chain, "last").items()} == {
        "first.2": 2,
        "middle.1": 1,
    }
    assert list(behind(chain, "middle")) == ["first.2"] and behind(chain, "first") == {}


def test_a_strategy_pays_for_the_training_scoring_and_warm_up_behind_it(chain):
    plan = read_plan(["data/mixtures/sums/tiny/1/plan.json"])
    found, _ = complexity_costs(chain, "sums", "tiny", "last", plan, ["l1"])
    # s1, s2 and m1 are trained, one table is scored, and first starts from a warm-up.
    assert [found[name] for name in KNOWING] == [1 + 10 + 1000 + 0.5, 4, 8, 20, 2]
    found, _ = complexity_costs(chain, "sums", "tiny", "first", plan, ["s1", "s2", "s3"])
    assert [found[name] for name in KNOWING] == [0, 4, 8, 20, 2]


def test_answers_behind_a_strategy_are_its_own_and_each_is_paid_once(run):
    """What a stage of `hard_only` could not solve after it was taught, the teacher is asked."""
    run["run"]["strategies"] = ["base", "hard_only", "cascade"]
    run["teachers"]["own"] = {"provider": "student", "sampled_with": "hard_only.1"}
    hard = {"buckets": ["hard"], "target": "rationale", "epochs": 1}
    whole = {**hard, "buckets": ["easy", "medium", "hard"], "teacher": ["own", "default"]}
    run["strategies"] |= {"hard_only": {"stages": [hard]}, "cascade": {"stages": [whole]}}
    ids = [f"i{number}" for number in range(12)]
    buckets = pd.DataFrame({"item_id": ids, "bucket": ["easy"] * 6 + ["hard"] * 6, "sampled": True})
    common = {
        "item_id": ids, "sample": 0, "reasoning": None, "finish_reason": "stop",
        "prompt_tokens": 1, "cost_usd": 1.0, "seconds": 1.0, "accepted": True,
    }  # fmt: skip
    bought = pd.DataFrame({**common, "completion_tokens": 100, "key": [f"w{one}" for one in ids]})
    tried = pd.DataFrame({**common, "completion_tokens": 7, "key": [f"o{one}" for one in ids]})
    tried["accepted"] = [number > 7 for number in range(12)]
    written = {"w": bought, "own": tried}
    columns = ["teacher_requests", "cost_usd", "rationale_items", "self_answers"]
    costs = {
        name: teacher_costs(configuration(run), name, written, {"default": buckets}, 1)
        for name in ("hard_only", "cascade")
    }
    assert [costs["hard_only"][name] for name in columns] == [6, 6, 6, 0]
    # i0 to i7 are not solved; i8 to i11 were bought to teach the one who tries.
    assert [costs["cascade"][name] for name in columns] == [12, 12, 12, 12]


def test_what_a_judge_was_paid_is_a_cost_of_its_own(run):
    run["metrics"]["entropy"] |= {"metric": "judge_reasoning_steps", "judge": "j"}
    judged = pd.DataFrame(
        {
            "item_id": ["i1", "i1", "i2", "i3"],
            "question": ["reasoning_steps", "education_level", *["reasoning_steps"] * 2],
            "label_key": ["k1", "k2", "k3", None],  # nothing came for the last
            "prompt_tokens": [100, 100, 50, None],
            "completion_tokens": [1, 1, 2, None],
            "cost_usd": [0.25, 8.0, 0.5, None],
        }
    )
    parquet.write("judgements", judged, "data/judgements/sums/j.parquet")
    columns = ["metric_prompt_tokens", "metric_completion_tokens", "metric_cost_usd"]
    costs = compared(run)[0].set_index(["strategy", "mode"])
    aware = costs.loc["complexity_aware", "cot"]
    assert aware[columns].tolist() == [150, 3, 0.75]
    assert aware[KNOWING].tolist() == [0, 0, 0, 0, 0]
    assert costs.loc[("distill", "cot"), columns].tolist() == [0, 0, 0]


def test_tokens_are_those_that_were_trained_where_a_stage_ended_early(run):
    write_record("cccc", 30, 30.0, 3.0)
    row = compared(run)[0].set_index(["strategy", "mode"]).loc["complexity_aware", "cot"]
    assert (row["target_tokens"], row["all_tokens"]) == (12 + 30, 120 + 300)
    assert row["saved_target_tokens"] == pytest.approx(1 - 42 / 180)


def test_the_best_epoch_costs_the_choice_too(run):
    run["run"]["checkpoints"] = ["last", "best"]
    for model, mode in RIGHT:
        write_predictions(f"{model}-best", mode, RIGHT[model, mode])
    for model in ("aaaa", "bbbb", "cccc"):
        epochs = [{"seconds": 1.0, "energy_wh": 0.125}, {"seconds": 2.0, "energy_wh": 0.25}]
        write_json(f"results/selection/sums/tiny/{model}.json", {"epochs": epochs})
    table = compared(run)[0].set_index(["strategy", "mode", "checkpoint"])
    last, best = (table.loc["distill", "cot", which] for which in ("last", "best"))
    assert (last["train_seconds"], best["train_seconds"]) == (20, 23)
    assert (last["energy_wh"], best["energy_wh"]) == (2.5, 2.875)


def test_energy_is_that_of_scoring_training_and_answering(summary):
    assert summary["energy_wh"].xs("cot", level="mode").to_dict() == {
        "base": 0.5,
        "sft": 1 + 0.5,
        "distill": 2 + 0.5,
        "complexity_aware": 0.25 + 0.125 + 1 + 3 + 0.5,
    }


def test_energy_is_unknown_if_one_part_does_not_tell(run):
    write_record("cccc", 120, 30.0, None)
    energy = compared(run)[0].set_index(["strategy", "mode"])["energy_wh"]
    assert energy["sft", "cot"] == 1.5
    assert np.isnan(energy["complexity_aware", "cot"])


@pytest.fixture
def seeds(run):
    """The same run with a second training seed of sft, which gets one answer more right."""
    plan = read_json("data/mixtures/sums/tiny/1/plan.json")
    trained = {"final": "dddd", "items": 2, "stages": [stage("dddd", 9, 2)]}
    plan["sft"]["seeds"]["2"] = trained
    plan["base"]["seeds"]["2"] = plan["base"]["seeds"]["1"]
    for name in ("distill", "complexity_aware"):
        plan[name]["seeds"]["2"] = plan[name]["seeds"]["1"]
    write_json("data/mixtures/sums/tiny/1/plan.json", plan)
    write_record("dddd", 18, 20.0, None)
    for mode in ("direct", "cot"):
        write_predictions("dddd", mode, [1, 1, 1, 0])
    run["run"]["seeds"] = [1, 2]
    return run


def test_a_row_of_the_summary_is_the_mean_over_training_seeds(seeds):
    summary, runs, _ = compared(seeds)
    row = summary.set_index(["strategy", "mode"]).loc["sft", "direct"]
    assert (row["n_seeds"], row["accuracy"], row["accuracy_hard"]) == (2, 0.625, 0.25)
    assert row["accuracy_sd"] == pytest.approx(0.25 / 2**0.5)
    assert row["vs_base"] == 0.375
    assert (row["target_tokens"], row["train_seconds"]) == (15, 15)
    each = runs.query("strategy == 'sft' and mode == 'direct'")
    assert each[["seed", "accuracy", "target_tokens", "model"]].values.tolist() == [
        [1, 0.5, 12, "aaaa"],
        [2, 0.75, 18, "dddd"],
    ]


def test_what_one_seed_does_not_tell_is_not_saved(seeds):
    """Seed 1 draws i2 and seed 3 draws i3, of whose answers one has no count of tokens."""
    plan = read_json("data/mixtures/sums/tiny/1/plan.json")
    for one in plan.values():
        one["seeds"]["3"] = one["seeds"].pop("2")
    write_json("data/mixtures/sums/tiny/1/plan.json", plan)
    seeds["run"]["seeds"] = [1, 3]
    seeds["strategies"]["complexity_aware"]["membership"] = "random"
    change_rationales(completion_tokens=[1, 2, None, 8, 16])
    table, runs, _ = compared(seeds)
    tokens = runs.query("strategy == 'complexity_aware' and mode == 'cot'")
    assert tokens["teacher_completion_tokens"].fillna(-1).tolist() == [2, -1]
    row = table.set_index(["strategy", "mode"]).loc["complexity_aware", "cot"]
    assert np.isnan(row["teacher_completion_tokens"])
    assert np.isnan(row["saved_teacher_completion_tokens"])


def test_the_untuned_student_is_one_run_whatever_the_seeds(seeds):
    summary, runs, _ = compared(seeds)
    base = runs.query("strategy == 'base'")
    assert len(base) == 2 and base["seed"].isna().all()
    assert (summary.query("strategy == 'base'")["n_seeds"] == 1).all()


def test_every_pair_of_strategies_is_compared_in_each_mode_and_as_trained(run):
    _, _, comparisons = compared(run)
    assert comparisons.groupby("mode", sort=False).size().to_dict() == {
        "direct": 6,
        "cot": 6,
        "as_trained": 6,
    }
    row = comparisons.query("mode == 'as_trained' and strategy == 'sft'").set_index("other")
    assert row.loc["distill", "difference"] == -0.25


def test_verdicts_are_about_the_difference_that_matters(run):
    def needed(relevant):
        run["run"]["relevant_difference"] = relevant
        verdict = compared(run)[2].set_index(["mode", "strategy", "other"])["verdict"]
        return int(re.search(r"about (\d+) items", verdict["cot", "sft", "distill"])[1])

    assert needed(0.05) > 10 * needed(0.4)


def test_more_ways_of_asking_and_the_best_epoch_have_rows_of_their_own(run):
    run["run"] |= {"shots": [0, 2], "checkpoints": ["last", "best"]}
    for (model, mode), right in RIGHT.items():
        write_predictions(model, f"{mode}-2shot", right)
        for view in (mode, f"{mode}-2shot"):
            if model != "base":
                write_predictions(f"{model}-best", view, [1, 1, 1, 1])
                epochs = [{"seconds": 1.0, "energy_wh": None}]
                write_json(f"results/selection/sums/tiny/{model}.json", {"epochs": epochs})
    summary, runs, comparisons = compared(run)
    assert summary.groupby("strategy", sort=False).size().tolist() == [4, 8, 8, 8]
    rows = summary.set_index(["strategy", "mode", "shots", "checkpoint"])
    assert rows.loc[("sft", "direct", 2, "last"), "accuracy"] == 0.5
    assert rows.loc[("sft", "direct", 2, "best"), "accuracy"] == 1
    assert rows.loc[("sft", "direct", 2, "best"), "vs_distill"] == 0
    assert runs["model"].isin(["base", "aaaa", "bbbb", "cccc"]).all()
    families = comparisons.groupby(["mode", "shots", "checkpoint"]).size()
    assert len(families) == 3 * 2 * 2 and (families == 6).all()
    assert len(as_prompted(summary)) == 8


def test_the_passes_over_the_rows_of_each_bucket_are_counted(summary):
    epochs = ["epochs_easy", "epochs_medium", "epochs_hard"]
    assert summary.loc[("complexity_aware", "cot"), epochs].tolist() == [2, 2, 4]
    assert summary.loc[("distill", "cot"), epochs].tolist() == [2, 2, 2]
    assert summary.loc[("base", "cot"), epochs].tolist() == [0, 0, 0]


def test_items_that_want_a_rationale_are_counted_beside_those_that_got_one(run):
    change_rationales(accepted=[True, True, False, True, True])
    table = compared(run)[0].set_index(["strategy", "mode"])
    columns = ["rationale_items", "accepted_items", "fallback"]
    assert table.loc[("distill", "cot"), columns].tolist() == [3, 3, "drop"]
    change_rationales(accepted=[True, False, False, False, True])
    table = compared(run)[0].set_index(["strategy", "mode"])
    assert table.loc[("distill", "cot"), columns].tolist() == [3, 1, "drop"]
    assert table.loc[("complexity_aware", "cot"), columns[:2]].tolist() == [1, 0]
    assert table.loc[("sft", "cot"), columns].isna().tolist() == [False, False, True]


def test_thresholds_tell_which_of_the_items_behind_them_the_warm_up_had_seen(run):
    metrics = pd.DataFrame(
        {
            "item_id": ["i1", "i2", "i3", "i4", "t1"],
            "split": ["train"] * 4 + ["test"],
            "value": [0.1, 0.2, 0.3, None, 0.4],
            "warm_up": [True, True, False, True, False],
        }
    )
    parquet.write("metrics", metrics, "data/metrics/sums/tiny/entropy.parquet")
    write_json("data/buckets/sums/tiny/default.report.json", {"lower": 0.15, "upper": 0.25})
    (row,) = parquet.records(thresholds_table(configuration(run)))
    assert row == {
        "dataset": "sums", "student": "tiny", "buckets": "default", "metric": "entropy",
        "kind": "single_token_entropy", "scorer": "warm_up", "prompt": "letters", "lower": 0.15,
        "upper": 0.25, "items": 3, "seen_by_warm_up": 2,
    }  # fmt: skip


def test_comparisons_tell_the_difference_that_their_verdicts_are_about(run):
    run["run"]["relevant_difference"] = 0.1
    assert set(compared(run)[2]["relevant_difference"]) == {0.1}


def scores(**columns):
    count = 8
    default = {
        "item_id": [f"i{number}" for number in range(count)],
        "status": "ok",
        "warm_up": False,
        "correct": [True, True, True, True, False, False, False, False],
        "answer_valid": True,
        "single_token_entropy": [0.1, 0.2, 0.3, 0.9, 0.4, 1.0, 1.1, 1.2],
        "option_entropy": None,
        "cross_entropy": 1.0,
        "margin": [-0.1, -0.1, -0.1, -0.1, -0.1, -0.1, -0.1, -0.1],
    }
    return pd.DataFrame({**default, **columns})


def test_each_label_free_metric_is_ranked_by_how_well_it_finds_wrong_answers():
    rows = {row["metric"]: row for row in rank_metrics(scores(), seed=1)}
    assert set(rows) == {"single_token_entropy", "margin"}
    assert rows["single_token_entropy"]["roc_auc"] == 15 / 16
    assert rows["margin"]["roc_auc"] == 0.5
    assert rows["margin"]["student_accuracy"] == 0.5
    assert rows["margin"]["n"] == 8


def test_items_of_the_warm_up_and_items_without_a_score_are_not_ranked():
    table = scores(
        warm_up=[True] + [False] * 7,
        status=["ok"] * 7 + ["too_long"],
    )
    assert {row["n"] for row in rank_metrics(table, seed=1)} == {6}


def write_items():
    items = {"answer": "7", "answer_kind": "numeric", "item_id": scores()["item_id"]}
    parquet.write("items", pd.DataFrame(items), "data/items/sums.parquet")


def test_the_complexity_table_names_where_each_row_is_from(run):
    write_items()
    parquet.write("scores", scores(), "data/scores/sums/tiny/warm_up/letters.parquet")
    table = complexity_table(configuration(run))
    assert table[["dataset", "student", "scorer", "prompt", "metric"]].values.tolist() == [
        ["sums", "tiny", "warm_up", "letters", "single_token_entropy"],
        ["sums", "tiny", "warm_up", "letters", "margin"],
    ]


def test_a_trained_scorer_is_ranked_on_items_that_it_has_not_seen(run):
    run["metrics"]["entropy"]["scored_with"] = "sft.1"
    split = ["train"] * 5 + ["test"] * 3
    path = "data/scores/sums/tiny/sft.1/letters.parquet"
    write_items()
    parquet.write("scores", scores(split=split), path)
    table = complexity_table(configuration(run))
    assert set(table["n"]) == {3}
    assert set(table["scorer"]) == {"sft.1"}


def test_the_index_of_models_keeps_digests_as_text(run):
    index = pd.DataFrame({"strategy": ["sft"], "model": ["0012345678901234"], "parent": [None]})
    index.to_csv("data/mixtures/sums/tiny/1/index.csv", index=False)
    assert model_index(configuration(run)).values.tolist()[0][:4] == [
        "sums",
        "tiny",
        "sft",
        "0012345678901234",
    ]


def test_the_provenance_names_data_students_and_libraries(run):
    items = pd.DataFrame({"item_id": ["i1"], "question": ["q"]})
    parquet.write("items", items, "data/items/sums.parquet", {"size": 1}, 1)
    write_json("data/items/sums.report.json", {"items": 1})
    write_json("data/models/tiny/student.json", {"revision": "r1"})
    found = provenance(configuration(run), ["bbbb", "aaaa", "bbbb"])
    assert found["models"] == ["aaaa", "bbbb"]
    assert found["datasets"]["sums"]["spec"] == {"size": 1}
    assert found["datasets"]["sums"]["report"] == {"items": 1}
    assert found["students"] == {"tiny": {"revision": "r1"}}
    assert found["config"] == configuration(run).plain()
    assert found["libraries"]["torch"].startswith("2.")
    assert "gpus" not in found
    write_json("data/scores/sums/tiny/base/letters.run.json", {"gpus": ["H100"]})
    write_json("data/scores/other/tiny/base/letters.run.json", {"gpus": ["T4"]})
    write_json("results/predictions/sums/tiny/base.cot.run.json", {"gpus": ["A100", "H100"]})
    write_json("results/models/aaaa/model.json", {"gpu": "H100"})
    assert provenance(configuration(run), ["bbbb", "aaaa"])["gpus"] == {
        "scores": ["H100"],
        "predictions": ["A100", "H100"],
        "models": ["H100"],
    }
