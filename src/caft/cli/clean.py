"""`caft clean`: remove models that no current or recorded run refers to."""

import argparse
from pathlib import Path
from typing import Any

from caft import layout


def add_commands(subparsers: Any) -> None:
    """Add the command; it is called as `run(arguments)`."""
    clean = subparsers.add_parser(
        "clean",
        help="remove models that no current or recorded run refers to",
        description="List models, their predictions and finished blocks that neither the plans of "
        "this folder nor a recorded run refers to. Nothing is removed without --remove, and paid "
        "answers never are.",
    )
    clean.add_argument("--remove", action="store_true", help="remove what is listed")
    clean.add_argument(
        "--keep",
        type=Path,
        nargs="*",
        default=[],
        metavar="PROVENANCE",
        help="provenance.json files of further runs whose models are kept; "
        f"{layout.PROVENANCE} is one always",
    )
    clean.set_defaults(run=_clean)


def _clean(arguments: argparse.Namespace) -> None:
    from caft.errors import CaftError
    from caft.report.leftovers import find_unused, remove, render
    from caft.running.locks import is_locked

    for path in arguments.keep:
        if not path.is_file():
            raise CaftError(f"{path}: no such file; nothing is removed.")
    if arguments.remove and is_locked(Path.cwd()):
        raise CaftError("a run is under way in this folder, or was killed; let it end first.")
    root = Path()
    unused = find_unused(root, [root / layout.PROVENANCE, *arguments.keep])
    if arguments.remove:
        remove(unused)
    print(render(unused, arguments.remove))
