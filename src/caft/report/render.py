"""The summary and what it answers, as text for a terminal."""

import textwrap

import pandas as pd

from caft.report.answer import Answer
from caft.report.results import REFERENCES, Group, Tables
from caft.report.wording import interval

_STAR = {True: "*", False: ""}
_SHORT = {"random_same_size": "random"}
_LEGEND = """\
* = the mode it was trained for; [] = 95% interval; vs random = vs random_same_size; teacher =
tokens that it wrote; better, worse, alike, open (too few items or seeds) = the verdict on a
difference: the verdict decides, an interval shows the size"""


def render(tables: Tables) -> str:
    """Render the summary for a terminal: accuracy with interval, verdicts and costs."""
    parts = []
    for group in tables.groups():
        parts.append(f"{group.dataset}, {group.student}, {group.rows['n'].iloc[0]} items")
        parts.append(_table(group).to_string(index=False))
    return "\n".join([*parts, _LEGEND])


def tell(found: list[Answer]) -> str:
    """Return the sentences of a run for a terminal: the answer, what to do next, and warnings."""
    parts = []
    for answer in found:
        parts.append(f"{answer.title}:")
        for title, sentences in (
            ("", answer.result),
            ("Costs: ", answer.costs),
            ("Next: ", answer.advice),
            ("Warnings: ", answer.warnings),
        ):
            if sentences:
                text = title + " ".join(sentences)
                parts += textwrap.wrap(text, 98, break_on_hyphens=False)
    return "\n".join(parts)


def _table(group: Group) -> pd.DataFrame:
    rows = group.rows
    starred = rows["mode"] == rows["trained_mode"]
    return pd.DataFrame(
        {
            "strategy": rows["strategy"],
            "mode": rows["mode"] + starred.map(_STAR),
            "accuracy": [interval(row, "accuracy") for _, row in rows.iterrows()],
            **{
                bucket: rows[f"accuracy_{bucket}"].map("{:.2f}".format)
                for bucket in ("easy", "medium", "hard")
            },
            **{
                f"vs {_SHORT.get(other, other)}": [
                    _verdict(group, row, other) for _, row in rows.iterrows()
                ]
                for other in REFERENCES
                if other in set(rows["strategy"])
            },
            "teacher": rows["teacher_completion_tokens"],
        }
    )


def _verdict(group: Group, row: pd.Series, other: str) -> str:
    """The verdict against another strategy: as shown for a shown row, else asked alike."""
    shown = row["mode"] == group.shown.at[row["strategy"], "mode"]
    found = group.verdict(row["strategy"], other, group.family if shown else row["mode"])
    return f"{found.difference.value + 0.0:+.2f} {found.word}" if found else "-"
