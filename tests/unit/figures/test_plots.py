import subprocess
import sys
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib.text import Text

from caft.analysis.intervals import UNKNOWN, Estimate
from caft.figures import FIGURES
from caft.figures.accuracy import plot_accuracy
from caft.figures.answering import plot_answering
from caft.figures.buckets import plot_buckets
from caft.figures.complexity import Scored, plot_complexity
from caft.figures.cost import pareto_front, plot_cost
from caft.figures.style import WIDTH, save
from caft.figures.summary import as_trained
from caft.figures.tokens import plot_tokens, token_parts


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


def test_accuracy_has_a_panel_per_data_set_and_student():
    assert len(plot_accuracy(summary()).axes) == 1
    assert len(plot_accuracy(summary(("tiny", "small"))).axes) == 2


def test_accuracy_is_written_beside_its_interval():
    (axis,) = plot_accuracy(summary()).axes
    assert {text.get_text() for text in axis.texts} == {"0.50 [0.30, 0.70]"}


def test_accuracy_shows_each_model_as_trained_and_the_base_in_both_modes():
    overall = plot_accuracy(summary()).axes[0]
    assert [label.get_text() for label in overall.get_yticklabels()] == [
        "distill (cot)",
        "sft (direct)",
        "base (cot)",
        "base (direct)",
    ]
    assert overall.get_title(loc="left") == "sums, tiny, 20 items"


def scored(table=None, thresholds=(0.7, 0.9), area=Estimate(0.761, 0.68, 0.83)):  # noqa: B008
    table = scores() if table is None else table
    return Scored(table[~table["warm_up"]], thresholds, area)


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_complexity_has_a_panel_per_table_with_counts_of_right_and_wrong():
    figure = plot_complexity(
        {"sums, tiny": scored(), "more": scored(scores(8), area=None)}, "single_token_entropy"
    )
    assert [axis.get_title(loc="left").split("\n")[0] for axis in figure.axes] == [
        "sums, tiny",
        "more",
    ]
    # The item without a score is not drawn.
    for axis, count in zip(figure.axes, (2, 3), strict=True):
        assert {f"right ({count})", f"wrong ({count})"} < set(texts(axis))


@pytest.mark.parametrize(
    ("area", "told"),
    [
        (Estimate(0.761, 0.68, 0.834), "ROC AUC 0.76 [0.68, 0.83]; 0.5 is chance"),
        (UNKNOWN, "ROC AUC not judged"),
        (None, "ROC AUC not judged"),
    ],
)
def test_complexity_tells_the_area_where_it_is_known(area, told):
    (axis,) = plot_complexity({"sums": scored(area=area)}, "single_token_entropy").axes
    assert axis.get_title(loc="left") == f"sums\n{told}"


@pytest.mark.parametrize(
    ("thresholds", "named"),
    [
        ((0.7, 0.9), {"easy", "medium", "hard", "0.7", "0.9"}),
        ((0.8, 0.8), {"easy", "hard", "0.8"}),
        ((0.9, 7.0), {"easy", "medium", "0.9"}),
        ((-1.0, 7.0), {"medium"}),
    ],
)
def test_complexity_names_the_buckets_and_thresholds_that_are_in_sight(thresholds, named):
    one = scored(scores(12), thresholds)
    (axis,) = plot_complexity({"sums": one}, "single_token_entropy").axes
    words = {text for text in texts(axis) if not text.startswith(("right", "wrong"))}
    assert words == named


def test_a_table_without_any_score_is_an_empty_panel():
    empty = scores().assign(status="non_finite_logits", single_token_entropy=None, correct=None)
    figure = plot_complexity({"broken": scored(empty, area=None)}, "single_token_entropy")
    assert len(figure.axes) == 1


