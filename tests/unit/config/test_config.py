import copy
import os
import time
from pathlib import Path

import pytest
import yaml
from configurations import configuration

from caft.config import resolve as settings
from caft.config.modes import asked_views, read_view, views
from caft.config.prepare import prepare
from caft.config.rounds import Taught, round_of, rounds_used, strategies_of_round, taught
from caft.errors import ConfigError
from caft.running.settings import Engine
from caft.teacher import PROVIDERS

ROOT = Path(__file__).parents[3]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def config():
    """The shipped configuration, to be spoilt."""
    return copy.deepcopy(SHIPPED)


def problems(config):
    with pytest.raises(ConfigError) as caught:
        prepare(config)
    return str(caught.value).splitlines()


def local_student(config, folder):
    config["students"] = {"mine": {"path": str(folder)}}
    config["run"]["students"] = ["mine"]
    return config


def file_dataset(config, **spec):
    columns = {"question": "q", "options": "o", "answer": "a"}
    default = {"adapter": "file", "columns": columns, "splits": {"train": 0.5, "test": 0.5}}
    config["datasets"] = {"own": {**default, **spec}}
    config["run"]["datasets"] = ["own"]
    return config


def test_the_shipped_configuration_is_in_order(config):
    assert prepare(config).run.datasets == ["sums"]


def test_the_standard_strategies_are_defined_and_usable(config):
    names = ["base", "sft", "distill", "complexity_aware", "random_same_size", "reverse"]
    names += ["curriculum", "hard_only", "mixed", "complexity_mixed", "self_easy", "cascade"]
    names += ["proportional", "complexity_aware_replay", "proportional_replay"]
    names += ["random_same_size_replay"]
    assert sorted(config["strategies"]) == sorted(names)
    config["run"]["strategies"] = names
    assert list(settings.chosen(prepare(config))) == names


def test_defaults_are_filled_in_at_every_depth(config):
    del config["seed"], config["training"]["lora"], config["run"]["modes"]
    del config["training"]["batch_size"], config["datasets"]["sums"]["splits"]["validation"]
    complete = prepare(config)
    assert complete.seed == 1
    assert complete.run.modes == ["direct", "cot"]
    assert complete.training.batch_size == 4
    assert complete.training.lora.plain() == {
        "variant": "lora",
        "r": 16,
        "alpha": 32,
        "dropout": 0.0,
        "target_modules": "all-linear",
    }
    assert complete.strategies["sft"].membership == "complexity"
    assert complete.prompts["letters"].few_shot == 0
    assert complete.datasets["sums"].splits.validation == 0.0
    assert complete.buckets["default"].per_bucket is None
    assert complete.teachers["worked_solutions"].parser == "any"


def test_filled_defaults_are_not_shared(config):
    strategies = prepare(config).strategies
    assert strategies["sft"].training is not strategies["distill"].training


@pytest.mark.parametrize(
    "section, key, where, known",
    [
        (("training",), "learning_rates", "training", "learning_rate"),
        (("buckets", "default"), "metrics", "buckets.default", "metric"),
        (("datasets", "sums"), "sizes", "datasets.sums", "size"),
        ((), "student", "top level", "students"),
    ],
)
def test_an_unknown_key_is_named_with_its_path_and_the_known_ones(
    config, section, key, where, known
):
    part = config
    for name in section:
        part = part[name]
    part[key] = 1
    (problem,) = problems(config)
    assert problem.startswith(f"config: {where}: unknown key '{key}'; known keys are ")
    assert known in problem.split("known keys are ")[1].strip(".").split(", ")


def test_a_value_of_the_wrong_kind_is_named_with_its_path(config):
    config["training"]["batch_size"] = 0
    config["metrics"]["margin"]["metric"] = "entropie"
    found = problems(config)
    assert any(line.startswith("config: training.batch_size: 0 ") for line in found)
    assert any(line.startswith("config: metrics.margin.metric: 'entropie'") for line in found)


def test_buckets_are_drawn_by_a_metric_that_is_defined(config):
    config["buckets"]["default"]["metric"] = "entropie"
    (problem,) = problems(config)
    assert problem.startswith("config: buckets.default.metric: no metric 'entropie'; known are ")


@pytest.mark.parametrize("spec", [{"outcome": "nothing"}, {"metrics": ["margin", "nothing"]}])
def test_the_analysis_compares_metrics_that_are_defined(config, spec):
    config["analysis"] = spec
    (problem,) = problems(config)
    assert problem.startswith("config: analysis: no metric 'nothing'; known are ")


def test_a_metric_says_what_it_is_made_from(config):
    config["metrics"]["mine"] = {"metric": "imported"}
    config["metrics"]["level"] = {"metric": "judge_education_level"}
    config["metrics"]["nonsense"] = {}
    assert [line.split(";")[0] for line in problems(config)] == [
        "config: metrics.level.judge: is needed for judge_education_level.",
        "config: metrics.mine.path: is needed for imported, or `hub`",
        "config: metrics.mine.column: is needed for imported.",
        "config: metrics.nonsense: is no known metric",
    ]


@pytest.mark.parametrize(
    ("scorer", "problem"),
    [
        ("warm_up", None),
        ("sft.1", None),
        ("sft.2", "'sft' has 1 stages; write sft.1 for its first."),
        ("nobody.1", "'nobody' is no strategy of run.strategies; give base, warm_up or sft.1."),
    ],
)
def test_a_metric_is_scored_with_a_model_that_there_is(config, scorer, problem):
    config["metrics"]["margin"]["scored_with"] = scorer
    config["analysis"] = {"split": "test"}
    if problem:
        assert problems(config) == [f"config: metrics.margin.scored_with: {problem}"]
    else:
        prepare(config)


def test_a_trained_scorer_does_not_meet_its_training_items(config):
    config["metrics"]["margin"]["scored_with"] = "sft.1"
    assert [line.split(";")[0] for line in problems(config)] == [
        "config: analysis.split: 'margin' is scored with a trained model, which knows its "
        "training items",
    ]


