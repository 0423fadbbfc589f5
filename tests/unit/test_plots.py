from types import SimpleNamespace

import pandas as pd
import pytest

from caft.plots import plot_accuracy, plot_complexity, save


@pytest.fixture(autouse=True)
def closed():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def summary(students=("tiny",)):
    rows = [
        {
            "dataset": "sums",
            "student": student,
            "strategy": strategy,
            "mode": mode,
            "trained_mode": trained,
            "n": 20,
            "accuracy": 0.5,
            "accuracy_low": 0.3,
            "accuracy_high": 0.7,
            "accuracy_easy": 0.9,
            "accuracy_medium": 0.5,
            "accuracy_hard": float("nan"),
        }
        for student in students
        for strategy, trained in (("base", "direct"), ("sft", "direct"), ("distill", "cot"))
        for mode in ("direct", "cot")
    ]
    return pd.DataFrame(rows)


def scores(count=6):
    return pd.DataFrame(
        {
            "status": ["ok"] * (count - 1) + ["too_long"],
            "warm_up": [True] + [False] * (count - 1),
            "correct": [True, False] * (count // 2),
            "single_token_entropy": [0.5 + number / 10 for number in range(count)],
        }
    )


def test_accuracy_has_two_panels_per_data_set_and_student():
    assert len(plot_accuracy(summary()).axes) == 2
    assert len(plot_accuracy(summary(("tiny", "small"))).axes) == 4


def test_accuracy_shows_each_model_as_trained_and_the_base_in_both_modes():
    overall = plot_accuracy(summary()).axes[0]
    assert [label.get_text() for label in overall.get_yticklabels()] == [
        "distill (cot)",
        "sft (direct)",
        "base (cot)",
        "base (direct)",
    ]
    assert overall.get_title(loc="left") == "sums, tiny, 20 items"


def test_complexity_has_a_panel_per_table_with_counts_of_right_and_wrong():
    figure = plot_complexity({"sums, tiny": scores(), "more": scores(8)}, "single_token_entropy")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["sums, tiny", "more"]
    shown = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in figure.axes]
    # The warm-up item and the one without a score are not drawn.
    assert shown == [["right (2)", "wrong (2)"], ["right (3)", "wrong (3)"]]


def test_a_table_without_any_score_is_an_empty_panel():
    empty = scores().assign(status="non_finite_logits", single_token_entropy=None, correct=None)
    assert len(plot_complexity({"broken": empty}, "single_token_entropy").axes) == 1


def test_names_with_markup_are_drawn_as_text(tmp_path):
    figure = plot_accuracy(summary(("<script>alert(1)</script>",)))
    output = SimpleNamespace(svg=tmp_path / "a.svg", png=tmp_path / "a.png")
    save(figure, output)
    assert "<script>" not in output.svg.read_text()


def test_equal_tables_give_equal_files(tmp_path):
    bytes_of = []
    for name in ("one", "other"):
        output = SimpleNamespace(svg=tmp_path / f"{name}.svg", png=tmp_path / f"{name}.png")
        save(plot_complexity({"sums": scores()}, "single_token_entropy"), output)
        bytes_of.append((output.svg.read_bytes(), output.png.read_bytes()))
    assert bytes_of[0] == bytes_of[1]
    assert bytes_of[0][0].startswith(b"<?xml") and bytes_of[0][1].startswith(b"\x89PNG")
    changed = SimpleNamespace(svg=tmp_path / "c.svg", png=tmp_path / "c.png")
    save(plot_complexity({"sums": scores(8)}, "single_token_entropy"), changed)
    assert changed.svg.read_bytes() != bytes_of[0][0]
