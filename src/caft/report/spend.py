"""What the teachers' answers took, and how many were accepted, as tables."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from caft import layout
from caft.analysis.intervals import accuracy_interval
from caft.config.rounds import Taught
from caft.mixtures.buckets import BUCKETS
from caft.tables import parquet
from caft.teacher.acceptance import REASONS, item_status

SPEND = [
    "dataset", "student", "teacher", "items", "accepted",
    *(f"rejected_{reason}" for reason in REASONS),
    "samples", "answers", "imported", "prompt_tokens", "completion_tokens", "cost_usd", "seconds",
    "answered_by",
]  # fmt: skip
ACCEPTANCE = [
    "dataset", "student", "teacher", "by", "buckets", "group", "items", "accepted",
    "share", "share_low", "share_high",
]  # fmt: skip
_NO_CATEGORY = "(none)"

Pairs = list[tuple[str, str]]
"""Data set and student of each part of a run."""


def paid_answers(rationales: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of answers that came, each answer once: items that ask the same share one."""
    came = rationales[rationales["finish_reason"] != "error"]
    return came.drop_duplicates("key")


def total_cost(answers: pd.DataFrame) -> float:
    """Return what answers cost in USD; NaN if that of any is unknown."""
    return float(answers["cost_usd"].astype(float).sum(skipna=False))


def total_tokens(answers: pd.DataFrame, column: str) -> float:
    """Return a sum of tokens; NaN if the count of any answer is unknown."""
    counts = answers[column]
    return float("nan") if counts.isna().any() else int(counts.sum())


def spend_table(pairs: Pairs, taught: list[Taught]) -> pd.DataFrame:
    """Tell what each teacher was asked for, what became of it and what it took.

    Args:
        pairs: data sets and students of the run.
        taught: what each teacher was asked for; tables are read from their places.

    Returns:
        One row per data set, student and teacher: items = accepted + rejected, by the reason of an
        item's last sample. Columns are described in docs/budget.md.
    """
    rows = [{**names, **spend(rationales)} for names, _, rationales in _runs(pairs, taught)]
    return pd.DataFrame(rows, columns=SPEND)


def spend(rationales: pd.DataFrame) -> dict[str, Any]:
    """Return the counts and sums of one rationales table."""
    status, answers = item_status(rationales), paid_answers(rationales)
    return {
        "items": len(status),
        "accepted": int(status["accepted"].sum()),
        **{f"rejected_{reason}": int((status["reason"] == reason).sum()) for reason in REASONS},
        "samples": len(rationales),
        "answers": len(answers),
        "imported": int(answers["imported"].sum()),
        "prompt_tokens": total_tokens(answers, "prompt_tokens"),
        "completion_tokens": total_tokens(answers, "completion_tokens"),
        "cost_usd": total_cost(answers),
        "seconds": float(answers["seconds"].sum()),
        "answered_by": ", ".join(sorted(answers["answered_by"].dropna().unique())) or None,
    }


def acceptance_table(pairs: Pairs, taught: list[Taught]) -> pd.DataFrame:
    """Tell for how many items a teacher's rationale was accepted, by bucket and by category.

    Args:
        pairs: data sets and students of the run.
        taught: what each teacher was asked for; tables are read from their places.

    Returns:
        One row per data set, student, teacher and group, and one for all items of each, with
        Wilson's interval. Columns are described in docs/budget.md.
    """
    rows = []
    for names, asked, rationales in _runs(pairs, taught):
        items = parquet.read("items", layout.at(layout.ITEMS, **names))
        category = items.set_index("item_id")["category"].fillna(_NO_CATEGORY)
        buckets = {name: _read_buckets(**names, buckets=name) for name in asked.buckets}
        rows += [{**names, **row} for row in acceptance(rationales, category, buckets)]
    return pd.DataFrame(rows, columns=ACCEPTANCE)


def _read_buckets(**names: str) -> pd.Series:
    path = layout.at(layout.BUCKETS, **names)
    return parquet.read("buckets", path).set_index("item_id")["bucket"]


def acceptance(
    rationales: pd.DataFrame, category: pd.Series, buckets: dict[str, pd.Series]
) -> Iterator[dict[str, Any]]:
    """Yield the acceptance of one rationales table in groups.

    Args:
        rationales: the table.
        category: of the items, by item_id.
        buckets: by name of the definition, the bucket of the items, by item_id.
    """
    accepted = item_status(rationales)["accepted"].astype(bool)
    yield _share(accepted, "all")
    for name, bucket in buckets.items():
        of_item = bucket.reindex(accepted.index)
        for group in BUCKETS:
            yield _share(accepted[of_item == group], "bucket", group, name)
    of_item = category.reindex(accepted.index)
    for group in sorted(of_item.unique()):
        yield _share(accepted[of_item == group], "category", group)


def _share(
    accepted: pd.Series, by: str, group: str | None = None, buckets: str | None = None
) -> dict[str, Any]:
    share = accuracy_interval(accepted)
    return {
        "by": by,
        "buckets": buckets,
        "group": group,
        "items": len(accepted),
        "accepted": int(accepted.sum()),
        "share": share.value,
        "share_low": share.low,
        "share_high": share.high,
    }


def _runs(
    pairs: Pairs, taught: list[Taught]
) -> Iterator[tuple[dict[str, str], Taught, pd.DataFrame]]:
    """Yield the rationales of each data set, student and teacher of a run."""
    for dataset, student in pairs:
        for asked in taught:
            names = {"dataset": dataset, "student": student, "teacher": asked.teacher}
            yield names, asked, read_rationales(dataset, student, asked)


def read_rationales(dataset: str, student: str, asked: Taught) -> pd.DataFrame:
    """Read what a teacher wrote for a data set and student, in all rounds; each answer once."""
    names = {"dataset": dataset, "student": student, "teacher": asked.teacher}
    paths = [layout.at(layout.RATIONALES, **names, round=number) for number in asked.rounds]
    parts = [parquet.read("rationales", path) for path in paths]
    return pd.concat(parts, ignore_index=True).drop_duplicates(["item_id", "sample"])
