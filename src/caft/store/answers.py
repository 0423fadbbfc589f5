"""The store as a program uses it: look up answers, append new ones."""

import errno
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from caft.errors import StoreError
from caft.store import files, journal, segment
from caft.store.journal import Journal
from caft.store.record import (
    LIGHT,
    Contents,
    Damage,
    DamagedError,
    Place,
    encode,
    first_received,
    light_table,
    reading,
    writing,
)

log = logging.getLogger("caft")

_LOOKS = 10  # at a folder whose files vanish while they are read
_BATCH = 250  # records in memory at once
_NAMED = 5  # damaged rows of a segment in one warning


class Store:
    """A folder of paid answers; as a context manager it folds this process's journal at the end.

    Records have the fields of `RECORD`. What others wrote is looked up at the first use, and again
    by `refresh`. Damaged records are never used: they are reported once and then absent.
    """

    def __init__(self, folder: str | Path):
        """Name the folder; it is made when something is appended."""
        self.folder = Path(folder)
        self._files: dict[Path, Contents] = {}
        self._index: dict[str, Place] = {}
        self._looked = False
        self._own: set[str] = set()
        self._journal: Journal | None = None
        self._journals: list[Path] = []  # own, not folded yet
        self._reported: set[Damage] = set()

    def __enter__(self) -> "Store":
        """Return the store."""
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
            A row per record, duplicates included: each was paid for.
        """
        self._look_once()
        names = list(dict.fromkeys([*columns, "model_id", "revision"]))
        schema = pa.schema([LIGHT.field(name) for name in names])
        try:
            with reading(self.folder):
                parts = [self._columns(path, names) for path in self._files]
        except StoreError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            self.refresh()
            return self.table(columns, model_id, revision)
        table = pa.concat_tables([schema.empty_table(), *parts])
        for name, value in (("model_id", model_id), ("revision", revision)):
            if value is not None:
                table = table.filter(pc.equal(table[name], value))
        return table.select(columns)

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Store answers; once this returns they are on the disk and count as received.

        Args:
            records: fields of `RECORD`, those left out become null. A key that this process has
                already written is left as it is.

        Raises:
            ValueError: if a record has no key, an unknown field or a value of the wrong type;
                nothing is written then.
            StoreError: if they cannot be written; what was appended before is kept.
        """
        new: dict[str, tuple[str, bytes]] = {}  # time and record by key, which the bytes decide
        for body in encode(records):
            record = json.loads(body)
            if not (record["key"] in self._own and record["key"] in self._index):
                new.setdefault(record["key"], (record["received_at"] or "", body))
        if not new:
            return
        with writing(self.folder):
            path, lines = self._write([body for _, body in new.values()])
        self._own |= new.keys()
        places = [
            Place(key, received, path, start, size)
            for (key, (received, _)), (start, size) in zip(new.items(), lines, strict=True)
        ]
        known = self._files.setdefault(path, Contents())
        known.places += places
        known.size = known.end = sum(lines[-1])
        known.line += len(lines)
        first_received(places, self._index)

    def fold(self) -> list[Path]:
        """Turn this process's journal into segments and return them; without a journal, none.

        Raises:
            StoreError: if they cannot be written; the journal is kept.
        """
        if self._journal:
            self._journal.close()
            self._journal = None
        contents: dict[Path, Contents] = {}
        with writing(self.folder):
            for path in self._journals:
                with suppress(FileNotFoundError):  # somebody's compaction folded it
                    contents[path] = journal.read(path)
            places = first_received(chain.from_iterable(one.places for one in contents.values()))
            segments = files.rewrite(self.folder, places.values())
            for path, found in contents.items():
                damaged = [damage for damage in found.damage if not damage.torn]
                self._report(damaged)
                files.retire(self.folder, path, bool(damaged))
        for path in self._journals:
            self._files.pop(path, None)
            self._looked &= path in contents
        self._journals = []
        self._index_all()
        for path in segments:
            self._take(path, segment.read(path))
        return segments

    def refresh(self) -> None:
        """Look again at what other writers added: only files that are new or grew are read.

        Raises:
            StoreError: if the folder cannot be read.
        """
        for _ in range(_LOOKS):
            with reading(self.folder), suppress(FileNotFoundError):  # compacted since it was listed
                self._look()
                self._looked = True
                return
        raise StoreError(f"{self.folder}: its files vanish while they are read; run again.")

    def _look_once(self) -> None:
        if not self._looked:
            self.refresh()

    def _look(self) -> None:
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
            del self._files[path]
        if gone:
            self._index_all()

    def _take(self, path: Path, found: Contents) -> None:
        self._report(found.damage)
        self._files[path] = found
        first_received(found.places, self._index)

    def _index_all(self) -> None:
        self._index = first_received(chain.from_iterable(f.places for f in self._files.values()))

    def _read(self, path: Path, places: list[Place], found: dict[str, dict[str, Any]]) -> None:
        """Add the records at these places of a file; where it changed, know better next time."""
        try:
            for place, body in files.bodies(path, places):
                found[place.key] = json.loads(body)
        except FileNotFoundError:  # compacted meanwhile: what it held lies elsewhere now
            self.refresh()
        except DamagedError:
            self._read_again(path)

    def _read_again(self, path: Path) -> None:
        """Look through a file in which a record was not as expected."""
        with suppress(FileNotFoundError):
            read = journal.read if files.is_journal(path) else segment.salvage
            self._take(path, read(path))
            self._index_all()

    def _columns(self, path: Path, names: list[str]) -> pa.Table:
        if not files.is_journal(path):
            with suppress(DamagedError):
                return segment.read_light(path, names)
        try:
            places = self._files[path].places
            return light_table(body for _, body in files.bodies(path, places)).select(names)
        except DamagedError:
            self._read_again(path)
            return self._columns(path, names)

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
