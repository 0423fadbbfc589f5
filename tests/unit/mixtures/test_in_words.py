import pytest

from caft.mixtures.plan import InWords, Plan, PlannedStrategy, Trained, in_words
from caft.tables.files import write_json, write_text


@pytest.fixture
def planned(tmp_path, monkeypatch, planned_stage):
    """Plans of a run: sft, and two strategies that share their first stage; the rest is old."""
    monkeypatch.chdir(tmp_path)

    def strategy(*models):
        stages = [planned_stage(model=model * 16) for model in models]
        return PlannedStrategy("cot", "default", None, {3: Trained(models[-1] * 16, 1, stages)})

    first = {"sft": strategy("a"), "complexity_aware": strategy("b", "c")}
    second = {"again": strategy("b", "d")}
    for number, strategies in enumerate([first, second], start=1):
        write_json(f"data/mixtures/sums/tiny/{number}/plan.json", Plan(strategies).json())
    write_text("data/mixtures/old/tiny/1/plan.json", "{")
    write_json("data/mixtures/older/tiny/1/plan.json", {"sft": {"stages": []}})


@pytest.mark.parametrize(
    "model, told",
    [
        ("a" * 16, "sft, stage 1 of 1, seed 3 (aaaaaaaa)"),
        ("b" * 16, "complexity_aware and 1 more, stage 1 of 2, seed 3 (bbbbbbbb)"),
        ("d" * 16, "again, stage 2 of 2, seed 3 (dddddddd)"),
        ("c" * 16 + "-best", "complexity_aware, stage 2 of 2, seed 3 (cccccccc, best epoch)"),
        ("e" * 16, "model eeeeeeee"),
        ("base", "the untuned student"),
    ],
)
def test_a_model_is_told_by_its_strategy_stage_and_seed(planned, model, told):
    assert in_words(model) == told
    assert "{MODEL:{digest}}".format(MODEL=InWords(), digest=model) == told


def test_without_any_plan_it_is_told_by_its_digest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert in_words("0123456789abcdef") == "model 01234567"
