"""What made the results: config, versions, hashes of inputs, machine."""

import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from glob import glob
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from caft import __version__, layout
from caft.config.model import Configuration
from caft.config.prepare import prepare
from caft.config.reading import read_files
from caft.config.resolve import students_used
from caft.errors import ConfigError
from caft.shown import escaped
from caft.tables import parquet
from caft.tables.files import read_json

_CODE = ("src", "workflow", "Snakefile")  # where a change makes other results
_LIBRARIES = (
    "snakemake",
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "pandas",
    "numpy",
    "pyarrow",
)


def provenance(config: Configuration, models: Iterable[str]) -> dict[str, Any]:
    """Describe what made the results: config, versions, hashes of inputs, machine, models.

    Args:
        config: the prepared configuration.
        models: digests of the trained models; `caft clean` keeps what a record names.
    """
    return {
        "caft": __version__,
        **code_state(Path(__file__).parents[3]),
        "config": config.plain(),
        "models": sorted(set(models)),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        **_cards(config, models),
        "datasets": {
            name: {
                **parquet.footer(layout.at(layout.ITEMS, dataset=name)),
                "report": read_json(layout.at(layout.ITEMS_REPORT, dataset=name)),
            }
            for name in config.run.datasets
        },
        "students": {
            name: read_json(layout.at(layout.STUDENT, student=name))
            for name in students_used(config)
        },
    }


def _cards(config: Configuration, models: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Return on which GPUs tables and models were made, by kind; nothing where all were CPUs."""
    found: dict[str, set[str]] = {}
    for tables in layout.SHARDED.values():
        for table in tables:
            kind = layout.root_of(table).rpartition("/")[2]
            for path in glob(layout.run_of(layout.any_of(table))):
                if set(Path(path).parts[2:4]) <= {*config.run.datasets, *students_used(config)}:
                    found.setdefault(kind, set()).update(read_json(path).get("gpus", ()))
    records = (Path(layout.at(layout.MODEL, digest=digest)) for digest in models)
    made = (read_json(record) for record in records if record.is_file())
    found["models"] = {record["gpu"] for record in made if "gpu" in record}
    cards = {kind: sorted(names) for kind, names in found.items() if names}
    return {"gpus": cards} if cards else {}


def check_same(recorded: Path, files: Sequence[Path]) -> None:
    """See that the results of a run, where there are any, are those of these configuration files.

    Args:
        recorded: its `provenance.json`.
        files: each is laid over those before.

    Raises:
        ConfigError: if they are not, or a file cannot be used.
    """
    check_made_with(recorded, prepare(read_files(files)), files)


def check_made_with(recorded: Path, config: Configuration, files: Sequence[Path]) -> None:
    """See the same of a configuration that is read already.

    Args:
        recorded: as of `check_same`.
        config: the prepared configuration.
        files: what it was read from, for the message.

    Raises:
        ConfigError: if the results are of another one.
    """
    given = json.loads(json.dumps(config.plain()))
    if recorded.is_file() and read_json(recorded)["config"] != given:
        raise ConfigError(
            f"{recorded}: tells of another configuration than {' and '.join(map(str, files))}. "
            "Name the one of the results (make report CONFIG=my.yaml), or run the other one over "
            "them first (make summary)."
        )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def code_state(root: Path) -> dict[str, Any]:
    """Return the commit of caft's own checkout, and whether files of the code differ from it.

    Args:
        root: where the package's `src` lies.

    Returns:
        `commit` and `changed`; both are None for an installed package, and for an unpacked copy in
        a repository of others.
    """
    try:
        if not root.samefile(_git(root, "rev-parse", "--show-toplevel")):
            return {"commit": None, "changed": None}
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *_CODE)
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "changed": None}
    return {"commit": commit, "changed": bool(changed)}


def _git(root: Path, *words: str) -> str:
    # Another owner's repository is read too: only its state is asked, by this one path.
    command = ["git", "-c", f"safe.directory={root}", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    try:
        check_same(Path(layout.PROVENANCE), [Path(name) for name in sys.argv[1:]])
    except ConfigError as error:
        sys.exit(escaped(str(error)))
