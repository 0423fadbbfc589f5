import numpy as np
import pandas as pd
import pytest

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
    assert drawn.count("<!-- validation -->") == drawn.count("<!-- training -->") == 1
    assert "<!-- $x$ -->" in drawn
    for kind in ("svg", "png"):
        one, two = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
        assert one == two and one


def drawn_of(monkeypatch, tmp_path, tables):
    """The figure that is saved."""
    kept = []
    monkeypatch.setattr("caft.figures.training.save", lambda figure, _: kept.append(figure))
    plot_losses(tables, tmp_path / "a.svg", tmp_path / "a.png")
    return kept[0]


@pytest.mark.parametrize(("count", "grid"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (7, (3, 3))])
def test_each_stage_is_a_small_panel_of_a_grid_with_common_axes(monkeypatch, tmp_path, count, grid):
    tables = {
        f"stage {place}": loss_table(RECORD).assign(loss=[9.0 * (place == 0) + 1, 1.0, 1.0])
        for place in range(count)
    }
    figure = drawn_of(monkeypatch, tmp_path, tables)
    shape = figure.axes[0].get_gridspec()
    assert (shape.nrows, shape.ncols) == grid
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == list(tables)
    assert len({(axis.get_xlim(), axis.get_ylim()) for axis in shown}) == 1
    low, high = shown[-1].get_ylim()
    assert low == 0 and high > 10, "the highest loss of all panels is in sight"


def test_validation_is_named_where_there_is_any(monkeypatch, tmp_path):
    table = loss_table(RECORD)
    for tables, names in (
        ({"a": table}, ["validation", "training"]),
        ({"a": table.assign(validation_loss=np.nan)}, ["training"]),
    ):
        figure = drawn_of(monkeypatch, tmp_path, tables)
        assert [text.get_text() for text in figure.axes[0].texts] == names
