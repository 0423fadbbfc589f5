"""Which answers to drop, so that they are asked for again."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from caft.store import dropped
from caft.store.answers import Store

_COLUMNS = [
    "key",
    "received_at",
    "kind",
    "model_id",
    "revision",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
]


@dataclass(frozen=True)
class Wanted:
    """Which answers; one that is meant fits everything that is not None.

    Attributes:
        keys: one of these keys.
        model_id: of this model.
        revision: of this revision of it.
        kind: `rationale` or `judge`.
        finish_reasons: ended in one of these ways, whatever their case; or has one of `rejected`.
        rejected: keys that were rejected for one of these reasons.
    """

    keys: Collection[str] | None = None
    model_id: str | None = None
    revision: str | None = None
    kind: str | None = None
    finish_reasons: Collection[str] | None = None
    rejected: Collection[str] = ()

    def fits(self, row: dict[str, Any]) -> bool:
        """Tell whether an answer, by its light columns, is meant."""
        ended = (row["finish_reason"] or "").lower()
        return (
            (self.keys is None or row["key"] in self.keys)
            and self.model_id in (None, row["model_id"])
            and self.revision in (None, row["revision"] or "")
            and self.kind in (None, row["kind"])
            and (
                self.finish_reasons is None
                or ended in self.finish_reasons
                or row["key"] in self.rejected
            )
        )


def find(store: Store, wanted: Wanted) -> list[dict[str, Any]]:
    """Return the light columns of the answers that are meant and in use, in order of receipt."""
    rows = store.table(_COLUMNS).to_pylist()
    found = [row for row in rows if wanted.fits(row) and not store.is_dropped(row)]
    return sorted(found, key=lambda row: (row["received_at"] or "", row["key"]))


def drop(store: Store, rows: list[dict[str, Any]], reason: str) -> None:
    """Drop answers: no job uses them any more, and whoever needs one asks for it again.

    What they cost stays in the bill. Killed at any moment, all of them are dropped or none.

    Args:
        store: where they are.
        rows: as `find` returns them.
        reason: why, for people.

    Raises:
        StoreError: if it cannot be written down; nothing is dropped then.
    """
    dropped.add(store.folder, ((row["key"], row["received_at"] or "") for row in rows), reason)
    store.refresh()
