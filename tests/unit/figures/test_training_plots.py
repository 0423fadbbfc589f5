import numpy as np
import pandas as pd

from caft.figures.training import loss_table, plot_losses

RECORD = {
    "history": [
        {"step": 1, "epoch": 0.5, "loss": 3.0, "learning_rate": 0.1},
        {"step": 2, "epoch": 1.0, "loss": 2.0, "learning_rate": 0.1},
        {"step": 2, "epoch": 1.0, "validation_loss": 2.5},
        {"step": 3, "epoch": 1.5, "loss": 1.0, "learning_rate": 0.1},
    ]
}


def test_the_validation_loss_stands_beside_the_last_update_of_its_epoch():
    nothing = float("nan")
    expected = pd.DataFrame(
        {
            "step": [1, 2, 3],
            "epoch": [0.5, 1.0, 1.5],
            "loss": [3.0, 2.0, 1.0],
            "validation_loss": [nothing, 2.5, nothing],
        }
    )
    pd.testing.assert_frame_equal(loss_table(RECORD), expected)


def test_a_model_without_updates_has_an_empty_table():
    assert loss_table({"history": []}).empty


def test_the_curves_are_drawn_and_equal_tables_give_equal_files(tmp_path):
    table = loss_table(RECORD)
    plain = table.assign(validation_loss=np.nan)
    for name in ("one", "two"):
        plot_losses({"sft, stage 1": table, "$x$": plain}, *[
            tmp_path / f"{name}.{kind}" for kind in ("svg", "png")
        ])  # fmt: skip
    drawn = (tmp_path / "one.svg").read_text()
    assert drawn.count("<!-- validation -->") == 1 and drawn.count("<!-- training -->") == 2
    assert "<!-- $x$ -->" in drawn
    for kind in ("svg", "png"):
        one, two = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
        assert one == two and one
