"""From raw rows to the items table: checks, canonical answers, ids, duplicates and splits."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from caft.datasets import RawRows
from caft.datasets.content import BadRow, asked_and_gold, content_of
from caft.datasets.looks import described, warnings
from caft.datasets.overlap import overlaps
from caft.datasets.settings import DatasetSettings, Splits
from caft.errors import ItemError
from caft.tables.hashing import canonical_json
from caft.tables.parquet import SCHEMAS

_BY_PRIORITY = ("test", "validation", "train")
_ROWS = 2000  # that are objects of Python at once; what becomes of them is kept as columns
_SHARED_BY, _SHARED_SHARE = 10, 0.05  # rows about one text, at most, to be kept together
_MORE = "more."  # before the names of further columns
_TEXT = pa.large_string()
_SCHEMA = pa.schema(
    {
        "file": _TEXT,
        "row": pa.int64(),
        "source_id": _TEXT,
        "question": _TEXT,
        "options": pa.large_list(_TEXT),
        "answer": _TEXT,
        "category": _TEXT,
        "rationale": _TEXT,
        "split": _TEXT,
        "item_id": _TEXT,
        "draw": pa.float64(),
        "draw_of_text": pa.float64(),
        "order": pa.list_(pa.int64()),
        "marked": pa.bool_(),
    }
)
"""A raw row that can be used, with what `content_of` makes of it."""


@dataclass
class Ingested:
    """A question set that is ready to use.

    Attributes:
        items: columns of the items table, in source order.
        quarantine: columns of quarantined_items; the rows that cannot be used, and why.
        report: counts; rows_read = items + duplicates + the sum of rejected.
    """

    items: pd.DataFrame
    quarantine: pd.DataFrame
    report: dict[str, Any]


def ingest(
    raw: RawRows,
    splits: Splits,
    seed: int,
    source: str,
    max_bad_share: float,
    *,
    shuffle: bool = False,
    max_overlap: float | None = None,
) -> Ingested:
    """Check the rows, make items of the good ones and give every item its split.

    Args:
        raw: what an adapter read.
        splits: shares of train, validation and test.
        seed: of the split draws.
        source: the dataset's name in the config.
        max_bad_share: more bad rows than this share (and more than one) are an error.
        shuffle: put the options of each item into an order that its content gives; the column
            `source_order` keeps, for each, its place in the source.
        max_overlap: items of train and validation go to the quarantine if more than this share of
            their runs of words is in test questions; None keeps all.

    Raises:
        ItemError: if no row or too few rows can be used, two rows share an id but not the content,
            or two contents share an item_id.
    """
    bad: list[dict[str, Any]] = []
    parts = list(_parts(raw, shuffle, seed, bad))
    good = pa.concat_tables([_SCHEMA.empty_table(), *parts], promote_options="default")
    rows_read = len(good) + len(bad) + len(raw.rejected)
    bad += raw.rejected
    bad.sort(key=lambda entry: (entry["file"], entry["row"]))
    _check_share(bad, rows_read, source, max_bad_share)
    _check_source_ids(good)
    again = _repeated(good)
    split = _splits(good, splits)
    del good  # so that what is left of a part takes its place
    starts = np.cumsum([0, *map(len, parts)])
    for place, (first, end) in enumerate(pairwise(starts)):
        parts[place] = parts[place].filter(~again[first:end])
    kept = pa.concat_tables([_SCHEMA.empty_table(), *parts], promote_options="default")
    del parts
    items = _table(kept, raw.answer_kind, source, shuffle, split[~again])
    items, close = _without_overlap(items, max_overlap)
    bad += [_quarantined(_row(kept, place), "overlaps_test", detail) for place, detail in close]
    sizes = pc.min_max(pc.list_value_length(kept["options"])).as_py()
    counted = {
        "question_groups_shared": _shared(kept["draw"]),
        "label_marks_removed": pc.sum(kept["marked"]).as_py() or 0,
        "drawn_beside_own_splits": _drawn_beside(kept["split"]),
        "conflicting_answers": _conflicts(kept),
    }
    del kept
    report = {
        "rows_read": rows_read,
        "rejected": dict(Counter(entry["reason"] for entry in bad)),
        "blank_rows": raw.blank,
        "duplicates": int(again.sum()),
        "items": len(items),
        "by_split": {name: int((items["split"] == name).sum()) for name, _ in splits},
        "by_answer_kind": {raw.answer_kind: len(items)},
        "options_min": sizes["min"],
        "options_max": sizes["max"],
        "with_rationale": int(items["reference_rationale"].notna().sum()),
        **counted,
        **described(items),
    }
    report["warnings"] = [*raw.notes, *warnings(report, raw.answer_format)]
    bad.sort(key=lambda entry: (entry["file"], entry["row"]))
    quarantine = pd.DataFrame(bad, columns=SCHEMAS["quarantined_items"].names)
    return Ingested(items, quarantine, report)


def _parts(raw: RawRows, shuffle: bool, seed: int, bad: list[dict[str, Any]]) -> Iterator[pa.Table]:
    """Yield what becomes items, as columns, some rows at a time; other rows are put to `bad`."""
    rows = iter(raw.rows)
    while some := list(islice(rows, _ROWS)):
        good = []
        for row in some:
            try:
                made = content_of(row, raw.answer_kind, raw.answer_format, shuffle, seed)
            except BadRow as problem:
                bad.append(_quarantined(row, *problem.args))
            else:
                more = {f"{_MORE}{name}": text for name, text in row.get("more", {}).items()}
                good.append({**row, **made, **more})
        names = dict.fromkeys(name for row in good for name in row if name.startswith(_MORE))
        more_fields = [pa.field(name, _TEXT) for name in names]
        yield pa.Table.from_pylist(good, schema=pa.schema([*_SCHEMA, *more_fields]))


def _table(
    kept: pa.Table, answer_kind: str, source: str, shuffle: bool, split: np.ndarray
) -> pd.DataFrame:
    """Return the items table of checked rows, in their order."""
    columns: dict[str, Any] = {
        **{name: kept[name].to_pandas() for name in ("item_id", "question")},
        "options": pd.Series(kept["options"].to_pylist(), dtype=object),
        "answer": kept["answer"].to_pandas(),
        "answer_kind": answer_kind,
        "category": kept["category"].to_pandas(),
        "reference_rationale": kept["rationale"].to_pandas(),
        "source": source,
        "source_id": kept["source_id"].to_pandas(),
        "split": split,
    }
    if shuffle:
        columns["source_order"] = pd.Series(kept["order"].to_pylist(), dtype=object)
    for name in kept.column_names:
        if name.startswith(_MORE):
            columns[name.removeprefix(_MORE)] = kept[name].to_pandas()
    return pd.DataFrame(columns)


def ingest_as(settings: DatasetSettings, raw: RawRows, seed: int, source: str) -> Ingested:
    """Make the items of what an adapter read, as the section of the data set says."""
    return ingest(
        raw,
        settings.splits,
        seed,
        source,
        settings.max_bad_share,
        shuffle=bool(settings.shuffle_options),
        max_overlap=settings.max_overlap,
    )


def _without_overlap(
    items: pd.DataFrame, most: float | None
) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """Leave out items that share too much with test; and say their places, and how much."""
    if most is None:
        return items, []
    share = overlaps(items["question"], items["split"])["share"]
    close = share[share > most]
    detail = "{:.0%} of its runs of 13 words are in test questions"
    return (
        items.drop(index=close.index).reset_index(drop=True),
        [(int(place), detail.format(value)) for place, value in close.items()],  # type: ignore
    )


def _drawn_beside(own: pa.ChunkedArray) -> int:
    """Return how many rows have no split of the source's own, where others have."""
    return own.null_count if own.null_count < len(own) else 0


