"""`caft export`: a trained model, or its training rows, as a folder of its own."""

import argparse
import os
from pathlib import Path
from typing import Any

from caft.cli.numbers import positive


def add_commands(subparsers: Any) -> None:
    """Add the command; it is called as `run(arguments)`."""
    command = subparsers.add_parser(
        "export",
        help="take a trained model, or what it was trained on, out of the run",
        description="Write a trained model of the run in this folder, with tokenizer, chat "
        "template and model card, so that plain transformers or peft can load it.",
    )
    command.add_argument(
        "name", help="a digest of results/models/index.csv, or a strategy: its last model"
    )
    command.add_argument("--to", required=True, type=Path, metavar="FOLDER", help="new or empty")
    command.add_argument("--dataset", help="where a strategy was run on several")
    command.add_argument("--student", help="where it was run with several")
    command.add_argument("--seed", type=int, help="where it was trained with several")
    what = command.add_mutually_exclusive_group()
    what.add_argument(
        "--merge",
        action="store_true",
        help="merge the adapter into the student, and check that no answer changes",
    )
    what.add_argument(
        "--data", action="store_true", help="the rows it was trained on, instead of the model"
    )
    command.add_argument(
        "--check-items",
        type=positive,
        default=64,
        metavar="N",
        help="items of each data set that are asked before and after merging; default: %(default)s",
    )
    command.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the answers that merging may change; default: %(default)s",
    )
    command.add_argument(
        "--push", metavar="REPO", help="upload the folder to the hub; needs HF_TOKEN"
    )
    command.add_argument(
        "--yes", action="store_true", help="upload also to a repository that is public"
    )
    command.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> None:
    from caft.errors import ExportError
    from caft.export import export_data, export_model, find, hub
    from caft.shown import tell

    # Before the libraries that read it are imported.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if arguments.push:
        hub.token()  # before the work: without one there is nothing to wait for
    choice = find(arguments.name, arguments.dataset, arguments.student, arguments.seed)
    whole = arguments.merge or arguments.data or choice.record["method"] == "full"
    if arguments.push and not whole and "hub" not in choice.source:
        raise ExportError(
            f"{choice.model}: is an adapter of a student that is not on the hub; push it with "
            "--merge."
        )
    kind = "dataset" if arguments.data else "model"
    if arguments.push and not arguments.yes:
        hub.refuse_public(arguments.push, kind)
    if arguments.data:
        export_data(choice, arguments.to)
    else:
        check = export_model(
            choice, arguments.to, arguments.merge, arguments.check_items, arguments.tolerance
        )
        if check:
            tell(
                f"merged in float32, saved in {check['dtype']}: {check['changed']} of "
                f"{check['answers']} greedy answers differ, {check['reworded']} in their wording"
            )
    tell(f"{arguments.to}: {choice.name}, model {choice.model}")
    if arguments.push:
        tell(hub.push(arguments.to, arguments.push, kind, arguments.yes))
