"""The settings file of a job: an input that is newer than the job's output when settings changed.

Snakemake knows what made a file from its records in `.snakemake`. A copy without dot files, a
cleaned folder or `--rerun-triggers mtime` loses that knowledge, and what is there counts as made
with today's settings. The settings files lie beside the data, and Snakemake compares their time in
any case.
"""

from pathlib import Path
from typing import Any

from caft.errors import CaftError
from caft.tables.files import read_json, write_json
from caft.tables.hashing import digest


def keep(path: Path, settings: Any, lost: bool = False) -> None:
    """Write a job's settings file anew where it does not say what makes the output today.

    Args:
        path: of the settings file.
        settings: everything that decides about the output but its input files.
        lost: whether something is missing that the job has to make again, though its declared
            output is there.

    Raises:
        CaftError: if the file cannot be written.
    """
    known = _read(path)
    now = {"settings": digest(settings), "lost": known.get("lost", 0) + lost}
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
        return {"settings": str(known["settings"]), "lost": int(known["lost"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
