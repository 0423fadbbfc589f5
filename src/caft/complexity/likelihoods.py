"""How probable the target text is for a student with and without the question, for `ifd`."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from caft import versions
from caft.complexity.forward import Row, answer_logits, batches_that_fit
from caft.prompting.asked import Asked, Prompts
from caft.prompting.prompts import completion
from caft.prompting.template import Place
from caft.running.blocks import Cache, Rows
from caft.running.jobs import Progress
from caft.students import reading
from caft.students.opened import Loaded, Subject, open_scorer
from caft.students.tasks import Made, Task, make_table
from caft.tables.parquet import records

# Tokens per batch. Smaller than for scores: here every target token has logits of its own.
TOKEN_BUDGET = {"cpu": 1000, "cuda": 4096}


def likelihoods_with_student(asked: Asked, subject: Subject, cache: Cache) -> Made:
    """Load a model and measure every item's target with it.

    Args:
        asked: the question set and its prompt variant.
        subject: the student, or a model trained from it.
        cache: where finished blocks of items lie, and which of them are wanted.

    Returns:
        The likelihoods table, its provenance, and what differs from run to run (seconds).
    """
    scorer = open_scorer(subject)
    budget = TOKEN_BUDGET[scorer.spec["device"]]

    def measure(blocks: list[Prompts], progress: Progress) -> Iterator[Rows]:
        for block in blocks:
            yield likelihoods(block, scorer.loaded, budget, progress)

    task = Task(
        "likelihoods",
        versions.LIKELIHOODS,
        ("measuring targets", "texts", 2),
        {**scorer.spec, "prompt": asked.variant.plain(), "token_budget": budget},
        measure,
        columns=("reference_rationale",),
    )
    return make_table(task, scorer, target_prompts(asked), cache)


def target_prompts(asked: Asked) -> Prompts:
    """Render what asks for each item's target: the `cot` prompt for a rationale, or `direct`."""
    direct, cot = asked.prompts("direct"), asked.prompts("cot")
    rationales = asked.items["reference_rationale"].fillna("").astype(bool)
    messages = [
        thinking if has_rationale else short
        for has_rationale, short, thinking in zip(
            rationales, direct.messages, cot.messages, strict=True
        )
    ]
    return replace(direct, messages=messages)


def likelihoods(
    prompts: Prompts,
    student: Loaded,
    token_budget: int | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Return the mean loss of every item's target after its prompt, and after nothing.

    The target is the reference rationale with its marked answer, asked for by the `cot` prompt;
    where an item has none, the gold answer, asked for by the `direct` one. Without the question
    the target follows what opens the model's turn in the chat template. The token that ends the
    turn is no part of it.

    Args:
        prompts: from `target_prompts`.
        student: the model; a prompt with its target that is longer than the context gets status
            `too_long`.
        token_budget: tokens per batch; by default what suits the device. Where memory is short,
            batches become smaller.
        progress: of the whole question set, in texts.

    Returns:
        Rows of the likelihoods table (without `warm_up`), one per item in the same order.
    """
    chat, variant = student.chat, prompts.variant
    rows: list[dict[str, Any]] = []
    texts: list[Row] = []
    alone = {place: chat.opening(place) for place in ("direct", "cot")}
    asked = zip(records(prompts.items), prompts.messages, strict=True)
    for index, (item, turns) in enumerate(asked):
        rationale = item["reference_rationale"]
        place: Place = "cot" if rationale else "direct"
        prompt, target = chat.row(turns, completion(item, variant, rationale), place)
        target = target[:-1]
        if len(prompt) + len(target) <= student.context:
            texts += [_row(2 * index, prompt, target), _row(2 * index + 1, alone[place], target)]
        rows.append(
            {
                "item_id": item["item_id"],
                "split": item["split"],
                "target": "rationale" if rationale else "answer",
                "prompt_tokens": len(prompt),
                "target_tokens": len(target),
            }
        )
    progress = progress or Progress("measuring targets", 2 * len(rows), "texts")
    progress.advance(2 * len(rows) - len(texts))
    losses = dict(mean_losses(student.model, chat.tokenizer, texts, progress, token_budget))
    return [{**row, **_outcome(losses, 2 * index)} for index, row in enumerate(rows)]


def mean_losses(
    model: Any,
    tokenizer: Any,
    rows: list[Row],
    progress: Progress,
    token_budget: int | None = None,
) -> Iterator[tuple[int, float]]:
    """Yield the mean of -ln p over each row's target tokens, nats, with the row's index."""
    budget = token_budget or TOKEN_BUDGET[model.device.type]
    beginning = reading.Beginning()
    measured = batches_that_fit(
        rows,
        budget,
        lambda batch: _losses(model, batch, tokenizer.pad_token_id, beginning),
        reading.shares(model),
    )
    for batch, losses in measured:
        yield from zip((row.index for row in batch), losses, strict=True)
        progress.advance(len(batch))


def _losses(model: Any, batch: list[Row], pad: int, beginning: reading.Beginning) -> list[float]:
    """Return each row's mean loss; it is computed on the model's device and comes at once."""
    import torch

    found = []
    for row, logits in zip(batch, answer_logits(model, batch, pad, beginning), strict=True):
        gold = torch.tensor(row.gold, device=logits.device)
        found.append(-logits.log_softmax(-1).gather(1, gold[:, None]).mean())
    losses: list[float] = torch.stack(found).tolist()
    return losses


def _row(index: int, before: list[int], target: list[int]) -> Row:
    return Row(index, before + target[:-1], len(before) - 1, target, None, 0)


def _outcome(losses: Mapping[int, float], index: int) -> dict[str, Any]:
    if index not in losses:
        return {"status": "too_long", "conditioned": None, "unconditioned": None}
    conditioned, unconditioned = losses[index], losses[index + 1]
    if not math.isfinite(conditioned + unconditioned):
        return {"status": "non_finite_logits", "conditioned": None, "unconditioned": None}
    return {"status": "ok", "conditioned": conditioned, "unconditioned": unconditioned}
