"""The store as a program uses it: look up answers, append new ones."""

import errno
import gc
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from caft.errors import StoreError
from caft.store import dropped, files, journal, segment
from caft.store.columns import LightColumns
from caft.store.journal import Journal
from caft.store.record import (
    LIGHT,
    RECORD,
    Contents,
    Damage,
    DamagedError,
    Place,
    Purchase,
    each_purchase,
    encode,
    first_received,
    reading,
    writing,
)

log = logging.getLogger("caft")

_LOOKS = 10  # at a folder whose files vanish while they are read
_BATCH = 250  # records in memory at once
_NAMED = 5  # damaged rows of a segment in one warning
_NOTHING: dict[str, Any] = dict.fromkeys(RECORD.names)


class Store:
    """A folder of paid answers.

    As a context manager it folds the journals of killed jobs at the start, and its own at the end.

    Records have the fields of `RECORD`. What others wrote is looked up at the first use, and again
    by `refresh`. Damaged records are never used: they are reported once and then absent.
    """

    def __init__(self, folder: str | Path):
        """Name the folder; it is made when something is appended."""
        self.folder = Path(folder)
        self._files: dict[Path, Contents] = {}
        self._columns = LightColumns()
        self._drops: dict[Path, frozenset[Purchase]] = {}  # by file
        self._dropped: frozenset[Purchase] = frozenset()
        self._index: dict[str, Place] = {}
        self._looked = False
        self._own: set[str] = set()
        self._journal: Journal | None = None
        self._journals: list[Path] = []  # own, not folded yet
        self._reported: set[Damage] = set()

    def __enter__(self) -> "Store":
        """Fold what killed jobs have left, so that no reader after this one parses it again."""
        try:
            self._fold_abandoned()
        except StoreError as error:
            log.warning("%s", error)  # whoever may only read can still do so
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Fold, after an error too."""
        try:
            self.fold()
        except StoreError as error:
            if kind is None:
                raise
            # The first error says more; the journal is kept.
            log.warning("%s", error)

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the stored records among `keys`; of duplicates the one that was received first.

        Raises:
            StoreError: if the folder cannot be read.
        """
        self._look_once()
        wanted = set(keys)
        found: dict[str, dict[str, Any]] = {}
        while missing := [
            self._index[key] for key in wanted if key not in found and key in self._index
        ]:
            with reading(self.folder):
                for path, places in files.by_file(missing):
                    self._read(path, places, found)
        return found

    def keys(self) -> set[str]:
        """Return the keys of all stored answers.

        A record whose bytes are damaged can still be among them, until `get` has looked at it.
        """
        self._look_once()
        return set(self._index)

    @property
    def dropped(self) -> int:
        """How many answers are not used any more."""
        self._look_once()
        return len(self._dropped)

    @property
    def added(self) -> int:
        """How many answers this process has stored."""
        return len(self._own)

    def check_room(self) -> None:
        """See that there is room to write, and that a write reaches the disk: ask only then.

        Raises:
            StoreError: if it cannot be written.
        """
        with writing(self.folder):
            journal.probe(self.folder)

    def is_dropped(self, record: Mapping[str, Any]) -> bool:
        """Tell whether an answer, by its key and time, is not used any more."""
        return (record.get("key"), record.get("received_at") or "") in self._dropped

    def batches(self, keys: set[str]) -> Iterator[list[dict[str, Any]]]:
        """Read the records of many keys, in the order in which they lie, a batch at a time."""
        self._look_once()
        places = sorted(
            (place for key, place in self._index.items() if key in keys),
            key=lambda place: (place.path, place.start),
        )
        for start in range(0, len(places), _BATCH):
            yield list(self.get(place.key for place in places[start : start + _BATCH]).values())

    def table(
        self, columns: list[str], model_id: str | None = None, revision: str | None = None
    ) -> pa.Table:
        """Return columns of all records that were received, without reading the texts.

        Args:
            columns: of `RECORD` without request, text, reasoning and raw; or `imported`.
            model_id: only of this model.
            revision: only of this revision.

        Returns:
            A row per answer that was paid for: of several to the same request each has one, also
            if it was dropped, but not its copy that a kill has left in another file.
        """
        self._look_once()
        self._columns.wanted = True
        names = list(dict.fromkeys([*columns, "key", "received_at", "model_id", "revision"]))
        schema = pa.schema([LIGHT.field(name) for name in names])
        try:
            with reading(self.folder):
                parts = [self._light(path, names) for path in self._files]
        except StoreError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            self.refresh()
            return self.table(columns, model_id, revision)
        table = pa.concat_tables([schema.empty_table(), *parts])
        if table.num_rows != len(self._index):
            table = _without_copies(table)
        for name, value in (("model_id", model_id), ("revision", revision)):
            if value is not None:
                table = table.filter(pc.equal(table[name], value))
        return table.select(columns)

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Store answers; once this returns they are on the disk and count as received.

        Args:
            records: fields of `RECORD`, those left out become null, as do values that do not fit
                their column. A key that this process has already written is left as it is, unless
                its answer was dropped.

        Raises:
            ValueError: if a record has no key or an unknown field; nothing is written then.
            StoreError: if they cannot be written; what was appended before is kept.
        """
        new: dict[str, tuple[dict[str, Any], bytes]] = {}  # by key, which the bytes decide
        for body in encode(map(self._told_apart, records)):
            record = json.loads(body)
            if not (record["key"] in self._own and record["key"] in self._index):
                new.setdefault(record["key"], (record, body))
        if not new:
            return
        with writing(self.folder):
            path, lines = self._write([body for _, body in new.values()])
        self._own |= new.keys()
        places = [
            Place(key, record["received_at"] or "", path, start, size)
            for (key, (record, _)), (start, size) in zip(new.items(), lines, strict=True)
        ]
        self._columns.add(path, (record for record, _ in new.values()))
        known = self._files.setdefault(path, Contents())
        known.places += places
        known.size = known.end = sum(lines[-1])
        known.line += len(lines)
        first_received(places, self._index, self._dropped)
        if known.size >= journal.FOLD_BYTES:
            try:
                self.fold()
            except StoreError as error:
                log.warning("%s", error)  # the answers are durable; the end tries again

    def fold(self) -> list[Path]:
        """Turn this process's journal into segments and return them; without a journal, none.

        Raises:
            StoreError: if they cannot be written; the journal is kept.
        """
        if self._journal:
            self._journal.close()
            self._journal = None
        if not self._journals:
            return []
        contents: dict[Path, Contents] = {}
        with writing(self.folder):
            for path in self._journals:
                with suppress(FileNotFoundError):  # somebody's compaction folded it
                    contents[path] = journal.read(path)
            segments = self._fold(contents)
        for path in self._journals:
            self._forget(path)
            self._looked &= path in contents
        self._journals = []
        self._index_all()
        for path in segments:
            self._take(path, segment.read(path))
        return segments

    def _fold_abandoned(self) -> None:
        """Fold the journals of writers that are known to be dead.

        Several jobs that start at once may do so together: each journal becomes segments of its
        own, which are named by their content and so the same for all of them.
        """
        for path in files.journals(self.folder):
            with writing(self.folder), suppress(FileNotFoundError):  # by another job meanwhile
                if journal.is_abandoned(path):
                    found = journal.read(path)
                    self._fold({path: found})
                    log.info("store: folded %d answers of a killed job", len(found.places))

    def _fold(self, contents: dict[Path, Contents]) -> list[Path]:
        """Move what was found in journals into segments, and return those."""
        places = each_purchase(chain.from_iterable(one.places for one in contents.values()))
        segments = files.rewrite(self.folder, places)
        for path, found in contents.items():
            damaged = [damage for damage in found.damage if not damage.torn]
            self._report(damaged)
            files.retire(self.folder, path, bool(damaged))
        return segments

    def refresh(self) -> None:
        """Look again at what other writers added: only files that are new or grew are read.

        Raises:
            StoreError: if the folder cannot be read.
        """
        for _ in range(_LOOKS):
            with reading(self.folder), suppress(FileNotFoundError):  # compacted since it was listed
                with _collecting_no_garbage():
                    self._look()
                self._looked = True
                return
        raise StoreError(f"{self.folder}: its files vanish while they are read; run again.")

    def _look_once(self) -> None:
        if not self._looked:
            self.refresh()

    def _look(self) -> None:
        drops = {path: self._drops.get(path) for path in dropped.paths(self.folder)}
        again = drops.keys() != self._drops.keys()
        self._drops = {path: known or dropped.read(path) for path, known in drops.items()}
        self._dropped = frozenset().union(*self._drops.values())
        # Journals first: one that its writer folds meanwhile is then found among the segments.
        journals = files.journals(self.folder)
        for path in journals:
            with suppress(FileNotFoundError):
                known = self._files.get(path, Contents())
                size = path.stat().st_size
                if size < known.size:
                    self._read_again(path)
                elif size > known.size:
                    self._take(path, journal.read(path, known))
        segments = files.segments(self.folder)
        for path in segments:
            if path not in self._files:
                self._take(path, segment.read(path))
        gone = self._files.keys() - set(journals) - set(segments)
        for path in gone:
            self._forget(path)
        if gone or again:
            self._index_all()

    def _take(self, path: Path, found: Contents) -> None:
        self._report(found.damage)
        self._files[path] = found
        first_received(found.places, self._index, self._dropped)

    def _forget(self, path: Path) -> None:
        self._files.pop(path, None)
        self._columns.forget(path)

    def _index_all(self) -> None:
        everything = chain.from_iterable(found.places for found in self._files.values())
        self._index = first_received(everything, dropped=self._dropped)

    def _read(self, path: Path, places: list[Place], found: dict[str, dict[str, Any]]) -> None:
        """Add the records at these places of a file; where it changed, know better next time."""
        try:
            for place, body in files.bodies(path, places):
                found[place.key] = _NOTHING | json.loads(body)
        except FileNotFoundError:  # compacted meanwhile: what it held lies elsewhere now
            self.refresh()
        except DamagedError:
            self._read_again(path)

    def _read_again(self, path: Path) -> None:
        """Look through a file in which a record was not as expected."""
        with suppress(FileNotFoundError):
            read = journal.read if files.is_journal(path) else segment.salvage
            self._columns.forget(path)
            self._take(path, read(path))
            self._index_all()

    def _light(self, path: Path, names: list[str]) -> pa.Table:
        try:
            return self._columns.of(path, self._files[path], names)
        except DamagedError:
            self._read_again(path)
            return self._light(path, names)

    def _told_apart(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an answer that is not taken for one that was dropped."""
        if not self.is_dropped(record):
            return record
        return {**record, "received_at": datetime.now(UTC).isoformat(timespec="microseconds")}

    def _write(self, bodies: list[bytes]) -> tuple[Path, list[tuple[int, int]]]:
        if self._journal is None:
            self._journal = Journal(self.folder)
            self._journals.append(self._journal.path)
        own, self._journal = self._journal, None  # after a failure the next append begins another
        try:
            lines = own.append(bodies)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            return self._write(bodies)  # a compaction elsewhere took this writer for dead
        self._journal = own
        return own.path, lines

    def _report(self, damage: list[Damage]) -> None:
        new = [one for one in damage if one not in self._reported]
        self._reported |= set(new)
        for one in new[:_NAMED]:
            log.warning("%s", one)
        if len(new) > _NAMED:
            more = len(new) - _NAMED
            log.warning("%s: %d more; `caft store verify` names all.", new[0].path, more)


@contextmanager
def _collecting_no_garbage() -> Iterator[None]:
    """Pause the collector: it would look at the many new places again and again, a third of all."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _without_copies(table: pa.Table) -> pa.Table:
    """Leave each answer once: between two steps of a fold it lies in journal and segment."""
    rows = pa.array(range(table.num_rows))
    timed = pc.is_valid(table["received_at"])
    numbered = table.select(["key", "received_at"]).append_column("row", rows).filter(timed)
    first = numbered.group_by(["key", "received_at"]).aggregate([("row", "min")])["row_min"]
    untimed = rows.filter(pc.invert(timed).combine_chunks())
    keep = pa.concat_arrays([first.combine_chunks(), untimed])
    return table.take(keep.take(pc.array_sort_indices(keep)))
