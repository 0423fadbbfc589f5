"""Where a run writes, looked at before its first job; Snakemake would end with a traceback."""

import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from caft import layout
from caft.errors import CaftError
from caft.running import private

_OF_SNAKEMAKE = ("logs", "benchmarks/jobs", ".snakemake")
_OWN = ("logs", "benchmarks", ".snakemake", "results", layout.root_of(layout.JOB_SETTINGS))
"""Where every run writes; what else lies below `data` may be somebody else's, and only read."""
_ROOM = 1_000_000  # bytes, without which not even logs can be written
_MADE = ("data", "results")
SECONDS_AHEAD = 5
"""Of the clock of a network disk before that of this machine: no file of the future."""
_NAMED = re.compile(r"([^{]+){(?:dataset|student)}/")


def check_folders(names: list[str], acts: bool) -> None:
    """Check that what is to be a folder is one, or is not there yet.

    Args:
        names: of data sets and students.
        acts: whether something is to be written as well.

    Raises:
        CaftError: naming a file that is in the way, a link that leads nowhere, or a folder that
            cannot be written or whose disk is full; that of temporary files, too, as Snakemake's
            scheduler writes there.
    """
    temporary = Path(private.wanted_folder())
    if acts and temporary.is_dir() and _is_full(temporary):  # any other is not used by anybody
        raise CaftError(
            f"cannot write temporary files into {temporary}: no space is left; free some, or set "
            "TMPDIR to a folder with room, and run again."
        )
    if acts and not all(map(os.path.lexists, _OWN)):
        _check_room(Path.cwd())
    for path in _folders(names):
        if path.is_symlink() and not path.exists():
            raise CaftError(
                f"cannot write into {path}: it is a link to {os.readlink(path)}, which is not "
                "there; mount its disk or make that folder, and run again."
            )
        if path.exists() and not path.is_dir():
            raise CaftError(
                f"cannot write into {path}: a file is where a folder should be; move it away, and "
                "run again."
            )
        if acts and path.exists() and any(path.is_relative_to(own) for own in _OWN):
            _check_room(path)


def _check_room(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CaftError(
            f"cannot write into {folder}: there is no right to do so, or its disk is read-only; "
            "make it writable, or run in a folder that is yours (snakemake --directory FOLDER)."
        )
    if _is_full(folder):
        raise CaftError(
            f"cannot write into {folder}: no space is left on its disk; free some, and run again."
        )


def _is_full(folder: Path) -> bool:
    disk = shutil.disk_usage(folder)
    return disk.total > 0 and disk.free < _ROOM  # some network disks do not tell their size


def _folders(names: list[str]) -> list[Path]:
    """Return the folders of a run, as far as these names tell them, each after those above it."""
    found = set(_OF_SNAKEMAKE)
    for pattern in layout.patterns().values():
        found.add(layout.root_of(pattern) if "{" in pattern else os.path.dirname(pattern))
        if named := _NAMED.match(pattern):
            found |= {named[1] + name for name in names}
    above = {parent for path in found for parent in Path(path).parents}
    return sorted((set(map(Path, found)) | above) - {Path()})


def dated_ahead(folder: Path) -> dict[Path, int]:
    """Return the files that a run has made in the future, with their times in nanoseconds.

    A clock that was fast and is right again, or that of another machine, leaves such files. Until
    their time comes nothing is newer than they are: a change would not be noticed, and Snakemake
    ends each job that reads one.
    """
    latest = time.time_ns() + SECONDS_AHEAD * 1_000_000_000
    places = (entry for root in _MADE for entry in os.walk(folder / root))
    paths = (Path(place, name) for place, _, names in places for name in names)
    times = {path: path.lstat().st_mtime_ns for path in paths if not path.is_symlink()}
    return {path: changed for path, changed in times.items() if changed > latest}


def date_back(times: Mapping[Path, int]) -> None:
    """Give files the latest times that are not in the future; their order stays.

    Args:
        times: of the files, in nanoseconds.

    Raises:
        CaftError: if one is another user's.
    """
    now = time.time_ns()
    ahead = max(times.values()) - now
    for path, changed in times.items():
        try:
            os.utime(path, ns=(now, changed - ahead))
        except PermissionError as error:
            raise CaftError(
                f"{path}: is dated in the future, and is another user's; let its owner give it "
                f"today's time: touch {path}"
            ) from error
