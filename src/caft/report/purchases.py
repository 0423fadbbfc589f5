"""The plan: what a run wants of its teachers, has already, and would have to buy."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from caft import layout
from caft.analysis.intervals import Estimate
from caft.analysis.ranking import Gate, Ranker, Ranking, read_ranking, show, warning
from caft.config import resolve
from caft.config.model import Configuration
from caft.config.rounds import asked_in_round, is_before_others
from caft.errors import CaftError
from caft.mixtures.rows import wanted_by
from caft.mixtures.settings import Target, Wanted
from caft.prompting.prompts import Messages, all_messages
from caft.prompting.tokens import TokenCounter
from caft.store import Store
from caft.tables import parquet
from caft.tables.files import read_json
from caft.teacher import Here, make_teacher
from caft.teacher.acceptance import policy_of
from caft.teacher.money.budget import amounts_of, exceeded
from caft.teacher.money.estimate import (
    CASES,
    Missing,
    Outlook,
    Seen,
    common_identity,
    estimate,
    look_up,
    seen_of,
)
from caft.teacher.money.stored_prompts import StoredPrompts
from caft.teacher.settings import Asked

ALL = "(all)"
PLAN = [
    "dataset", "student", "teacher", "strategy", "wanted", "owned", "to_buy", "requests",
    "prompt_tokens", *(f"completion_tokens_{case}" for case in CASES),
    *(f"cost_usd_{case}" for case in CASES), "minutes",
    "budget_requests_left", "budget_tokens_left", "budget_usd_left", "fits",
    "metric", "accuracy", "chance", "commonest_answer", "valid_mass",
    "roc_auc", "roc_auc_low", "roc_auc_high", "require_auc", "ranking", "warning",
]  # fmt: skip


def plan_purchases(
    config: Configuration, store_folder: str | Path = layout.TEACHER_STORE
) -> pd.DataFrame:
    """Tell what the strategies of a run want of their teachers, have and would have to buy.

    Args:
        config: the prepared configuration; items and buckets tables are read from their places.
        store_folder: the store of paid answers; nothing is added to it.

    Returns:
        A row per dataset, student, teacher and strategy, and one per teacher for all of them
        together. Columns are described in docs/budget.md.

    Raises:
        CaftError: if items or buckets are not there yet.
    """
    store, run = Store(store_folder), config.run
    rows: list[dict[str, Any]] = []
    sources = _Sources(config, store)
    for teacher in resolve.teachers_used(config):
        parts = [
            sources.part(dataset, student, teacher)
            for dataset in run.datasets
            for student in run.students
        ]
        seen = _seen_of_parts(store, parts)
        for part in parts:
            rows += part.rows(seen)
        rows.append(_row_of_all(parts, seen))
    return pd.DataFrame(rows, columns=PLAN)


class _Sources:
    """Reads tables once, and renders prompts once, for all teachers and students."""

    def __init__(self, config: Configuration, store: Store):
        self.config, self.store = config, store
        self.part = cache(partial(_Part, self))
        self.items = cache(self._items)
        self.messages = cache(self._messages)
        self.ranking = cache(self._ranking)
        self.counter = cache(lambda student: TokenCounter(_student_file(student).parent))

    def _items(self, dataset: str) -> pd.DataFrame:
        return self.table("items", layout.at(layout.ITEMS, dataset=dataset))

    def _ranking(self, ranker: Ranker, dataset: str) -> Ranking:
        return read_ranking(ranker, self.items(dataset), self.config.seed)

    def _messages(self, dataset: str, prompt: str) -> dict[str, Messages]:
        items = self.items(dataset)
        texts = all_messages(items, self.config.prompts[prompt], "cot", self.config.seed)
        return dict(zip(items["item_id"], texts, strict=True))

    def wanted(self, dataset: str, student: str, strategy: Wanted) -> set[str]:
        place = {"dataset": dataset, "student": student}
        buckets = {
            name: self.table("buckets", layout.at(layout.BUCKETS, **place, buckets=name))
            for name in strategy.divisions()
        }
        seeds = resolve.asking_seeds(self.config.run.seeds, [strategy])

        def solved_by(teacher: str, target: Target) -> frozenset[str]:
            solved = self.part(dataset, student, teacher).outlook.solved
            return frozenset(
                item for item, thinks in solved.items() if thinks or target != "reasoning"
            )

        return wanted_by(buckets, [strategy], seeds, solved_by)

    def here(self, dataset: str, student: str, teacher: str) -> Here:
        trained = resolve.sampler_file(self.config, dataset, student, teacher)
        if trained and not Path(trained).is_file():
            raise CaftError(f"{trained} is not there yet; make it: snakemake --cores 1 {trained}")
        return Here(
            Path(self.store.folder),
            student=_student_file(student),
            trained=Path(trained) if trained else None,
            writes_with=self.config.evaluation.engine,
        )

    @staticmethod
    def table(name: str, path: str) -> pd.DataFrame:
        if not Path(path).is_file():
            raise CaftError(f"{path} is not there yet; make it: snakemake --cores all buckets")
        return parquet.read(name, path)


def _student_file(student: str) -> Path:
    return Path(layout.at(layout.STUDENT, student=student))


class _Part:
    """What one teacher is wanted for with one data set and student."""

    def __init__(self, sources: _Sources, dataset: str, student: str, teacher: str):
        config = sources.config
        self.names = {"dataset": dataset, "student": student, "teacher": teacher}
        self.settings = settings = config.teachers[teacher]
        # Buckets of a later round are not known before models are trained.
        self.strategies = asked_in_round(config, teacher, 1)
        self.wanted = {
            name: sources.wanted(dataset, student, strategy)
            for name, strategy in self.strategies.items()
        }
        items = sources.items(dataset)
        rankers = resolve.rankers_of(config, dataset, student, self.strategies.values())
        self.gate = Gate(
            f"teachers.{teacher}",
            settings.require_auc,
            {name: (one, sources.ranking(one, dataset)) for name, one in rankers.items()},
        )
        wanted = parquet.records(items[items["item_id"].isin(self.union)])
        context = read_json(_student_file(student))["context"]
        self.counter = counter = sources.counter(student)
        self.outlook = look_up(
            wanted,
            sources.messages(dataset, settings.prompt),
            make_teacher(settings, None, sources.here(dataset, student, teacher)),
            sources.store,
            counter,
            policy_of(settings, context, counter),
            reads_all=is_before_others(config, teacher, 1),
        )

    @property
    def union(self) -> set[str]:
        return set().union(*self.wanted.values())

    def rows(self, seen: Seen) -> list[dict[str, Any]]:
        return [
            {
                **self.names,
                "strategy": name,
                **_figures(wanted, self.missing_of(wanted), self.settings, seen, self.outlook),
                **_ranks(self.gate, self.strategies[name], bool(self.missing_of(wanted))),
            }
            for name, wanted in self.wanted.items()
        ]

    def missing_of(self, wanted: set[str]) -> list[Missing]:
        missing = self.outlook.missing
        return [missing[item_id] for item_id in sorted(wanted & missing.keys())]


def _seen_of_parts(store: Store, parts: list[_Part]) -> Seen:
    known = [part.outlook.identity for part in parts if part.outlook.identity.model_id is not None]
    prompts = StoredPrompts(store, parts[0].counter)
    return seen_of(store, common_identity(known), parts[0].settings, prompts=prompts)


def _row_of_all(parts: list[_Part], seen: Seen) -> dict[str, Any]:
    """Join what all data sets and students want of a teacher; students share its answers."""
    wanted = {(part.names["dataset"], item) for part in parts for item in part.union}
    missing = {
        (part.names["dataset"], one.request.item_id): one
        for part in reversed(parts)
        for one in part.outlook.missing.values()
    }
    outlook = Outlook(
        {},
        reviewed=sum(part.outlook.reviewed for part in parts),
        accepted=sum(part.outlook.accepted for part in parts),
    )
    names = {**parts[0].names, "dataset": ALL, "student": ALL, "strategy": ALL}
    return {**names, **_figures(wanted, list(missing.values()), parts[0].settings, seen, outlook)}


def _figures(
    wanted: set[Any],
    missing: list[Missing],
    settings: Asked,
    seen: Seen,
    outlook: Outlook,
) -> dict[str, Any]:
    needed = estimate(missing, settings, seen, outlook)
    middle, limits = needed["middle"], settings.limits
    tokens = middle.prompt_tokens + middle.completion_tokens
    taken = amounts_of(seen.taken)
    left = {name: limit - taken[name] for name, limit in limits.items()}
    unknown = "max_cost_usd" in limits and middle.cost_usd is None
    fits = not missing or not (unknown or exceeded(limits, seen.taken + middle.spending))
    return {
        "wanted": len(wanted),
        "owned": len(wanted) - len(missing),
        "to_buy": len(missing),
        "requests": round(middle.requests),
        "prompt_tokens": round(middle.prompt_tokens),
        **{f"completion_tokens_{case}": round(needed[case].completion_tokens) for case in CASES},
        **{f"cost_usd_{case}": needed[case].cost_usd for case in CASES},
        "minutes": settings.minutes(middle.requests, tokens, seen.seconds),
        "budget_requests_left": left.get("max_requests"),
        "budget_tokens_left": left.get("max_tokens"),
        "budget_usd_left": left.get("max_cost_usd"),
        "fits": fits,
    }


def _ranks(gate: Gate, strategy: Wanted, buys: bool) -> dict[str, Any]:
    """Return what is known of the metric that a strategy buys by; nothing if it buys by none."""
    weakest = gate.weakest(strategy)
    if weakest is None:
        return {}
    ranker, ranking = weakest
    answered, doubts = ranking.answered, ranking.doubts()
    problem = gate.problem(strategy) if buys else None
    refused = [f"{gate.section}.require_auc: {problem}"] if problem else []
    return {
        "metric": ranking.metric,
        "accuracy": answered and answered.accuracy.value,
        "chance": answered and answered.chance,
        "commonest_answer": answered and answered.commonest_share,
        "valid_mass": answered and answered.valid_mass,
        **ranking.area.named("roc_auc"),
        "require_auc": gate.required,
        "ranking": "refused" if refused else ranking.verdict,
        "warning": warning([*refused, *doubts], ranker.mend),
    }


def render(plan: pd.DataFrame) -> str:
    """Render a plan for a terminal: what there is to buy, what it takes, whether it fits."""
    if plan.empty:
        return "No strategy of this run trains on rationales: there is nothing to buy."
    shown = plan[["dataset", "student", "teacher", "strategy", "wanted", "owned", "to_buy"]].copy()
    shown["prompt tokens"] = plan["prompt_tokens"]
    shown["completion tokens"] = _ranges(plan, "completion_tokens", "{:.0f}")
    shown["USD"] = _ranges(plan, "cost_usd", "{:.2f}")
    shown["minutes"] = [_known(value, "{:.1f}") for value in plan["minutes"]]
    shown["USD left"] = [_known(value, "{:.2f}") for value in plan["budget_usd_left"]]
    shown["AUC"] = [
        "-" if pd.isna(value) else show(Estimate(value, low, high))
        for value, low, high in zip(
            *(plan[f"roc_auc{end}"] for end in ("", "_low", "_high")), strict=True
        )
    ]
    shown["ranking"] = plan["ranking"].fillna("-")
    shown["fits"] = plan["fits"].map({True: "yes", False: "NO"})
    return shown.to_string(index=False)


def warnings_of(plan: pd.DataFrame) -> list[str]:
    """Return what a plan warns of, a line per data set, student, teacher and warning."""
    told = plan[plan["warning"].notna()].groupby(
        ["dataset", "student", "teacher", "warning"], sort=False
    )
    return [
        f"{student} may not be able to rank {dataset} for {teacher} "
        f"({', '.join(rows['strategy'])}): {text}"
        for (dataset, student, teacher, text), rows in told
    ]


def _ranges(plan: pd.DataFrame, name: str, form: str) -> list[str]:
    columns = [plan[f"{name}_{case}"] for case in CASES]
    return [
        "unknown"
        if pd.isna(middle)
        else f"{form.format(middle)} ({form.format(low)}-{form.format(high)})"
        for low, middle, high in zip(*columns, strict=True)
    ]


def _known(value: float | None, form: str) -> str:
    return "-" if value is None or pd.isna(value) else form.format(value)