def divide_after(config, scorer):
    """Let a strategy draw its second stage's bucket by a trained model."""
    config["analysis"] = {"split": "test"}
    config["metrics"]["after"] = {"metric": "margin", "scored_with": scorer}
    config["buckets"]["after"] = {"metric": "after", "quantiles": [0.25, 0.75]}
    stages = config["strategies"]["complexity_aware"]["stages"]
    again = {"stages": [stages[0], {**stages[1], "divided_by": "after"}]}
    config["strategies"]["again"] = again
    config["run"]["strategies"].append("again")
    return again


def test_a_stage_may_be_divided_by_the_model_of_another_strategy(config):
    divide_after(config, "complexity_aware.1")
    config = prepare(config)
    assert rounds_used(config) == [1, 2]
    assert list(strategies_of_round(config, 2)) == ["again"]
    assert settings.buckets_used(config) == ["after", "default"]
    assert taught(config) == [Taught("worked_solutions", [1, 2], ["after", "default"])]


def test_buckets_cannot_come_from_a_model_that_is_trained_on_them(config):
    divide_after(config, "again.1")
    (problem,) = problems(config)
    assert problem.startswith(
        "config: strategies.again: its buckets are scored, or its rationales written, with a model "
        "that is trained on them (again -> again). Make the stages up to that model a strategy of "
        "their own"
    )


def warmed(config, strategy, common):
    """Let sft start from the warm-up, with its own keys laid over the common ones."""
    config["training"] |= common
    config["strategies"]["sft"] |= {"start": "warm_up", "training": strategy}
    return config


@pytest.mark.parametrize(
    ("strategy", "common", "unlike"),
    [
        ({"method": "full"}, {}, "method is full here and lora there"),
        ({}, {"method": "full"}, "method is full here and lora there"),
        ({"lora": {"r": 8}}, {}, "lora.r is 8 here and 16 there"),
        ({"lora": {"alpha": 16}}, {}, "lora.alpha is 16 here and 32 there"),
        ({"lora": {"variant": "dora"}}, {}, "lora.variant is dora here and lora there"),
        (
            {"lora": {"target_modules": ["v_proj", "q_proj"]}},
            {},
            "lora.target_modules is ['q_proj', 'v_proj'] here and all-linear there",
        ),
    ],
)
def test_a_strategy_with_other_weights_cannot_start_from_the_warm_up(
    config, strategy, common, unlike
):
    assert problems(warmed(config, strategy, common)) == [
        "config: strategies.sft.start: the warm-up trains other weights than this strategy: "
        f"training.{unlike}; give both the same keys, or set start: student."
    ]


@pytest.mark.parametrize(
    ("strategy", "common"),
    [
        ({}, {}),
        ({"method": "lora"}, {"method": "full"}),
        ({"lora": {"dropout": 0.1}, "learning_rate": 1e-4, "batch_size": 8}, {}),
        ({"lora": {"alpha": 32.0}}, {}),
        (
            {"lora": {"target_modules": ["b", "a"]}},
            {"lora": {"target_modules": ["a", "b"]}},
        ),
    ],
)
def test_a_strategy_with_the_same_weights_may_start_from_the_warm_up(config, strategy, common):
    prepare(warmed(config, strategy, common))


@pytest.mark.parametrize("changed", ["again", "complexity_aware"])
@pytest.mark.parametrize("training", [{"method": "full"}, {"lora": {"r": 4}}])
def test_a_stage_is_not_divided_by_a_model_with_other_weights(config, changed, training):
    divide_after(config, "complexity_aware.1")
    config["strategies"][changed]["training"] = training
    (problem,) = problems(config)
    assert problem.startswith(
        "config: strategies.again.stages.1.divided_by: the buckets 'after' come from a model of "
        "'complexity_aware' with other weights than this strategy trains: training."
    )


def test_an_undefined_division_is_refused(config):
    divide_after(config, "complexity_aware.1")["stages"][1]["divided_by"] = "nothing"
    assert problems(config) == [
        "config: strategies.again.stages.1.divided_by: no buckets 'nothing'; known are after, "
        "default."
    ]


@pytest.mark.parametrize(
    ("match", "problem"),
    [
        ("nobody", "'nobody' is no trained strategy of run.strategies."),
        ("base", "'base' is no trained strategy of run.strategies."),
        ("matched", "'matched' matches another one itself; name that one."),
    ],
)
def test_a_strategy_matches_one_that_is_trained_by_itself(config, match, problem):
    sft = config["strategies"]["sft"]
    config["strategies"]["matched"] = {**sft, "match": {"strategy": match, "by": "tokens"}}
    config["run"]["strategies"].append("matched")
    assert problems(config) == [f"config: strategies.matched.match.strategy: {problem}"]


def test_a_further_seed_asks_a_teacher_again_for_random_controls_alone(config):
    config["run"]["seeds"] = [1, 2]
    strategies = prepare(config).strategies
    assert settings.asking_seeds([1, 2], [strategies["distill"]]) == [1]
    assert settings.asking_seeds([1, 2], [strategies["random_same_size"]]) == [1, 2]


def test_buckets_that_their_own_model_scores_are_refused_with_a_mend_that_works(config):
    config["analysis"] = {"split": "test"}
    config["run"]["strategies"] = ["base", "sft", "complexity_aware"]
    config["metrics"]["single_token_entropy"] = {"scored_with": "sft.1"}
    (said,) = problems(config)
    assert "(sft -> sft)" in said and "with teachers and `buckets` (such as strategies" in said
    config["buckets"]["other"] = {"metric": "margin", "quantiles": [0.25, 0.75]}
    config["strategies"]["first"] = {**config["strategies"]["sft"], "buckets": "other"}
    config["run"]["strategies"].append("first")
    config["metrics"]["single_token_entropy"] = {"scored_with": "first.1"}
    complete = prepare(config)
    assert [round_of(complete, name) for name in ("first", "complexity_aware")] == [1, 2]


