"""A plan with its rows on the disk, as the mixtures job leaves them: the last row is hostile."""

import json

import pandas as pd

from caft.mixtures.plan import Plan, PlannedStrategy, Trained
from caft.tables import parquet

HOSTILE = "<script>alert(1)</script> \u202e ?"


def row(number, target, completion, question="1 + 1 ?", tokens=(20, 2)):
    """Return a row of a mixture; `tokens` are of prompt and target."""
    return {
        "item_id": f"i{number}",
        "target": target,
        "messages": json.dumps([{"role": "user", "content": question}]),
        "completion": completion,
        "prompt_tokens": tokens[0],
        "target_tokens": tokens[1],
    }


def write_plan(planned_stage):
    """Write rows below the working directory; return a plan of strategies that share a stage."""
    rows = pd.DataFrame(
        [
            *(row(number, "answer", "2", tokens=(20, number)) for number in (1, 2, 3, 4)),
            row(5, "rationale", f"{HOSTILE} so [[2]]", HOSTILE, (30, 9)),
        ]
    )
    parquet.write("mixtures", rows, "data/mixtures/rows/first.parquet")
    parquet.write("mixtures", rows.iloc[:2], "data/mixtures/rows/second.parquet")

    def strategy(*mixtures):
        one = {"epochs": 2, "over_long": 3, "without_rationale": 0, "updates": 7}
        stages = [planned_stage(mixture=mixture, **one) for mixture in mixtures]
        other = Trained("any", 4, [planned_stage(mixture="of another seed", **one)])
        trained = {1: Trained("any", 4, stages), 2: other}
        return PlannedStrategy("direct", "default", None, trained)

    return Plan(
        {
            "base": PlannedStrategy("direct", "default", None, {1: Trained("base", 0, [])}),
            "sft": strategy("first"),
            "complexity_aware": strategy("first", "second"),
        }
    )
