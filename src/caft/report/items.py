"""What the explorer shows of each item: all tables of a run, joined over the items of a data set.

Columns that are sorted and filtered by are kept apart from the long texts, which a page needs only
for the item that is looked at.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from caft import layout
from caft.config import resolve
from caft.config.model import Configuration
from caft.mixtures.buckets import BUCKETS
from caft.mixtures.plan import Plan
from caft.report.summary import Asked, Results, read_results, ways_of_asking
from caft.tables import parquet

_ANSWER = ["parsed", "text", "thought", "new_tokens", "thought_tokens", "finish_reason"]
_BOUGHT = [
    "teacher", "sample", "accepted", "selected", "reason", "parsed", "text", "reasoning",
    "finish_reason", "prompt_tokens", "completion_tokens", "cost_usd", "seconds", "imported",
    "answered_by", "error",
]  # fmt: skip


@dataclass(frozen=True)
class Sources:
    """The tables of one data set and student.

    Attributes:
        results: plan, predictions, buckets and rationales.
        items: the items table.
        metrics: tables with item_id, value, reason and warm_up, by the name of the metric.
        mixtures: tables with item_id and target, by digest.
        ways: how the strategies were asked, in the order in which they are shown.
    """

    results: Results
    items: pd.DataFrame
    metrics: Mapping[str, pd.DataFrame]
    mixtures: Mapping[str, pd.DataFrame]
    ways: Sequence[Asked]


@dataclass(frozen=True)
class Part:
    """One data set and student as JSON-like values; items are in the order of their id.

    Attributes:
        head: what is sorted, filtered and listed: a value per item in each column.
        texts: what is shown of a single item, one entry per item.
    """

    head: dict[str, Any]
    texts: list[dict[str, Any]]


def read_sources(config: Configuration, dataset: str, student: str) -> Sources:
    """Read what a run wrote about the items of a data set, with one student."""
    results = read_results(config, dataset, student, texts=True)
    mixtures = {stage.mixture for _, stage in results.plan.stages()}
    return Sources(
        results,
        parquet.read("items", layout.at(layout.ITEMS, dataset=dataset)),
        _read_metrics(config, dataset, student),
        {
            name: parquet.read("mixtures", layout.at(layout.MIXTURE, mixture=name))
            for name in mixtures
        },
        list(ways_of_asking(config, results.plan)),
    )


def _read_metrics(config: Configuration, dataset: str, student: str) -> dict[str, pd.DataFrame]:
    """Read the metrics of the buckets, and those that the same forward passes gave for nothing."""
    used = resolve.metrics_used(config)
    found = {
        name: parquet.read(
            "metrics", layout.at(layout.METRICS, dataset=dataset, student=student, metric=name)
        )
        for name in used
    }
    passes = {
        resolve.metric_table(config, dataset, student, name)
        for name in used
        if resolve.source_of(config, name) == "scores"
    }
    for name in sorted(config.metrics):
        table = resolve.metric_table(config, dataset, student, name)
        if name not in found and table in passes:
            scores = parquet.read("scores", str(table))
            values = scores[resolve.kind_of(config, name)]
            if values.notna().any():
                found[name] = scores.assign(
                    value=values, reason=scores["status"].where(values.isna())
                )
    return found


def part_of(sources: Sources) -> Part:
    """Join the tables over the items; an item that one of them lacks has nothing there."""
    items = sources.items.sort_values("item_id")
    ids = pd.Index(items["item_id"])
    head = {
        "dataset": sources.results.dataset,
        "student": sources.results.student,
        "ids": ids.tolist(),
        "questions": items["question"].tolist(),
        "options": [None if one is None else list(one) for one in items["options"]],
        "gold": items["answer"].tolist(),
        "facets": list(_facets(sources, items, ids)),
        "metrics": [
            {"name": name, "values": parquet.plain(_over(table, "value", ids).round(5))}
            for name, table in sources.metrics.items()
        ],
        "ways": _ways(sources, ids),
        "answer": _ANSWER,
        "bought": _BOUGHT,
        "stages": list(_stages(sources, ids)),
    }
    texts = {
        "source": parquet.plain(items["source"]),
        "source_id": parquet.plain(items["source_id"]),
        "reference": parquet.plain(items["reference_rationale"]),
        "reasons": _across(
            (_over(table, "reason", ids) for table in sources.metrics.values()), len(ids)
        ),
        "bought": _bought(sources.results.rationales, ids),
        "answers": _across((_answered(run, ids) for run in _runs(sources)), len(ids)),
    }
    return Part(head, [dict(zip(texts, row, strict=True)) for row in _rows(texts.values())])


def _rows(columns: Iterable[Sequence[Any]]) -> Iterable[tuple[Any, ...]]:
    return zip(*columns, strict=True)


def _across(columns: Iterable[Sequence[Any] | pd.Series], count: int) -> list[list[Any]]:
    """Turn columns over so many items into a list per item, empty where there is no column."""
    plain = [parquet.plain(one) if isinstance(one, pd.Series) else one for one in columns]
    return [list(row) for row in _rows(plain)] if plain else [[] for _ in range(count)]


def _over(table: pd.DataFrame, column: str, ids: pd.Index) -> pd.Series:
    """Return a column for the given items; predictions are indexed by them already."""
    indexed = table if table.index.name == "item_id" else table.set_index("item_id")
    return indexed[column].reindex(ids)


def _coded(column: pd.Series, order: Sequence[str] = ()) -> dict[str, Any]:
    """Return a column of few different texts as these and their numbers; -1 for none."""
    values = [*order, *sorted(set(column.dropna()) - set(order))]
    return {"values": values, "codes": pd.Categorical(column, values).codes.tolist()}


def _joined(table: pd.DataFrame, column: str, ids: pd.Index) -> pd.Series:
    """Return which different texts of a column each item has, in one text."""
    pairs = table[["item_id", column]].drop_duplicates().sort_values(["item_id", column])
    return pairs.groupby("item_id")[column].agg(" + ".join).reindex(ids)


def _facets(sources: Sources, items: pd.DataFrame, ids: pd.Index) -> Iterable[dict[str, Any]]:
    """Yield what items are filtered by."""
    yield {"name": "split", **_coded(items["split"], ("train", "validation", "test"))}
    yield {"name": "category", **_coded(items["category"])}
    several = len(sources.results.buckets) > 1
    for name, table in sources.results.buckets.items():
        shown = f"bucket ({name})" if several else "bucket"
        yield {"name": shown, **_coded(_over(table, "bucket", ids), BUCKETS)}
    for teacher, table in sources.results.rationales.items():
        outcome = table["reason"].where(~table["accepted"].astype(bool), "accepted")
        told = _joined(table.assign(outcome=outcome.fillna("unknown")), "outcome", ids)
        yield {"name": f"teacher {teacher}", "several": True, **_coded(told)}


def _ways(sources: Sources, ids: pd.Index) -> list[dict[str, Any]]:
    """Return each way of asking with what each seed's model answered: a letter per item."""
    found = []
    for way in sources.ways:
        planned = sources.results.plan.strategies[way.strategy]
        found.append(
            {
                "strategy": way.strategy,
                "mode": way.view.name,
                "checkpoint": way.checkpoint,
                "trained": way.view.mode == planned.trained_mode,
                "seeds": [
                    {"seed": seed, "model": model, "outcomes": _outcomes(table, ids)}
                    for seed, model, table in _answers(sources, way)
                ],
            }
        )
    return found