@pytest.mark.parametrize(
    ("combined", "by", "decimals"),
    [
        (["mine", "theirs"], "value", None),
        (["mine", "theirs"], "rank", None),
        (["mine", "margin"], "value", 4),
        (["margin", "single_token_entropy"], "rank", 4),
    ],
)
def test_values_that_were_given_are_not_rounded_where_they_are_combined(
    config, combined, by, decimals
):
    imported = {"metric": "imported", "path": "values.csv", "column": "value"}
    combine = {"metrics": dict.fromkeys(combined, 1), "by": by}
    config["metrics"] |= {"mine": imported, "theirs": imported, "both": {"combine": combine}}
    config["buckets"]["default"]["metric"] = "both"
    assert settings.decimals_of(configuration(config), "default") == decimals
    config["buckets"]["default"]["metric"] = "mine"
    assert settings.decimals_of(configuration(config), "default") is None


def test_a_name_that_could_leave_its_folder_is_refused(config):
    config["students"]["../x"] = config["students"]["smollm2-135m"]
    (problem,) = problems(config)
    assert problem.startswith("config: students.../x: '../x' is no name: it becomes a file name")


@pytest.mark.parametrize("key", ["quantiles", "thresholds"])
def test_thresholds_out_of_order_are_refused(config, key):
    config["buckets"]["default"][key] = [0.75, 0.25]
    assert problems(config) == [
        f"config: buckets.default.{key}: 0.25 comes before 0.75; give them in ascending order."
    ]


def test_buckets_need_quantiles_or_thresholds(config):
    del config["buckets"]["default"]["quantiles"]
    assert problems(config) == ["config: buckets.default: give quantiles or thresholds."]


def priced_teacher(config):
    config["teachers"]["big"] = {
        "provider": "openai",
        "base_url": "https://example.org/v1",
        "model": "m",
        "prices": {"prompt": 0.4, "completion": 0.8, "entered": "2026-11-01"},
    }
    config["buckets"]["default"]["hard"] = {"budget_usd": 20, "teacher": "big"}
    return config["teachers"]["big"]


def test_a_threshold_by_budget_follows_from_prices_expected_length_and_prompt_alone(config):
    teacher = priced_teacher(config)
    assert settings.purchase_of(prepare(copy.deepcopy(config)), "default") == {
        "provider": "openai",
        "prices": {"prompt": 0.4, "cached": None, "completion": 0.8, "batch_share": 0.5},
        "batch": False,
        "expected_completion_tokens": 400,
        "prompt": {**config["prompts"]["letters"], "abstain": None, "few_shot": 0},
    }
    teacher |= {"concurrency": 7, "budget": {"max_cost_usd": 1}, "temperature": 1.0}
    other = copy.deepcopy(config)
    other["teachers"]["big"]["prices"]["entered"] = "2026-11-02"
    assert settings.purchase_of(prepare(config), "default") == (
        settings.purchase_of(prepare(other), "default")
    )
    del config["buckets"]["default"]["hard"]
    assert settings.purchase_of(prepare(config), "default") is None


def test_a_threshold_by_budget_goes_by_the_common_teacher_unless_it_names_one(config):
    priced_teacher(config)
    config["teacher"] = "big"
    del config["buckets"]["default"]["hard"]["teacher"]
    assert settings.purchase_of(prepare(config), "default")["prices"]["prompt"] == 0.4


def test_a_threshold_by_budget_needs_a_teacher_with_prices(config):
    teacher = priced_teacher(config)
    teacher["prices"] = None
    assert problems(copy.deepcopy(config)) == [
        "config: buckets.default.hard: needs teachers.big.prices to know what the money pays for."
    ]
    config["buckets"]["default"]["hard"]["teacher"] = "small"
    (problem,) = problems(config)
    assert problem.startswith("config: buckets.default.hard.teacher: no teacher 'small'; known")


def test_a_threshold_by_budget_cannot_send_items_without_a_score_to_the_hard_bucket(config):
    priced_teacher(config)
    config["buckets"]["default"]["on_missing"] = "hard"
    (problem,) = problems(config)
    assert problem.startswith("config: buckets.default.on_missing: hard would buy beyond")


@pytest.mark.parametrize("kind", ["datasets", "students", "strategies"])
def test_an_unknown_name_in_the_run_is_named_with_the_known_ones(config, kind):
    config["run"][kind] = ["nothing"]
    (problem,) = problems(config)
    known = ", ".join(sorted(config[kind]))
    assert problem == f"config: run.{kind}: 'nothing' is not defined; known are {known}."


def test_an_unknown_prompt_is_named_wherever_it_stands(config):
    config["prompt"] = "p"
    config["metrics"]["margin"]["prompt"] = "q"
    config["teachers"]["worked_solutions"]["prompt"] = "r"
    assert [line.split(";")[0] for line in problems(config)] == [
        "config: prompt: no prompt 'p'",
        "config: metrics.margin.prompt: no prompt 'q'",
        "config: teachers.worked_solutions.prompt: no prompt 'r'",
    ]


def test_an_unknown_bucket_definition_of_a_strategy_is_named(config):
    config["strategies"]["sft"]["buckets"] = "paper"
    assert problems(config) == [
        "config: strategies.sft.buckets: no buckets 'paper'; known are default."
    ]


def test_an_unknown_teacher_of_a_strategy_is_named(config):
    config["strategies"]["distill"]["teacher"] = "gpt"
    assert problems(config) == [
        "config: strategies.distill.teacher: no teacher 'gpt'; known are self, worked_solutions."
    ]


def test_a_strategy_with_rationales_needs_a_teacher(config):
    config["teachers"] = {}
    config["run"]["strategies"] = ["sft", "distill"]
    (problem,) = problems(config)
    assert problem.startswith("config: strategies.distill: trains on rationales")


def test_a_teacher_is_asked_with_upper_case_letters(config):
    config["teachers"]["worked_solutions"]["prompt"] = "numbers"
    (problem,) = problems(config)
    assert problem.startswith(
        "config: teachers.worked_solutions.prompt: 'numbers' needs upper-case"
    )


def test_a_strategy_that_is_not_run_may_be_unfinished(config):
    config["strategies"]["reverse"]["teacher"] = "later"
    prepare(config)


