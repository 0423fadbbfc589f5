"""Whether the weights in a folder are still those that its record names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caft.errors import ModelError
from caft.students.folders import folder_revision
from caft.tables.files import has_sizes, read_json
from caft.tables.hashing import digest, remembered_sha256


def is_whole(student_file: Path) -> bool:
    """Tell whether a prepared student's record and all its files are there, by name and size.

    Sizes alone, since every run asks; `check_student` reads the content where it is loaded.
    """
    try:
        sizes = read_json(student_file).get("files", {})
    except (OSError, ValueError, AttributeError):
        return False
    folder = student_file.parent
    links = (path for path in folder.iterdir() if path.is_symlink())
    return all(path.exists() for path in links) and has_sizes(folder, sizes)


def check_student(student_file: Path) -> None:
    """Check the content of a prepared student against its revision, before anything loads it.

    Raises:
        ModelError: if the files are not those that the record was written for.
    """
    record = read_json(student_file)
    folder, known = student_file.parent, record["revision"]
    found = folder_revision(folder)
    # A prompt that is more than its template is part of the revision; see `prepare_student`.
    prompted = digest([found, record.get("template", {}).get("found")])
    if known not in (found, prompted):
        raise ModelError(
            f"{folder}: the model's files have changed since they were prepared (revision {known}, "
            f"now {found}), and results would be called by the wrong name. If the new files are "
            f"right, remove {student_file}, and the same command prepares and names them; "
            "otherwise put the old ones back."
        )


def check_weights(folder: Path, known: Mapping[str, str] | None) -> None:
    """Check a trained model's weights against the hashes in its record, before they are loaded.

    Args:
        folder: of the model.
        known: `weights_sha256` of its record: hash by name; None where it has none.

    Raises:
        ModelError: if a file is missing or another one.
    """
    for name, sha256 in (known or {}).items():
        path = folder / name
        if not path.is_file():
            state = "is missing"
        elif (found := remembered_sha256(path)) != sha256:
            state = f"is damaged or another one (sha256 {found[:16]} instead of {sha256[:16]})"
        else:
            continue
        raise ModelError(f"{folder}: {name} {state}. {_again(folder)}")


def read_record(path: Path) -> dict[str, Any]:
    """Read what a trained model's folder says about it.

    Raises:
        ModelError: if the file is missing or cut.
    """
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: is missing or cut ({error}). {_again(path.parent)}") from error


def _again(folder: Path) -> str:
    whole = folder.parents[1] if folder.parent.name == "epochs" else folder
    return f"Remove the model, and the same command trains it again: rm -r {whole}"
