"""Requests that were sent and brought no answer: what they may have cost counts until it is known.

Every process writes a file of its own under `<store>/given_up/`, a line per attempt. Nothing but
budgets reads them, so that they can be deleted once a bill shows what was really taken.
"""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from caft.store.record import reading, writing
from caft.teacher.money.budget import Spending


class GivenUp:
    """The lost attempts at a model, of all jobs that share a store."""

    def __init__(self, store: Path, model_id: str | None, revision: str | None):
        """Name the store and the model; None is nobody in particular."""
        self.folder = store / "given_up"
        self.identity = {"model_id": model_id, "revision": revision}
        self._own = self.folder / f"{uuid.uuid4().hex}.jsonl"

    def add(self, lost: Spending) -> None:
        """Note an attempt with the most that it can have taken."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        line = {**self.identity, **vars(lost), "at": at}
        with writing(self.folder.parent):
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self._own, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def total(self) -> Spending:
        """Add up what the attempts of all jobs may have taken."""
        found = Spending()
        with reading(self.folder):
            for path in self.folder.glob("*.jsonl"):
                for line in path.read_text(encoding="utf-8").splitlines():
                    found += self._amounts(line)
        return found

    def _amounts(self, line: str) -> Spending:
        try:
            lost = json.loads(line)
        except ValueError:  # the last line of a killed job
            return Spending()
        if not self.identity.items() <= lost.items():
            return Spending()
        return Spending(lost["requests"], lost["tokens"], lost["cost_usd"])
