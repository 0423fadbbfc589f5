"""What a run trains on, for people to look at before it does: rows, their lengths, their loss."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd

from caft import layout
from caft.mixtures.plan import Plan, PlannedStage
from caft.prompting.chat import Chat
from caft.report.pages import render_page
from caft.shown import escaped
from caft.tables import parquet
from caft.training.rows import IGNORED, encode_mixture

_SAMPLE = 2  # rows of each target, beside the longest row


@dataclass(frozen=True)
class Row:
    """A row as the model sees it.

    Attributes:
        title: whose it is, and how long.
        pieces: its text in parts, each with whether it carries loss.
    """

    title: str
    pieces: list[tuple[str, bool]]


@dataclass(frozen=True)
class Part:
    """What the page shows of one mixture.

    Attributes:
        title: the stages that train on it.
        numbers: of these stages, by name.
        rows: some of its rows.
    """

    title: str
    numbers: dict[str, str]
    rows: list[Row]


def samples_page(plan: Plan, chat: Chat, title: str) -> str:
    """Return an HTML page with some rows of each stage, and what of them carries loss.

    Args:
        plan: of one data set, student and round; what the first training seed trains on is shown.
        chat: tokenizer and chat template of the student.
        title: of the page.
    """
    stages: dict[str, list[tuple[str, PlannedStage]]] = {}
    for name, strategy in plan.strategies.items():
        for number, stage in enumerate(strategy.first.stages, start=1):
            stages.setdefault(stage.mixture, []).append((f"{name}, stage {number}", stage))
    parts = [_part(mixture, named, chat) for mixture, named in stages.items()]
    return render_page("samples.html.jinja", title=title, parts=parts)


def _part(mixture: str, stages: list[tuple[str, PlannedStage]], chat: Chat) -> Part:
    rows = parquet.read("mixtures", layout.at(layout.MIXTURE, mixture=mixture))
    known = [stage for _, stage in stages]
    return Part(
        title="; ".join(name for name, _ in stages),
        numbers={
            "rows": str(len(rows)),
            "passes": _each(f"{stage.epochs:g}" for stage in known),
            "updates": _each("unknown" if one.updates is None else one.updates for one in known),
            "prompt tokens": _lengths(rows["prompt_tokens"]),
            "tokens with loss": _lengths(rows["target_tokens"]),
            "longest row": _longest(rows),
            "left out, too long": _each(stage.over_long for stage in known),
            "left out, no rationale": _each(stage.without_rationale for stage in known),
        },
        rows=_rows(rows, chat),
    )


def _each(values: Iterable[object]) -> str:
    """Show what the stages of a mixture have, once if it is the same for all."""
    return " / ".join(dict.fromkeys(map(str, values)))


def _lengths(tokens: pd.Series) -> str:
    known = tokens.dropna()
    if known.empty:
        return "unknown"
    return f"{known.min():.0f} to {known.max():.0f}, median {known.median():.0f}"


def _longest(rows: pd.DataFrame) -> str:
    longest = (rows["prompt_tokens"] + rows["target_tokens"]).max()
    return "unknown" if pd.isna(longest) else f"{longest:.0f} tokens"


def _rows(rows: pd.DataFrame, chat: Chat) -> list[Row]:
    # Of each target, where a stage mixes them; and what is longest, as it is cut first.
    chosen = rows.groupby("target", sort=True).head(_SAMPLE)
    total = (rows["prompt_tokens"] + rows["target_tokens"]).dropna()
    longest = total.nlargest(1).index
    shown = pd.concat([chosen, rows.loc[longest.difference(chosen.index)]])
    names = shown["item_id"] + ", " + shown["target"]
    names[names.index.isin(longest)] += ", the longest"
    return [
        Row(f"item {name}: {_tokens(row['labels'])}", _pieces(row, chat.tokenizer))
        for name, row in zip(names, encode_mixture(shown, chat), strict=True)
    ]


def _tokens(labels: list[int]) -> str:
    loss = sum(label != IGNORED for label in labels)
    return f"{len(labels) - loss} tokens of prompt, {loss} with loss"


def _pieces(row: dict[str, list[int]], tokenizer: Any) -> list[tuple[str, bool]]:
    """Part a row's tokens where the loss begins or ends."""
    pairs = zip(row["input_ids"], row["labels"], strict=True)
    return [
        (escaped(tokenizer.decode([token for token, _ in part])), marked)
        for marked, part in groupby(pairs, key=lambda pair: pair[1] != IGNORED)
    ]