def test_a_stage_is_written_in_one_of_the_two_forms(config):
    stage = config["strategies"]["sft"]["stages"][0]
    stage["parts"] = [{"buckets": ["easy"], "target": "answer"}]
    expected = "config: strategies.sft.stages.0: give either buckets and target, or parts."
    assert problems(config) == [expected]
    del stage["parts"], stage["target"]
    assert problems(config) == [expected]


def test_an_unknown_key_in_a_strategys_training_is_named(config):
    config["strategies"]["sft"]["training"] = {"epoch": 3}
    (problem,) = problems(config)
    assert problem.startswith(
        "config: strategies.sft.training: unknown key 'epoch'; known keys are batch_size, "
    )


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"packing": "pack"}, ".packing: 'pack' is not one of"),
        ({"method": "Full"}, ".method: 'Full' is not one of"),
        ({"lora": {"variant": "dorra"}}, ".lora.variant: 'dorra' is not one of"),
        ({"lora": {"rank": 4}}, ".lora: unknown key 'rank'; known keys are alpha, "),
        ({"lora": None}, ".lora: None is no section of keys."),
        ({"learning_rate": "fast"}, ".learning_rate: 'fast' is no number."),
        ({"schedule": "cosin"}, ".schedule: 'cosin' is not one of"),
        ({"early_stopping": 2}, ".early_stopping: 2 is no section of keys."),
        ({"batch_size": 0}, ".batch_size: 0 is not one of 'auto', and 0 is less than the minimum"),
    ],
)
def test_a_wrong_value_in_a_strategys_training_is_named_with_its_path(config, own, problem):
    config["strategies"]["sft"]["training"] = own
    (found,) = problems(config)
    assert found.startswith(f"config: strategies.sft.training{problem}")


def test_a_right_value_in_a_strategys_training_stays_the_only_override(config):
    own = {"lora": {"variant": "dora"}, "early_stopping": None}
    config["strategies"]["sft"]["training"] = copy.deepcopy(own)
    prepare(config)
    assert config["strategies"]["sft"]["training"] == own


def test_a_strategy_cannot_start_from_a_warm_up_that_no_student_has(config):
    config["strategies"]["sft"]["start"] = "warm_up"
    prepare(copy.deepcopy(config))
    config["students"]["smollm2-135m"]["warm_up"] = None
    assert problems(config) == [
        "config: strategies.sft.start: students.smollm2-135m has no warm_up to start from."
    ]


def test_splits_add_up_to_one(config):
    config["datasets"]["sums"]["splits"] = {"train": 0.5, "test": 0.4}
    assert problems(config) == [
        "config: datasets.sums.splits: the shares add up to 0.9; make them add up to 1."
    ]


def share_validation(config):
    config["datasets"]["sums"]["splits"] = {"train": 0.4, "validation": 0.2, "test": 0.4}


def report_validation(config):
    config["run"]["split"] = "validation"


def choose_best(config):
    config["run"]["checkpoints"] = ["last", "best"]
    config["training"]["keep_epochs"] = True


def stop_sft_early(config):
    config["strategies"]["sft"]["training"] = {"early_stopping": {"patience": 1}}


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (report_validation, "run.split: validation"),
        (choose_best, "run.checkpoints: best"),
        (stop_sft_early, "training.early_stopping of sft"),
    ],
)
def test_what_uses_the_validation_split_needs_a_share_of_it(config, user, name):
    user(config)
    assert problems(copy.deepcopy(config)) == [
        f"config: datasets.sums.splits: {name} needs a share of validation."
    ]
    share_validation(config)
    prepare(config)


@pytest.mark.parametrize("user", [report_validation, choose_best, stop_sft_early])
def test_a_data_sets_own_validation_split_needs_no_share(config, user, tmp_path):
    (tmp_path / "q.csv").touch()
    user(file_dataset(config, path=str(tmp_path / "q.csv")))
    (problem,) = problems(copy.deepcopy(config))
    assert problem.startswith("config: datasets.own.splits: ")
    config["datasets"]["own"]["columns"]["split"] = "part"
    prepare(config)


def test_the_hubs_own_validation_split_has_to_be_read(config):
    choose_best(config)
    hub = {"adapter": "hub", "id": "org/set", "revision": "5e5e", "official_splits": True}
    file_dataset(config, **hub, parts=["train", "validation", "test"])
    prepare(copy.deepcopy(config))
    config["datasets"]["own"]["parts"] = ["train", "test"]
    (problem,) = problems(config)
    assert problem.startswith("config: datasets.own.splits: run.checkpoints: best needs")


def test_the_split_that_chooses_epochs_is_not_reported(config):
    share_validation(config)
    choose_best(config)
    stop_sft_early(config)
    report_validation(config)
    assert problems(config) == [
        f"config: run.split: {user} chooses by the validation split; report test."
        for user in ("training.early_stopping of sft", "run.checkpoints: best")
    ]


def test_a_strategy_that_keeps_no_epochs_has_no_best_one(config):
    share_validation(config)
    choose_best(config)
    config["strategies"]["sft"]["training"] = {"keep_epochs": False}
    assert problems(config) == [
        "config: run.checkpoints: best needs training.keep_epochs: true for strategies.sft."
    ]


def test_examples_of_thinking_need_a_data_set_with_rationales(config, tmp_path):
    (tmp_path / "q.csv").touch()
    file_dataset(config, path=str(tmp_path / "q.csv"))
    prepare(copy.deepcopy(config))
    config["run"]["shots"] = [0, 3]
    missing = (
        "3 examples in mode cot need rationales of the data set's own; name them as "
        "datasets.own.columns.rationale, or set 0."
    )
    assert problems(copy.deepcopy(config)) == [f"config: run.shots: {missing}"]
    own = copy.deepcopy(config)
    own["run"]["shots"], own["prompt"] = None, "few_shot"
    assert problems(own) == [f"config: prompts.few_shot.few_shot: {missing}"]
    direct = copy.deepcopy(config)
    direct["run"]["modes"] = ["direct"]
    prepare(direct)
    config["datasets"]["own"]["columns"]["rationale"] = "r"
    prepare(config)


def test_a_student_has_one_source(config):
    config["students"]["smollm2-135m"]["path"] = "x"
    assert "give exactly one of package, path and hub" in problems(config)[0]


