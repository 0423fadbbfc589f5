"""The files of a store, whichever kind they are: which there are, what is in them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path

from caft.store import journal, segment
from caft.store.record import Place
from caft.tables.files import make_folder, sync_folder


def journals(folder: Path) -> list[Path]:
    """Return the journals of a store."""
    return sorted(folder.glob("journals/*.jsonl"))


def segments(folder: Path) -> list[Path]:
    """Return the segments of a store."""
    return sorted(folder.glob("segments/*.parquet"))


def is_journal(path: Path) -> bool:
    """Tell a journal from a segment."""
    return path.suffix == ".jsonl"


def by_file(places: Iterable[Place]) -> Iterator[tuple[Path, list[Place]]]:
    """Group places by file, in the order in which they lie."""
    here: dict[Path, list[Place]] = defaultdict(list)
    for place in places:
        here[place.path].append(place)
    for path in sorted(here):
        yield path, sorted(here[path], key=attrgetter("start"))


def bodies(path: Path, places: list[Place]) -> Iterator[tuple[Place, bytes]]:
    """Read the records at these places of one file, in the order in which they lie.

    Raises:
        FileNotFoundError: if the file was folded or merged meanwhile.
        DamagedError: if one of them is not intact.
    """
    if places:
        yield from (journal if is_journal(path) else segment).bodies(path, places)


def rewrite(folder: Path, places: Iterable[Place]) -> list[Path]:
    """Write the records at these places into new segments of a store, and return those.

    Raises:
        FileNotFoundError, DamagedError: as `bodies`.
        OSError: if a write fails.
    """
    found = (body for path, here in by_file(places) for _, body in bodies(path, here))
    return segment.pack(folder / "segments", found)


def retire(folder: Path, path: Path, damaged: bool) -> None:
    """Take a file out of the store once its answers lie elsewhere; a damaged one is moved aside."""
    if damaged:
        aside = folder / "damaged" / path.name
        make_folder(aside.parent)
        path.replace(aside)
        sync_folder(aside.parent)
    else:
        path.unlink(missing_ok=True)  # another job may fold the same journal of a killed one
