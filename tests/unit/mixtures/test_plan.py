import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from stages import CPU, changed

from caft import layout
from caft.mixtures.building import build_plan
from caft.mixtures.plan import Plan, PlannedStage, PlannedStrategy, Trained, read_plan
from caft.mixtures.rows import Materials
from caft.mixtures.settings import Match, ResolvedStrategy
from caft.students.folders import load_chat
from caft.tables import parquet
from caft.tables.files import read_json, write_json
from caft.training import train_planned

ANSWER = {"buckets": ["easy", "medium"], "target": "answer", "epochs": 2}
FOLDER = Path("data/mixtures")
RATIONALE = {"buckets": ["hard"], "target": "rationale", "epochs": 3}


@pytest.fixture
def inputs(tmp_path, monkeypatch, student, letters, recipe):
    """Six training items, two in each bucket; one hard item has no accepted rationale."""
    monkeypatch.chdir(tmp_path)
    ids = [f"i{number}" for number in range(6)]
    items = pd.DataFrame(
        {
            "item_id": ids,
            "question": [f"{number} + 0 ?" for number in range(6)],
            "options": None,
            "answer": [str(number) for number in range(6)],
            "answer_kind": "numeric",
            "reference_rationale": None,
            "split": "train",
        }
    )
    buckets = pd.DataFrame(
        {"item_id": ids, "bucket": ["easy", "medium", "hard"] * 2, "sampled": True}
    ).assign(complexity=[0.0, 0.5, 1.0] * 2)
    rationales = pd.DataFrame(
        {
            "item_id": ["i2", "i2", "i5"],
            "text": ["wrong", "so [[2]]", "cut"],
            "reasoning": [None, None, None],
            "accepted": [False, True, False],
            "selected": [False, True, False],
        }
    )
    base = ResolvedStrategy(stages=[], teacher=None, fallback="drop", recipe=recipe)
    strategies = {
        "base": base,
        "sft": changed(base, stages=[ANSWER]),
        "complexity_aware": changed(base, teacher="worked", stages=[ANSWER, RATIONALE]),
    }
    record = read_json(student / "student.json")
    return {
        "materials": Materials(
            items, letters, 1, load_chat(student), record["revision"], record["context"]
        ),
        "buckets": {"default": buckets},
        "rationales": {"worked": rationales},
        "strategies": strategies,
        "seeds": [1],
        "student_file": student / "student.json",
        "warm_up_file": None,
    }


def trained(plan, name, seed=1):
    return plan.strategies[name].seeds[seed]


def planned_file(stage):
    return Path(layout.at(layout.PLANNED_STAGE, digest=stage.model))


def with_sft(inputs, **changes):
    """Change the settings of one strategy."""
    strategies = inputs["strategies"]
    return {**inputs, "strategies": {**strategies, "sft": changed(strategies["sft"], **changes)}}


def with_items(inputs, items):
    return {**inputs, "materials": replace(inputs["materials"], items=items, _turns={}, _counts={})}


def test_a_plan_names_the_final_model_of_each_strategy(inputs):
    plan, _, _ = build_plan(**inputs)
    assert trained(plan, "base") == Trained("base", 0, [])
    first, second = trained(plan, "complexity_aware").stages
    assert trained(plan, "complexity_aware").final == second.model
    assert trained(plan, "sft").final == first.model == second.parent
    modes = {name: one.trained_mode for name, one in plan.strategies.items()}
    assert modes == {"base": "direct", "sft": "direct", "complexity_aware": "cot"}


def test_a_plan_says_what_became_of_the_items_without_a_rationale(inputs):
    plan, _, _ = build_plan(**inputs)
    assert trained(plan, "complexity_aware").items == 5
    stage = trained(plan, "complexity_aware").stages[1]
    assert (stage.without_rationale, stage.rationale_rows, stage.answer_rows) == (1, 1, 0)


def test_every_training_seed_makes_models_of_its_own_from_the_same_rows(inputs):
    plan, index, _ = build_plan(**{**inputs, "seeds": [1, 7]})
    assert list(plan.strategies["sft"].seeds) == [1, 7]
    (one,), (other,) = (trained(plan, "sft", seed).stages for seed in (1, 7))
    assert one.mixture == other.mixture and one.model != other.model
    assert trained(plan, "base", 1) == trained(plan, "base", 7)
    assert index.query("strategy == 'sft'")["seed"].tolist() == [1, 7]
    alone, _, _ = build_plan(**inputs)
    assert trained(alone, "sft") == trained(plan, "sft")


def test_a_random_control_is_drawn_again_for_every_seed(inputs):
    plan, _, _ = build_plan(**{**with_sft(inputs, membership="random"), "seeds": [1, 2, 3]})
    mixtures = {trained(plan, "sft", seed).stages[0].mixture for seed in (1, 2, 3)}
    assert len(mixtures) == 3


