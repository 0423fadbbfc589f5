"""Requests that were sent and brought no answer: the most that they can have taken is noted here.

A job keeps one line in a file of its own under `<store>/given_up/`: the sum of what it has given up
and of what is on the wire. The line is written anew before each request is sent. So what was on the
wire when a job was killed stays noted as given up, and a job that ends with nothing in its line
takes the file away. Delete a file once a bill shows what was really taken.
"""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from caft.store.record import reading, writing
from caft.tables.files import make_folder


@dataclass(frozen=True)
class Lost:
    """What requests without an answer can have taken at most; a cost of 0 is unknown, or none."""

    model_id: str | None
    revision: str | None
    requests: int
    tokens: int
    cost_usd: float


class Note:
    """The line of one job about one model."""

    def __init__(self, store: Path, model_id: str | None, revision: str | None):
        """Name the store and the model; the file is made when something is sent."""
        self.path = store / "given_up" / f"{uuid.uuid4().hex}.jsonl"
        identity = json.dumps({"model_id": model_id, "revision": revision})
        self._begin = f'{identity[:-1]}, "requests": '
        self._file: int | None = None
        self._is_empty = True

    def write(self, requests: int, tokens: int, cost_usd: float) -> None:
        """Replace the line; once this returns, a kill of this process does not undo it.

        It is not synced, which would take longer than all else: a crash of the machine may undo it.

        Raises:
            StoreError: if it cannot be written.
        """
        self._is_empty = requests == tokens == 0
        # All numbers have the same width, so that the line lies over the one before.
        amounts = f'{requests:9}, "tokens": {tokens:15}, "cost_usd": {cost_usd:17.9f}}}\n'
        if self._file is None:
            with writing(self.path.parent):
                make_folder(self.path.parent)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(self._file, (self._begin + amounts).encode(), 0)
        except OSError:
            # Entered on failure alone: it takes as long as all the rest of this.
            with writing(self.path.parent):
                raise

    def close(self) -> None:
        """Close the file; without anything in its line it goes."""
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        if self._is_empty:
            self.path.unlink(missing_ok=True)


def noted(store: Path, but: Path | None = None) -> Iterator[Lost]:
    """Yield what all jobs have noted, those that run included.

    Args:
        store: its folder.
        but: a file that is left out.

    Raises:
        StoreError: if the folder cannot be read.
    """
    with reading(store):
        for path in sorted(store.glob("given_up/*.jsonl")):
            with suppress(FileNotFoundError):  # its job has ended since it was listed
                lines = [] if path == but else path.read_text(encoding="utf-8").splitlines()
                yield from filter(None, map(_lost, lines))


def _lost(line: str) -> Lost | None:
    try:
        said = json.loads(line)
        return Lost(**{one.name: said[one.name] for one in fields(Lost)})
    except (ValueError, KeyError):  # a crash of the machine left a part of it
        return None
