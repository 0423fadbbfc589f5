"""From raw rows to the items table: checks, canonical answers, ids, duplicates and splits."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from caft.datasets import RawRows
from caft.datasets.looks import described, warnings
from caft.datasets.overlap import overlaps
from caft.datasets.settings import DatasetSettings, Splits
from caft.errors import ItemError
from caft.prompting.numbers import canonical_number
from caft.tables.hashing import canonical_json, item_id, nfc, unit_interval
from caft.tables.parquet import SCHEMAS

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARK = re.compile(r"\s*\(?([A-Za-z]|[0-9]{1,2})(?:\)\s*|[.:]\s+)(?=\S)")
_BY_PRIORITY = ("test", "validation", "train")


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


class _BadRow(Exception):
    """A row that cannot be used; the arguments are its reason and a plain detail."""


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
    good, bad = [], list(raw.rejected)
    for row in raw.rows:
        try:
            made = _content(row, raw.answer_kind, raw.answer_format, shuffle, seed)
        except _BadRow as problem:
            reason, detail = problem.args
            bad.append(_quarantined(row, reason, detail))
        else:
            good.append({**row, **made})
    rows_read = len(raw.rows) + len(raw.rejected)
    bad.sort(key=lambda entry: (entry["file"], entry["row"]))
    _check_share(bad, rows_read, source, max_bad_share)
    _check_source_ids(good)
    kept = _distinct(good)
    items = _table(kept, raw.answer_kind, source, shuffle, _splits(good, splits))
    items, close = _without_overlap(items, max_overlap)
    bad += [_quarantined(kept[place], "overlaps_test", detail) for place, detail in close]
    sizes = [len(row["options"]) for row in kept if row["options"]]
    groups = Counter(row["draw"] for row in kept)
    report = {
        "rows_read": rows_read,
        "rejected": dict(Counter(entry["reason"] for entry in bad)),
        "blank_rows": raw.blank,
        "duplicates": len(good) - len(kept),
        "items": len(items),
        "by_split": {name: int((items["split"] == name).sum()) for name, _ in splits},
        "by_answer_kind": {raw.answer_kind: len(items)},
        "options_min": min(sizes, default=None),
        "options_max": max(sizes, default=None),
        "with_rationale": int(items["reference_rationale"].notna().sum()),
        "question_groups_shared": sum(size > 1 for size in groups.values()),
        "label_marks_removed": sum(row["marked"] for row in kept),
        "drawn_beside_own_splits": _drawn_beside(kept),
        **described(items),
    }
    report["warnings"] = [*raw.notes, *warnings(report, raw.answer_format)]
    bad.sort(key=lambda entry: (entry["file"], entry["row"]))
    quarantine = pd.DataFrame(bad, columns=SCHEMAS["quarantined_items"].names)
    return Ingested(items, quarantine, report)


def _table(
    rows: list[dict[str, Any]],
    answer_kind: str,
    source: str,
    shuffle: bool,
    split_of: dict[float, str],
) -> pd.DataFrame:
    """Return the items table of checked rows, in their order."""
    columns: dict[str, Any] = {
        "item_id": [row["item_id"] for row in rows],
        "question": [row["question"] for row in rows],
        "options": [row["options"] for row in rows],
        "answer": [row["answer"] for row in rows],
        "answer_kind": answer_kind,
        "category": [row["category"] for row in rows],
        "reference_rationale": [(row["rationale"] or "").strip() or None for row in rows],
        "source": source,
        "source_id": [row["source_id"] for row in rows],
        "split": [split_of[row["draw"]] for row in rows],
    }
    if shuffle:
        columns["source_order"] = [row["order"] for row in rows]
    for name in dict.fromkeys(name for row in rows for name in row.get("more", {})):
        columns[name] = [row.get("more", {}).get(name) for row in rows]
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


def _drawn_beside(rows: list[dict[str, Any]]) -> int:
    """Return how many rows have no split of the source's own, where others have."""
    drawn = sum(row["split"] is None for row in rows)
    return drawn if drawn < len(rows) else 0


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


def _content(
    row: dict[str, Any], kind: str, answer_format: str, shuffle: bool, seed: int
) -> dict[str, Any]:
    """Return a row's checked options, canonical answer and item_id, and what was done to them.

    `draw` follows from the seed and the question in small letters and with single spaces, so that
    questions that are equal but for those share a split.
    """
    for key in ("question", "answer", "category", "rationale", "source_id"):
        _check_text(key, row[key])
    for key, text in row.get("more", {}).items():
        _check_text(key, text)
    if not (row["question"] or "").strip():
        raise _BadRow("empty_question", "the question is empty")
    given = _checked_options(row["options"]) if kind == "choice" else None
    options = unmarked(given) if given else None
    marked = options != given
    if marked and options:
        _checked_options(options)
    answer = (row["answer"] or "").strip()
    if not answer:
        raise _BadRow("missing_answer", "the answer is empty")
    if options:
        by_mark = answer_format == "text" and _option_key(answer) not in map(_option_key, options)
        answer = _letter(answer, given if by_mark and given else options, answer_format)
    elif kind == "numeric":
        number = canonical_number(answer)
        if number is None:
            raise _BadRow("not_a_number", f"answer {answer[:60]!r} is not a number")
        answer = number
    if row["split"] not in (None, *_BY_PRIORITY):
        raise _BadRow("bad_split", f"split {row['split']!a} is none of train, validation, test")
    order = None
    if options and shuffle:
        order = shuffled(row["question"], options)
        answer = _LETTERS[order.index(_LETTERS.index(answer))]
        options = [options[place] for place in order]
    return {
        "options": options,
        "answer": answer,
        "item_id": item_id(row["question"], options, answer),
        "draw": unit_interval("split", seed, " ".join(nfc(row["question"].casefold()).split())),
        "order": order,
        "marked": marked,
    }


