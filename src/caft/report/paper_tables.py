"""The summary as tables for a paper: Markdown and LaTeX, one table per data set and student."""

import html
import re
from collections.abc import Callable, Iterator

import pandas as pd

from caft.mixtures.buckets import BUCKETS

_CAPTION = (
    "Accuracy of {student} on {dataset} ({n} items) with 95% intervals over {over}, by strategy "
    "and mode; † marks the mode that a strategy was trained for, bold the best of a column. "
    "Teacher tokens and USD: what its answers took, rejected ones and those of a judge included. "
    "Target tokens: what training learns to write, all epochs."
)
_NAMES = {"accuracy": "Accuracy", **{f"accuracy_{name}": name.capitalize() for name in BUCKETS}}
_Format = Callable[[str], str]


def markdown(summary: pd.DataFrame) -> str:
    """Return the summary as Markdown tables.

    Args:
        summary: the summary table.

    Returns:
        One captioned table per data set and student; names are text, whatever they hold.
    """
    parts = ["# Comparison\n"]
    for _, _, caption, cells, best in _tables(summary):
        body = cells.map(escape_markdown).where(~best, "**" + cells.map(escape_markdown) + "**")
        sides = [":--" if name in ("Strategy", "Mode") else "--:" for name in cells]
        lines: list[list[str]] = [list(map(str, cells)), sides, *body.to_numpy().tolist()]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"{escape_markdown(caption)}\n\n{table}\n")
    return "\n".join(parts)


def latex(summary: pd.DataFrame) -> str:
    """Return the summary as LaTeX tables in the style of the package booktabs.

    Args:
        summary: the summary table.

    Returns:
        One `table` environment per data set and student, with caption and label.
    """
    parts = ["% needs \\usepackage{booktabs}\n"]
    for dataset, student, caption, cells, best in _tables(summary):
        body = cells.map(escape_latex).where(~best, "\\textbf{" + cells.map(escape_latex) + "}")
        label = re.sub("[^A-Za-z0-9]+", "-", f"{dataset}-{student}")
        parts.append(
            body.rename(columns=escape_latex)
            .style.hide(axis="index")
            .to_latex(
                hrules=True,
                column_format="ll" + "r" * (len(cells.columns) - 2),
                caption=escape_latex(caption),
                label=f"tab:{label}",
                position="t",
                position_float="centering",
            )
        )
    return "\n".join(parts)


def escape_markdown(text: str) -> str:
    """Escape what Markdown or HTML would read as markup; line breaks become spaces."""
    escaped = re.sub(r"([\\`*_\[\]#|~$])", r"\\\1", html.escape(text, quote=False))
    return " ".join(escaped.split())


def escape_latex(text: str) -> str:
    """Escape what LaTeX would read as a command; line breaks become spaces."""
    return " ".join(re.sub(r"[\\{}_&%$#~^<>|†±]", lambda match: _LATEX[match[0]], text).split())


_LATEX = {
    **{mark: f"\\{mark}" for mark in "{}_&%$#"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "†": r"\textsuperscript{\dag}",
    "±": r"$\pm$",
}


def _tables(
    summary: pd.DataFrame,
) -> Iterator[tuple[str, str, str, pd.DataFrame, pd.DataFrame]]:
    """Yield data set, student, caption, the cells as text, and which of them are best."""
    for (dataset, student), rows in summary.groupby(["dataset", "student"], sort=False):
        seeds, count = int(rows["n_seeds"].max()), rows["n"].iloc[0]
        over = "items alone (at most one training of each)"
        if seeds > 1:
            over = f"items and {seeds} training seeds (± standard deviation over seeds)"
        caption = _CAPTION.format(student=student, dataset=dataset, n=count, over=over)
        cells = _cells(rows)
        best = pd.DataFrame(False, index=cells.index, columns=cells.columns)
        for column, name in _NAMES.items():
            # As shown: two accuracies that look alike are both the best.
            best[name] = rows[column].notna() & (
                rows[column].round(3) == rows[column].round(3).max()
            )
        yield str(dataset), str(student), caption, cells, best


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    trained = (rows["mode"] == rows["trained_mode"]) & (rows["strategy"] != "base")
    cells = pd.DataFrame(
        {
            "Strategy": rows["strategy"],
            "Mode": rows["mode"] + trained.map({True: " †", False: ""}),
            "Accuracy": [_accuracy(row) for _, row in rows.iterrows()],
            **{name.capitalize(): rows[f"accuracy_{name}"].map(_share) for name in BUCKETS},
        }
    )
    return cells.assign(
        **{
            "Teacher tokens": rows["teacher_completion_tokens"].map(_tokens),
            "USD": (rows["cost_usd"] + rows["metric_cost_usd"]).map(money),
            "Target tokens": rows["target_tokens"].map("{:,.0f}".format),
        }
    )


def _share(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.3f}"


def _tokens(count: float) -> str:
    return "unknown" if pd.isna(count) else f"{count:,.0f}"


def money(value: float) -> str:
    """Return a sum in USD for people."""
    if pd.isna(value):
        return "unknown"
    return "0" if value == 0 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _accuracy(row: pd.Series) -> str:
    if pd.isna(row["accuracy"]):
        return "-"
    sd = row.get("accuracy_sd")
    spread = "" if sd is None or pd.isna(sd) else f" ± {sd:.3f}"
    return f"{row['accuracy']:.3f}{spread} [{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
