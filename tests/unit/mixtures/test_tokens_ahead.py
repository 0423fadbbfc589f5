"""Long rows of trainings come first, so that none of them ends alone."""

import pytest

from caft.mixtures.plan import Plan, PlannedStrategy, Trained, tokens_ahead
from caft.tables.files import write_json

PLAN = "data/mixtures/sums/tiny/1/plan.json"


@pytest.fixture
def write(tmp_path, monkeypatch, planned_stage):
    """Write a plan: per strategy the models of its stages, with the tokens of each."""
    monkeypatch.chdir(tmp_path)

    def write(path=PLAN, **strategies):
        planned = {}
        for name, stages in strategies.items():
            parents = [None, *stages]
            made = [
                planned_stage(model=model, parent=parent, all_tokens=tokens)
                for (model, tokens), parent in zip(stages.items(), parents, strict=False)
            ]
            trained = {1: Trained(made[-1].model, 1, made)}
            planned[name] = PlannedStrategy("cot", "default", None, trained)
        write_json(path, Plan(planned).json())

    return write


def test_a_model_has_its_own_tokens_and_those_of_the_longest_row_behind_it(write):
    write(sft={"a": 70}, aware={"b": 30, "c": 50}, longer={"b": 30, "d": 20, "e": 60})
    assert {model: tokens_ahead(model) for model in "abcdef"} == {
        "a": 70, "b": 30 + 20 + 60, "c": 50, "d": 80, "e": 60, "f": 0,
    }  # fmt: skip


def test_a_later_round_counts_once_its_plan_is_there(write):
    write(aware={"b": 30})
    assert tokens_ahead("b") == 30
    write("data/mixtures/sums/tiny/2/plan.json", again={"b": 30, "g": 5})
    assert tokens_ahead("b") == 35
