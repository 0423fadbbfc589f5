import pytest

from caft.mixtures.plan import Plan, PlannedStrategy, Trained
from caft.report.training import curves, losses_of_run
from caft.tables.files import write_json

HISTORY = [
    {"step": 1, "epoch": 0.5, "loss": 2.0},
    {"step": 2, "epoch": 1.0, "loss": 1.0},
    {"step": 2, "epoch": 1.0, "validation_loss": 1.5},
]


@pytest.fixture
def plan(tmp_path, monkeypatch, planned_stage):
    """Two strategies that share a first stage, with two training seeds."""
    monkeypatch.chdir(tmp_path)
    for model in ("m1", "m2", "n1", "n2"):
        write_json(f"results/models/{model}/model.json", {"history": HISTORY})

    def strategy(*seeds):
        return PlannedStrategy("direct", "default", None, dict(enumerate(seeds, start=1)))

    def stages(*names):
        pairs = zip(names, ("first", "second"), strict=False)
        return Trained(
            "any", 4, [planned_stage(model=model, mixture=rows) for model, rows in pairs]
        )

    return Plan(
        {
            "base": strategy(stages(), stages()),
            "sft": strategy(stages("m1"), stages("n1")),
            "complexity_aware": strategy(stages("m1", "m2"), stages("n1", "n2")),
        }
    )


def test_every_update_of_every_stage_and_seed_has_a_row(plan):
    losses = losses_of_run(plan)
    assert losses.groupby(["strategy", "seed", "stage"]).size().to_dict() == {
        ("complexity_aware", 1, 1): 2,
        ("complexity_aware", 1, 2): 2,
        ("complexity_aware", 2, 1): 2,
        ("complexity_aware", 2, 2): 2,
        ("sft", 1, 1): 2,
        ("sft", 2, 1): 2,
    }
    assert losses["loss"].iloc[:2].tolist() == [2.0, 1.0]
    assert losses["validation_loss"].iloc[1] == 1.5


def test_curves_show_the_first_seed_and_a_shared_model_once(plan):
    assert list(curves(losses_of_run(plan))) == ["sft, stage 1", "complexity_aware, stage 2"]