def _shared(draws: pa.ChunkedArray) -> int:
    """Return how many draws belong to several items."""
    return int((draws.to_pandas().value_counts() > 1).sum())


def _conflicts(kept: pa.Table) -> int:
    """Return how many questions have equal options and several answers; one at most is right."""
    several = np.flatnonzero(kept["draw"].to_pandas().duplicated(keep=False))
    rows = kept.select(["draw", "options", "answer"]).take(several).to_pylist()
    answers: dict[tuple[Any, ...], set[str]] = {}
    for row in rows:
        asked, gold = asked_and_gold(row)
        answers.setdefault(asked, set()).add(gold)
    return sum(len(golds) > 1 for golds in answers.values())


def require_splits(items: pd.DataFrame, splits: Splits, source: str) -> None:
    """Check that every split with a share has an item, before anything is computed for them.

    Raises:
        ItemError: naming the empty split.
    """
    for name, share in splits:
        if share and not (items["split"] == name).any():
            raise ItemError(
                f"datasets.{source}: none of the {len(items)} items is in the split {name}; "
                "give more rows or another share in `splits`."
            )


def _quarantined(row: dict[str, Any], reason: str, detail: str) -> dict[str, Any]:
    source_id = (row["source_id"] or "").encode(errors="backslashreplace").decode() or None
    return {
        "file": row["file"],
        "row": row["row"],
        "source_id": source_id,
        "reason": reason,
        "detail": detail,
    }


