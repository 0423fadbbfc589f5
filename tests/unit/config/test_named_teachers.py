"""Teachers that stages name: who is asked for what, after whom, and what is refused."""

import copy

import pytest
from configurations import SHIPPED

from caft.config import resolve
from caft.config.prepare import prepare
from caft.config.rounds import asked_before, round_of, taught, teachers_of_round
from caft.errors import ConfigError

HARD = {"buckets": ["hard"], "target": "rationale", "epochs": 4}
EASY = {"buckets": ["easy", "medium"], "target": "rationale", "epochs": 2}
ENDPOINT = {"provider": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}


@pytest.fixture
def config():
    """The shipped configuration with two paid teachers, and a strategy to be written."""
    config = copy.deepcopy(SHIPPED)
    config["teachers"] |= {"cheap": dict(ENDPOINT), "large": {**ENDPOINT, "model": "l"}}
    config["run"]["strategies"] = ["base", "hard_only", "mine"]
    config["strategies"]["mine"] = {"stages": []}
    return config


def asking(config, *stages, **keys):
    config["strategies"]["mine"] = {"stages": list(stages), **keys}
    return prepare(config)


def problem_of(config, *stages, **keys):
    with pytest.raises(ConfigError) as caught:
        asking(config, *stages, **keys)
    return str(caught.value)


def stages_of(config, teacher):
    return resolve.strategies_of_teacher(config, teacher)["mine"].plain()["stages"]


def test_a_strategy_that_names_no_teacher_in_a_stage_asks_as_a_whole(config):
    answer = {"buckets": ["easy", "medium"], "target": "answer"}
    complete = asking(config, {**answer, "epochs": 2}, HARD)
    asked = [answer, {"buckets": ["hard"], "target": "rationale"}]
    expected = [{**one, "parts": None, "divided_by": None} for one in asked]
    found = stages_of(complete, "worked_solutions")
    assert [{name: one.get(name) for name in expected[0]} for one in found] == expected
    assert "teacher" not in found[1]
    resolved = resolve.resolved_strategies(complete)["mine"].plain()
    assert (resolved["teacher"], "fallbacks" in resolved) == ("worked_solutions", False)


def test_each_teacher_is_asked_for_its_own_parts_after_those_before_it(config):
    complete = asking(
        config, {**EASY, "teacher": "self"}, {**HARD, "teacher": ["self", "cheap", "default"]},
        teacher="large",
    )  # fmt: skip
    assert teachers_of_round(complete, 2) == ["cheap", "large", "self"]
    assert [asked_before(complete, name, 2) for name in ("self", "cheap", "large")] == [
        [],
        ["self"],
        ["cheap", "self"],
    ]
    (stage,) = resolve.strategies_of_teacher(complete, "cheap")["mine"].stages
    (part,) = stage.parts_or_itself
    assert (part.buckets, part.teacher) == (["hard"], ["self", "cheap"])
    own = resolve.strategies_of_teacher(complete, "self")["mine"]
    assert [stage.bought for stage in own.stages] == [{"easy", "medium"}, {"hard"}]
    assert own.bought_by_rank() == []
    assert resolve.strategies_of_teacher(complete, "large")["mine"].bought_by_rank() == ["default"]


def test_a_part_may_name_its_teacher_and_the_fallback_is_that_of_the_last_one(config):
    config["teachers"]["cheap"]["fallback"] = "train_on_answer"
    parts = [
        {"buckets": ["easy"], "target": "answer"},
        {"buckets": ["medium"], "target": "rationale", "teacher": ["large", "cheap"]},
        {"buckets": ["hard"], "target": "rationale"},
    ]
    complete = asking(config, {"parts": parts, "epochs": 1})
    resolved = resolve.resolved_strategies(complete)["mine"]
    assert resolved.teacher == "worked_solutions"
    assert [resolved.fallback_of(name) for name in ("cheap", "large", "worked_solutions")] == [
        "train_on_answer",
        "drop",
        "drop",
    ]
    (stage,) = stages_of(complete, "worked_solutions")
    assert [part["buckets"] for part in stage["parts"]] == [["hard"]]


def test_a_strategy_whose_teacher_is_a_stage_of_another_one_is_planned_after_it(config):
    complete = asking(config, {**EASY, "teacher": "self"}, HARD)
    assert (round_of(complete, "hard_only"), round_of(complete, "mine")) == (1, 2)
    asked = {one.teacher: one.rounds for one in taught(complete)}
    assert asked == {"self": [2], "worked_solutions": [1, 2]}
    config["teachers"]["self"]["sampled_with"] = "base"
    assert round_of(asking(config, {**EASY, "teacher": "self"}), "mine") == 1


