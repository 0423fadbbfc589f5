"""`caft store drop`: stored answers that shall be asked for again."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caft import layout
from caft.cli import configured
from caft.errors import ConfigError, StoreError
from caft.shown import tell
from caft.store import Store
from caft.store.drop import Wanted, drop, find
from caft.store.imports import read_rows
from caft.store.stats import uncounted

TEXT = (
    "Drop answers, so that the next run asks for them again. Lists them; with --remove they are "
    "dropped. Options are joined by and, several values of one by or. What was paid stays in the "
    "bill."
)
_SHOWN = 20  # answers that are listed one by one


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what says which answers."""
    several: dict[str, Any] = {"nargs": "+", "metavar": "..."}
    command.add_argument("--key", **several, help="of answers, or how they begin")
    command.add_argument(
        "--listed", type=Path, metavar="FILE", help=".parquet, .jsonl or .csv with a column `key`"
    )
    command.add_argument(
        "--reason",
        **several,
        help="as the endpoint ended the answer (length, content_filter), or why it is in "
        "quarantine (wrong_answer, unparsed)",
    )
    command.add_argument("--item", **several, help="item_id, as in data/rationales")
    command.add_argument("--teacher", metavar="NAME", help="of the config: its model and revision")
    command.add_argument("--model", metavar="NAME")
    command.add_argument("--revision", metavar="TAG")
    command.add_argument("--kind", metavar="WORD", help="rationale or judge")
    command.add_argument("--remove", action="store_true", help="drop them; else they are listed")
    configured.add_options(command)


def run(arguments: argparse.Namespace) -> int:
    """List the answers, and drop them if that is wanted; 1 if there are none."""
    if not arguments.store.is_dir():
        raise StoreError(f"{arguments.store}: no such store; name its folder with --store.")
    store = Store(arguments.store)
    wanted = _wanted(arguments, store)
    rows = find(store, wanted)
    if not rows:
        tell(_nothing(store))
        return 1
    for row in rows[:_SHOWN]:
        cost = "cost unknown" if row["cost_usd"] is None else f"${row['cost_usd']:.4f}"
        tell(f"{row['key']}  {row['model_id']}  {row['finish_reason']}  {cost}")
    if len(rows) > _SHOWN:
        tell(f"… and {len(rows) - _SHOWN:,} more")
    tell(_summary(rows))
    if not arguments.remove:
        tell("Nothing was changed; with --remove they are dropped.")
        return 0
    drop(store, rows, _said(arguments))
    kinds = {row["kind"] for row in rows}
    rule = "judge_items" if kinds == {"judge"} else "generate_rationales"
    tell(
        "They are dropped. What was paid stays in the bill and in budgets; the next run asks for "
        f"them again: snakemake --forcerun {rule} …"
    )
    return 0


def _wanted(arguments: argparse.Namespace, store: Store) -> Wanted:
    model, revision = arguments.model, arguments.revision
    if arguments.teacher:
        own = _teacher(arguments)
        if model not in (None, own[0]) or revision not in (None, own[1]):
            raise ConfigError(f"--teacher: {arguments.teacher} asks {own[0]}, revision {own[1]!r}.")
        model, revision = own
    keys: list[set[str] | None] = [
        _beginning(arguments.key, store) if arguments.key else None,
        {str(row.get("key")) for row in read_rows(arguments.listed)} if arguments.listed else None,
        {row["key"] for row in _rationales("item_id", arguments.item)} if arguments.item else None,
    ]
    given = [some for some in keys if some is not None]
    reasons = arguments.reason and [reason.lower() for reason in arguments.reason]
    if not given and reasons is None and (model, revision, arguments.kind) == (None,) * 3:
        raise StoreError("say which answers: --key, --listed, --reason, --item, --model, …")
    return Wanted(
        set.intersection(*given) if given else None,
        model,
        revision,
        arguments.kind,
        reasons,
        {row["key"] for row in _rationales("reason", reasons)} if reasons else (),
    )


def _teacher(arguments: argparse.Namespace) -> tuple[str, str]:
    from caft.teacher import Here, make_teacher

    config = configured.read(arguments)
    known = {**config.judges, **config.teachers}
    if arguments.teacher not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ConfigError(f"--teacher: no teacher {arguments.teacher!r}; known are {names}.")
    settings = known[arguments.teacher]
    if settings.own_solutions:
        raise ConfigError(f"--teacher: {arguments.teacher} has an own revision for each item.")
    return make_teacher(settings, None, Here(arguments.store)).identify({})


def _beginning(given: list[str], store: Store) -> set[str]:
    keys = store.keys()
    return {key for key in keys if key.startswith(tuple(given))}


def _rationales(column: str, values: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the rationales tables of this folder that have one of some values."""
    import pyarrow.parquet as pq

    for path in sorted(Path(layout.RATIONALES.partition("/{")[0]).glob("**/*.parquet")):
        chosen = [(column, "in", values)]
        yield from pq.read_table(path, columns=["key", column], filters=chosen).to_pylist()


def _nothing(store: Store) -> str:
    table = store.table(["model_id", "finish_reason"]).to_pylist()
    models = ", ".join(sorted({row["model_id"] or "(none)" for row in table})) or "none"
    ends = ", ".join(sorted({row["finish_reason"] or "(none)" for row in table})) or "none"
    return (
        f"{store.folder}: no answer in use is meant. Models there: {models}; finish reasons: "
        f"{ends}. Items and reasons of the quarantine are looked up in data/rationales."
    )


def _summary(rows: list[dict[str, Any]]) -> str:
    counts = Counter(row["finish_reason"] or "(none)" for row in rows)
    ends = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
    costs = [row["cost_usd"] for row in rows]
    unknown = f" and {costs.count(None):,} at unknown cost" if None in costs else ""
    tokens = sum((row["prompt_tokens"] or 0) + (row["completion_tokens"] or 0) for row in rows)
    more = uncounted(rows)
    length = f" and {more:,} answers of unknown length" if more else ""
    return (
        f"{len(rows):,} answers ({ends}): {tokens:,} tokens{length}, "
        f"${sum(cost for cost in costs if cost is not None):,.4f}{unknown}"
    )


def _said(arguments: argparse.Namespace) -> str:
    names = ("key", "listed", "reason", "item", "teacher", "model", "revision", "kind")
    given = {name: getattr(arguments, name) for name in names}
    return ", ".join(f"{name} {value}" for name, value in given.items() if value)
