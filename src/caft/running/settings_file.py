"""The settings file of a job: an input that is newer than the job's output when settings changed.

Snakemake knows what made a file from its records in `.snakemake`. A copy without dot files, a
cleaned folder or `--rerun-triggers mtime` loses that knowledge, and what is there counts as made
with today's settings. The settings files lie beside the data, and Snakemake compares their time in
any case.

Beside each lies a list of what the job has written, with sizes, and of the settings file that it
was written with: a file that was cut or lost since then makes the job run again, whether or not
another job reads it.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caft import layout
from caft.errors import CaftError
from caft.tables.files import ends_well, has_sizes, read_json, write_json
from caft.tables.hashing import digest


def keep(path: Path, settings: Any, lost: bool = False) -> None:
    """Write a job's settings file anew where it does not say what makes the output today.

    What replaces other settings is unlike all that was there before: Snakemake takes an input that
    is newer as unchanged if its content is the one that it has recorded, which may be older than
    the outputs that lie here, as after a backup was restored. Where the outputs were made with the
    settings of today, the file that they were made with is written again, so that nothing runs.
    Where nothing tells, the content is the settings alone: that of all first runs.

    Args:
        path: of the settings file.
        settings: everything that decides about the output but its input files.
        lost: whether something is missing that the job has to make again, though its declared
            output is there.

    Raises:
        CaftError: if the file cannot be written.
    """
    wanted, known = digest(settings), _read(path)
    made_with = _listed(path).get("made_with", {})
    if not lost and made_with.get("settings") == wanted:
        now = made_with
    elif not lost and known.get("settings", wanted) == wanted:
        now = known or {"settings": wanted}
    else:
        now = {"settings": wanted, "written": time.time_ns()}
    if known != now:
        try:
            write_json(path, now)
        except OSError as error:
            raise CaftError(
                f"{path}: cannot be written ({error.strerror}); run in a folder that is yours "
                "(snakemake --directory FOLDER), or make this one writable."
            ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        known = read_json(path)
        return known if isinstance(known["settings"], str) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


@contextmanager
def listed(snakemake: Any) -> Iterator[None]:
    """List what a job writes and with which settings, once it has ended well.

    While the job runs there is no list.
    """
    path = Path(layout.job_settings(snakemake.rule, snakemake.wildcards))
    outputs, made_with = _list_of(path), _read(path)
    outputs.unlink(missing_ok=True)
    yield
    if path.exists():
        sizes = {str(name): Path(name).stat().st_size for name in snakemake.output}
        write_json(outputs, {"made_with": made_with, "sizes": sizes})


def has_lost(path: Path, outputs: Iterable[str]) -> bool:
    """Tell whether a job's outputs are not all there as it has written them.

    Sizes alone, since every run asks. Where the list itself is lost, a file counts as cut if it
    does not end as a whole one does.

    Args:
        path: of the settings file.
        outputs: of the job; without the first of them Snakemake knows what to do.
    """
    first, *others = map(Path, outputs)
    if not first.exists():
        return False
    sizes = _listed(path).get("sizes")
    if sizes is None:
        return not all(map(ends_well, (first, *others)))
    return not has_sizes(".", sizes)


def _listed(path: Path) -> dict[str, Any]:
    """Return what a job has listed: `made_with`, its settings file, and `sizes`; {} if lost."""
    try:
        listed = dict(read_json(_list_of(path)))
    except (OSError, ValueError, TypeError):
        return {}
    # An earlier version listed sizes alone.
    return listed if "made_with" in listed else {"sizes": listed}


def _list_of(path: Path) -> Path:
    return path.with_suffix(".outputs")
