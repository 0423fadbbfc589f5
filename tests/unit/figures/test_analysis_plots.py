from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from caft.analysis.metric_tables import (
    Judging,
    calibration,
    complexity_accuracy,
    metric_correlation,
    metric_quality,
)
from caft.analysis.study import Study
from caft.figures import ANALYSIS_FIGURES
from caft.figures.analysis import (
    NOTE,
    draw,
    plot_calibration,
    plot_category_auc,
    plot_correlation,
    plot_roc,
)
from caft.figures.style import PALETTE, save

NAMES = ["single_token_entropy", "margin", "gold_loss"]
LABEL = {"gold_loss"}


@pytest.fixture(autouse=True)
def closed():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def study(count=80, categories=3, names=NAMES, accuracy=0.5, seed=0):
    """Metrics, items and answers of a made-up student."""
    generator = np.random.default_rng(seed)
    ids = [f"{place:04d}" for place in range(count)]
    wrong = generator.random(count) >= accuracy
    metrics = {
        name: pd.DataFrame(
            {
                "item_id": ids,
                "split": "test",
                "value": generator.normal(size=count) + (3 - place) * wrong,
                "reason": None,
                "warm_up": False,
            }
        )
        for place, name in enumerate(names)
    }
    category = [f"topic {place % categories}" for place in range(count)]
    items = pd.DataFrame({"item_id": ids, "category": category, "answer": "A"})
    return metrics, items, pd.Series(wrong, index=ids)


def figures(metrics, items, wrong, allow_label=False):
    """Every figure of the analysis, by name."""
    given = {"reads_label": LABEL & set(metrics)}
    quality = metric_quality(metrics, items, wrong, Judging(allow_label, draws=20), **given)
    logs = np.log([[0.7, 0.3]] * len(items)).tolist()
    scores = pd.DataFrame({"item_id": items["item_id"], "split": "test", "option_logprobs": logs})
    tables = {
        "metric_quality": quality,
        "metric_correlation": metric_correlation(metrics),
        "complexity_accuracy": complexity_accuracy(metrics, wrong, **given),
        "calibration": calibration(scores, items),
    }
    return draw(Study(metrics, "", wrong, given["reads_label"], None), tables, "sums, tiny")


