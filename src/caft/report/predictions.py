"""The answers of a run's models in every mode, and what answering took."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from caft import layout
from caft.config.model import Configuration
from caft.config.modes import ADAPTIVE, View, asked_views, views
from caft.evaluation import adaptive
from caft.running.meter import Amounts, add
from caft.tables import parquet
from caft.tables.files import read_json

Predictions = dict[tuple[str, str], pd.DataFrame]
_TEXTS = frozenset({"text", "parsed", "answer", "thought"})


def read_predictions(
    config: Configuration, names: Mapping[str, str], models: Iterable[str], texts: bool = False
) -> tuple[Predictions, dict[tuple[str, str], float]]:
    """Read what models answered, and take the answers of mode `adaptive` from it.

    Args:
        config: the prepared configuration.
        names: data set and student.
        models: digests, with `layout.BEST` behind those of the best epoch.
        texts: whether what they wrote is wanted as well, which takes most of the memory.

    Returns:
        Predictions by model and name of the view, indexed by item_id, in its order; and the
        thresholds of the views of mode `adaptive`, in nats.
    """
    predictions: Predictions = {}
    thresholds = {}
    ids = pd.Index([])
    for model in models:
        for view in views(config):
            if view.mode != ADAPTIVE:
                table = _read(names, model, view.name, texts)
                # One index for all: the ids take more memory than what was answered.
                ids = ids if table.index.equals(ids) else table.index
                predictions[model, view.name] = table.set_axis(ids)
        for view in views(config):
            if view.mode == ADAPTIVE:
                direct, cot = (predictions[model, view.of(mode)] for mode in ("direct", "cot"))
                threshold = _threshold(config, names, model, view.held_out())
                thresholds[model, view.name] = threshold
                thinks = adaptive.unsure(direct, threshold)
                predictions[model, view.name] = adaptive.answers(direct, cot, thinks)
    return predictions, thresholds


def _read(names: Mapping[str, str], model: str, view: str, texts: bool = False) -> pd.DataFrame:
    path = layout.at(layout.PREDICTIONS, **names, model=model, mode=view)
    table = parquet.read("predictions", path, without=() if texts else _TEXTS)
    return table.set_index("item_id").sort_index()


def _threshold(config: Configuration, names: Mapping[str, str], model: str, view: View) -> float:
    direct = _read(names, model, view.of("direct"))
    if config.run.adaptive:
        return adaptive.quantile_threshold(direct, config.run.adaptive.quantile)
    cot = _read(names, model, view.of("cot"))
    return adaptive.choose_threshold(direct, cot, config.run.relevant_difference)


def answering_costs(
    names: Mapping[str, str], model: str, view: View, predictions: Predictions
) -> Amounts:
    """Return the seconds and Wh of answering in one way.

    In mode `adaptive` they are those of the direct answers, and of the chains the share of their
    tokens that belongs to chains that are taken.
    """
    if view.mode != ADAPTIVE:
        return _taken(names, model, view.name)
    one, chains, own = (
        predictions[model, view.of(mode)]["new_tokens"].sum()
        for mode in ("direct", "cot", ADAPTIVE)
    )
    share = float(own - one) / max(float(chains), 1.0)
    whole = _taken(names, model, view.of("cot"))
    part = {name: None if value is None else share * value for name, value in whole.items()}
    return add([_taken(names, model, view.of("direct")), part])


def choice_of_threshold(
    config: Configuration,
    names: Mapping[str, str],
    model: str,
    view: View,
    counted: Collection[str] = (),
) -> list[Amounts]:
    """Return what the answers to the validation split took that chose a view's threshold.

    Args:
        config: the prepared configuration.
        names: data set and student.
        model: digest, with `layout.BEST` behind that of the best epoch.
        view: whose threshold it is; another mode than `adaptive` has none.
        counted: blocks of answers whose time is counted already; what consists of these alone is
            left out.
    """
    if view.mode != ADAPTIVE:
        return []
    asked = [one for one in asked_views(config) if one.split and one.shots == view.shots]
    runs = [_run_of(names, model, one.name) for one in asked]
    known = set(counted)
    return [_amounts(run) for run in runs if not run.get("blocks") or set(run["blocks"]) - known]


def _run_of(names: Mapping[str, str], model: str, view: str) -> dict[str, Any]:
    table = layout.at(layout.PREDICTIONS, **names, model=model, mode=view)
    run: dict[str, Any] = read_json(layout.run_of(table))
    return run


def _amounts(run: Mapping[str, Any]) -> Amounts:
    return {name: run.get(name) for name in ("seconds", "energy_wh")}


def _taken(names: Mapping[str, str], model: str, view: str) -> Amounts:
    return _amounts(_run_of(names, model, view))


def per_question(
    predictions: pd.DataFrame, seconds: float | None, usd_per_million: float | None
) -> dict[str, Any]:
    """Return what an answer takes: tokens, and seconds and USD of a thousand answers.

    Args:
        predictions: in any mode.
        seconds: that answering all of them took.
        usd_per_million: price of the tokens that are written; None where nobody has told it.
    """
    written = predictions["new_tokens"].mean()
    return {
        "written_tokens": written,
        "thought_tokens": predictions["thought_tokens"].mean(),
        "seconds_per_1000": 1000 * seconds / len(predictions)
        if seconds is not None and len(predictions)
        else None,
        "usd_per_1000": None if usd_per_million is None else written * usd_per_million / 1000,
    }
