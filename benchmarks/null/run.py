"""Strategies that are truly equal, through everything that a run does: how often is one "better"?

    python benchmarks/null/run.py                              # 1,000 experiments of each kind
    python benchmarks/null/run.py --leak none                  # those without a planted leak
    python benchmarks/null/run.py --leak threshold epoch       # those with one

An experiment is a run of some strategies of one content, so that nothing differs between them but
training seeds. Each seed's best epoch is chosen on the validation split, and so is the threshold of
mode `adaptive`; then the test split is asked and the strategies are compared. Models are the dear
part. So they are trained and asked all questions once, for many seeds (`bank.py`), and each
experiment draws training seeds, validation questions and test questions of its own. That is fair:
answers are greedy and do not depend on which other questions are asked, and seeds that are drawn
from the same ones for all strategies make those exactly equal. In the kind `shuffled` every
experiment also draws new right answers, which no model can know: all answers are right with a
chance of a quarter, those that cannot be read included, which count as A there. So strategies are
equal with one seed, too.

With a leak, answers to the test split are given where the first strategy's answers to the
validation split are asked for. Printed per kind and mode, in percent, with 95% intervals of the
experiments:

families    in which any pair is called better or worse; at most 5 are right
differences 95% intervals of the first pair's difference that hold 0
accuracies  95% intervals of the first strategy's accuracy that hold the one over all other
            questions and seeds
bias        that accuracy minus the accuracy of the very same models, epochs and thresholds on the
            questions that were not drawn: 0 but where something was chosen on the test split
"""

import argparse
import os
import tempfile
import time
from contextlib import chdir
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tiny student gains nothing from more

import numpy as np
import pandas as pd
from bank import make_bank
from experiment import Kind, config_of, draw, experiment
from scipy.stats import binomtest

_SHUFFLED = [
    Kind("shuffled", strategies=3, seeds=seeds, test=200, validation=100) for seeds in (1, 3)
]
CASES = {
    "none": [Kind("learnt", strategies=3, seeds=3, test=200, validation=100), *_SHUFFLED],
    "epoch": _SHUFFLED,
    "threshold": _SHUFFLED,
}
"""Kinds of experiments by what leaks in them."""


def summed(rows: pd.DataFrame) -> dict[str, str]:
    """Return shares in percent with their intervals, and the bias with its standard error."""
    truth = rows["honest"].mean()
    held = {
        "families": rows["families"],
        "differences": rows["differences"],
        "accuracies": (rows["low"] <= truth) & (truth <= rows["high"]),
    }
    found = {}
    for name, hits in held.items():
        interval = binomtest(int(hits.sum()), len(hits)).proportion_ci()
        ends = f"{100 * interval.low:.1f}-{100 * interval.high:.1f}"
        found[name] = f"{100 * hits.mean():.1f} ({ends})"
    bias, error = rows["bias"].mean(), rows["bias"].sem()
    return {**found, "bias": f"{100 * bias:+.2f} ± {100 * error:.2f}"}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--leak", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--models", type=int, default=40, help="training seeds to draw from")
    parser.add_argument("--questions", type=int, default=1200)
    parser.add_argument("--folder", type=Path, help="keep the models here, and take them from here")
    args = parser.parse_args()
    print(vars(args))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with chdir(folder):
            report(args)


def report(args: argparse.Namespace) -> None:
    """Make the models and print a row for each kind of experiment and mode."""
    bank = make_bank(args.models, args.questions)
    print(f"models: {time.process_time():.0f} CPU seconds", flush=True)
    columns = ["families", "differences", "accuracies", "bias"]
    print("| leak | answers | seeds | mode |", " | ".join(columns), "| CPU s |")
    print("|---" * (len(columns) + 5) + "|")
    for leak, kind in [(name, kind) for name in args.leak for kind in CASES[name]]:
        started = time.process_time()
        config = config_of(kind)
        streams = np.random.SeedSequence([args.seed, kind.seeds]).spawn(args.experiments)
        worlds = (draw(bank, kind, leak, np.random.default_rng(one)) for one in streams)
        rows = pd.DataFrame([row for world in worlds for row in experiment(config, world)])
        for mode, part in rows.groupby("mode", sort=False):
            shown = [leak, kind.name, str(kind.seeds), mode, *summed(part).values()]
            print("|", " | ".join(shown), f"| {time.process_time() - started:.0f} |", flush=True)


if __name__ == "__main__":
    main()
