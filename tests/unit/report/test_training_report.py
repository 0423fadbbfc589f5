import json

import pandas as pd
import pytest

from caft.mixtures.plan import Plan, PlannedStrategy, Trained
from caft.report.training import curves, losses_of_run, sample_page
from caft.tables import parquet
from caft.tables.files import write_json

HISTORY = [
    {"step": 1, "epoch": 0.5, "loss": 2.0},
    {"step": 2, "epoch": 1.0, "loss": 1.0},
    {"step": 2, "epoch": 1.0, "validation_loss": 1.5},
]


@pytest.fixture
def plan(tmp_path, monkeypatch, planned_stage):
    """Two strategies that share a first stage, with two training seeds, and a hostile question."""
    monkeypatch.chdir(tmp_path)
    for model in ("m1", "m2", "n1", "n2"):
        write_json(f"results/models/{model}/model.json", {"history": HISTORY})
    turns = [{"role": "user", "content": "<script>1 & 1</script> ?"}]
    rows = pd.DataFrame(
        {
            "item_id": ["i1", "i2", "i3", "i4"],
            "target": ["answer", "answer", "answer", "rationale"],
            "messages": json.dumps(turns),
            "completion": ["2", "2", "2", "so [[2]]"],
        }
    )
    parquet.write("mixtures", rows, "data/mixtures/rows/first.parquet")
    parquet.write("mixtures", rows.iloc[3:], "data/mixtures/rows/second.parquet")

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


def test_a_sample_marks_what_carries_loss_and_escapes_the_rest(plan, chat):
    page = sample_page(plan, chat)
    assert page.count("<h2>") == 2, "each mixture once"
    assert "sft, stage 1: 4 rows" in page
    assert page.count("<mark>") == 1 + 3 + 1, "the legend, two answers and a rationale, one row"
    assert "<mark>2&lt;|im_end|&gt;</mark>" in page
    assert "<mark>so [[2]]&lt;|im_end|&gt;</mark>" in page
    assert "<script>" not in page and "&lt;script&gt;1 &amp; 1" in page
