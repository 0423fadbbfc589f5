"""A table that a model makes of a question set, in blocks: what the jobs of a student share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from caft.prompting.asked import Prompts
from caft.running.blocks import Cache, Kind, Rows, block_rows, compute_in_blocks
from caft.running.jobs import Progress
from caft.students.opened import Scorer
from caft.tables.parquet import SCHEMAS

Made = tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """What is made of the prompts, and what tells it from anything else.

    Attributes:
        kind: schema of the table.
        code: version of the code (`caft.versions`).
        progress: name of the progress line, its unit, units per item.
        spec: what the table says about its making; with the model it is the key of its blocks.
        compute: makes the rows of blocks of prompts, in the way of
            `caft.running.blocks.compute_in_blocks`.
        columns: of the items that enter the rows, beside prompt and answer.
        counted: columns whose sums are reported.
        in_key: what stands in the key instead of the spec's own.
    """

    kind: str
    code: int
    progress: tuple[str, str, int]
    spec: dict[str, Any]
    compute: Callable[[list[Prompts], Progress], Iterator[Rows]]
    columns: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    in_key: dict[str, Any] = field(default_factory=dict)


def make_table(task: Task, scorer: Scorer, prompts: Prompts, cache: Cache) -> Made:
    """Do a task with a model; it is loaded if a block of the table is not there yet.

    Args:
        task: what is made.
        scorer: the model, opened.
        prompts: of all items.
        cache: where finished blocks lie, and which of them are wanted.

    Returns:
        The table; the provenance for its footer; and what differs from run to run: seconds, counts,
        the blocks.
    """
    found = compute_in_blocks(
        Kind(task.kind, task.code, task.counted),
        block_rows(prompts.items, prompts.messages, *task.columns),
        lambda blocks, progress: task.compute([prompts.part(b) for b in blocks], progress),
        {**scorer.key, **task.spec, **task.in_key},
        cache,
        task.progress,
    )
    table = found.table
    if "warm_up" in SCHEMAS[task.kind].names:
        table = scorer.mark(table, prompts.items)
    return table, {**task.spec, **found.made_on}, found.run