def _answers(sources: Sources, way: Asked) -> Iterable[tuple[int | None, str, pd.DataFrame]]:
    """Yield seed, model and predictions; the untuned student answers once for all seeds."""
    planned = sources.results.plan.strategies[way.strategy]
    finals = {trained.final: (seed, trained) for seed, trained in reversed(planned.seeds.items())}
    for final, (seed, trained) in reversed(finals.items()):
        model = layout.weights_of(final, way.checkpoint)
        predictions = sources.results.predictions[model, way.view.name]
        yield seed if trained.stages else None, model, predictions


def _runs(sources: Sources) -> Iterable[pd.DataFrame]:
    """Yield the predictions of all ways of asking and their seeds, in the order of the ways."""
    for way in sources.ways:
        for _, _, table in _answers(sources, way):
            yield table


def _answered(predictions: pd.DataFrame, ids: pd.Index) -> list[list[Any]]:
    """Return the columns of `_ANSWER` for each item."""
    return _across((_over(predictions, name, ids) for name in _ANSWER), len(ids))


def _outcomes(predictions: pd.DataFrame, ids: pd.Index) -> str:
    """Return right, wrong, invalid or - (not asked) per item, by their first letters."""
    known = predictions.reindex(ids)
    correct, invalid = known["correct"].eq(True), known["invalid"].eq(True)
    letters = np.select([known["correct"].isna(), correct, invalid], ["-", "r", "i"], "w")
    return "".join(letters)


def _stages(sources: Sources, ids: pd.Index) -> Iterable[dict[str, Any]]:
    """Yield what each stage trains each item on; seeds that train on the same are one stage."""
    seen = {
        name: table["item_id"][table["warm_up"].eq(True)] for name, table in sources.metrics.items()
    }
    warmed = pd.Index(sorted(set().union(*seen.values())))
    if len(warmed):
        target = pd.Series("answer", warmed).reindex(ids)
        yield {"strategy": "warm-up before scoring", **_coded(target)}
    for (strategy, stage, mixture, epochs), seeds in _same_stages(sources.results.plan).items():
        yield {
            "strategy": strategy,
            "stage": stage,
            "epochs": epochs,
            "seeds": seeds,
            **_coded(_joined(sources.mixtures[mixture], "target", ids)),
        }


def _same_stages(plan: Plan) -> dict[tuple[str, int, str, float], list[int]]:
    found: dict[tuple[str, int, str, float], list[int]] = {}
    for place, stage in plan.stages():
        key = (place.strategy, place.stage, stage.mixture, stage.epochs)
        found.setdefault(key, []).append(place.seed)
    return found


def _bought(rationales: Mapping[str, pd.DataFrame], ids: pd.Index) -> list[list[list[Any]]]:
    """Return the teachers' answers of each item, a list of the columns of `_BOUGHT` for each."""
    answers: dict[str, list[list[Any]]] = {item: [] for item in ids}
    for teacher, table in rationales.items():
        named = table.assign(teacher=teacher).sort_values(["item_id", "sample"])
        rows = _rows(parquet.plain(named[column]) for column in _BOUGHT)
        for item, row in zip(named["item_id"], rows, strict=True):
            answers[item].append(list(row))
    return list(answers.values())
