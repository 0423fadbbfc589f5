"""What the teachers' answers took, and how many were accepted, as tables."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from caft import layout
from caft.analysis.intervals import accuracy_interval
from caft.config import resolve as settings
from caft.config.rounds import rationale_tables
from caft.mixtures.buckets import BUCKETS
from caft.mixtures.rows import divisions
from caft.tables import parquet
from caft.teacher.acceptance import REASONS, item_status

SPEND = [
    "dataset", "student", "teacher", "items", "accepted",
    *(f"rejected_{reason}" for reason in REASONS),
    "samples", "answers", "imported", "prompt_tokens", "completion_tokens", "cost_usd", "seconds",
]  # fmt: skip
ACCEPTANCE = [
    "dataset", "student", "teacher", "by", "buckets", "group", "items", "accepted",
    "share", "share_low", "share_high",
]  # fmt: skip
_NO_CATEGORY = "(none)"


def paid_answers(rationales: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of answers that came, each answer once: items that ask the same share one."""
    came = rationales[rationales["finish_reason"] != "error"]
    return came.drop_duplicates("key")


def total_cost(answers: pd.DataFrame) -> float:
    """Return what answers cost in USD; NaN if that of any is unknown."""
    return float(answers["cost_usd"].astype(float).sum(skipna=False))


def spend_table(config: settings.Config) -> pd.DataFrame:
    """Tell what each teacher was asked for, what became of it and what it took.

    Args:
        config: the prepared configuration; tables are read from their places.

    Returns:
        One row per data set, student and teacher: items = accepted + rejected, by the reason of an
        item's last sample. Columns are described in docs/budget.md.
    """
    rows = [{**names, **spend(rationales)} for names, rationales in _runs(config)]
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
        "prompt_tokens": int(answers["prompt_tokens"].sum()),
        "completion_tokens": int(answers["completion_tokens"].sum()),
        "cost_usd": total_cost(answers),
        "seconds": float(answers["seconds"].sum()),
    }


def acceptance_table(config: settings.Config) -> pd.DataFrame:
    """Tell for how many items a teacher's rationale was accepted, by bucket and by category.

    Returns:
        One row per data set, student, teacher and group, and one for all items of each, with
        Wilson's interval. Columns are described in docs/budget.md.
    """
    rows = []
    for names, rationales in _runs(config):
        items = parquet.read("items", layout.at(layout.ITEMS, **names))
        category = items.set_index("item_id")["category"].fillna(_NO_CATEGORY)
        strategies = settings.strategies_of_teacher(config, names["teacher"]).values()
        buckets = {
            name: _read_buckets(**names, buckets=name)
            for name in sorted({name for strategy in strategies for name in divisions(strategy)})
        }
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


def _runs(config: settings.Config) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Yield the rationales of each data set, student and teacher of a run."""
    for dataset in config["run"]["datasets"]:
        for student in config["run"]["students"]:
            for teacher in settings.teachers_used(config):
                names = {"dataset": dataset, "student": student, "teacher": teacher}
                yield names, read_rationales(config, **names)


def read_rationales(
    config: settings.Config, dataset: str, student: str, teacher: str
) -> pd.DataFrame:
    """Read what a teacher wrote for a data set and student, in all rounds; each answer once."""
    names = {"dataset": dataset, "student": student}
    tables = [name.split("/") for name in rationale_tables(config)]
    parts = [
        parquet.read("rationales", layout.at(layout.RATIONALES, **names, round=number, teacher=one))
        for number, one in tables
        if one == teacher
    ]
    return pd.concat(parts, ignore_index=True).drop_duplicates(["item_id", "sample"])
