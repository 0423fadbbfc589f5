"""Atomic writes: a reader sees the old file or the new one, never a part of it.

Whoever may read or write what is made is the umask's to say, so that a group can share a run.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caft import shown
from caft.errors import CutError

if TYPE_CHECKING:
    import pandas as pd

# What a whole file ends with, by its suffix.
_ENDS = {
    ".parquet": (b"PAR1",),
    ".png": (b"IEND\xaeB`\x82",),
    ".svg": (b"</svg>\n", b"</svg>"),
    ".html": (b"</html>\n", b"</html>"),
    ".json": (b"}\n", b"]\n"),
    ".csv": (b"\n",),
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync and rename it, else remove it."""
    target = Path(path)
    make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def share_weights(folder: Path) -> None:
    """Give weights the rights of their folder: safetensors writes them for their owner alone."""
    for path in folder.glob("*.safetensors"):
        path.chmod(folder.stat().st_mode & 0o666)


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a readable JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def write_csv(path: str | Path, table: "pd.DataFrame", digits: int | None = None) -> None:
    """Write a table for people atomically: in a spreadsheet no text of it is a formula.

    Args:
        path: the file.
        table: columns of texts, numbers and nulls; texts and names are written as `shown.cell`s.
        digits: significant ones of numbers that are not whole; None for all.
    """
    texts = table.select_dtypes(["object", "string", "category"])
    safe = table.assign(**{str(name): texts[name].astype(object).map(_cell) for name in texts})
    form = None if digits is None else f"%.{digits}g"
    with atomic_path(path) as temporary:
        safe.rename(columns=_cell).to_csv(temporary, index=False, float_format=form)


def _cell(value: Any) -> Any:
    return shown.cell(value) if isinstance(value, str) else value


def read_json(path: str | Path) -> Any:
    """Read a JSON file that a run has written.

    Raises:
        CutError: if it is not whole.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CutError(f"{path}: is not whole ({error}); delete it and run again.") from error


def ends_well(path: str | Path) -> bool:
    """Tell whether a file is there and ends as those of its suffix do, not cut in the middle."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16))
            return file.read().endswith(_ENDS.get(Path(path).suffix, (b"",)))
    except OSError:
        return False


def has_sizes(folder: str | Path, sizes: Mapping[str, int]) -> bool:
    """Tell whether files are there as long as they were: sizes by name, relative to the folder."""
    paths = {Path(folder, name): size for name, size in sizes.items()}
    return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())


def files_in(folder: str, pattern: str = "*") -> list[str]:
    """Return a local folder's files, sorted; none where it is a name on the hub."""
    found = glob(f"{escape(folder)}/{pattern}", recursive=True)
    return sorted(path for path in found if os.path.isfile(path))
