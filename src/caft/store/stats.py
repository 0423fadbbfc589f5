"""What a store holds, by model."""

import json
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from caft.store import files, journal, segment
from caft.store.answers import Store
from caft.store.given_up import noted

_COLUMNS = [
    "model_id",
    "revision",
    "kind",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "received_at",
    "imported",
]


def by_model(store: Store) -> list[dict[str, Any]]:
    """Return a row per model and revision; what was received twice counts twice.

    Returns:
        Answers (and how many of them were imported), tokens and money (and for how many answers
        either is unknown), first and last time, answers by kind and by finish_reason, and by the
        model that the reply names, each answer once there; and what requests without an answer can
        have taken beside that, at most.
    """
    named, lost = _named(store), _lost(store.folder)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in lost}
    for row in store.table(_COLUMNS).to_pylist():
        groups.setdefault((row["model_id"] or "", row["revision"] or ""), []).append(row)
    return [
        {
            **{"model_id": model, "revision": revision},
            **_sums(groups[model, revision]),
            "answered_by": _count(named[model, revision]),
            "given_up": lost[model, revision],
        }
        for model, revision in sorted(groups)
    ]


def _lost(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what requests without an answer can have taken, by model and revision."""
    sums: dict[tuple[str, str], dict[str, Any]] = defaultdict(
        lambda: {"requests": 0, "tokens": 0, "cost_usd": 0.0, "cost_unknown": 0}
    )
    for one in noted(folder):
        if one.requests:
            found = sums[one.model_id or "", one.revision or ""]
            found["requests"] += one.requests
            found["tokens"] += one.tokens
            found["cost_usd"] += one.cost_usd
            found["cost_unknown"] += one.requests if one.tokens and not one.cost_usd else 0
    return sums


def _named(store: Store) -> dict[tuple[str, str], list[str | None]]:
    """Return which models the replies name, by model and revision that were asked."""
    named: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    for batch in store.batches(store.keys()):
        for record in batch:
            model = _model_in(record["raw"] or "")
            named[record["model_id"] or "", record["revision"] or ""].append(model)
    return named


def _model_in(raw: str) -> str | None:
    with suppress(ValueError, AttributeError):
        model = json.loads(raw).get("model")
        return model if isinstance(model, str) else None
    return None


def _sums(rows: list[dict[str, Any]]) -> dict[str, Any]:
    times = [row["received_at"] for row in rows if row["received_at"]]
    costs = [row["cost_usd"] for row in rows]
    return {
        "answers": len(rows),
        "imported": sum(bool(row["imported"]) for row in rows),
        "prompt_tokens": sum(row["prompt_tokens"] or 0 for row in rows),
        "completion_tokens": sum(row["completion_tokens"] or 0 for row in rows),
        "tokens_unknown": uncounted(rows),
        "cost_usd": sum(cost for cost in costs if cost is not None),
        "cost_unknown": costs.count(None),
        "first_received": min(times, default=None),
        "last_received": max(times, default=None),
        "kinds": _count(row["kind"] for row in rows),
        "finish_reasons": _count(row["finish_reason"] for row in rows),
    }


def uncounted(rows: list[dict[str, Any]]) -> int:
    """Return of how many answers the tokens are unknown."""
    return sum(None in (row["prompt_tokens"], row["completion_tokens"]) for row in rows)


def _count(values: Any) -> dict[str, int]:
    return dict(Counter(value or "(none)" for value in values).most_common())


def by_file(folder: Path) -> list[dict[str, Any]]:
    """Return name, size and number of answers of every file."""
    rows = []
    for path in [*files.journals(folder), *files.segments(folder)]:
        with suppress(FileNotFoundError):  # folded or merged since it was listed
            found = (journal if files.is_journal(path) else segment).read(path)
            name, size = str(path.relative_to(folder)), path.stat().st_size
            rows.append({"file": name, "bytes": size, "answers": len(found.places)})
    return rows