def test_a_cascade_that_matches_a_strategy_of_another_round_is_told_why_it_cannot(config):
    config["run"]["strategies"].append("distill")
    match = {"strategy": "distill", "by": "tokens"}
    said = problem_of(config, {**HARD, "teacher": ["self", "default"]}, match=match)
    assert said == (
        "config: strategies.mine.match.strategy: 'mine' waits for a model of hard_only, which "
        "scores its buckets or writes its rationales, so it is planned after 'distill', and their "
        "rows are not known at one time; leave match out and set the epochs of the stages."
    )
    config["run"]["strategies"].append("self_easy")
    said = problem_of(config, {**HARD, "teacher": ["self", "default"]}, match=match)
    assert "match one that is planned with it (self_easy), or leave match out" in said
    match["strategy"] = "self_easy"
    asking(config, {**HARD, "teacher": ["self", "default"]}, match=match)


def test_a_strategy_that_writes_for_itself_is_told_a_way_that_works(config):
    config["teachers"]["self"]["sampled_with"] = "mine.1"
    stages = [{**HARD, "teacher": "default"}, {**HARD, "teacher": "self"}]
    assert "Make the stages up to that model a strategy of their own" in problem_of(config, *stages)
    config["strategies"]["first"] = {"stages": [HARD]}
    config["run"]["strategies"].append("first")
    config["teachers"]["self"]["sampled_with"] = "first.1"
    assert round_of(asking(config, *stages), "mine") == 2


def test_no_teacher_takes_the_word_that_stands_for_the_strategys_own(config):
    config["teachers"]["default"] = dict(ENDPOINT)
    said = problem_of(config, {**HARD, "teacher": "default"}, teacher="large")
    assert "teachers.default: in a stage this word stands for the teacher of its strategy" in said


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({**HARD, "teacher": "gpt"}, "strategies.mine.stages.0.teacher: no teacher 'gpt'; known"),
        ({**HARD, "teacher": ["self", "gpt"]}, "mine.stages.0.teacher: no teacher 'gpt'"),
        ({**EASY, "target": "answer", "teacher": "self"},
         "strategies.mine.stages.0.teacher: bare answers have no teacher; leave it out"),
        ({"parts": [{"buckets": ["hard"], "target": "answer", "teacher": "self"}], "epochs": 1},
         "strategies.mine.stages.0.parts.0.teacher: bare answers have no teacher"),
        ({"parts": [{"buckets": ["hard"], "target": "rationale"}], "epochs": 1, "teacher": "self"},
         "strategies.mine.stages.0.teacher: the stage has parts; name the teacher in each part"),
        ({**HARD, "teacher": ["self", "self"]}, "names something twice"),
        ({**HARD, "target": "reasoning", "teacher": ["large", "default"]},
         "trains on reasoning, but teachers.worked_solutions gives worked solutions"),
    ],
)  # fmt: skip
def test_a_wrong_teacher_of_a_stage_is_refused_with_its_place(config, stage, said):
    assert said in problem_of(config, stage)


def test_a_student_is_sampled_with_a_model_of_this_run(config):
    config["run"]["strategies"] = ["mine"]
    said = problem_of(config, {**EASY, "teacher": "self"})
    assert (
        "teachers.self.sampled_with: 'hard_only' is no strategy of run.strategies; give base"
        in said
    )
    config["teachers"]["self"]["sampled_with"] = "warm_up"
    config["students"]["smollm2-135m"]["warm_up"] = None
    said = problem_of(config, {**EASY, "teacher": "self"})
    assert "teachers.self.sampled_with: students.smollm2-135m has no warm_up to score with" in said


def test_a_strategy_cannot_be_taught_by_its_own_model(config):
    config["teachers"]["self"]["sampled_with"] = "mine.1"
    said = problem_of(config, EASY, {**HARD, "teacher": "self"})
    assert (
        "strategies.mine: its buckets are scored, or its rationales written, with a model" in said
    )


def test_teachers_are_not_asked_in_a_circle_and_a_copy_mends_it(config):
    stages = [{**EASY, "teacher": ["cheap", "large"]}, {**HARD, "teacher": ["large", "cheap"]}]
    said = problem_of(config, *stages)
    assert "strategies: stages ask teachers in a circle (" in said
    copied = said.partition("teachers.")[2].partition(" with")[0]
    config["teachers"][copied] = config["teachers"][copied.removesuffix("-again")]
    stages[1]["teacher"] = [
        copied if copied.startswith(name) else name for name in stages[1]["teacher"]
    ]
    assert asking(config, *stages)


def test_the_student_is_no_judge(config):
    config["judges"] = {"own": {"provider": "student"}}
    with pytest.raises(ConfigError, match="judges.own"):
        prepare(config)