def inked(figure):
    """The boxes of all names beside points, as the file is drawn."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    (axis,) = figure.axes
    # Without its line to the point, which is part of an annotation's extent.
    return {text.get_text(): Text.get_window_extent(text, renderer) for text in axis.texts}


def crowded(strategies, modes, spread=0.01):
    """Strategies whose accuracies and costs are all nearly the same."""
    rows = [
        {
            **summary().iloc[0],
            "strategy": strategy,
            "mode": mode,
            "trained_mode": "direct" if strategy == "base" else "cot",
            "accuracy": 0.6 + spread * (place % 3) / 3,
            "accuracy_low": 0.58,
            "accuracy_high": 0.63,
            "teacher_completion_tokens": 0 if strategy == "base" else 14_000 + 100 * place,
            "cost_usd": 0.0,
            "metric_cost_usd": 0.0,
        }
        for place, strategy in enumerate(strategies)
        for mode in modes
    ]
    return pd.DataFrame(rows)


CROWD = ["base", "sft", "distill", "complexity_aware", "reverse", "hard_only", "random_same_size"]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_each_point_of_costs_is_named_and_no_name_covers_another(count):
    modes = ["direct", "cot", "adaptive"]
    boxes = inked(plot_cost(crowded(CROWD[-count:], modes)))
    assert len(boxes) == count + 2 * (count == 7)  # the base in every mode
    assert "random_same_size (cot)\nrandom control" in boxes
    for one, other in combinations(boxes.values(), 2):
        assert not one.padded(-1).overlaps(other.padded(-1))


def test_names_stay_on_the_panel_and_off_other_points():
    figure = plot_cost(crowded(CROWD, ["direct", "cot"]))
    boxes, (axis,) = inked(figure), figure.axes
    frame = axis.get_window_extent()
    assert all(frame.contains(*corner) for box in boxes.values() for corner in box.corners())
    points = [axis.transData.transform(one) for one in markers(axis)]
    assert not any(box.contains(*one) for box in boxes.values() for one in points)


@pytest.mark.parametrize("draw", [plot_accuracy, plot_cost])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.5, 0.5), (0.02, 0.97)])
def test_an_axis_of_accuracies_shows_all_intervals_and_at_least_a_fifth(draw, low, high):
    table = crowded(CROWD, ["cot"]).assign(accuracy=0.5, accuracy_low=low, accuracy_high=high)
    (axis,) = draw(table).axes
    ends = axis.get_xlim() if draw is plot_accuracy else axis.get_ylim()
    assert ends[0] <= low and high <= ends[1] and ends[1] - ends[0] >= 0.2 - 1e-9
    assert ends[0] > -0.05 and ends[1] < 1.05


def answering():
    """Rows of the answering table: two strategies with a curve of three places each."""
    lines = {"direct": [2.0], "cot": [20.0], "adaptive": [12.0], "cap": [0.0, 10.0, 20.0]}
    lines |= {"threshold": [2.0, 12.0, 22.0], "random": [2.0, 12.0, 22.0]}
    rows = [
        {
            "dataset": "sums", "student": "tiny", "strategy": strategy, "line": line,
            "written_tokens": tokens, "accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6,
        }
        for strategy in ("base", "sft")
        for line, places in lines.items()
        for tokens in places
    ]  # fmt: skip
    return pd.DataFrame(rows)


def table_of(name):
    return answering() if name == "answering" else costs()


def test_each_strategy_has_a_panel_with_its_curves_and_the_points_of_all():
    first, second = plot_answering(answering()).axes
    assert [axis.get_title(loc="left") for axis in (first, second)] == [
        "sums, tiny\nbase", "sums, tiny\nsft",
    ]  # fmt: skip
    curves = [line.get_xdata().tolist() for line in first.lines if line.get_linestyle() != "None"]
    assert curves == [[2, 12, 22], [2, 12, 22], [0, 10, 20]]
    pale = [line for line in first.lines if line.get_color() == "0.8"]
    assert [line.get_xdata().tolist() for line in pale] == [[2, 2], [20, 20], [12, 12]]


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_every_figure_has_the_width_of_a_column_and_a_light_card(name, tmp_path):
    figure = FIGURES[name].draw(table_of(name))
    assert figure.get_figwidth() == WIDTH
    output = SimpleNamespace(svg=tmp_path / "a.svg", png=tmp_path / "a.png")
    save(figure, output)
    from matplotlib.image import imread

    assert imread(output.png)[0, 0].tolist() == [1, 1, 1, 1], "white, not see-through"


def test_names_with_markup_are_drawn_as_text(tmp_path):
    figure = plot_accuracy(summary(("<script>alert(1)</script>",)))
    output = SimpleNamespace(svg=tmp_path / "a.svg", png=tmp_path / "a.png")
    save(figure, output)
    assert "<script>" not in output.svg.read_text()


def test_equal_tables_give_equal_files(tmp_path):
    bytes_of = []
    for name in ("one", "other"):
        output = SimpleNamespace(svg=tmp_path / f"{name}.svg", png=tmp_path / f"{name}.png")
        save(plot_complexity({"sums": scored()}, "single_token_entropy"), output)
        bytes_of.append((output.svg.read_bytes(), output.png.read_bytes()))
    assert bytes_of[0] == bytes_of[1]
    assert bytes_of[0][0].startswith(b"<?xml") and bytes_of[0][1].startswith(b"\x89PNG")
    changed = SimpleNamespace(svg=tmp_path / "c.svg", png=tmp_path / "c.png")
    save(plot_complexity({"sums": scored(scores(8))}, "single_token_entropy"), changed)
    assert changed.svg.read_bytes() != bytes_of[0][0]


def costs(count=9, **columns):
    """A summary of nine strategies in two modes, some without a teacher, some equally dear."""
    names = ["base", "sft", "curriculum", "distill", "a" * 50, "c", "d", "e", "f"][:count]
    tokens = [0, 0, 0, 40_000, 10_400, 10_400, 10_000, 9_000, 10_400][:count]
    rows = [
        {
            "dataset": "sums",
            "student": "tiny",
            "strategy": name,
            "mode": mode,
            "trained_mode": "cot" if token else "direct",
            "n": 20,
            "accuracy": 0.1 * place,
            "accuracy_low": 0.1 * place,
            "accuracy_high": 0.1 * place + 0.1,
            "teacher_completion_tokens": token,
            "cost_usd": token * 1e-5,
            "metric_cost_usd": 0.0,
            "target_tokens_one_pass": 100,
            "target_tokens": 250,
            "all_tokens": 1250,
            "warm_up_all_tokens": 30 if token else 0,
            **{f"n_{bucket}": 5 for bucket in ("easy", "medium", "hard")},
            **{
                f"accuracy_{bucket}{end}": 0.5
                for bucket in ("easy", "medium", "hard")
                for end in ("", "_low", "_high")
            },
        }
        for place, (name, token) in enumerate(zip(names, tokens, strict=True))
        for mode in ("direct", "cot")
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_the_front_is_what_nothing_as_cheap_beats():
    front = pareto_front([0, 0, 1, 2, 2, 3], [0.2, 0.5, 0.4, 0.6, 0.6, 0.6])
    assert front.tolist() == [False, True, False, True, True, False]
    assert pareto_front([], []).tolist() == []


def markers(axis):
    """The points of a cost panel: label order, place and accuracy."""
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axis.lines
        if line.get_marker() != "None"
    ]


def test_cost_has_a_panel_for_tokens_and_one_for_money_where_money_was_paid():
    assert len(plot_cost(costs()).axes) == 2
    assert len(plot_cost(costs(cost_usd=0.0)).axes) == 1
    unknown = costs(cost_usd=[None if place > 7 else 0.0 for place in range(18)])
    assert len(plot_cost(unknown).axes) == 1


def test_free_strategies_stand_left_of_paid_ones_and_equal_costs_side_by_side():
    places = [place for place, _ in markers(plot_cost(costs()).axes[0])]
    assert len(places) == 10  # base in both modes
    assert max(places[:4]) < min(places[4:])
    gaps = sorted(abs(one - other) for one in places for other in places if one != other)
    assert len(set(places)) == 10 and gaps[0] > 0.02
    assert places[4] == pytest.approx(4.602, abs=0.02), "log10 of 40,000, which stands alone"


def test_nothing_paid_at_all_is_a_panel_without_a_scale():
    axis = plot_cost(costs(3)).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0"]
    assert axis.get_xlabel() == "tokens the teacher wrote"


def test_a_strategy_of_unknown_cost_is_left_out_of_the_money_only():
    tokens, money = plot_cost(costs(cost_usd=[None if 6 <= n < 8 else 0.1 for n in range(18)])).axes
    assert (len(markers(tokens)), len(markers(money))) == (10, 9)


def test_a_student_whose_costs_are_all_unknown_has_an_empty_panel_of_money():
    both = pd.concat([costs(), costs(student="other", cost_usd=float("nan"))])
    panels = plot_cost(both).axes
    assert [len(markers(axis)) for axis in panels] == [10, 10, 10, 0]


def test_a_strategy_that_was_not_asked_in_its_mode_is_kept():
    shown = as_trained(costs()[lambda table: table["mode"] == "direct"])
    assert shown["strategy"].nunique() == 9


def test_buckets_have_a_panel_per_mode_with_an_interval_for_each_bar():
    figure = plot_buckets(costs())
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "sums, tiny\nasked: direct",
        "asked: cot",
    ]
    for axis in figure.axes:
        assert len(axis.patches) == 9 * 3
        assert sum(len(lines.get_segments()) for lines in axis.collections) == 9 * 3
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[-1] == "base" and "a" * 33 + "…" in labels


def test_token_parts_add_up_to_what_training_processes():
    parts = token_parts(costs(4))
    assert parts.to_numpy()[-1].tolist() == [100, 150, 1000, 30]
    half = token_parts(costs(1, target_tokens=50, all_tokens=650))
    assert half.to_numpy()[0].tolist() == [50, 0, 600, 0], "half an epoch"


def test_tokens_are_labelled_with_their_sum():
    training, teacher = plot_tokens(costs()).axes
    assert [text.get_text() for text in training.texts][::-1][:4] == [
        "1.2k",
        "1.2k",
        "1.2k",
        "1.3k",
    ]
    assert [text.get_text() for text in teacher.texts][::-1][:4] == ["0", "0", "0", "40.0k"]


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_each_figure_of_the_summary_is_saved_for_several_students(name, tmp_path):
    both = pd.concat([table_of(name), table_of(name).assign(student="<b>&$x$")])
    output = SimpleNamespace(svg=tmp_path / "a.svg", png=tmp_path / "a.png")
    save(FIGURES[name].draw(both), output)
    assert b"<b>" not in output.svg.read_bytes()
    assert output.png.read_bytes().startswith(b"\x89PNG")


def test_every_figure_has_a_caption_of_its_own():
    captions = [figure.caption for figure in FIGURES.values()]
    assert len(set(captions)) == len(FIGURES)
    folder = Path(__file__).parents[3] / "workflow/report"
    assert all((folder / caption).is_file() for caption in captions)


def test_which_figures_there_are_is_known_without_heavy_libraries():
    code = (
        "import sys\n"
        "from caft.analysis import TABLES\n"
        "from caft.figures import ANALYSIS_FIGURES, FIGURES\n"
        "assert len(FIGURES) == len(list(FIGURES)) > 3\n"
        "print({'matplotlib', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


ITEMS = """
from caft.figures import Figure
from caft.figures.style import pyplot


def draw(summary):
    figure, axis = pyplot().subplots()
    axis.bar(summary["strategy"], summary["n"])
    return figure


FIGURE = Figure(draw, "items.rst", "Summary", "Plotting items")
"""


def test_a_figure_of_ones_own_is_a_file_and_a_line(tmp_path, monkeypatch):
    (tmp_path / "items_of_mine.py").write_text(ITEMS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(FIGURES.where, "items", "items_of_mine")
    output = SimpleNamespace(svg=tmp_path / "a.svg", png=tmp_path / "a.png")
    save(FIGURES["items"].draw(costs()), output)
    assert output.png.read_bytes().startswith(b"\x89PNG")
    assert list(FIGURES)[-1] == "items" and FIGURES["items"].caption == "items.rst"
