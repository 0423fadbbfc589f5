"""Files that the jobs of one user share on one machine, in a temporary folder that others share."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from caft.errors import ConfigError


@contextmanager
def private_folder(name: str) -> Iterator[int]:
    """Open a folder of this user's own in the temporary folder; it is made if it is not there.

    Args:
        name: of the folder; the user's number follows it.

    Yields:
        A descriptor of the folder. Files are opened below it, wherever its path leads later.

    Raises:
        ConfigError: if what has its name is a link, another user's, or open to others.
    """
    path = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _not_private(path, error.strerror) from error
    try:
        found = os.fstat(folder)
        if found.st_uid != os.getuid():
            raise _not_private(path, "another user owns it")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _not_private(path, "others may read or write it")
        yield folder
    finally:
        os.close(folder)


def open_private(folder: int, name: str) -> IO[str]:
    """Open a file of a private folder for writing; it keeps its content, and is no link.

    Raises:
        OSError: if it is a link or cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(name, flags, mode=0o600, dir_fd=folder), "r+")


def _not_private(path: Path, why: str | None) -> ConfigError:
    return ConfigError(
        f"{path}: is no folder of yours alone ({why}), so jobs cannot share locks there; remove "
        "it, or set TMPDIR to a folder that only you can write."
    )


def shared_folder() -> str:
    """Return the folder for temporary files that all users share: to be named, never written to.

    Raises:
        OSError: if none can be used.
    """
    return tempfile.gettempdir()


def wanted_folder() -> str:
    """Return where temporary files are to be written, whether or not that is possible."""
    return os.environ.get("TMPDIR") or shared_folder()