def test_a_hub_student_is_pinned(config):
    config["students"]["smollm2-135m"] = {"hub": "org/name"}
    assert problems(config) == [
        "config: students.smollm2-135m.revision: is needed with hub, "
        "so that everybody gets the same model."
    ]


def test_a_missing_model_folder_is_named(config, tmp_path):
    (problem,) = problems(local_student(config, tmp_path / "gone"))
    assert problem.startswith(f"config: students.mine.path: {tmp_path / 'gone'}: no such model")


def test_a_model_folder_of_pickles_is_refused(config, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    (problem,) = problems(local_student(config, tmp_path))
    assert "only pickled weights (pytorch_model.bin), which can run code" in problem


def test_a_model_folder_with_safetensors_is_accepted(config, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    prepare(local_student(config, tmp_path))


def test_a_missing_data_file_is_named(config, tmp_path):
    missing = str(tmp_path / "questions.jsonl")
    (problem,) = problems(file_dataset(config, path=missing))
    assert problem.startswith(f"config: datasets.own.path: no file {missing}")


def test_a_data_file_of_the_future_is_named_with_what_mends_it(config, tmp_path):
    file = tmp_path / "my questions.jsonl"
    file.write_text("")
    config = file_dataset(config, path=str(file), answer_kind="numeric")
    prepare(copy.deepcopy(config))
    os.utime(file, (time.time() + 3600,) * 2)
    (problem,) = problems(config)
    assert problem.startswith(f"config: datasets.own: {file} was last changed in the future (")
    assert problem.endswith(f"touch '{file}'")


def test_a_missing_file_of_rationales_and_a_missing_id_are_named(config, tmp_path):
    (tmp_path / "q.jsonl").write_text("")
    rationales = {"path": str(tmp_path / "r.jsonl"), "id": "i", "text": "t"}
    found = problems(file_dataset(config, path=str(tmp_path / "q.jsonl"), rationales=rationales))
    assert found[0].startswith("config: datasets.own.rationales.path: no file")
    assert (
        found[1] == "config: datasets.own.columns: rationales are joined by id; name the id column."
    )


def test_choice_items_need_an_options_column(config, tmp_path):
    (tmp_path / "q.jsonl").write_text("")
    spec = {"path": str(tmp_path / "q.jsonl"), "columns": {"question": "q", "answer": "a"}}
    assert "name the options" in problems(file_dataset(copy.deepcopy(config), **spec))[0]
    prepare(file_dataset(copy.deepcopy(config), **spec, answer_kind="numeric"))
    prepare(file_dataset(copy.deepcopy(config), **spec, shared_options=["yes", "no"]))
    spec["columns"]["options"] = "o"
    (told,) = problems(file_dataset(config, **spec, shared_options=["yes", "no"]))
    assert told.startswith("config: datasets.own.shared_options: are for choices without")


def test_a_hub_data_set_is_pinned_unless_it_is_a_folder(config, tmp_path):
    spec = {"adapter": "hub", "parts": ["train"], "id": "org/name"}
    assert (
        "pin the data set to a commit" in problems(file_dataset(copy.deepcopy(config), **spec))[0]
    )
    prepare(file_dataset(config, **{**spec, "id": str(tmp_path)}))


def test_every_problem_is_told_at_once(config):
    config["prompt"] = "p"
    config["strategies"]["sft"]["buckets"] = "paper"
    config["datasets"]["sums"]["splits"] = {"train": 1, "test": 1}
    assert len(problems(config)) == 3


def test_a_strategy_takes_its_own_teacher_or_the_common_one(config):
    config["teachers"]["other"] = config["teachers"]["worked_solutions"]
    assert settings.teacher_of(prepare(config), None) == "worked_solutions"
    config["strategies"]["distill"]["teacher"] = "other"
    assert settings.teachers_used(prepare(config)) == ["other", "worked_solutions"]
    config["run"]["strategies"] = ["base", "sft"]
    assert settings.teachers_used(prepare(config)) == []
    assert settings.buckets_used(prepare(config)) == ["default"]


def test_a_strategy_overrides_single_keys_of_the_recipe(config):
    config = prepare(config)
    own = {"learning_rate": 9, "lora": {"r": 8}}
    recipe, common = settings.recipe_of(config, own), settings.warm_up_recipe(config)
    assert (recipe.learning_rate, recipe.lora.r, recipe.lora.alpha) == (9, 8, common.lora.alpha)
    assert recipe.plain("schedule", "batch_size") == common.plain("schedule", "batch_size")


def test_what_no_warm_up_does_changes_none(config):
    share_validation(config)
    before = settings.warm_up_recipe(prepare(config))
    config["training"].update(method="full", early_stopping={"patience": 1}, keep_epochs=True)
    assert settings.warm_up_recipe(prepare(config)) == before
    assert (before.method, before.early_stopping, before.keep_epochs) == ("lora", None, False)


def test_how_a_model_is_made_does_not_enter_its_digest(config, monkeypatch):
    recipe = settings.recipe_of(prepare(config), {})
    monkeypatch.setattr("caft.mixtures.recipe.find_spec", lambda name: name)
    others = {"launcher": ["torchrun"], "checkpoint_minutes": None, "report_to": ["wandb"]}
    config["training"].update(others)
    assert settings.recipe_of(prepare(config), {}) == recipe
    assert set(config["training"]) - set(recipe.plain()) == set(others)


FLASH = {"attention": "flash_attention_2"}


@pytest.mark.parametrize(
    ("engine", "problem"),
    [
        ({**FLASH, "dtype": "float32"}, r"engine\.attention: .* bfloat16 alone; set engine\.dtype"),
        ({**FLASH, "device": "cpu"}, r"engine\.attention: flash_attention_2 needs a GPU"),
        ({**FLASH, "dtype": "bfloat16"}, None),
        ({**FLASH, "device": "cuda"}, None),
    ],
)
def test_flash_attention_is_refused_where_it_cannot_compute(config, engine, problem):
    config["engine"].update(engine)
    if problem is None:
        assert prepare(config).engine.attention == "flash_attention_2"
    else:
        with pytest.raises(ConfigError, match=problem):
            prepare(config)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"batch_size": "auto", "update_rows": 16}, None),
        ({"batch_size": "auto"}, r"training\.update_rows: is needed with batch_size: auto"),
        ({"update_rows": 16}, r"training\.update_rows: goes with batch_size: auto alone"),
        (
            {"batch_size": "auto", "update_rows": 16, "gradient_accumulation": 2},
            r"training\.gradient_accumulation: batch_size: auto chooses the steps",
        ),
    ],
)
@pytest.mark.parametrize("path", ["training", "strategies.sft.training"])
def test_the_rows_of_an_update_are_said_once(config, keys, problem, path):
    section = config["training"]
    if path != "training":
        section = config["strategies"]["sft"].setdefault("training", {})
    section.update(keys)
    if problem is None:
        own = config["strategies"]["sft"].get("training", {})
        recipe = settings.recipe_of(prepare(config), own)
        assert recipe.rows_per_update == 16
        other = settings.recipe_of(prepare(config), {"batch_size": 1, "update_rows": None})
        assert "update_rows" not in other.plain(), "digests of before stay"
    else:
        with pytest.raises(ConfigError, match=problem):
            prepare(config)


