"""`caft teacher`: what can be done about teachers without running the workflow."""

import argparse
import sys
from pathlib import Path
from typing import Any

from caft import shown
from caft.cli import configured


def add_commands(subparsers: Any) -> None:
    """Add the group and its commands; a command is called as `run(arguments)`."""
    group = subparsers.add_parser("teacher", help="what teachers have to be asked for")
    commands = group.add_subparsers(metavar="command", required=True)
    plan = commands.add_parser(
        "plan",
        help="tell what a run would buy, and what that would cost",
        description="Tell per teacher and strategy how many items are wanted, are in the store, "
        "and would have to be bought, with a range of tokens and money. Nothing is asked, and no "
        "key is needed. Items and buckets have to be there: snakemake --cores all buckets.",
    )
    configured.add_options(plan)
    plan.add_argument("--csv", type=Path, help="write the whole plan there as well")
    plan.set_defaults(run=_plan)


def _plan(arguments: argparse.Namespace) -> None:
    from caft.config.resolve import ways
    from caft.report.purchases import plan_purchases, render, warnings_of
    from caft.tables.files import write_csv

    config = configured.read(arguments)
    plan = plan_purchases(config)
    if arguments.csv:
        write_csv(arguments.csv, plan, digits=6)
    for way in ways(config):
        shown.tell(way)
    print(render(plan))
    for warning in warnings_of(plan):
        print(shown.line(f"WARNING: {warning}"), file=sys.stderr)
