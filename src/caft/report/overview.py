"""The overview: one page with the answer of a run, which needs no network and no other file."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from caft.mixtures.buckets import BUCKETS
from caft.mixtures.settings import Part as TrainedPart
from caft.mixtures.settings import Strategy
from caft.report.answer import Answer, answers
from caft.report.pages import render_page
from caft.report.paper_tables import money
from caft.report.results import REFERENCES, Group, Tables, Verdict
from caft.report.wording import difference, duration, interval, percent

_TARGETS = {"answer": "answers", "rationale": "rationales", "reasoning": "reasoning"}
_DRAWS = {
    "top": "",
    "proportional": ", hard items drawn in proportion to complexity",
    "random": ", buckets drawn at random",
}
_MARKS = {"better": "▲", "worse": "▼", "alike": "=", "open": "?"}


@dataclass(frozen=True)
class Picture:
    """A figure of the run.

    Attributes:
        title: of the figure.
        caption: in reStructuredText that has no markup but literals.
        svg: the drawing.
    """

    title: str
    caption: str
    svg: bytes

    @property
    def address(self) -> str:
        """The drawing itself as an address: nothing in it can run or meet another one's ids."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


@dataclass(frozen=True)
class Cell:
    """What the page shows of a verdict."""

    size: str
    word: str
    mark: str
    needed: str


@dataclass(frozen=True)
class Line:
    """A strategy's row of the table, and of the costs."""

    name: str
    does: str
    mode: str
    accuracy: str
    buckets: list[str]
    verdicts: list[Cell | None]
    costs: list[str]


@dataclass(frozen=True)
class Part:
    """What the page shows of one student on one data set."""

    answer: Answer
    references: list[str]
    lines: list[Line]
    all_rows: list[list[str]]


COSTS = [
    "accepted of asked items", "teacher tokens written", "USD, teacher and judge",
    "training tokens", "warm-up tokens", "both", "scoring time", "warm-up time",
    "training time", "answering time",
]  # fmt: skip


def overview_page(tables: Tables, provenance: dict[str, Any], pictures: Iterable[Picture]) -> str:
    """Return the page: the answer, verdicts, figures, costs, and how to read all of it.

    Args:
        tables: of the run.
        provenance: of the run, with its configuration.
        pictures: the figures, in the order of the page.
    """
    strategies = {
        name: strategy_in_words(Strategy.model_validate(section))
        for name, section in provenance["config"]["strategies"].items()
    }
    return render_page(
        "overview.html.jinja",
        parts=[
            _part(group, answer, strategies)
            for group, answer in zip(tables.groups(), answers(tables), strict=True)
        ],
        cost_names=COSTS,
        pictures=[(picture, _pieces(picture.caption)) for picture in pictures],
        relevant=provenance["config"]["run"]["relevant_difference"],
        split=provenance["config"]["run"]["split"],
        version=provenance["caft"],
        commit=provenance["commit"],
    )


def strategy_in_words(strategy: Strategy) -> str:
    """Return what a strategy trains on, stage by stage."""
    if not strategy.stages:
        return "not trained"
    stages = "; then ".join(
        " and ".join(
            f"{_TARGETS[part.target]} of {_buckets(part.buckets)}{_writers(part)}"
            for part in stage.parts_or_itself
        )
        + f", {stage.epochs:g}×"
        for stage in strategy.stages
    )
    return stages + _DRAWS[strategy.drawn.draw]


def _writers(part: TrainedPart) -> str:
    """Return who writes the rationales of a part that names its own teachers."""
    return " by " + ", then ".join(part.teachers("the teacher")) if part.teacher else ""


def _buckets(names: Iterable[str]) -> str:
    chosen = [name for name in BUCKETS if name in set(names)]
    return "all items" if chosen == BUCKETS else " and ".join(chosen) + " items"


def _pieces(caption: str) -> list[tuple[str, bool]]:
    """Part a caption into texts and literals, each with whether it is one."""
    pieces = re.split("``", " ".join(caption.split()))
    return [(piece, place % 2 == 1) for place, piece in enumerate(pieces) if piece]


def _part(group: Group, answer: Answer, strategies: dict[str, str]) -> Part:
    names = list(group.shown.index)
    references = [name for name in REFERENCES if name in names]
    lines = [_line(group, name, strategies.get(name, ""), references) for name in map(str, names)]
    rows = [
        [str(row["strategy"]), str(row["mode"]), interval(row, "accuracy"),
         percent(row["invalid_rate"])]
        for _, row in group.rows.iterrows()
    ]  # fmt: skip
    return Part(answer, references, lines, rows)


def _line(group: Group, name: str, does: str, references: list[str]) -> Line:
    row = group.shown.loc[[name]].iloc[0]
    paid = row["cost_usd"] + row["metric_cost_usd"]
    both = row["all_tokens"] + row["warm_up_all_tokens"]
    asked = f"{row['accepted_items']:,.0f} of {row['rationale_items']:,.0f}"
    return Line(
        name,
        does,
        str(row["mode"]),
        interval(row, "accuracy"),
        [_share(row[f"accuracy_{bucket}"]) for bucket in BUCKETS],
        [_cell(group.verdict(name, other)) for other in references],
        [
            asked if row["rationale_items"] else "none",
            _count(row["teacher_completion_tokens"] + row["metric_completion_tokens"]),
            money(paid),
            *map(_count, (row["all_tokens"], row["warm_up_all_tokens"], both)),
            *(duration(row[f"{what}_seconds"]) for what in ("score", "warm_up", "train")),
            duration(row["evaluate_seconds"]),
        ],
    )


def _cell(found: Verdict | None) -> Cell | None:
    if found is None:
        return None
    return Cell(difference(found.difference), found.word, _MARKS[found.word], found.needed)


def _count(value: float) -> str:
    return "unknown" if pd.isna(value) else f"{value:,.0f}"


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"