@pytest.mark.parametrize(
    ("engine", "is_refused"),
    [
        ({"gpus": 1}, True),
        ({"gpus": 2}, False),
        ({}, False),
        ({"gpus": 1, "device": "cpu"}, False),
        ({"gpus": 1, "resources": {"training": {"gpus": 2}}}, False),
        ({"gpus": 2, "resources": {"students": {"smollm2-135m": {"gpus": 1}}}}, True),
    ],
)
def test_a_launcher_starts_no_more_processes_than_a_job_has_gpus(config, engine, is_refused):
    config["engine"].update(engine)
    config["training"]["launcher"] = ["torchrun", "--nproc-per-node", "2"]
    if is_refused:
        with pytest.raises(ConfigError, match=r"training\.launcher: starts 2 processes, and a job"):
            prepare(config)
    else:
        assert prepare(config).training.launcher


@pytest.mark.parametrize(
    ("installed", "problem"),
    [
        ({"wandb", "trackio"}, None),
        ({"wandb"}, "not installed here: trackio; install it \\(pip install trackio\\)"),
        (set(), "not installed here: wandb, trackio; install it \\(pip install wandb trackio\\)"),
    ],
)
def test_what_gets_losses_has_to_be_installed(config, monkeypatch, installed, problem):
    monkeypatch.setattr(
        "caft.mixtures.recipe.find_spec", lambda name: name if name in installed else None
    )
    config["training"]["report_to"] = ["wandb", "trackio"]
    if problem is None:
        assert prepare(config).training.report_to == ["wandb", "trackio"]
    else:
        with pytest.raises(ConfigError, match=rf"training\.report_to: {problem}"):
            prepare(config)


@pytest.mark.parametrize("package", ["tensorboard", "tensorboardX"])
def test_either_package_writes_for_tensorboard(config, monkeypatch, package):
    monkeypatch.setattr(
        "caft.mixtures.recipe.find_spec", lambda name: name if name == package else None
    )
    config["training"]["report_to"] = ["tensorboard"]
    assert prepare(config).training.report_to == ["tensorboard"]


@pytest.mark.parametrize("value", [["wandb", "wandb"], ["codecarbon"], "wandb"])
def test_what_gets_losses_is_a_list_of_known_names_each_once(config, value):
    config["training"]["report_to"] = value
    with pytest.raises(ConfigError, match=r"training\.report_to"):
        prepare(config)


@pytest.mark.parametrize("key", ["launcher", "checkpoint_minutes", "report_to"])
def test_a_strategy_cannot_override_how_models_are_made(config, key):
    config["strategies"]["sft"]["training"] = {key: None}
    with pytest.raises(ConfigError, match=f"strategies.sft.training: unknown key '{key}'"):
        prepare(config)


def test_strategies_are_resolved_with_recipe_teacher_and_fallback(config):
    other = {"provider": "reference", "fallback": "train_on_answer"}
    config["teachers"]["other"] = other
    config["strategies"]["hard_only"]["teacher"] = "other"
    config["strategies"]["hard_only"]["training"] = {"learning_rate": 9}
    config["run"]["strategies"] = ["sft", "distill", "hard_only"]
    config = prepare(config)
    resolved = settings.resolved_strategies(config)
    assert list(resolved) == ["sft", "distill", "hard_only"]
    assert [(part.teacher, part.fallback) for part in resolved.values()] == [
        (None, "drop"),
        ("worked_solutions", "drop"),
        ("other", "train_on_answer"),
    ]
    assert resolved["sft"].recipe == settings.warm_up_recipe(config)
    assert resolved["hard_only"].recipe == settings.recipe_of(config, {"learning_rate": 9})
    assert list(settings.strategies_of_teacher(config, "other")) == ["hard_only"]
    assert config.strategies["distill"].teacher is None


def test_what_is_told_of_teachers_does_not_depend_on_training_or_evaluation(config):
    def asked(config):
        complete = prepare(config)
        parts = settings.strategies_of_teacher(complete, "worked_solutions").values()
        return taught(complete), [part.plain() for part in parts]

    before = asked(config)
    config["run"]["modes"] = ["direct"]
    config["training"]["learning_rate"] = 1.0
    config["strategies"]["sft"]["training"] = {"batch_size": 2}
    config["strategies"]["distill"]["stages"][0]["epochs"] = 9
    assert asked(config) == before
    config["strategies"]["distill"]["membership"] = "random"
    assert asked(config) != before


LARGE = {"threads": 8, "gpus": 2, "mem_mb": 90000, "runtime": 30}


