"""The light columns of a store's files, kept from look to look: only what is new is read."""

from pathlib import Path

import pyarrow as pa

from caft.store import files, segment
from caft.store.record import LIGHT, Contents, DamagedError, light_table

_PIECES = 64  # of a journal, before they become one


class LightColumns:
    """Columns of files as far as they were asked for.

    A segment never changes; of a journal the lines that were added are read.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._known: dict[Path, pa.Table] = {}

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
            known = _grown(path, found, known)
        else:
            known = _widened(path, found, known, names)
        self._known[path] = known
        return known.select(names)

    def forget(self, path: Path) -> None:
        """Read a file anew when it is asked for."""
        self._known.pop(path, None)


def _grown(path: Path, found: Contents, known: pa.Table | None) -> pa.Table:
    known = LIGHT.empty_table() if known is None else known
    added = found.places[known.num_rows :]
    if not added:
        return known
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
