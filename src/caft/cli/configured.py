"""Which files make the configuration, for commands that need it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caft.config.model import Configuration


def add_options(command: argparse.ArgumentParser) -> None:
    """Add `--config` and `--configfile` to a command."""
    command.add_argument(
        "--config", type=Path, default=Path("config.yaml"), help="default: %(default)s"
    )
    command.add_argument(
        "--configfile",
        type=Path,
        nargs="*",
        default=[],
        help="files that are laid over it key by key, as Snakemake does",
    )


def read(arguments: argparse.Namespace) -> "Configuration":
    """Read and check the configuration that the options name."""
    from caft.config.prepare import prepare
    from caft.config.reading import read_files

    return prepare(read_files([arguments.config, *arguments.configfile]))
