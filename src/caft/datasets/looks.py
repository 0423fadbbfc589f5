"""What a question set looks like: figures of the ingest report, and what they warn of."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from caft.datasets.overlap import overlaps

_FEW = 20  # items; of fewer, no place of the answer is conspicuous
_NEARLY_ALL = 0.9
_OVERLAPPING = 0.5  # of the runs of words


def described(items: pd.DataFrame) -> dict[str, Any]:
    """Return figures of items: places of the gold answers, lengths, and what splits share.

    Args:
        items: columns question, options, answer, answer_kind and split of the items table.
    """
    shared = overlaps(items["question"], items["split"])
    return {
        "gold_places": _gold_places(items),
        "question_characters": _spread(items["question"].str.len()),
        "option_characters": _spread(items["options"].dropna().explode().dropna().str.len()),
        "near_equal_to_test": _by_split(items, shared["equal"]),
        "overlapping_test": _by_split(items, shared["share"] > _OVERLAPPING),
    }


def _gold_places(items: pd.DataFrame) -> dict[str, dict[str, int]]:
    choice = items[items["options"].notna()]
    counted = pd.crosstab(choice["options"].str.len(), choice["answer"])
    return {
        str(options): {str(letter): int(count) for letter, count in counts.items() if count}
        for options, counts in counted.iterrows()
    }


def _spread(lengths: pd.Series) -> dict[str, int]:
    if lengths.empty:
        return {}
    return {
        "median": int(lengths.median()),
        "95%": int(lengths.quantile(0.95)),
        "most": int(lengths.max()),
    }


def _by_split(items: pd.DataFrame, flags: pd.Series) -> dict[str, int]:
    counts = items.loc[flags, "split"].value_counts()
    return {name: int(counts.get(name, 0)) for name in ("train", "validation") if name in counts}


def warnings(report: dict[str, Any], answer_format: str) -> Iterator[str]:
    """Yield what in a report may make results wrong.

    Args:
        report: of `caft.datasets.ingest`.
        answer_format: how the data set's answers name options.
    """
    for options, places in report["gold_places"].items():
        total, most = sum(places.values()), max(places, key=lambda one: places[one])
        if total >= _FEW and places[most] >= _NEARLY_ALL * total:
            yield (
                f"{places[most]} of {total} items with {options} options have the answer {most}: "
                "a model can learn the place instead of the answer; set `shuffle_options: true`."
            )
        elif total >= _FEW and "A" not in places and answer_format == "index0":
            yield (
                f"none of {total} items with {options} options has the first one as its answer: "
                "if the numbers count from 1, set `answer_format: index1`."
            )
    for split, count in report["overlapping_test"].items():
        equal = report["near_equal_to_test"].get(split, 0)
        yield (
            f"{count} items of {split} share more than half of their runs of 13 words with test "
            f"questions ({equal} have the same words); `max_overlap: {_OVERLAPPING}` leaves them "
            "out."
        )
    count = report["rejected"].get("other_counting")
    if count and not _at_end(report["gold_places"], answer_format):
        other = {"index0": "index1", "index1": "index0"}[answer_format]
        yield (
            f"{count} answers are options only if numbers count from {other[-1]}, and then all "
            f"others mean the option beside: set `answer_format: {other}`."
        )
    if count := report["rejected"].get("decimal_comma"):
        yield (
            f"{count} answers have a decimal comma; where another one has three digits behind it "
            "(1,125), it is read as thousands: write all with a decimal point."
        )
    if count := report["conflicting_answers"]:
        yield (
            f"{count} questions stand there several times with the same options and with different "
            "answers, of which one at most is right."
        )
    if count := report["drawn_beside_own_splits"]:
        yield (
            f"{count} items have no split of the data set's own while others have; theirs is drawn."
        )


def _at_end(gold_places: dict[str, dict[str, int]], answer_format: str) -> bool:
    """Tell whether an answer is at the place that the other way of counting would not have."""
    return any(
        ("A" if answer_format == "index0" else chr(ord("A") + int(options) - 1)) in places
        for options, places in gold_places.items()
    )


def as_table(report: dict[str, Any]) -> pd.DataFrame:
    """Return a report as a table for people: measure, of, value."""
    rows = [(measure, *row) for measure, value in report.items() for row in _rows(value)]
    return pd.DataFrame(rows, columns=["measure", "of", "value"], dtype=object)


def _rows(value: Any, of: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _rows(inner, f"{of}, {name}" if of else str(name))
    elif isinstance(value, list):
        yield from (("", one) for one in value)
    else:
        yield of, value
