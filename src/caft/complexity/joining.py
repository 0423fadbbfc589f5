"""The rows of a file of scores, and how they are joined to the items."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from caft import layout
from caft.complexity.reading import as_list, read_value, require_number
from caft.complexity.settings import At, MetricSettings
from caft.datasets.cells import as_text, missing
from caft.datasets.file import read_records
from caft.datasets.mapping import Records, map_rows, sorted_out
from caft.datasets.settings import Columns, Table
from caft.errors import ConfigError, ItemError
from caft.tables.hashing import nfc
from caft.tables.parquet import records
from caft.tables.rows import Limits, Unread
from caft.tables.selectors import select

_BETWEEN = "\x1f"  # between a question and its options


@dataclass(frozen=True)
class Joined:
    """Values of a file's rows on the items.

    Attributes:
        values: item_id, value, reason; a row per item in their order.
        problems: rows that gave no value: row, key, value (as text), reason.
        counts: of rows and of items, by what became of them.
    """

    values: pd.DataFrame
    problems: pd.DataFrame
    counts: dict[str, int]


def read_rows(settings: MetricSettings, downloads: Path = Path(layout.DOWNLOADS)) -> pd.DataFrame:
    """Read the rows that are meant, reduced to what the join needs.

    Args:
        settings: as of `caft.complexity.imported.import_metric`.
        downloads: folder for a data set of the hub.

    Returns:
        row (1-based, as an editor shows it), key, text (of the value), value and reason (of a value
        that is none: no_value, not_a_number; `unreadable` for a line that is no row).
    """
    path, everything, rejected = _read(settings, downloads)
    where = settings.where or {}
    columns, value = _columns(settings), str(settings.column)
    position = [settings.aggregate.at] if isinstance(settings.aggregate, At) else []
    _check(path, everything, [*columns.values(), value, *position, *where])
    meant = [
        (row, record)
        for row, record in everything
        if all(as_text(record.get(name)) == as_text(wanted) for name, wanted in where.items())
    ]
    if not meant:
        raise ConfigError(f"{path}: no row has {dict(where)} (metrics.<name>.where).")
    record_of = dict(meant)
    # No answer is looked at: the question stands in its place.
    mapped = map_rows(meant, path, Table(columns=Columns(**columns), answer_format="text"))
    rows = [
        {
            "row": entry["row"],
            "key": _key(entry, settings),
            "text": _text(cell := select(record_of[entry["row"]], value)),
            **read_value(cell, record_of[entry["row"]], settings),
        }
        for entry in mapped.rows
    ]
    require_number(
        f"{path}: column {value!r}",
        [select(record, value) for _, record in meant],
        [row["value"] for row in rows],
    )
    rows += [
        {"row": entry["row"], "text": entry["detail"], "reason": "unreadable"}
        for entry in [*mapped.rejected, *rejected]
    ]
    table = pd.DataFrame(rows, columns=["row", "key", "text", "value", "reason"], dtype=object)
    return table.astype({"row": int, "value": float})


def join(rows: pd.DataFrame, items: pd.DataFrame, settings: MetricSettings) -> Joined:
    """Give every item the value of the row that fits it.

    A key whose rows differ in value is ambiguous, and so is one that several items share; rows that
    repeat a value are not.

    Args:
        rows: from `read_rows`.
        items: the items table.
        settings: as of `caft.complexity.imported.import_metric`.

    Raises:
        ConfigError: if no row fits any item.
    """
    keys = pd.Series(_item_keys(items, settings), index=items.index, dtype=object)
    fits = rows["key"].map(keys.value_counts()).fillna(0)
    if not fits.any():
        raise ConfigError(
            f"{settings.hub.id if settings.hub else settings.path}: none of its {len(rows)} rows "
            f"fits an item by {settings.join}; the file has {_shown(rows['key'])}, the items have "
            f"{_shown(keys)}. Check `join`, `id` and `columns`."
        )
    values = rows.groupby("key", sort=False)["value"].agg(["first", "nunique"])
    several = (fits > 1) | rows["key"].map(values["nunique"]).gt(1)
    verdict = rows["reason"].mask(several, "ambiguous").mask(fits == 0, "unmatched")
    verdict = verdict.mask(rows["reason"] == "unreadable", "unreadable")
    # One row with a value is enough for an item; else it has the verdict of its first row.
    good = set(rows["key"][verdict.isna()])
    why = verdict.groupby(rows["key"], sort=False).first()
    has_value = keys.isin(good)
    found = pd.DataFrame(
        {
            "item_id": items["item_id"].to_numpy(),
            "value": keys.map(values["first"]).astype(float).where(has_value).to_numpy(),
            "reason": keys.map(why).fillna("unmatched").mask(has_value).to_numpy(),
        }
    )
    shown = rows["key"].str.replace(_BETWEEN, " | ")
    problems = pd.DataFrame(
        {"row": rows["row"], "key": shown, "value": rows["text"], "reason": verdict}
    )[verdict.notna()]
    counts = {
        "rows": len(rows),
        "rows_matched": int(verdict.isna().sum()),
        **{f"rows_{name}": int(count) for name, count in verdict.value_counts().items()},
        "items": len(items),
        "items_matched": int(has_value.sum()),
        **{f"items_{name}": int(count) for name, count in found["reason"].value_counts().items()},
    }
    return Joined(found, problems.reset_index(drop=True), counts)


def _read(settings: MetricSettings, downloads: Path) -> tuple[str, Records, list[dict[str, Any]]]:
    """Return the name of what is read, its rows, and what could not be read of it."""
    if not settings.hub:
        path = str(settings.path)
        try:
            return path, *read_records(path, settings.format)
        except Unread as error:  # which names a key of question sets
            if lacking := [name for name in error.mend if name != "format"]:
                raise ItemError(
                    f"{str(error).split(';')[0]}; a metric has no key `{lacking[0]}`: save the "
                    "file as CSV in UTF-8, JSON lines or Parquet."
                ) from error
            raise
    from caft.datasets.hub import load_parts, rows_of  # its library takes a second to import

    name, part = settings.hub.id, settings.hub.part
    parts = load_parts(name, settings.hub.config, settings.hub.revision, downloads)
    place = f"{name}/{part}"
    return place, *sorted_out(place, rows_of(parts, name, part, Limits()))


def _columns(settings: MetricSettings) -> dict[str, Any]:
    """Return the columns that rows are joined by as those of a question set."""
    if settings.join == "question":
        columns = settings.columns or {"question": "question"}
    else:
        name = settings.id or settings.join
        columns = {"id": name, "question": name}
    return {**columns, "answer": columns["question"]}


def _text(cell: Any) -> str | None:
    """Return a value as people are shown it; of a long list its beginning."""
    cell = as_list(cell)
    return f"{cell}"[:200] if isinstance(cell, list) else as_text(cell)


def _key(row: Mapping[str, Any], settings: MetricSettings) -> str | None:
    if settings.join != "question":
        return row["source_id"]
    with_options = "options" in _columns(settings)
    return _text_key(row["question"], row["options"] if with_options else None)


def _item_keys(items: pd.DataFrame, settings: MetricSettings) -> list[str | None]:
    if settings.join != "question":
        return [as_text(value) for value in items[settings.join]]
    return [_key(item, settings) for item in records(items[["question", "options"]])]


def _text_key(question: Any, options: Any) -> str | None:
    """Join question and options, without what differs between copies of one text."""
    text = as_text(question)
    if text is None or isinstance(options, str | bytes | dict | int | float):  # no list
        return None
    parts = [text, *(as_text(option) or "" for option in ([] if options is None else options))]
    return _BETWEEN.join(" ".join(nfc(part).lower().split()) for part in parts)


def _check(path: str, rows: list[tuple[int, dict[str, Any]]], columns: list[Any]) -> None:
    records = [record for _, record in rows]
    for column in columns:
        for name in column if isinstance(column, list) else [column]:
            if there := missing(records, name):
                raise ConfigError(f"{path}: no column {name!r}; {there}.")


def _shown(keys: pd.Series) -> str:
    return ", ".join(repr(key[:60]) for key in keys.dropna().head(3)) or "none"