@pytest.mark.parametrize(
    ("provider", "taken"),
    [
        *(
            (name, {**LARGE, "threads": 1, "gpus": 0, "mem_mb": 2000})
            for name in ("openai", "reference")
        ),
        *((name, LARGE) for name in ("local", "vllm_server")),
    ],
)
def test_a_job_takes_little_that_asks_a_model_elsewhere(config, provider, taken):
    found = prepare(config | {"engine": LARGE})
    teacher = PROVIDERS[provider].keys.model_construct()
    found = found.model_copy(update={"teachers": {"asked": teacher}})
    assert settings.asking_needs(found, "teachers", "asked") == taken
    own = {"resources": {"teachers": {"asked": {"mem_mb": 7}}, "judges": {"asked": {"gpus": 9}}}}
    found = found.model_copy(update={"engine": Engine.model_validate(LARGE | own)})
    assert settings.asking_needs(found, "teachers", "asked") == {**taken, "mem_mb": 7}


def test_a_part_of_the_run_asks_before_its_student(config):
    students = {"smollm2-135m": {"gpus": 1, "mem_mb": 50}}
    own = {"students": students, "training": {"gpus": 4}, "evaluation": {"runtime": 60}}
    found = prepare(config | {"engine": {**LARGE, "resources": own}})
    assert settings.student_needs(found, "smollm2-135m") == {**LARGE, "gpus": 1, "mem_mb": 50}
    trained = settings.student_needs(found, "smollm2-135m", "training")
    assert trained == {**LARGE, "gpus": 4, "mem_mb": 50}
    asked = settings.student_needs(found, "smollm2-135m", "evaluation")
    assert asked == {**LARGE, "gpus": 1, "mem_mb": 50, "runtime": 60}
    assert settings.student_needs(found, "other") == LARGE


def test_resources_are_of_somebody_who_is_defined(config):
    config["engine"]["resources"] = {"teachers": {"larg": {"gpus": 1}}}
    (problem,) = problems(config)
    assert "engine.resources.teachers.larg: is not defined; known are self, wor" in problem


def test_worked_solutions_hold_no_reasoning_to_train_on(config):
    assert not settings.trains_on_thoughts(prepare(copy.deepcopy(config)))
    config["strategies"]["distill"]["stages"][0]["target"] = "reasoning"
    (problem,) = problems(config)
    assert "strategies.distill: trains on reasoning" in problem
    config["teacher"] = "other"
    config["teachers"]["other"] = {"provider": "local", "model": "a/b", "revision": "c" * 40}
    complete = prepare(config)
    assert settings.trains_on_thoughts(complete)
    assert complete.strategies["distill"].trained_mode == "cot"
    assert complete.strategies["distill"].needs_rationales


def answer_adaptively(config):
    config["run"]["modes"] = ["direct", "cot", "adaptive"]


def test_adaptive_answers_are_taken_from_those_of_both_modes(config):
    share_validation(config)
    answer_adaptively(config)
    prepare(copy.deepcopy(config))
    config["run"]["modes"] = ["adaptive"]
    assert problems(config) == [
        "config: run.modes: adaptive takes its answers from those of direct and cot; add cot and "
        "direct."
    ]


def test_the_threshold_of_adaptive_answers_needs_validation_items_and_entropies(config):
    answer_adaptively(config)
    config["evaluation"]["engine"] = "vllm"
    assert [problem.split(": ", 1)[1] for problem in problems(config)] == [
        "datasets.sums.splits: run.modes: adaptive needs a share of validation.",
        "run.modes: adaptive needs entropies over the whole vocabulary, which evaluation.engine: "
        "vllm does not give; set evaluation.engine: transformers.",
    ]


def test_what_vllm_cannot_write_with_is_refused_before_anything_is_trained(config, monkeypatch):
    monkeypatch.setattr("caft.students.vllm.find_spec", lambda name: None)
    config["evaluation"]["engine"] = "vllm"
    config["strategies"]["sft"]["training"] = {"lora": {"r": 600}}
    config["training"]["lora"]["variant"] = "dora"
    told = [
        "config: strategies.sft.training.lora: vLLM cannot use DoRA; set evaluation.engine: "
        "transformers.",
        "config: training.lora: vLLM cannot use DoRA; set evaluation.engine: transformers.",
    ]
    assert sorted(problems(config)) == told
    config["training"]["lora"]["variant"] = "lora"
    assert problems(config) == [
        "config: strategies.sft.training.lora: vLLM knows adapters up to rank 512, not 600; set "
        "evaluation.engine: transformers."
    ]
    config["strategies"]["sft"]["training"]["method"] = "full"
    assert problems(config) == [
        "config: evaluation.engine: vLLM is not installed; `pip install vllm` into an environment "
        "with a GPU, or set evaluation.engine: transformers."
    ]


def test_vllm_divides_a_model_among_the_gpus_of_every_job_that_writes(config, monkeypatch):
    monkeypatch.setattr("caft.students.vllm.find_spec", lambda name: None)
    config["evaluation"]["engine"] = "vllm"
    config["engine"] |= {"gpus": 1, "vllm": {"tensor_parallel_size": 2}}
    config["engine"]["resources"] = {"evaluation": {"gpus": 2}}
    assert not any("tensor_parallel" in problem for problem in problems(config))
    config["teachers"]["self"] = {"provider": "student"}
    config["teacher"] = "self"
    assert problems(config) == [
        "config: engine.vllm.tensor_parallel_size: 2 is more than the 1 GPUs that a job of self "
        "gets (engine.gpus); make both the same number."
    ]


def test_a_quantile_without_the_mode_is_refused(config):
    config["run"]["adaptive"] = {"quantile": 0.5}
    assert problems(config) == [
        "config: run.adaptive: is of mode adaptive, which run.modes does not name."
    ]


def test_a_first_stage_has_nothing_to_replay(config):
    config["strategies"]["sft"]["stages"][0]["replay"] = {"items": 8}
    (problem,) = problems(config)
    assert problem.startswith("config: strategies.sft.stages.0.replay: no stage before it has ")


