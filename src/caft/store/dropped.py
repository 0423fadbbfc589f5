"""Answers that are not used any more: a file per drop names them, and readers leave them out.

The answers themselves stay where they lie, for the bill. So a drop is one atomic write, whatever
others read, write, fold or compact meanwhile; and it takes the answer that was paid for then, not
the one that is bought instead of it.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from caft.errors import StoreError
from caft.store.record import Purchase, writing
from caft.tables.files import atomic_path


def paths(folder: Path) -> list[Path]:
    """Return the files of a store that name dropped answers."""
    return sorted(folder.glob("dropped/*.json"))


def add(folder: Path, purchases: Iterable[Purchase], reason: str) -> Path:
    """Drop answers; once this returns no reader that looks again uses them.

    Args:
        folder: the store.
        purchases: the answers.
        reason: why, for people.

    Returns:
        The file that was written; without it, the answers are used again.

    Raises:
        StoreError: if it cannot be written; nothing is dropped then.
    """
    named = {
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "reason": reason,
        "dropped": sorted(set(purchases)),
    }
    content = json.dumps(named, indent=0, ensure_ascii=False).encode()
    path = folder / "dropped" / f"{sha256(content).hexdigest()}.json"
    with writing(folder), atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def read(path: Path) -> frozenset[Purchase]:
    """Return the answers that a file names.

    Raises:
        FileNotFoundError: if it was taken away.
        StoreError: if it is not as it was written: which answers it names is unknown then.
    """
    content = path.read_bytes()
    if sha256(content).hexdigest() != path.stem:
        raise StoreError(
            f"{path}: is damaged, so which answers were dropped is unknown. Bring it back, or "
            "remove it and drop them again (`caft store drop`)."
        )
    return frozenset((key, received) for key, received in json.loads(content)["dropped"])
