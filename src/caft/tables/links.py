"""Folders of somebody else's: what in them leads out of them."""

import os
from pathlib import Path


def way_out(folder: Path | str) -> str | None:
    """Name the first entry of a folder that is no file of it, and say why; None if there is none.

    The links of a hub cache, from a snapshot to the blobs of the same repository, lead to files.
    """
    home = Path(os.path.realpath(folder))
    for place, folders, files in os.walk(home):
        for path in (Path(place, name) for name in sorted(folders + files)):
            if not is_inside(path, home):
                return f"{path}: is a link out of {folder}; put the file itself there."
            if not (path.is_file() or path.is_dir()):
                return f"{path}: leads to no file; put the file there, or remove it."
    return None


def is_inside(path: Path | str, folder: Path | str) -> bool:
    """Tell whether a path leads to something in a folder, its links followed."""
    home = Path(os.path.realpath(folder))
    allowed = [home]
    if home.parent.name == "snapshots":  # <repository>/snapshots/<commit>/<file>
        allowed.append(home.parent.parent / "blobs")
    return any(Path(os.path.realpath(path)).is_relative_to(part) for part in allowed)
