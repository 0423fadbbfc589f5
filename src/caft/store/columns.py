"""The light columns of a store's files, kept from look to look: only what is new is read."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from caft.store import files, segment
from caft.store.record import LIGHT, Contents, DamagedError, light_of, light_table

_PIECES = 64  # of a journal, before they become one


class LightColumns:
    """Columns of files as far as they were asked for.

    A segment never changes; of a journal the lines that were added are read.

    Attributes:
        wanted: whether somebody counts, so that what is appended should be known at once.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.wanted = False
        self._known: dict[Path, pa.Table] = {}
        self._added: dict[Path, list[dict[str, Any]]] = {}

    def add(self, path: Path, records: Iterable[Mapping[str, Any]]) -> None:
        """Take records that this process has just appended, so that they are not read back."""
        if self.wanted:
            self._added.setdefault(path, []).extend(map(light_of, records))

    def of(self, path: Path, found: Contents, names: list[str]) -> pa.Table:
        """Return columns of all intact answers of a file.

        Args:
            path: the file.
            found: what is in it.
            names: of `LIGHT`.

        Raises:
            FileNotFoundError: if the file was folded or merged meanwhile.
            DamagedError: if an answer is not intact any more.
        """
        known = self._known.get(path)
        if files.is_journal(path) or found.damage:
            known = _grown(path, found, known, self._added.pop(path, []))
        else:
            known = _widened(path, found, known, names)
        self._known[path] = known
        return known.select(names)

    def forget(self, path: Path) -> None:
        """Read a file anew when it is asked for."""
        self._known.pop(path, None)
        self._added.pop(path, None)


def _grown(
    path: Path, found: Contents, known: pa.Table | None, rows: list[dict[str, Any]]
) -> pa.Table:
    known = LIGHT.empty_table() if known is None else known
    added = found.places[known.num_rows :]
    if not added:
        return known
    if len(rows) == len(added):
        new = pa.Table.from_pylist(rows, schema=LIGHT)
    else:
        new = light_table(body for _, body in files.bodies(path, added))
    both = pa.concat_tables([known, new])
    return both.combine_chunks() if both["key"].num_chunks > _PIECES else both


def _widened(path: Path, found: Contents, known: pa.Table | None, names: list[str]) -> pa.Table:
    have = {} if known is None else dict(zip(known.column_names, known.columns, strict=True))
    missing = [name for name in names if name not in have]
    if known is not None and not missing:
        return known
    try:
        new = segment.read_light(path, missing)
    except DamagedError:
        return light_table(body for _, body in files.bodies(path, found.places))
    for name, column in have.items():
        new = new.append_column(LIGHT.field(name), column)
    return new
