"""Figures of the analysis: one student on one data set each, drawn from its tables alone."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from caft.analysis.metric_tables import ALL, Metrics, metric_values
from caft.analysis.study import Study
from caft.figures.style import PALETTE, RIGHT, WIDTH, WRONG, pyplot, short, words

NOTE = "† reads the gold answer, so it cannot serve as a predictor"
_FEW = 10  # below so many right or wrong answers an interval means little
_COLUMNS = 3  # of small panels


def draw(study: Study, tables: Mapping[str, pd.DataFrame], title: str) -> dict[str, Any]:
    """Draw every figure of the analysis.

    Args:
        study: the metrics, and what they are judged by.
        tables: from `caft.analysis.study.tables_of`, by name.
        title: of all figures.

    Returns:
        Matplotlib figures by name (`caft.figures.ANALYSIS_FIGURES`).
    """
    metrics, wrong, quality = study.metrics, study.wrong, tables["metric_quality"]
    return {
        "distributions": plot_distributions(metrics, wrong, quality, title, study.split),
        "roc": plot_roc(metrics, wrong, quality, title, study.split),
        "category_auc": plot_category_auc(quality, title),
        "correlation": plot_correlation(tables["metric_correlation"], title, study.reads_label),
        "complexity_accuracy": plot_complexity_accuracy(tables["complexity_accuracy"], title),
        "calibration": plot_calibration(tables["calibration"], title),
    }


def plot_distributions(
    metrics: Metrics, wrong: pd.Series, quality: pd.DataFrame, title: str, split: str | None = None
) -> Any:
    """Draw how each metric is distributed over right and wrong answers.

    The middle 99% of the values are shown; what lies outside is in the first and last bar.

    Args:
        metrics: metrics tables by name.
        wrong: from `caft.analysis.metric_tables.wrong_answers`.
        quality: the table of `caft.analysis.metric_tables.metric_quality`.
        title: of the figure.
        split: the split that `quality` is about; None for all.

    Returns:
        A matplotlib figure, one panel per metric, the best one first.
    """
    overall = _overall(quality)
    values = metric_values(metrics, split)
    answers = wrong.reindex(values.index)
    figure, panels = _panels(len(overall), 1.5)
    for axis, (name, row) in zip(panels, overall.iterrows(), strict=True):
        known = values[name][answers.notna()].dropna()
        missed = answers[known.index].astype(bool)
        edges = _edges(known)
        for part, colour in ((known[~missed], RIGHT), (known[missed], WRONG)):
            shown = part.clip(edges[0], edges[-1])
            shares = np.full(len(shown), 1 / max(len(shown), 1))
            axis.hist(shown, edges, weights=shares, color=colour, alpha=0.35)
            axis.hist(shown, edges, weights=shares, color=colour, histtype="step")
        axis.set_title(_heading(str(name), row), loc="left")
    if panels:
        corner = panels[: figure.axes[0].get_gridspec().ncols][-1]
        words(corner, [("right", RIGHT), ("wrong", WRONG)], above=32)
    figure.supylabel("share of each group", fontsize=9)
    return _finish(figure, title, overall["reads_label"].any())


def plot_roc(
    metrics: Metrics, wrong: pd.Series, quality: pd.DataFrame, title: str, split: str | None = None
) -> Any:
    """Draw the ROC curve of each metric that was judged as a predictor of wrong answers.

    Args:
        metrics: metrics tables by name.
        wrong: from `caft.analysis.metric_tables.wrong_answers`.
        quality: the table of `caft.analysis.metric_tables.metric_quality`.
        title: of the figure.
        split: the split that `quality` is about; None for all.

    Returns:
        A matplotlib figure, one panel per metric, the largest area first, with the others in grey.
    """
    overall = _overall(quality)
    judged = overall[overall["roc_auc"].notna()]
    values = metric_values(metrics, split)
    answers = wrong.reindex(values.index)
    curves = []
    for name in judged.index:
        known = values[name][answers.notna()].dropna()
        curves.append(_curve(known.to_numpy(), answers[known.index].to_numpy(dtype=bool)))
    figure, panels = _panels(len(judged), 1.7, sharex=True, sharey=True)
    for axis, (name, row), own in zip(panels, judged.iterrows(), curves, strict=True):
        for curve in curves:
            axis.plot(*curve, color="0.85", linewidth=0.8)
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle=":")
        axis.plot(*own, color=PALETTE[0], linewidth=1.6)
        axis.set(xlim=(0, 1), ylim=(0, 1))
        axis.set_title(_heading(str(name), row), loc="left")
    figure.supylabel("share of wrong answers above the threshold", fontsize=9)
    under = (
        "across: share of right answers above the threshold;\ngrey: other metrics; dotted: chance"
    )
    return _finish(figure, title, judged["reads_label"].any(), under)


def plot_category_auc(
    quality: pd.DataFrame, title: str, metrics: Sequence[str] | None = None
) -> Any:
    """Draw the ROC area by category with intervals, sorted by the first metric's.

    Categories with fewer than 10 right or 10 wrong answers are hollow: their interval means little.

    Args:
        quality: the table of `caft.analysis.metric_tables.metric_quality`.
        title: of the figure.
        metrics: which ones, at most four; by default the three of largest area.

    Returns:
        A matplotlib figure, one panel per metric; the line and band are all categories together.
    """
    overall = _overall(quality)
    judged = overall[overall["roc_auc"].notna()]
    names = list(metrics or judged.index[:3]) or list(overall.index[:1])
    rows = quality[(quality["category"] != ALL) & quality["metric"].isin(names)]
    sorting = rows[rows["metric"] == names[0]].sort_values("roc_auc", na_position="first")
    order = {category: place for place, category in enumerate(sorting["category"])}
    figure, axes = pyplot().subplots(
        1,
        len(names),
        figsize=(WIDTH, 1.6 + 0.2 * max(4, len(order))),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, name in zip(axes[0], names, strict=False):
        whole = overall.loc[name]
        axis.axvspan(whole["roc_auc_low"], whole["roc_auc_high"], color="0.9", linewidth=0)
        axis.axvline(whole["roc_auc"], color="0.4", linewidth=1)
        axis.axvline(0.5, color="0.4", linewidth=0.8, linestyle=":")
        part = rows[(rows["metric"] == name) & rows["roc_auc"].notna()]
        few = part[["n_wrong", "n"]].assign(right=part["n"] - part["n_wrong"])
        hollow = few[["n_wrong", "right"]].min(axis=1) < _FEW
        for chosen, face in ((~hollow, PALETTE[0]), (hollow, "white")):
            _dots(axis, part[chosen], part[chosen]["category"].map(order), face)
        axis.set_title(_heading(name, whole), loc="left")
        axis.grid(axis="x")
    counts = sorting.set_index("category")["n"]
    axes[0, 0].set_yticks(range(len(order)), [f"{short(name)} ({counts[name]})" for name in order])
    axes[0, 0].set_ylim(-0.7, len(order) - 0.3)
    note = (
        "across: ROC AUC, 95% interval; line and band: all categories; dotted: chance;\n"
        "hollow: fewer than 10 right or 10 wrong answers"
    )
    return _finish(figure, title, overall.loc[names, "reads_label"].any(), note)


def plot_correlation(
    correlation: pd.DataFrame, title: str, reads_label: Collection[str] = ()
) -> Any:
    """Draw Spearman's correlation of each two metrics, similar metrics beside each other.

    Args:
        correlation: the table of `caft.analysis.metric_tables.metric_correlation`.
        title: of the figure.
        reads_label: metrics that read the gold answer.

    Returns:
        A matplotlib figure; grey cells are unknown.
    """
    swapped = correlation.rename(columns={"metric": "other", "other": "metric"})
    names = pd.unique(pd.concat([correlation["metric"], correlation["other"]]))
    same = pd.DataFrame({"metric": names, "other": names, "spearman": 1.0})
    both = pd.concat([correlation, swapped, same])
    matrix = both.pivot(index="metric", columns="other", values="spearman")
    order = _similar_together(matrix)
    if not order:
        return _finish(pyplot().figure(figsize=(4.5, 1)), f"{title}: one metric alone", False)
    cells = matrix.loc[order, order].to_numpy()
    size = min(WIDTH, 3.2 + 0.36 * max(4, len(order)))
    figure, axis = pyplot().subplots(figsize=(size, size - 0.6), layout="constrained")
    colours = pyplot().get_cmap("PuOr_r").with_extremes(bad="0.85")
    image = axis.imshow(np.ma.masked_invalid(cells), cmap=colours, vmin=-1, vmax=1)
    for row, column in np.argwhere(np.isfinite(cells)):
        value = cells[row, column]
        ink = "white" if abs(value) > 0.7 else "black"
        text = f"{value:.2f}".replace("0.", ".").replace("1.00", "1")
        size = 7 if len(order) <= _FEW else 5.5
        axis.text(column, row, text, ha="center", va="center", fontsize=size, color=ink)
    shown = [_name(name, name in reads_label) for name in order]
    axis.set_xticks(range(len(order)), shown, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(order)), shown)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, shrink=0.6, label="rank correlation")
    return _finish(figure, title, any(name in reads_label for name in order))


def plot_complexity_accuracy(table: pd.DataFrame, title: str) -> Any:
    """Draw the student's accuracy along the rank of each metric, with a 95% band.

    Args:
        table: of `caft.analysis.metric_tables.complexity_accuracy`.
        title: of the figure.

    Returns:
        A matplotlib figure, one panel per metric in the table's order.
    """
    groups = list(table.groupby("metric", sort=False))
    figure, panels = _panels(len(groups), 1.4, sharex=True, sharey=True)
    for axis, (name, part) in zip(panels, groups, strict=True):
        axis.axhline(np.average(part["accuracy"], weights=part["n"]), color="0.6", linewidth=0.8)
        band = (part["accuracy_low"], part["accuracy_high"])
        axis.fill_between(part["rank"], *band, color=RIGHT, alpha=0.2, linewidth=0)
        style = {"color": RIGHT, "markersize": 3, "linewidth": 1.2, "clip_on": False}
        axis.plot(part["rank"], part["accuracy"], "o-", **style)
        axis.set_title(_name(str(name), part["reads_label"].any()), loc="left")
        axis.set(xlim=(0, 1), ylim=(0, 1))
        axis.grid()
    figure.supylabel("accuracy, 95% interval", fontsize=9)
    under = "across: share of items that are less complex; line: all items"
    return _finish(figure, title, table["reads_label"].any(), under)


def plot_calibration(table: pd.DataFrame, title: str) -> Any:
    """Draw accuracy against the probability of the best option, in bins of equally many items.

    Args:
        table: of `caft.analysis.metric_tables.calibration`.
        title: of the figure.

    Returns:
        A matplotlib figure; below the diagonal the student is too sure of itself.
    """
    figure, axis = pyplot().subplots(figsize=(4.8, 4.8), layout="constrained")
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=0)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set_xlabel("probability of the best option")
    axis.set_ylabel("share right, 95% interval")
    axis.grid()
    if len(table):
        across = (table["confidence_low"], table["confidence_high"])
        axis.hlines(table["accuracy"], *across, color=RIGHT, linewidth=1, alpha=0.5)
        upward = (table["accuracy_low"], table["accuracy_high"])
        axis.vlines(table["confidence"], *upward, color=RIGHT, linewidth=1.5)
        axis.plot(table["confidence"], table["accuracy"], "o", color=RIGHT, clip_on=False)
        error, count = table["calibration_error"].iloc[0], table["n"].sum()
        axis.set_title(f"expected calibration error {error:.3f}, {count} items", loc="left")
    return _finish(figure, title, False)


def _overall(quality: pd.DataFrame) -> pd.DataFrame:
    """Return the rows about all categories by metric, the largest area first, unknown last."""
    rows = quality[quality["category"] == ALL].set_index("metric")
    return rows.sort_values("roc_auc", ascending=False, kind="stable")


def _panels(count: int, height: float, **shared: bool) -> tuple[Any, list[Any]]:
    columns = min(_COLUMNS, max(1, count))
    lines = max(1, -(-count // columns))
    figure, axes = pyplot().subplots(
        lines,
        columns,
        figsize=(WIDTH, 1.0 + height * lines),
        squeeze=False,
        layout="constrained",
        **shared,
    )
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def _finish(figure: Any, title: str, marked: Any, under: str | None = None) -> Any:
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    notes = [text for text in (under, NOTE if marked else None) if text]
    if notes:
        figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=8)
    return figure


def _name(name: str, reads_label: Any) -> str:
    return short(name.replace("_", " ")) + (" †" if reads_label else "")


def _area(row: Any) -> str:
    return f"{row['roc_auc']:.2f} [{row['roc_auc_low']:.2f}, {row['roc_auc_high']:.2f}]"


def _heading(name: str, row: Any) -> str:
    known = pd.notna(row["roc_auc"])
    second = f"AUC {_area(row)}" if known else "not judged"
    return f"{_name(name, row['reads_label'])}\n{second}"


def _edges(values: pd.Series) -> np.ndarray:
    if values.empty:
        return np.linspace(0, 1, 2)
    low, high = values.quantile([0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, 25)


def _dots(axis: Any, part: pd.DataFrame, height: pd.Series, face: str) -> None:
    # Lines of their own: a percentile interval need not hold the value, as error bars must.
    axis.hlines(height, part["roc_auc_low"], part["roc_auc_high"], color=PALETTE[0], linewidth=1)
    axis.plot(part["roc_auc"], height, "o", color=PALETTE[0], markerfacecolor=face, markersize=4)


def _curve(values: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve's corners, at most some 500 so that the file stays small."""
    order = np.argsort(-values, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(values[order])), len(values) - 1]
    right = np.r_[0, np.cumsum(~wrong[order])[ends]] / (~wrong).sum()
    missed = np.r_[0, np.cumsum(wrong[order])[ends]] / wrong.sum()
    kept = np.unique(np.linspace(0, len(right) - 1, 500).round().astype(int))
    return right[kept], missed[kept]


def _similar_together(matrix: pd.DataFrame) -> list[str]:
    """Order metrics so that similar ones are neighbours (average linkage of 1 - correlation)."""
    if len(matrix) < 3:
        return list(matrix.index)
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = (1 - matrix.fillna(0)).clip(lower=0).to_numpy()
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return [matrix.index[place] for place in leaves_list(tree)]
