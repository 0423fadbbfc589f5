"""Made-up tables of a small run, for the explorer: six items, three strategies, two modes."""

import gzip
import json
import re
from base64 import b64decode

import pandas as pd

from caft.config.modes import View
from caft.mixtures.plan import Plan, PlannedStage, PlannedStrategy, Trained
from caft.report.items import Sources
from caft.report.summary import Asked, Results

VIEWS = [View("direct", "direct", 0), View("cot", "cot", 0)]
IDS = ["a1", "b2", "c3", "d4", "e5", "f6"]
SPLITS = ["train", "train", "train", "test", "test", "test"]
# What each model answers to the three test items in the mode `cot`: right, wrong or invalid.
ANSWERS = {"base": "iii", "d-1": "rrw", "d-2": "rwi", "d-3": "rrr", "c-1": "wrw"}


def unpacked(page):
    """Return what each block of a page holds, by its name."""
    found = re.findall(r'<script type="application/gzip" id="([\w-]+)">(.*?)</script>', page)
    return {name: json.loads(gzip.decompress(b64decode(packed))) for name, packed in found}


def items(**changed):
    """Return the items table; `changed` replaces columns, and None in a list an own value."""
    count = len(IDS)
    columns = {
        "item_id": IDS,
        "question": [f"What is {number} + {number}?" for number in range(count)],
        "options": [["zero", "two", "four"], None, None, None, ["six", "eight"], None],
        "answer": ["A", "2", "4", "6", "B", "10"],
        "category": ["sums", "sums", "law", "law", "sums", "sums"],
        "reference_rationale": ["Count.", None, None, None, None, None],
        "source": ["made up"] * count,
        "source_id": [f"row {number}" for number in range(count)],
        "split": SPLITS,
    }
    return pd.DataFrame({**columns, **changed})


def predictions(outcomes, ids, mode, text="Because. [[5]]"):
    """Return what a model answered to the last three items."""
    asked = ids[3:]
    return pd.DataFrame(
        {
            "text": [text if mode == "cot" else "5" for _ in asked],
            "parsed": ["[invalid]" if one == "i" else "5" for one in outcomes],
            "correct": [one == "r" for one in outcomes],
            "invalid": [one == "i" for one in outcomes],
            "new_tokens": 7,
            "thought": [None, "Hm.", None],
            "thought_tokens": [0, 2, 0],
            "finish_reason": "stop",
        },
        index=pd.Index(asked, name="item_id"),
    )


def rationales(ids):
    """Return three answers of a teacher: rejected, then accepted; and rejected."""
    return pd.DataFrame(
        {
            "item_id": [ids[0], ids[0], ids[1]],
            "sample": [0, 1, 0],
            "text": ["It is [[B]].", "It is [[A]].", "I cannot say."],
            "reasoning": [None, "Let me count.", None],
            "parsed": ["B", "A", "[invalid]"],
            "accepted": [False, True, False],
            "selected": [False, True, False],
            "reason": ["wrong_answer", None, "unparsed"],
            "finish_reason": "stop",
            "prompt_tokens": [10, 10, 12],
            "completion_tokens": [5, 6, 4],
            "cost_usd": [0.25, 0.5, None],
            "seconds": 1.5,
            "imported": False,
            "answered_by": None,
            "error": None,
        }
    )


def _strategy(mode, trained):
    return PlannedStrategy(mode, "default", "guru" if mode == "cot" else None, trained)


def _stage(model, mixture, epochs):
    return PlannedStage(model, None, mixture, epochs, *[1] * 8)


def sources(table=None, dataset="sums", student="tiny", text="Because. [[5]]"):
    """Return the tables of a run with three seeds of `distill` and one of `complexity_aware`."""
    table = items() if table is None else table
    ids = list(table["item_id"])
    plan = Plan(
        {
            "base": _strategy("direct", {seed: Trained("base", 0, []) for seed in (1, 2, 3)}),
            "distill": _strategy(
                "cot",
                {
                    seed: Trained(f"d-{seed}", 3, [_stage(f"d-{seed}", "all", 2)])
                    for seed in (1, 2, 3)
                },
            ),
            "complexity_aware": _strategy(
                "cot",
                {1: Trained("c-1", 3, [_stage("c-0", "easy", 2), _stage("c-1", "hard", 4)])},
            ),
        }
    )
    results = Results(
        dataset,
        student,
        plan,
        {
            (model, view.name): predictions(outcomes, ids, view.mode, text)
            for model, outcomes in ANSWERS.items()
            for view in VIEWS
        },
        {
            "default": pd.DataFrame(
                {"item_id": ids, "bucket": ["hard", "easy", "medium", "easy", "hard", "hard"]}
            )
        },
        {"guru": rationales(ids)},
    )
    metrics = {
        "entropy": pd.DataFrame(
            {
                "item_id": ids,
                "value": [2.0, 0.5, None, 0.25, 1.5, 3.0],
                "reason": [None, None, "too_long", None, None, None],
                "warm_up": [False, True, False, False, False, False],
            }
        )
    }
    mixtures = {
        "all": pd.DataFrame({"item_id": ids[:3], "target": "rationale"}),
        "easy": pd.DataFrame({"item_id": ids[1:3], "target": "answer"}),
        "hard": pd.DataFrame({"item_id": [ids[0], ids[0]], "target": ["rationale", "answer"]}),
    }
    ways = [Asked(name, view, "last") for name in plan.strategies for view in VIEWS]
    return Sources(results, table, metrics, mixtures, ways)
