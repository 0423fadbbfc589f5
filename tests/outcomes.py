"""Made-up outcomes of a run: the tables that its sentences are made from."""

from itertools import combinations
from pathlib import Path

import pandas as pd

from caft import layout
from caft.report.results import Tables
from caft.tables.files import make_folder

NAMES = ("base", "sft", "distill", "complexity_aware", "random_same_size")
MODES = {"base": "direct", "sft": "direct"}
RANKS = {
    "scorer": "warm_up", "prompt": "letters", "metric": "single_token_entropy", "n": 182,
    "student_accuracy": 0.313, "roc_auc": 0.758, "roc_auc_low": 0.679, "roc_auc_high": 0.828,
    "chance": 0.06, "warning": None,
}  # fmt: skip
DRAWN = {
    "buckets": "default", "metric": "single_token_entropy", "kind": "single_token_entropy",
    "scorer": "warm_up", "prompt": "letters", "lower": 0.385, "upper": 1.3582, "items": 176,
    "seen_by_warm_up": 128,
}  # fmt: skip
COSTS = {  # of the default run
    "base": {"items": 0, "train_seconds": 0},
    "sft": {"all_tokens": 11660, "train_seconds": 102, "epochs": 2},
    "distill": {
        "all_tokens": 22116, "train_seconds": 317, "teacher_completion_tokens": 4122,
        "rationale_items": 176, "accepted_items": 176, "fallback": "drop", "epochs": 2,
    },
    "complexity_aware": {
        "all_tokens": 20586, "train_seconds": 334, "teacher_completion_tokens": 1188,
        "rationale_items": 44, "accepted_items": 44, "fallback": "drop", "epochs": 4,
        "warm_up_all_tokens": 12690, "warm_up_seconds": 117, "score_seconds": 25,
    },
    "random_same_size": {
        "all_tokens": 19826, "train_seconds": 175, "teacher_completion_tokens": 1035,
        "rationale_items": 44, "accepted_items": 44, "fallback": "drop", "epochs": 4,
    },
}  # fmt: skip


def row(strategy, accuracy, half=0.08, **changes):
    """A row of the summary, in the mode that the strategy was trained for."""
    mode = MODES.get(strategy, "cot")
    bounds = {"accuracy_low": max(0.0, accuracy - half), "accuracy_high": accuracy + half}
    default = {
        "dataset": "sums", "student": "tiny", "strategy": strategy, "mode": mode,
        "trained_mode": mode, "shots": 0, "checkpoint": "last", "n": 134, "n_seeds": 1,
        "accuracy": accuracy, **bounds, "accuracy_sd": None,
        **{f"accuracy_{name}": accuracy for name in ("easy", "medium", "hard")},
        "n_easy": 29, "n_medium": 56, "n_hard": 49, "invalid_rate": 0.0, "too_long_rate": 0.0,
        "fallback": None, "items": 176, "all_tokens": 0, "rationale_items": 0,
        "accepted_items": 0, "teacher_completion_tokens": 0, "metric_completion_tokens": 0,
        "warm_up_all_tokens": 0,
        "cost_usd": 0.0, "metric_cost_usd": 0.0, "score_seconds": 0.0, "warm_up_seconds": 0.0,
        "train_seconds": 0.0, "evaluate_seconds": 60.0,
    }  # fmt: skip
    made = {**default, **COSTS.get(strategy, {}), **changes}
    epochs = made.pop("epochs", 0)
    return {**{f"epochs_{name}": epochs for name in ("easy", "medium", "hard")}, **made}


def pair(one, other, verdict, mode="as_trained", **changes):
    """A row of the comparisons; one and other are rows of the summary."""
    difference = one["accuracy"] - other["accuracy"]
    return {
        **{name: one[name] for name in ("dataset", "student", "shots", "checkpoint")},
        "mode": mode, "strategy": one["strategy"], "other": other["strategy"],
        "difference": difference, "difference_low": difference - 0.09,
        "difference_high": difference + 0.09, "verdict": verdict, "relevant_difference": 0.05,
        **changes,
    }  # fmt: skip


def outcome(accuracies, verdicts, complexity=RANKS, thresholds=DRAWN, **changes):
    """Return the tables of one student on one data set.

    Args:
        accuracies: by strategy; or a whole row of the summary.
        verdicts: by pair of strategies, in the order of `accuracies`; others follow the accuracies.
        complexity: its row; None for no row.
        thresholds: the same.
        changes: of all rows of the summary.
    """
    rows = {
        name: {**(given if isinstance(given, dict) else row(name, given)), **changes}
        for name, given in accuracies.items()
    }
    pairs = [
        pair(rows[one], rows[other], verdicts.get((one, other)) or _clear(rows[one], rows[other]))
        for one, other in combinations(rows, 2)
    ]
    where = {"dataset": "sums", "student": "tiny"}
    return Tables(
        pd.DataFrame(list(rows.values())),
        pd.DataFrame(pairs, columns=list(pair(row("a", 1), row("b", 0), ""))),
        pd.DataFrame([{**where, **complexity}] if complexity else [], columns=[*where, *RANKS]),
        pd.DataFrame([{**where, **thresholds}] if thresholds else [], columns=[*where, *DRAWN]),
    )


def _clear(one, other):
    return "better" if one["accuracy"] > other["accuracy"] else "worse"


def open_for(items):
    return f"underpowered: needs about {items} items"


ALIKE = "no detectable difference"


def accuracies(*values):
    return dict(zip(NAMES, values, strict=True))


def default_run():
    """The default run: distillation ahead, and nothing shown of the choice of items."""
    tables = outcome(
        {
            "base": row("base", 0.0149, invalid_rate=0.955),
            "sft": row("sft", 0.2239),
            "distill": row("distill", 0.6567, accuracy_low=0.573, accuracy_high=0.7317),
            "complexity_aware": row(
                "complexity_aware", 0.5448, accuracy_low=0.4604, accuracy_high=0.6267
            ),
            "random_same_size": row("random_same_size", 0.5),
        },
        {
            ("distill", "complexity_aware"): open_for(1700),
            ("complexity_aware", "random_same_size"): open_for(1900),
        },
    )
    told = tables.comparisons.set_index(["strategy", "other"], drop=False)
    bounds = ["difference_low", "difference_high"]
    told.loc[("distill", "complexity_aware"), bounds] = [0.0176, 0.203]
    told.loc[("complexity_aware", "random_same_size"), bounds] = [-0.0555, 0.1437]
    return Tables(tables.summary, told.reset_index(drop=True), tables.complexity, tables.thresholds)


def write(tables):
    """Write the tables where a run writes them, in the current folder."""
    places = {
        layout.SUMMARY: tables.summary,
        layout.COMPARISONS: tables.comparisons,
        layout.COMPLEXITY: tables.complexity,
        layout.THRESHOLDS: tables.thresholds,
    }
    for place, table in places.items():
        make_folder(Path(place).parent)
        table.to_csv(place, index=False)
