"""Batches that an endpoint has, noted beside the answers: what was submitted is never bought again.

Each has a file under `<store>/batches/`, written before anything is sent, and again with the ids
that the endpoint gave. The file goes when the answers are durable.
"""

import json
import time
import uuid
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from caft.errors import StoreError
from caft.store.given_up import Note
from caft.tables.files import write_json, write_text


@dataclass
class OpenBatch:
    """What was submitted and is not fully collected.

    Attributes:
        endpoint: its address.
        model: that was asked.
        revision: of it.
        keys: of the requests.
        uuid: its name, which the endpoint has in the metadata of the batch.
        created: when it was made, in seconds since 1970.
        file: the endpoint's id of the uploaded requests; None until the batch may have been made.
        batch: the endpoint's id of the batch; None until it is known.
        answers: collected lines by key that no run has wanted yet.
        most_tokens: of all its requests and answers.
    """

    endpoint: str
    model: str
    revision: str
    keys: list[str]
    uuid: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: float = field(default_factory=time.time)
    file: str | None = None
    batch: str | None = None
    answers: dict[str, Any] = field(default_factory=dict)
    most_tokens: int = 0

    @property
    def name(self) -> str:
        """What people call it."""
        return self.batch or self.uuid


def _folder(store: Path) -> Path:
    return store / "batches"


def path_of(store: Path, uuid: str) -> Path:
    """Return the file of a batch."""
    return _folder(store) / f"{uuid}.json"


def write(store: Path, batch: OpenBatch) -> None:
    """Note a batch."""
    write_json(path_of(store, batch.uuid), asdict(batch))


def give_up(store: Path, batch: OpenBatch, requests: int) -> None:
    """Note that so many requests of a batch may have been answered, and nobody will know."""
    note = Note(store, batch.model, batch.revision)
    note.write(requests, batch.most_tokens * requests // len(batch.keys), 0.0)
    note.close()


def keep(store: Path, batch: OpenBatch, texts: list[str]) -> Path:
    """Keep what an endpoint sent for a batch and nobody could read; return the file."""
    path = _folder(store) / f"{batch.uuid}.unread"
    write_text(path, "\n".join(texts))
    return path


def remove(store: Path, batch: OpenBatch) -> None:
    """Take the note of a batch away."""
    path_of(store, batch.uuid).unlink(missing_ok=True)


def read(store: Path, uuid: str) -> OpenBatch | None:
    """Return a batch; None if it has been collected meanwhile.

    Raises:
        StoreError: if the file is not as it was written.
    """
    path = path_of(store, uuid)
    try:
        noted = {"file": "", **json.loads(path.read_text(encoding="utf-8"))}
        known = {one.name: noted[one.name] for one in fields(OpenBatch) if one.name in noted}
        return OpenBatch(**{**known, "answers": noted.get("answers") or {}})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{path}: cannot be read ({error}), so what was submitted is unknown. "
            f"`caft store batches --forget {uuid} --store {store}` lets it be asked again."
        ) from error


def all_in(store: Path) -> list[OpenBatch]:
    """Return the batches of a store, oldest first.

    Raises:
        StoreError: as `read`.
    """
    found = [read(store, path.stem) for path in _folder(store).glob("*.json")]
    return sorted((one for one in found if one), key=lambda one: (one.created, one.uuid))


def forget(store: Path, name: str) -> OpenBatch | None:
    """Take a batch off the notes, so that its requests are asked again; return it if it is known.

    What it has answered nobody will know, so all that it may have taken counts as given up.

    Args:
        store: folder of the answers.
        name: the endpoint's id of the batch, or its own name.

    Raises:
        StoreError: if there is none, or its answers are here already and wait for a run.
    """
    path = path_of(store, name)
    try:
        found = read(store, name) or next((one for one in all_in(store) if one.batch == name), None)
    except StoreError:
        if not path.exists():
            raise
        path.unlink()
        return None
    if found is None:
        raise StoreError(f"{store}: no batch {name!r}; `caft store batches` lists them.")
    if found.answers:
        raise StoreError(
            f"{store}: the {len(found.answers)} answers of {name} are here already; the next run "
            "that wants them takes them."
        )
    give_up(store, found, len(found.keys))
    remove(store, found)
    return found
