"""The settings file of a job: an input that is newer than the job's output when settings changed.

Snakemake knows what made a file from its records in `.snakemake`. A copy without dot files, a
cleaned folder or `--rerun-triggers mtime` loses that knowledge, and what is there counts as made
with today's settings. The settings files lie beside the data, and Snakemake compares their time in
any case.

Beside each lies a list of what the job has written and with which settings: a file that was cut,
lost or changed since then makes the job run again, whether or not another job reads it. The same
list lies with Snakemake's records of the job. Where the two differ, one of them is of another run:
files of a backup are older than the records and taken as current by Snakemake alone.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caft import layout
from caft.tables.files import ends_well, has_sizes, read_json, write_json
from caft.tables.hashing import digest, file_sha256

_RECORDED = ".snakemake/caft_outputs"
_READ_EACH_RUN = 65_536
"""Bytes; the hash of what is larger is compared with the record alone."""


def keep(path: Path, settings: Any, lost: bool = False, outputs: Sequence[Path] = ()) -> None:
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
        outputs: of the job, for their times.

    Raises:
        OSError: if the file cannot be written.
    """
    wanted, known = digest(settings), _read(path)
    beside, recorded = map(_listed_in, _lists_of(path))
    made_with = (beside or recorded).get("made_with", {})
    times = [output.stat().st_mtime_ns for output in outputs if output.exists()]
    if not lost and made_with.get("settings") == wanted:
        now = made_with
    elif (
        not lost
        and known.get("settings", wanted) == wanted
        and not (known and made_with and times and path.stat().st_mtime_ns <= min(times))
    ):
        now = known or {"settings": wanted}
    else:
        now = {"settings": wanted, "written": time.time_ns()}
    if known != now:
        write_json(path, now)
        if now == made_with and times:
            os.utime(path, ns=(min(times), min(times)))


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
    made_with = _read(path)
    for file in _lists_of(path):
        file.unlink(missing_ok=True)
    yield
    if path.exists():
        sizes = {str(name): Path(name).stat().st_size for name in snakemake.output}
        hashes = {name: file_sha256(name) for name in sizes}
        made = {"made_with": made_with, "sizes": sizes, "hashes": hashes}
        for file in _lists_of(path):
            write_json(file, made)


def has_lost(path: Path, outputs: Iterable[str]) -> bool:
    """Tell whether a job's outputs are not all there as its last run here has written them.

    Sizes, and hashes of small files alone, since every run asks. Where the list itself is lost, a
    file counts as cut if it does not end as a whole one does.

    Args:
        path: of the settings file.
        outputs: of the job; without the first of them Snakemake knows what to do.
    """
    first, *others = map(Path, outputs)
    if not first.exists():
        return False
    beside, recorded = map(_listed_in, _lists_of(path))
    if beside and recorded and beside != recorded:
        return True  # those of another run, such as a backup of it
    listed = beside or recorded
    if not listed:
        return not all(map(ends_well, (first, *others)))
    sizes, hashes = listed["sizes"], listed.get("hashes", {})
    return not has_sizes(".", sizes) or any(
        file_sha256(name) != hashes[name] for name in hashes if sizes[name] <= _READ_EACH_RUN
    )


def _listed_in(file: Path) -> dict[str, Any]:
    """Return what a job has listed: `made_with`, its settings file, and `sizes`; {} if lost."""
    try:
        listed = dict(read_json(file))
    except (OSError, ValueError, TypeError):
        return {}
    # An earlier version listed sizes alone.
    return listed if "made_with" in listed else {"sizes": listed}


def _lists_of(path: Path) -> tuple[Path, Path]:
    """Return where a job's list lies: beside its settings, and with Snakemake's own records."""
    return path.with_suffix(".outputs"), Path(_RECORDED, *path.parts[-2:])
