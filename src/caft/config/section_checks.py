"""What is wrong inside one section of the configuration, and how names are told."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from caft.datasets.settings import DatasetSettings
from caft.errors import ModelError
from caft.students.checks import check_source
from caft.students.settings import Student
from caft.teacher.settings import Asked


def known_are(names: Iterable[str]) -> str:
    """Return the end of a message that says which names there are."""
    return f"; known are {', '.join(sorted(names)) or 'none'}."


def check_section(path: str, section: DatasetSettings | Asked) -> Iterator[str]:
    """Pass on what an adapter or a provider says of its own section."""
    for key, problem in section.problems():
        yield f"{path}.{key}: {problem}"


def check_student(path: str, student: Student) -> Iterator[str]:
    """Check that a student has one source, and all that it needs."""
    sources = {
        "package": (student.package, {"member": student.member, "sha256": student.sha256}),
        "path": (student.path, {}),
        "hub": (student.hub, {"revision": student.revision}),
    }
    given = [name for name, (value, _) in sources.items() if value is not None]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        yield f"{path}: give exactly one of package, path and hub (found {found})."
        return
    for key, value in sources[given[0]][1].items():
        if value is None:
            yield f"{path}.{key}: is needed with {given[0]}, so that everybody gets the same model."
    if student.path is not None and Path(student.path).is_dir():
        yield from check_folder(path, student.path)


def check_folder(path: str, folder: str) -> Iterator[str]:
    """Check that a folder holds a model that may be loaded."""
    try:
        check_source(Path(folder))
    except ModelError as error:
        yield f"{path}.path: {error}"