def _check_share(bad: list[dict[str, Any]], rows: int, source: str, max_bad_share: float) -> None:
    first = "; ".join(f"{b['file']}, row {b['row']}: {b['detail']}" for b in bad[:3])
    if len(bad) == rows:
        raise ItemError(f"dataset {source}: none of {rows} rows can be used; {first or 'no rows'}.")
    if len(bad) > max(1, max_bad_share * rows):
        raise ItemError(
            f"dataset {source}: {len(bad)} of {rows} rows ({len(bad) / rows:.1%}) cannot be used, "
            f"more than datasets.{source}.max_bad_share ({max_bad_share}) allows; {first}."
        )


def _check_source_ids(good: pa.Table) -> None:
    pairs = good.select(["source_id", "item_id"]).to_pandas().dropna().drop_duplicates()
    again = pairs[pairs["source_id"].duplicated()]
    if again.empty:
        return
    name = again["source_id"].iloc[0]
    first = pairs.index[pairs["source_id"] == name][0]
    raise ItemError(
        f"{_place(good, first)} and {_place(good, again.index[0])}: the same id {name!r} but other "
        "content; give each question its own id, or leave out `columns.id`."
    )


def _draws_of_texts(good: pa.Table) -> np.ndarray:
    """Return the draw of each row's text; one that many rows share is an instruction, not a topic.

    All its rows would be in one split.
    """
    draw, of_text = good["draw"].to_pandas(), good["draw_of_text"].to_pandas()
    count = of_text.map(of_text.value_counts())
    return of_text.where(count <= max(_SHARED_BY, _SHARED_SHARE * len(good)), draw).to_numpy()


def _repeated(good: pa.Table) -> np.ndarray:
    """Tell which rows have the content of one before them."""
    ids = good["item_id"].to_pandas()
    again = ids.duplicated().to_numpy()
    firsts = ids[ids.isin(ids[again]) & ~again]
    first_of = dict(zip(firsts, firsts.index, strict=True))
    for place in np.flatnonzero(again).tolist():
        first = first_of[ids[place]]
        if _hashed(good, first) != _hashed(good, place):
            raise ItemError(
                f"{_place(good, first)} and {_place(good, place)}: different questions share "
                f"item_id {ids[place]}; change one by a space."
            )
    return again


def _row(rows: pa.Table, place: int) -> dict[str, Any]:
    return rows.slice(place, 1).to_pylist()[0]


def _place(rows: pa.Table, place: int) -> str:
    row = _row(rows, place)
    return f"{row['file']}, row {row['row']}"


def _hashed(rows: pa.Table, place: int) -> str:
    row = _row(rows, place)
    return canonical_json({key: row[key] for key in ("question", "options", "answer")})


def _splits(good: pa.Table, splits: Splits) -> np.ndarray:
    """Return the split of each row: the source's own split first, else what the draw says.

    Equal questions have equal draws, so they stay together; new rows move no old one. Questions
    about one text stay together too, where the draw says.
    """
    draw, own = good["draw"].to_pandas(), good["split"].to_pandas()
    of_text = _draws_of_texts(good)
    rank = own.map({name: place for place, name in enumerate(_BY_PRIORITY)})
    first = rank.astype(float).groupby(draw).transform("min")
    drawn = np.select([of_text < splits.test, of_text < splits.test + splits.validation], [0, 1], 2)
    return np.array(_BY_PRIORITY, dtype=object)[first.fillna(pd.Series(drawn)).astype(int)]
