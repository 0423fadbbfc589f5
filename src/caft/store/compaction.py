"""Few big files instead of many small ones, and damaged files out of the way.

New segments are durable before old files go, so a kill at any moment leaves every answer in the
store, at worst twice. Readers that meet a vanished file list the folder again.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from caft.errors import StoreError
from caft.store import dropped as drops
from caft.store import files, journal, segment
from caft.store.check import inspect
from caft.store.record import (
    Contents,
    Damage,
    DamagedError,
    Purchase,
    each_purchase,
    first_received,
    writing,
)

_OLD_S = 24 * 3600.0  # a temporary file that old is nobody's any more


@dataclass
class Compaction:
    """What a compaction did."""

    answers: int = 0  # in the new segments
    written: list[Path] = field(default_factory=list)
    folded: int = 0  # journals
    merged: int = 0  # segments
    duplicates: int = 0  # records dropped because an earlier one has their key
    aside: list[Path] = field(default_factory=list)  # damaged files, moved to damaged/
    damage: list[Damage] = field(default_factory=list)
    in_use: int = 0  # journals of living writers
    elsewhere: int = 0  # journals of other hosts


def compact(folder: Path, everything: bool = False) -> Compaction:
    """Fold the journals of dead writers and merge segments.

    Args:
        folder: the store.
        everything: fold the journals of other hosts too; nobody there may be writing.

    Returns:
        What was done.

    Raises:
        StoreError: if a write fails or another compaction is under way; nothing is lost then.
    """
    try:
        with writing(folder):
            return _compact(folder, everything)
    except DamagedError as error:
        raise _changed(folder) from error
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise _changed(folder) from error
        raise


def _changed(folder: Path) -> StoreError:
    return StoreError(
        f"{folder}: its files changed while they were read; run again when no other compaction "
        "runs. No answer is lost."
    )


def _compact(folder: Path, everything: bool) -> Compaction:
    done = Compaction()
    contents = {path: journal.read(path) for path in _abandoned(folder, everything, done)}
    contents |= {path: inspect(path) for path in files.segments(folder)}
    # Dropped ones were paid for, so they stay; among the others the first of each key does.
    dropped: frozenset[Purchase] = frozenset().union(*map(drops.read, drops.paths(folder)))
    found = list(chain.from_iterable(each.places for each in contents.values()))
    unused = (place for place in found if (place.key, place.received_at) in dropped)
    winners = [*first_received(found, dropped=dropped).values(), *each_purchase(unused)]
    kept = {path: 0 for path in contents}
    for place in winners:
        kept[place.path] += 1
    old = _worth_rewriting(contents, kept)
    places = [place for place in winners if place.path in old]
    done.written = files.rewrite(folder, places)
    done.answers = len(places)
    for path in old:
        damage = [one for one in contents[path].damage if not one.torn]
        done.damage += damage
        done.duplicates += len(contents[path].places) - kept[path]
        done.folded += files.is_journal(path)
        done.merged += not files.is_journal(path)
        if path in done.written or _grew(path, contents[path]):
            continue
        files.retire(folder, path, bool(damage))
        if damage:
            done.aside.append(folder / "damaged" / path.name)
    _sweep(folder)
    return done


def _abandoned(folder: Path, everything: bool, done: Compaction) -> Iterable[Path]:
    for path in files.journals(folder):
        abandoned = journal.is_abandoned(path)
        if abandoned or (abandoned is None and everything):
            yield path
        done.in_use += abandoned is False
        done.elsewhere += abandoned is None and not everything


def _worth_rewriting(contents: dict[Path, Contents], kept: dict[Path, int]) -> set[Path]:
    """Leave out big segments in which nothing is wrong, and a single small one."""
    small, spoilt = set(), set()
    for path, found in contents.items():
        if files.is_journal(path) or found.damage or kept[path] < len(found.places):
            spoilt.add(path)
        elif path.stat().st_size < segment.SEGMENT_BYTES / 2:
            small.add(path)
    return spoilt | small if spoilt or len(small) > 1 else set()


def _grew(path: Path, found: Contents) -> bool:
    # Its writer lives after all: what it wrote since stays, what was folded is there twice.
    return files.is_journal(path) and path.stat().st_size != found.size


def _sweep(folder: Path) -> None:
    for path in folder.glob("segments/.*.tmp"):
        if path.stat().st_mtime < time.time() - _OLD_S:
            path.unlink()