def shuffled(question: str, options: list[str]) -> list[int]:
    """Return an order of options that their texts and the question give, and nothing else.

    So it is the same on every machine, in whatever order a source has them.

    Returns:
        For each new place the old one, from 0.
    """
    question, keys = nfc(question), [nfc(option) for option in options]
    return sorted(
        range(len(keys)), key=lambda place: unit_interval("option", question, keys[place])
    )


def unmarked(options: list[str]) -> list[str]:
    """Take marks such as `A) `, `(b) ` or `2. ` off options, if all have them in order."""
    found = [_MARK.match(option) for option in options]
    marks = [match[1] for match in found if match]
    if len(marks) < len(options) or len({match[0].strip()[-1] for match in found if match}) > 1:
        return options
    numbers = [str(place) for place in range(1, len(options) + 1)]
    letters = list(_LETTERS[: len(options)])
    if marks not in (numbers, letters, [letter.lower() for letter in letters]):
        return options
    return [option[match.end() :] for option, match in zip(options, found, strict=True) if match]


def _check_text(what: str, text: str | None) -> None:
    if text is not None and ("\0" in text or not _encodable(text)):
        raise _BadRow("not_text", f"{what} holds a NUL or a lone surrogate")


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked_options(options: Any) -> list[str]:
    if options is None:
        raise _BadRow("bad_options", "there are no options")
    if not isinstance(options, list):
        raise _BadRow("bad_options", f"the options are no list: {str(options)[:60]!a}")
    if not all((option or "").strip() for option in options):
        raise _BadRow("bad_options", "an option is empty")
    for option in options:
        _check_text("an option", option)
    if len(options) < 2:
        raise _BadRow("single_option", f"{len(options)} option, at least 2 are needed")
    if len(options) > len(_LETTERS):
        raise _BadRow("too_many_options", f"{len(options)} options, at most 26 have a letter")
    keys = [_option_key(option) for option in options]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            first, second = _LETTERS[keys.index(key)], _LETTERS[index]
            raise _BadRow("duplicate_options", f"options {first} and {second} are equal")
    return options


def _letter(answer: str, options: list[str], answer_format: str) -> str:
    index: int | None
    if answer_format == "text":
        keys = [_option_key(option) for option in options]
        index = keys.index(_option_key(answer)) if _option_key(answer) in keys else None
    elif answer_format == "letter":
        letter = answer.strip("().").upper()
        index = _LETTERS.index(letter) if len(letter) == 1 and letter in _LETTERS else None
    else:
        number = canonical_number(answer)
        index = int(number) if number and number.lstrip("-").isdigit() else None
        if index is not None and answer_format == "index1":
            index -= 1
    if index is None or not 0 <= index < len(options):
        last = _LETTERS[len(options) - 1]
        detail = f"answer {answer[:60]!r} is not among the {len(options)} options A-{last}"
        raise _BadRow("answer_not_an_option", detail)
    return _LETTERS[index]


def _option_key(option: str) -> str:
    return nfc(option.strip())


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


def _check_source_ids(rows: list[dict[str, Any]]) -> None:
    seen: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["source_id"] is None:
            continue
        first = seen.setdefault(row["source_id"], row)
        if first["item_id"] != row["item_id"]:
            raise ItemError(
                f"{first['file']}, row {first['row']} and {row['file']}, row {row['row']}: the "
                f"same id {row['source_id']!r} but other content; give each question its own id."
            )


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the first row of every item_id."""
    kept: dict[str, dict[str, Any]] = {}
    for row in rows:
        first = kept.setdefault(row["item_id"], row)
        if first is not row and _hashed(first) != _hashed(row):
            raise ItemError(
                f"{first['file']}, row {first['row']} and {row['file']}, row {row['row']}: "
                f"different questions share item_id {row['item_id']}; change one by a space."
            )
    return list(kept.values())


def _hashed(row: dict[str, Any]) -> str:
    return canonical_json({key: row[key] for key in ("question", "options", "answer")})


def _splits(rows: list[dict[str, Any]], splits: Splits) -> dict[float, str]:
    """Return the split of each draw: the source's own split first, else what the draw says.

    Equal questions have equal draws, so they stay together; new rows move no old one.
    """
    own: dict[float, set[str | None]] = {}
    for row in rows:
        own.setdefault(row["draw"], set()).add(row["split"])
    return {
        draw: next((split for split in _BY_PRIORITY if split in given), _drawn(draw, splits))
        for draw, given in own.items()
    }


def _drawn(u: float, splits: Splits) -> str:
    if u < splits.test:
        return "test"
    return "validation" if u < splits.test + splits.validation else "train"