def texts(figure):
    """All that is written in a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def visible(figure):
    return [axis for axis in figure.axes if axis.get_visible()]


def test_every_figure_of_the_analysis_is_listed_and_drawn():
    assert tuple(figures(*study())) == ANALYSIS_FIGURES


def test_every_figure_says_what_it_is_about():
    for figure in figures(*study()).values():
        assert figure.get_suptitle() == "sums, tiny"


def test_one_metric_alone_has_nothing_to_be_correlated_with():
    figure = plot_correlation(metric_correlation(study(names=["m"])[0]), "sums, tiny")
    assert figure.get_suptitle() == "sums, tiny: one metric alone" and not figure.axes


def test_metrics_that_read_the_label_are_marked_with_a_note():
    drawn = figures(*study())
    for name in ("distributions", "correlation", "complexity_accuracy"):
        shown = texts(drawn[name])
        assert any(text.startswith("gold loss †") for text in shown), name
        assert any(NOTE in text for text in shown), name
        assert not any("margin †" in text for text in shown), name


def test_metrics_that_read_the_label_are_no_predictors_unless_asked_for():
    refused, allowed = figures(*study()), figures(*study(), allow_label=True)
    for name in ("roc", "category_auc"):
        assert not any("gold loss" in text for text in texts(refused[name]))
        assert not any(NOTE in text for text in texts(refused[name]))
        assert any("gold loss †" in text for text in texts(allowed[name]))
        assert any(NOTE in text for text in texts(allowed[name]))


def test_distributions_have_a_panel_per_metric_the_best_one_first():
    titles = [axis.get_title(loc="left") for axis in visible(figures(*study())["distributions"])]
    assert [title.split("\n")[0] for title in titles] == [
        "single token entropy",
        "margin",
        "gold loss †",
    ]
    assert titles[0].split("\n")[1].startswith("AUC 0.9")
    assert titles[2].endswith("not judged")


def test_a_distribution_sums_to_one_per_group():
    panel = visible(figures(*study())["distributions"])[0]
    filled = [patch for patch in panel.patches if hasattr(patch, "get_height")]
    assert sum(patch.get_height() for patch in filled) == pytest.approx(2.0)


def test_the_panels_of_the_roc_curves_are_sorted_by_area():
    metrics, items, wrong = study()
    quality = metric_quality(metrics, items, wrong, Judging(draws=20), reads_label=LABEL)
    titles = [
        axis.get_title(loc="left") for axis in visible(plot_roc(metrics, wrong, quality, "t"))
    ]
    assert [title.split("\n")[0] for title in titles] == ["single token entropy", "margin"]
    areas = quality[quality["category"] == "(all)"]["roc_auc"]
    assert [title.split("AUC ")[1][:4] for title in titles] == [f"{area:.2f}" for area in areas[:2]]


def test_the_area_under_the_drawn_curve_is_the_area_of_the_table():
    metrics, items, wrong = study(count=5000, names=["m"])
    quality = metric_quality(metrics, items, wrong, Judging(draws=2))
    curve = plot_roc(metrics, wrong, quality, "t").axes[0].get_lines()[-1]
    assert len(curve.get_xdata()) <= 500
    area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
    assert area == pytest.approx(quality["roc_auc"].iloc[0], abs=2e-3)


def test_each_of_twenty_metrics_has_a_panel_where_it_stands_out():
    names = [f"metric_{place}" for place in range(20)]
    metrics, items, wrong = study(names=names)
    quality = metric_quality(metrics, items, wrong, Judging(draws=2))
    panels = visible(plot_roc(metrics, wrong, quality, "t"))
    assert len(panels) == 20
    colours = [[line.get_color() for line in panel.get_lines()] for panel in panels]
    assert all(own.count(PALETTE[0]) == 1 and len(own) == 22 for own in colours)


def test_categories_are_sorted_by_the_first_metrics_area():
    metrics, items, wrong = study(count=300, categories=12)
    quality = metric_quality(metrics, items, wrong, Judging(draws=20), reads_label=LABEL)
    figure = plot_category_auc(quality, "t", ["margin", "single_token_entropy"])
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    rows = quality[(quality["metric"] == "margin") & (quality["category"] != "(all)")]
    wanted = rows.sort_values("roc_auc")["category"] + " (25)"
    assert shown == wanted.tolist()


def test_a_category_with_few_right_or_wrong_answers_is_hollow():
    metrics, items, wrong = study(count=300, names=["m"])
    rare = items["category"].eq("topic 0") & (np.arange(300) >= 30)
    items.loc[rare, "category"] = "topic 1"
    quality = metric_quality(metrics, items, wrong, Judging(draws=20))
    axis = plot_category_auc(quality, "t").axes[0]
    faces = {
        line.get_markerfacecolor(): len(line.get_xdata())
        for line in axis.get_lines()
        if line.get_marker() == "o"
    }
    assert faces["white"] == 1 and sum(faces.values()) == 3


def test_similar_metrics_are_neighbours_in_the_correlation():
    names = ["a", "b", "c", "d"]
    pairs = {("a", "c"): 0.9, ("b", "d"): 0.8}
    rows = [
        {"metric": one, "other": other, "spearman": pairs.get((one, other), 0.0)}
        for place, one in enumerate(names)
        for other in names[place + 1 :]
    ]
    labels = plot_correlation(pd.DataFrame(rows), "t").axes[0].get_yticklabels()
    order = "".join(label.get_text() for label in labels)
    assert abs(order.index("a") - order.index("c")) == 1
    assert abs(order.index("b") - order.index("d")) == 1


def test_an_unknown_correlation_is_not_written_as_a_number():
    rows = {"metric": ["a"], "other": ["b"], "spearman": [float("nan")]}
    axis = plot_correlation(pd.DataFrame(rows), "t").axes[0]
    assert [text.get_text() for text in axis.texts] == ["1", "1"]


def test_calibration_says_its_error_and_how_many_items():
    _, items, _ = study()
    axis = figures(*study())["calibration"].axes[0]
    assert axis.get_title(loc="left") == f"expected calibration error 0.300, {len(items)} items"


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_a_student_that_is_always_right_or_wrong_can_be_drawn(accuracy, tmp_path):
    for name, figure in figures(*study(count=12, accuracy=accuracy)).items():
        save(figure, output(tmp_path, name))


def test_one_metric_one_category_and_few_items_can_be_drawn(tmp_path):
    given = study(count=4, categories=1, names=["single_token_entropy"], seed=1)
    for name, figure in figures(*given).items():
        save(figure, output(tmp_path, name))


def test_a_metric_without_values_and_a_set_without_options_can_be_drawn(tmp_path):
    metrics, items, wrong = study(count=20)
    metrics["margin"] = metrics["margin"].assign(value=np.nan, reason="open_question")
    for name, figure in figures(metrics, items, wrong).items():
        save(figure, output(tmp_path, name))
    nothing = pd.DataFrame({"item_id": [], "split": [], "option_logprobs": []})
    save(plot_calibration(calibration(nothing, items), "t"), output(tmp_path, "empty"))


def test_sixty_categories_with_markup_and_long_names_can_be_drawn(tmp_path):
    metrics, items, wrong = study(count=600, categories=60)
    items["category"] = "$x^ <b>" + items["category"] + " of a very long name that goes on and on"
    quality = metric_quality(metrics, items, wrong, Judging(draws=5))
    figure = plot_category_auc(quality, "costs $5 and $6 a_b")
    save(figure, output(tmp_path, "wide"))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(labels) == 60 and all(len(label) <= 40 and "…" in label for label in labels)
    assert "<b>" not in (tmp_path / "wide.svg").read_text()


@pytest.mark.parametrize(
    "name",
    ["\x1b[31mred", "a\x0bb\x07", "\u202ebackwards", "two\r\nlines", "no XML \ufffe", "$x{ -->"],
)
def test_a_category_with_characters_that_no_svg_may_hold_can_be_drawn(tmp_path, name):
    metrics, items, wrong = study()
    items["category"] = items["category"].where(items["category"] != items["category"][0], name)
    quality = metric_quality(metrics, items, wrong, Judging(draws=5))
    save(plot_category_auc(quality, "t"), output(tmp_path, "hostile"))
    drawn = (tmp_path / "hostile.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(drawn)
    assert all(char.isprintable() or char in "\n\t" for char in drawn)


def test_equal_tables_give_equal_files(tmp_path):
    for name in ("one", "other"):
        for kind, figure in figures(*study()).items():
            save(figure, output(tmp_path, f"{name}_{kind}"))
    files = sorted(path.name for path in tmp_path.glob("one_*"))
    assert len(files) == 12
    for name in files:
        other = tmp_path / name.replace("one_", "other_")
        assert (tmp_path / name).read_bytes() == other.read_bytes(), name


def output(folder, name):
    return SimpleNamespace(svg=folder / f"{name}.svg", png=folder / f"{name}.png")
