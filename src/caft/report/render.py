"""The summary as text for a terminal."""

import pandas as pd

_STAR = {True: "*", False: ""}


def as_prompted(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the first number of worked examples and the first checkpoint of a run.

    These are what figures and tables for papers show; all others are in the summary itself.
    """
    first = summary.iloc[0]
    return summary[
        (summary["shots"] == first["shots"]) & (summary["checkpoint"] == first["checkpoint"])
    ]


def render(summary: pd.DataFrame) -> str:
    """Render the summary for a terminal: accuracy with interval, differences and costs."""
    summary = as_prompted(summary)
    shown = pd.DataFrame(
        {
            "strategy": summary["strategy"],
            "mode": summary["mode"] + (summary["mode"] == summary["trained_mode"]).map(_STAR),
            "accuracy": [_interval(row, "accuracy") for _, row in summary.iterrows()],
            "easy": summary["accuracy_easy"].map("{:.2f}".format),
            "medium": summary["accuracy_medium"].map("{:.2f}".format),
            "hard": summary["accuracy_hard"].map("{:.2f}".format),
            "vs base": [_interval(row, "vs_base") for _, row in summary.iterrows()],
            "vs distill*": [
                _interval(row, "vs_distill_as_trained") for _, row in summary.iterrows()
            ],
            "teacher tokens": summary["teacher_completion_tokens"],
        }
    )
    parts = []
    for (dataset, student), rows in shown.groupby(
        [summary["dataset"], summary["student"]], sort=False
    ):
        count = summary.loc[rows.index[0], "n"]
        parts.append(
            f"{dataset}, {student}, {count} items, 95% intervals, * = the mode it was trained for"
        )
        parts.append(rows.to_string(index=False))
    return "\n".join(parts)


def _interval(row: pd.Series, name: str) -> str:
    if pd.isna(row[name]):
        return "-"
    sign = "+" if name.startswith("vs") else ""
    return (
        f"{row[name]:{sign}.3f} [{row[f'{name}_low']:{sign}.2f}, {row[f'{name}_high']:{sign}.2f}]"
    )