def test_what_is_asked_and_what_is_reported(config):
    share_validation(config)
    assert [view.name for view in asked_views(prepare(copy.deepcopy(config)))] == ["direct", "cot"]
    answer_adaptively(config)
    config["run"]["shots"] = [0, 2]
    made = prepare(copy.deepcopy(config))
    assert [view.name for view in views(made)][-1] == "adaptive-2shot"
    asked = [view.name for view in asked_views(made)]
    assert asked[:4] == ["direct", "cot", "direct-2shot", "cot-2shot"]
    assert asked[4:] == [f"{name}-validation" for name in asked[:4]]
    assert views(made)[-1].held_out().of("cot") == asked[-1]
    assert read_view(asked[-1], 0) == asked_views(made)[-1]
    config["run"]["adaptive"] = {"quantile": 0.5}
    asked = [view.name for view in asked_views(prepare(config))]
    assert asked[4:] == ["direct-validation", "direct-2shot-validation"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("About {category}", "is empty for the items of 'own'; name its column as datasets.own."),
        ("About {categroy}", "is no column of the items; did you mean {category}?"),
        ("It is {answer}", "would show the answer with the question; leave it out."),
    ],
)
def test_a_prompt_shows_what_the_items_have_and_not_their_answer(
    config, tmp_path, monkeypatch, text, said
):
    monkeypatch.chdir(tmp_path)
    Path("q.csv").touch()
    columns = {"question": "q", "answer": "a", "more": {"grade": "g"}}
    file_dataset(config, path="q.csv", columns=columns, answer_kind="text")
    config["prompts"]["letters"]["cot"]["text"] = f"{text} {{grade}} \\boxed{{answer}} {{x}}"
    (problem,) = problems(config)
    assert problem.startswith("config: prompts.letters.cot.text: {") and said in problem


def test_a_prompt_shows_what_all_question_sets_have(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("q.csv").touch()
    columns = {"question": "q", "answer": "a", "more": {"grade": "g"}}
    file_dataset(config, path="q.csv", columns=columns, answer_kind="text")
    config["datasets"]["sums"] = copy.deepcopy(SHIPPED["datasets"]["sums"])
    config["run"]["datasets"] = ["own", "sums"]
    config["prompts"]["letters"]["cot"]["text"] = "Grade {grade}"
    assert problems(config) == [
        "config: prompts.letters.cot.text: {grade} is empty for the items of 'sums'; name its "
        "column as datasets.sums.columns: {more: {grade: COLUMN}}, or leave it out."
    ]


def test_a_prompt_with_columns_that_the_items_have_is_in_order(config):
    config["prompts"]["letters"]["cot"]["numeric"] = "{category}: \\boxed{answer} {x} [[number]]"
    prepare(config)


def test_a_metric_of_an_item_column_names_one_that_the_items_have(config):
    config["metrics"]["level"] = {"metric": "column", "column": "level"}
    assert problems(config) == [
        "config: metrics.level.column: items of 'sums' have no column 'level'; keep it as "
        "datasets.sums.columns.more: {level: COLUMN OF THE SOURCE}."
    ]


def with_metrics(config, **metrics):
    config["metrics"] |= metrics
    config["buckets"]["default"]["metric"] = next(iter(metrics))
    return config


def test_a_metric_may_be_scored_by_a_model_that_is_no_student_of_the_run(config):
    config["students"]["proxy"] = {**config["students"]["smollm2-135m"], "warm_up": None}
    metric = {"metric": "single_token_entropy", "model": "proxy"}
    done = prepare(with_metrics(config, small=metric))
    assert settings.metric_table(done, "sums", "smollm2-135m", "small") == (
        "data/scores/sums/proxy/base/letters.parquet"
    )
    assert settings.students_used(done) == ["smollm2-135m", "proxy"]
    (ranker,) = settings.rankers_of(
        done, "sums", "smollm2-135m", [done.strategies["complexity_aware"]]
    ).values()
    # It is judged by what the student itself gets wrong.
    assert ranker.outcome == "data/scores/sums/smollm2-135m/warm_up/letters.parquet"
    assert (ranker.student, ranker.scorer) == ("smollm2-135m", None)


def test_a_combination_waits_for_what_its_metrics_wait_for(config):
    later = {"metric": "single_token_entropy", "scored_with": "sft.1"}
    both = {"combine": {"metrics": {"later": 1, "pass_rate": -0.5}}}
    config["strategies"]["again"] = {**config["strategies"]["hard_only"], "buckets": "again"}
    config["buckets"]["again"] = {**config["buckets"]["default"], "metric": "both"}
    config["metrics"] |= {"later": later, "both": both}
    config["run"]["strategies"].append("again")
    config["analysis"] = {"metrics": ["margin"]}
    done = prepare(config)
    assert round_of(done, "again") == 2
    assert settings.metrics_used(done) == ["both", "later", "pass_rate", "single_token_entropy"]
    assert settings.reads_label(done, "both") and not settings.reads_label(done, "later")


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        (
            {"metric": "margin", "model": "nobody"},
            "metrics.wrong.model: no student 'nobody'; known are smollm2-135m.",
        ),
        (
            {"metric": "column", "column": "level", "model": "smollm2-135m"},
            "metrics.wrong.model: no model scores column; leave the key out.",
        ),
        (
            {"metric": "margin", "model": "smollm2-135m", "scored_with": "sft.1"},
            "metrics.wrong.scored_with: 'smollm2-135m' is trained in no stage; give base or "
            "warm_up.",
        ),
        (
            {"combine": {"metrics": {"mad": 1}}},
            "metrics.wrong.combine.metrics: no metric 'mad'; known are",
        ),
        (
            {"combine": {"metrics": {"wrong": 1}}},
            "metrics.wrong.combine.metrics: 'wrong' is a combination itself; name its metrics.",
        ),
        (
            {"metric": "margin", "combine": {"metrics": {"margin": 1}}},
            "metrics.wrong.combine: is of no other metric; give combine: {metrics: {NAME: WEIGHT}} "
            "without metric.",
        ),
        (
            {"metric": "combine"},
            "metrics.wrong.combine: is needed for metric: combine; give combine: {metrics: {NAME: "
            "WEIGHT}} without metric.",
        ),
    ],
)
def test_a_metric_of_other_models_or_metrics_is_checked(config, metric, problem):
    found = problems(with_metrics(config, wrong=metric))
    assert any(f"config: {problem}" in line for line in found), found