@pytest.mark.parametrize(
    ("by", "epochs"),
    [
        ("items", 2 * 4 / 6),  # 4 rows twice, against 6
        ("tokens", 2 * 8 / 12),  # two tokens a row
        ("steps", 2 * 2 / 3),  # batches of two
    ],
)
def test_a_strategy_stops_at_the_amount_of_another_one(inputs, recipe, by, epochs):
    everything = {**ANSWER, "buckets": ["easy", "medium", "hard"], "epochs": 10}
    strategies = with_sft(inputs, recipe=changed(recipe, batch_size=2))["strategies"]
    match = Match(strategy="sft", by=by)
    matched = changed(strategies["sft"], stages=[everything], match=match)
    plan, _, _ = build_plan(**{**inputs, "strategies": {"matched": matched, **strategies}})
    assert list(plan.strategies) == ["matched", "base", "sft", "complexity_aware"]
    assert trained(plan, "matched").stages[0].epochs == pytest.approx(epochs, abs=1e-6)


def test_a_stage_may_be_divided_by_another_bucket_definition(inputs):
    turned = inputs["buckets"]["default"].assign(bucket=["hard", "medium", "easy"] * 2)
    inputs["buckets"]["after"] = turned
    stages = [ANSWER, {**ANSWER, "buckets": ["hard"], "divided_by": "after"}]
    plan, _, _ = build_plan(**with_sft(inputs, stages=stages))
    second = trained(plan, "sft").stages[1]
    rows = parquet.read("mixtures", layout.at(layout.MIXTURE, mixture=second.mixture))
    assert list(rows["item_id"]) == ["i0", "i3"]


def test_a_plan_counts_tokens_in_one_pass_and_over_all_epochs(inputs):
    plan, _, _ = build_plan(**inputs)
    (stage,) = trained(plan, "sft").stages
    mixture = parquet.read("mixtures", layout.at(layout.MIXTURE, mixture=stage.mixture))
    # One digit and the end of the turn.
    assert stage.target_tokens_one_pass == 4 * 2
    assert stage.target_tokens == 4 * 2 * 2
    assert stage.all_tokens == 2 * (4 * 2 + mixture["prompt_tokens"].sum())
    assert stage.rows == len(mixture) == 4


@pytest.mark.parametrize(
    ("training", "epochs", "updates"),
    [
        ({}, 2, 2),
        ({"batch_size": 3}, 2, 4),
        ({"batch_size": 1, "gradient_accumulation": 2}, 3, 6),
        ({"batch_size": 3}, 1.25, 3),
        ({"packing": "padding_free", "batch_size": 1}, 2, 8),
        # Of four rows of some 30 tokens two fit into a pack.
        ({"packing": "packed", "batch_size": 1, "max_length": 70}, 3, 6),
        ({"packing": "packed", "batch_size": 2, "max_length": 512}, 1, 1),
    ],
)
def test_the_updates_that_are_planned_are_those_that_are_trained(
    inputs, student, recipe, tmp_path, training, epochs, updates
):
    changes = {"recipe": changed(recipe, **training), "stages": [{**ANSWER, "epochs": epochs}]}
    plan, index, _ = build_plan(**with_sft(inputs, **changes))
    (stage,) = trained(plan, "sft").stages
    assert stage.updates == index["updates"].iloc[0] == updates
    record = train_planned(planned_file(stage), tmp_path / "model", CPU)
    assert record["steps"] == updates


def test_a_stage_of_few_updates_is_told_once_for_all_seeds(inputs, caplog):
    build_plan(**{**inputs, "seeds": [1, 7]})
    told = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert [line.partition(";")[0] for line in told] == [
        "strategies.sft, stage 1: few updates (2)",
        "strategies.complexity_aware, stage 1: few updates (2)",
        "strategies.complexity_aware, stage 2: few updates (3)",
    ]


def test_a_stage_of_enough_updates_is_not_told(inputs, caplog):
    build_plan(**with_sft(inputs, stages=[{**ANSWER, "epochs": 10}]))
    assert "strategies.sft" not in caplog.text


def test_mixtures_and_stages_are_written_under_their_hashes(inputs):
    plan, _, _ = build_plan(**inputs)
    stages = [stage for name in plan.strategies for stage in trained(plan, name).stages]
    assert {path.stem for path in (FOLDER / "rows").iterdir()} == {s.mixture for s in stages}
    assert {path.stem for path in (FOLDER / "stages").iterdir()} == {s.model for s in stages}
    second = trained(plan, "complexity_aware").stages[1]
    planned = json.loads(planned_file(second).read_text())
    assert planned["mixture_file"] == layout.at(layout.MIXTURE, mixture=second.mixture)
    assert planned["parent_file"] == f"results/models/{second.parent}/model.json"
    assert planned["spec"]["epochs"] == 3
    rows = parquet.read("mixtures", planned["mixture_file"])
    assert list(rows["completion"]) == ["so [[2]]"]
    assert json.loads(rows["messages"][0])[0] == {"role": "system", "content": "Think, [[number]]."}


