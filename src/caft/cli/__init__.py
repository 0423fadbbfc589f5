"""The command `caft`: what can be done beside the workflow."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from caft.errors import CaftError
from caft.running import ends, stops
from caft.shown import block, streams_shown

GROUPS = {
    "items": "look into a file of questions, and print the configuration that reads it",
    "store": "look after the stored answers of teachers",
    "power": "which differences a planned run could show, from a finished one",
    "teacher": "what teachers have to be asked for",
    "clean": "remove models that no current or recorded run refers to",
    "export": "take a trained model, or what it was trained on, out of the run",
}
"""Commands and groups of them; `caft.cli.<name>.add_commands` adds one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 1 after an error or a negative finding.

    Args:
        argv: the arguments after `caft`; None for those of this process.

    Raises:
        SystemExit: if the arguments cannot be understood (2) or help was asked for (0).
    """
    with streams_shown():
        return _run(list(sys.argv[1:] if argv is None else argv))


def parse(given: Sequence[str]) -> argparse.Namespace:
    """Read the words behind `caft`.

    Raises:
        SystemExit: as `main`.
    """
    parser = argparse.ArgumentParser(prog="caft", description=__doc__)
    groups = parser.add_subparsers(metavar="group", required=True)
    for name, summary in GROUPS.items():
        if list(given[:1]) == [name]:
            import_module(f"caft.cli.{name}").add_commands(groups)
        else:  # only named, because importing takes its time
            groups.add_parser(name, help=summary)
    return parser.parse_args(given)


def _run(given: Sequence[str]) -> int:
    arguments = parse(given)
    try:
        return arguments.run(arguments) or 0
    except CaftError as error:
        print(block(f"caft: {error}"), file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if known := ends.foreseen(error):
            print(block(f"caft: {known}"), file=sys.stderr)
            return stops.STATUS if isinstance(error, KeyboardInterrupt) else 1
        # Told here, where what it quotes is escaped.
        traceback.print_exc()
        return 1
