"""Which of several accepted rationales of an item is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from caft import versions
from caft.prompting.prompts import completion
from caft.running.blocks import Cache, Kind, Rows, block_rows, compute_in_blocks
from caft.tables.hashing import unit_interval
from caft.tables.parquet import records

if TYPE_CHECKING:
    import pandas as pd

    from caft.prompting.asked import Asked, Prompts
    from caft.running.jobs import Progress
    from caft.students.opened import Loaded, Subject


def choose(rationales: pd.DataFrame, keys: pd.Series, thoughts: bool = False) -> pd.Series:
    """Mark one accepted rationale of each item: the one with the smallest key, then the earliest.

    Args:
        rationales: a rationales table.
        keys: of its rows; NaN comes last.
        thoughts: whether reasoning is trained on: of an item's rationales, those that show some
            come first.

    Returns:
        Whether a row is chosen, same index.
    """
    ranked = rationales.assign(key=keys, silent=False)
    if thoughts:
        ranked["silent"] = ~ranked["reasoning"].fillna("").astype(bool)
    ranked = ranked[ranked["accepted"].astype(bool)]
    ranked = ranked.sort_values(["silent", "key", "sample"], kind="stable")
    chosen = ranked.drop_duplicates("item_id").index
    return rationales.index.to_series().isin(chosen)


def random_keys(rationales: pd.DataFrame, seed: int) -> pd.Series:
    """Draw a key for each row, which follows from its item, its sample and the seed."""
    import pandas as pd

    pairs = zip(rationales["item_id"], rationales["sample"], strict=True)
    draws = [unit_interval("choose", seed, item, int(sample)) for item, sample in pairs]
    return pd.Series(draws, index=rationales.index, dtype=float)


def choose_likely(
    rationales: pd.DataFrame, asked: Asked, subject: Subject, cache: Cache, thoughts: bool = False
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Choose the rationale that is most likely under a model, per token (arXiv 2502.04194).

    One forward pass is made over each accepted rationale of the items that have several. The
    likelihood is the mean of ln p over the tokens of the row that is trained on, behind its prompt,
    without the token that ends the turn: a sum would choose short ones.

    Args:
        rationales: a rationales table.
        asked: the question set in the prompt variant of training.
        subject: the student.
        cache: where finished blocks of items lie.
        thoughts: as of `choose`.

    Returns:
        The table with `log_likelihood`, null where it was not measured, and `selected` as chosen,
        which changes nothing for items without an accepted one; and what the job reports.
    """
    import pandas as pd

    from caft.complexity.likelihoods import TOKEN_BUDGET
    from caft.students.opened import open_scorer

    scorer = open_scorer(subject)
    budget = TOKEN_BUDGET[scorer.spec["device"]]
    accepted = rationales[rationales["accepted"].astype(bool)]
    several = accepted[accepted["item_id"].duplicated(keep=False)]
    prompts = asked.prompts("cot")
    held = prompts.items["item_id"].isin(several["item_id"]).to_numpy().nonzero()[0].tolist()
    prompts = prompts.part(held)
    texts = {
        str(item): list(zip(part["sample"].astype(int), part["text"], strict=True))
        for item, part in several.groupby("item_id")
    }
    rows = [
        {**row, "texts": [list(pair) for pair in texts[row["item_id"]]]}
        for row in block_rows(prompts.items, prompts.messages)
    ]

    def measure(blocks: list[list[int]], progress: Progress) -> Iterator[Rows]:
        for block in blocks:
            yield likelihoods(prompts.part(block), texts, scorer.loaded, budget)
            progress.advance(len(block))

    found = compute_in_blocks(
        Kind("rationale_likelihoods", versions.CHOICES),
        rows,
        measure,
        {**scorer.key, "prompt": asked.variant.plain(), "token_budget": budget},
        cache,
        ("measuring rationales", "items", 1),
    )
    measured = found.table.set_index(["item_id", "sample"])["log_likelihood"]
    places = pd.MultiIndex.from_frame(rationales[["item_id", "sample"]])
    table = rationales.assign(log_likelihood=measured.reindex(places).to_numpy(dtype=float))
    chosen = choose(table, -table["log_likelihood"], thoughts)
    without = ~table["item_id"].isin(accepted["item_id"])
    return table.assign(selected=chosen | (without & table["selected"].astype(bool))), found.run


def likelihoods(
    prompts: Prompts,
    texts: Mapping[str, list[tuple[int, str]]],
    student: Loaded,
    token_budget: int | None = None,
) -> Rows:
    """Return the mean of ln p over the tokens of rationales behind their prompts, in nats.

    Args:
        prompts: of the items.
        texts: sample and text of each item's rationales, by item_id.
        student: the model; what is longer than its context, or overflows, has no likelihood.
        token_budget: tokens per batch; by default what suits the device.

    Returns:
        Rows of the table `rationale_likelihoods`.
    """
    import math

    from caft.complexity.forward import Row
    from caft.complexity.likelihoods import mean_losses
    from caft.running.jobs import Progress

    rows: Rows = []
    measured: list[Row] = []
    for item, turns in zip(records(prompts.items), prompts.messages, strict=True):
        for sample, text in texts[item["item_id"]]:
            target = completion(item, prompts.variant, text)
            before, tokens = student.chat.row(turns, target, "cot")
            tokens = tokens[:-1]
            if len(before) + len(tokens) <= student.context:
                whole = before + tokens[:-1]
                measured.append(Row(len(rows), whole, len(before) - 1, tokens, None, 0))
            rows.append({"item_id": item["item_id"], "sample": sample, "log_likelihood": None})
    progress = Progress("rationales of a block", len(measured), "texts")
    losses = mean_losses(student.model, student.chat.tokenizer, measured, progress, token_budget)
    for index, loss in losses:
        rows[index]["log_likelihood"] = -loss if math.isfinite(loss) else None
    return rows