def test_a_mixture_is_written_once(inputs):
    build_plan(**inputs)
    rows = sorted((FOLDER / "rows").iterdir())
    before = [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in rows]
    build_plan(**inputs)
    rows = sorted((FOLDER / "rows").iterdir())
    assert [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in rows] == before


def test_equal_inputs_give_equal_plans_in_any_order(inputs):
    plan, index, _ = build_plan(**inputs)
    inputs = with_items(inputs, inputs["materials"].items.iloc[::-1])
    inputs["buckets"] = {"default": inputs["buckets"]["default"].iloc[::-1]}
    turned, turned_index, _ = build_plan(**inputs)
    assert turned == plan
    pd.testing.assert_frame_equal(turned_index, index)


def test_the_index_lists_every_stage(inputs):
    plan, index, _ = build_plan(**inputs)
    assert index[["strategy", "stage", "epochs"]].values.tolist() == [
        ["sft", 1, 2],
        ["complexity_aware", 1, 2],
        ["complexity_aware", 2, 3],
    ]
    assert index["model"].iloc[-1] == trained(plan, "complexity_aware").final


def test_rows_left_out_as_too_long_are_listed(inputs):
    assert build_plan(**inputs)[2].empty
    items = inputs["materials"].items.copy()
    items.loc[0, "question"] += " it is so long" * 60
    plan, _, left_out = build_plan(**with_items(inputs, items))
    assert left_out[["item_id", "strategy", "stage", "reason"]].values.tolist() == [
        ["i0", "sft", 1, "too_long"],
        ["i0", "complexity_aware", 1, "too_long"],
    ]
    (stage,) = trained(plan, "sft").stages
    assert (stage.over_long, stage.rows) == (1, 3)


def test_a_strategy_may_start_from_the_warm_up(inputs, tmp_path):
    plan, _, _ = build_plan(**inputs)
    warm_up = tmp_path / "warm_up" / "model.json"
    write_json(warm_up, {"digest": "feedfeedfeedfeed"})
    warmed, _, _ = build_plan(**{**with_sft(inputs, start="warm_up"), "warm_up_file": warm_up})
    (stage,) = trained(warmed, "sft").stages
    assert stage.parent == "feedfeedfeedfeed"
    assert stage.model != trained(plan, "sft").final
    planned = json.loads(planned_file(stage).read_text())
    assert planned["parent_file"] == str(warm_up)
    assert trained(warmed, "complexity_aware") == trained(plan, "complexity_aware")


def test_a_plan_is_written_by_strategy_and_seed():
    stage = PlannedStage("m", None, "rows", 2, 3, 1, 2, 0, 0, 10, 20, 50, updates=4)
    strategy = PlannedStrategy("cot", "default", "worked", {10: Trained("m", 3, [stage])})
    assert Plan({"aware": strategy}).json() == {
        "aware": {
            "trained_mode": "cot",
            "buckets": "default",
            "teacher": "worked",
            "seeds": {
                "10": {
                    "final": "m",
                    "items": 3,
                    "stages": [
                        {
                            "model": "m",
                            "parent": None,
                            "mixture": "rows",
                            "epochs": 2,
                            "rows": 3,
                            "answer_rows": 1,
                            "rationale_rows": 2,
                            "over_long": 0,
                            "without_rationale": 0,
                            "target_tokens_one_pass": 10,
                            "target_tokens": 20,
                            "all_tokens": 50,
                            "reasoning_rows": 0,
                            "updates": 4,
                        }
                    ],
                }
            },
        }
    }


def test_a_plan_is_read_as_it_was_written(inputs):
    plan, _, _ = build_plan(**{**inputs, "seeds": [1, 7]})
    write_json("plan.json", plan.json())
    assert read_plan(["plan.json"]) == plan
    assert read_plan(["plan.json"]).json() == plan.json()


def test_a_plan_of_an_earlier_version_has_no_updates(inputs):
    content = build_plan(**inputs)[0].json()
    for stage in content["sft"]["seeds"]["1"]["stages"]:
        del stage["updates"]
    write_json("plan.json", content)
    (stage,) = trained(read_plan(["plan.json"]), "sft").stages
    assert stage.updates is None


def test_plans_of_several_rounds_are_read_as_one(inputs):
    strategies = build_plan(**inputs)[0].strategies
    for number, names in enumerate((["base", "sft"], ["complexity_aware"]), start=1):
        write_json(f"{number}.json", Plan({name: strategies[name] for name in names}).json())
    plan = read_plan(["1.json", "2.json"])
    assert plan.strategies == strategies
    first, second = trained(plan, "complexity_aware").stages
    assert plan.models() == [first.model, second.model], "a stage that is shared is named once"
    assert plan.finals() == ["base", first.model, second.model]
    assert plan.final("sft", 1) == first.model
    assert [place for place, _ in plan.stages()] == [
        ("sft", 1, 1),
        ("complexity_aware", 1, 1),
        ("complexity_aware", 1, 2),
    ]
