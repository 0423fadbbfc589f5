"""The top log-probabilities of an endpoint at the first token of its answer, for `topk_entropy`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from caft.complexity.topk_entropy import first_logprobs
from caft.errors import ConfigError
from caft.prompting.prompts import all_messages
from caft.prompting.tokens import TokenCounter
from caft.store import Store
from caft.tables.parquet import records
from caft.teacher import Answer
from caft.teacher.collect import obtain, open_teacher
from caft.teacher.money.estimate import limits_of, look_up, open_budget
from caft.teacher.records import make_request
from caft.teacher.tally import Tally


def ask_first_tokens(
    items: pd.DataFrame,
    name: str,
    spec: Mapping[str, Any],
    variant: dict[str, Any],
    engine: Mapping[str, Any],
    seed: int,
    student_file: Path,
    store_folder: Path,
) -> pd.DataFrame:
    """Ask an endpoint for the direct answer to every item, once, within the teacher's budget.

    Args:
        items: the items table.
        name: of the teacher, for messages.
        spec: its config; `extra_body` asks for `logprobs` and `top_logprobs`.
        variant: the prompt variant it is asked with.
        engine: device settings, for a server in this job.
        seed: of the few-shot draw.
        student_file: a student's `student.json`; its tokenizer counts what nobody else counts.
        store_folder: the store of paid answers.

    Returns:
        The topk table: a row per item, `top_logprobs` null where the answer has none.

    Raises:
        ConfigError: if not one answer has log-probabilities.
    """
    teacher = open_teacher(spec, engine, student_file, store_folder)
    turns = dict(zip(items["item_id"], all_messages(items, variant, "direct", seed), strict=True))
    asked = {
        item["item_id"]: make_request(teacher, item, turns[item["item_id"]], 0)
        for item in records(items)
    }
    tally = Tally(teacher, "with log-probabilities")

    def note(batch: list[Answer]) -> str:
        return tally.add(batch, [first_logprobs(answer.raw) is not None for answer in batch])

    with Store(store_folder) as store:
        budget = None
        if limits_of(spec):
            counter = TokenCounter(student_file.parent)
            outlook = look_up(
                records(items),
                teacher,
                store,
                lambda item: turns[item["item_id"]],
                {**spec, "samples": 1},
                lambda answer, item: ("", True, None),
                counter,
            )
            budget = open_budget(f"teachers.{name}", spec, store, outlook, counter)
        answers = obtain(
            asked.values(), teacher, store, "first tokens", note, kind="topk", budget=budget
        )
    found = [answers[request.key] for request in asked.values()]
    table = pd.DataFrame(
        {
            "item_id": list(asked),
            "split": items["split"].to_numpy(),
            "key": [answer.key for answer in found],
            "top_logprobs": [first_logprobs(answer.raw) for answer in found],
            "prompt_tokens": [answer.prompt_tokens for answer in found],
            "completion_tokens": [answer.completion_tokens for answer in found],
            "cost_usd": [answer.cost_usd for answer in found],
        }
    )
    if len(table) and table["top_logprobs"].isna().all():
        raise ConfigError(
            f"teachers.{name}: no answer has log-probabilities; set extra_body: {{logprobs: true, "
            "top_logprobs: 20}, or choose an endpoint that gives them."
        )
    return table
