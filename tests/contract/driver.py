"""What the tests kill: a process that collects rationales."""

import logging
from pathlib import Path

import pandas as pd
from asking import SPEC, make

from caft.store import Store
from caft.store.given_up import Note
from caft.teacher.acceptance import Policy
from caft.teacher.asking import Asking
from caft.teacher.collect import collect_rationales
from caft.teacher.money.budget import Budget, Spending

WORST = Spending(1, 110, 0.5)  # of a request of `collect`


def items(count):
    """Return numeric items `q0`, `q1`, … whose answer is 1."""
    rows = [
        {
            "item_id": f"q{number}",
            "question": f"q{number}",
            "options": None,
            "answer": "1",
            "answer_kind": "numeric",
            "reference_rationale": None,
        }
        for number in range(count)
    ]
    return pd.DataFrame(rows)


def prompts(count):
    """Return the prompts of that many items: the questions."""
    return {f"q{number}": [{"role": "user", "content": f"q{number}"}] for number in range(count)}


def collect(spec, folder, count, log=None):
    """Collect rationales of that many items into a store, with a real provider."""
    if log:
        logging.basicConfig(filename=log, level=logging.DEBUG, force=True)
    teacher = make(spec if "command" in spec else {**SPEC, **spec}, folder)
    note = Note(Path(folder), "scripted", "")
    budget = Budget({}, Spending(), lambda request: WORST, note=note)
    with Store(Path(folder)) as store:
        asking = Asking(teacher, store, budget)
        found = collect_rationales(items(count), prompts(count), asking, Policy("marked", None))
    budget.close()
    return found
