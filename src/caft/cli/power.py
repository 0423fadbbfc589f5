"""`caft power`: which differences a planned run could show, from the answers of a finished one."""

import argparse
import math
from itertools import combinations
from typing import Any

from caft.cli.numbers import positive


def add_commands(subparsers: Any) -> None:
    """Add the command; it is called as `run(arguments)`."""
    from caft.cli import configured

    command = subparsers.add_parser(
        "power",
        help="which differences a planned run could show, from a finished one",
        description="For pairs of strategies, each asked as it was trained: the difference of "
        "accuracies that a run of so many items and seeds would show with 80%% power, if its "
        "answers varied as those of the finished run here. caft power --items 500 2000 --seeds 3",
    )
    command.add_argument(
        "strategies",
        nargs="*",
        help="the pairs among these; of all strategies of the run where none is named",
    )
    for what in ("items", "seeds"):
        command.add_argument(
            f"--{what}",
            nargs="+",
            type=positive,
            default=[None],
            metavar="N",
            help=f"how many {what} a run would have; those of the finished one by default",
        )
    command.add_argument(
        "--comparisons",
        type=positive,
        metavar="N",
        help="pairs that the run compares, which are one family of tests: 28 of eight strategies; "
        "those of the finished one by default",
    )
    configured.add_options(command)
    command.set_defaults(run=_power)


def _power(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from caft import layout
    from caft.cli import configured
    from caft.errors import ConfigError
    from caft.report.provenance import check_made_with
    from caft.report.summary import families, read_all
    from caft.shown import tell

    config, made = configured.read(arguments), Path(layout.PROVENANCE)
    if not made.is_file():
        raise ConfigError(f"{made}: there is no finished run here; snakemake summary makes it.")
    check_made_with(made, config, [arguments.config, *arguments.configfile])
    chosen = arguments.strategies or config.run.strategies
    for name in chosen:
        if name not in config.run.strategies:
            known = ", ".join(config.run.strategies)
            raise ConfigError(f"{name!r} is not in run.strategies of the configuration: {known}.")
    for results in read_all(config):
        for family in families(config, results):
            if family.mode == "as_trained":
                head = f"{results.dataset}, {results.student}, checkpoint {family.checkpoint}, "
                tell(head + f"{family.shots} worked examples, each strategy as it was trained")
                _tell_pairs(family.correct, chosen, arguments)


def _tell_pairs(correct: dict[str, Any], chosen: list[str], planned: argparse.Namespace) -> None:
    """Print a line per pair, and a column per planned number of items and seeds."""
    from caft.analysis.power import detectable_difference
    from caft.shown import tell

    every = planned.comparisons or len(list(combinations(correct, 2)))
    width = max(len(name) for name in chosen)
    plans = [(count, times) for count in planned.items for times in planned.seeds]
    (found_items,) = {matrix.shape[1] for matrix in correct.values()}
    found_seeds = max(len(matrix) for matrix in correct.values())
    heads = [f"{count or found_items} x {times or found_seeds}" for count, times in plans]
    tell(f"{'items x seeds':{2 * width + 4}}" + "".join(f"{head:>12}" for head in heads))
    for one, other in combinations([name for name in correct if name in chosen], 2):
        pair = correct[one], correct[other]
        cells = [detectable_difference(*pair, *counts, comparisons=every) for counts in plans]
        shown = ["unknown" if math.isnan(cell) else f"{cell:.3f}" for cell in cells]
        tell(f"{one:{width}} vs {other:{width}}" + "".join(f"{cell:>12}" for cell in shown))
    if found_seeds == 1:
        tell("One seed was trained: what others would differ by is unknown and not in here.")
