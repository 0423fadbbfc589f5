"""The scoring engine: next-token distributions of many prompts, one forward pass per item."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from caft.complexity import METRICS
from caft.complexity.distribution import Distributions
from caft.prompting.answers import labels, render
from caft.prompting.asked import Prompts
from caft.prompting.chat import Chat
from caft.prompting.numbers import begins_number
from caft.running.jobs import Progress
from caft.students.opened import Loaded
from caft.students.reading import logits_at
from caft.tables.parquet import records

TOKEN_BUDGET = {"cpu": 1000, "cuda": 32768}  # tokens per batch, padding included
# Tokens of padding in a batch: a block has few items of one length. For 12,032 items as long as
# MMLU-Pro's the batches of a GPU would be 24% larger than the prompts, with this they are 6%.
PADDING = 512


@dataclass(frozen=True)
class Row:
    """One item, ready for the model.

    Attributes:
        index: position in the items table.
        tokens: the prompt, then all gold tokens of an open question but the last.
        first: position of the prompt's last token, where the answer's first token is predicted.
        gold: an open question's gold tokens (empty for choice items).
        options: token variants per option label; None for open questions.
        gold_option: position of the gold option.
    """

    index: int
    tokens: list[int]
    first: int
    gold: list[int]
    options: list[list[int]] | None
    gold_option: int


def score_items(
    prompts: Prompts,
    student: Loaded,
    token_budget: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score every item with the student's next-token distribution, one forward pass each.

    An open question's gold answer is appended to its prompt, so that the same pass also tells
    whether greedy decoding would write exactly that answer (`correct`); a causal model's answer
    distribution cannot see it.

    Args:
        prompts: the items with their direct prompts.
        student: the model; items that are longer than its context get status `too_long`.
        token_budget: tokens per batch; by default what was measured best for the device.
        progress: of the whole question set.

    Returns:
        The scores table (without `warm_up`), one row per item in the same order.
    """
    items, model, tokenizer = prompts.items, student.model, student.chat.tokenizer
    rows = encode_rows(prompts, student.chat)
    fitting = [row for row in rows if len(row.tokens) <= student.context]
    budget = token_budget or TOKEN_BUDGET[model.device.type]
    progress = progress or Progress("scoring", len(rows))
    progress.advance(len(rows) - len(fitting))
    found: dict[int, dict[str, Any]] = {}
    for batch in token_batches(fitting, budget):
        for row, values in zip(batch, score_batch(model, tokenizer, batch), strict=True):
            found[row.index] = values
        progress.advance(len(batch))
    scores = pd.DataFrame([found.get(row.index, {"status": "too_long"}) for row in rows])
    scores["item_id"], scores["split"] = items["item_id"].to_numpy(), items["split"].to_numpy()
    scores["prompt_tokens"] = [row.first + 1 for row in rows]
    return scores


def encode_rows(prompts: Prompts, chat: Chat) -> list[Row]:
    """Tokenise prompts, gold answers and option labels."""
    rows: list[Row] = []
    style = prompts.variant.labels
    variants: dict[int, tuple[list[int], list[list[int]]]] = {}
    asked = zip(records(prompts.items), prompts.messages, strict=True)
    for index, (item, turns) in enumerate(asked):
        if item["answer_kind"] == "choice":
            count = len(item["options"])
            if count not in variants:
                variants[count] = chat.label_tokens(turns, labels(style, count))
            lead, options = variants[count]
            prompt = chat.prompt(turns, "direct") + lead
            gold = labels("upper", count).index(item["answer"])
            rows.append(Row(index, prompt, len(prompt) - 1, [], options, gold))
        else:
            text = render(item["answer"], item["answer_kind"], style)
            prompt, answer = chat.scored_row(turns, text)
            rows.append(Row(index, prompt + answer[:-1], len(prompt) - 1, answer, None, 0))
    return rows


def token_batches(rows: list[Row], budget: int) -> Iterator[list[Row]]:
    """Group rows of similar length into batches of at most `budget` tokens, or one row."""
    batch: list[Row] = []
    filled = 0
    for row in sorted(rows, key=lambda row: (len(row.tokens), row.index)):
        width = len(row.tokens)
        padding = len(batch) * width - filled
        if batch and ((len(batch) + 1) * width > budget or padding > PADDING):
            yield batch
            batch, filled = [], 0
        batch.append(row)
        filled += width
    if batch:
        yield batch


def answer_logits(model: Any, batch: list[Row], pad: int) -> list[Any]:
    """Run one forward pass and return each row's logits at the answer positions, float32.

    Returns:
        Per row a tensor of shape (max(1, n_gold), vocabulary).
    """
    wanted = [range(row.first, row.first + max(1, len(row.gold))) for row in batch]
    return logits_at(model, [row.tokens for row in batch], wanted, pad)


def score_batch(model: Any, tokenizer: Any, batch: list[Row]) -> list[dict[str, Any]]:
    """Return scores-table values of a batch; non-finite logits give a status and nulls."""
    import torch

    logits = answer_logits(model, batch, tokenizer.pad_token_id)
    finite = [bool(torch.isfinite(values).all()) for values in logits]
    usable = [number for number, good in enumerate(finite) if good]
    results: list[dict[str, Any]] = [{"status": "non_finite_logits"} for _ in batch]
    if not usable:
        return results
    log_probs = torch.stack([logits[number][0] for number in usable]).log_softmax(-1).cpu()
    options = [
        _option_log_probs(log_probs[place], batch[number]) for place, number in enumerate(usable)
    ]
    gold = [
        batch[number].gold[0] if batch[number].gold else batch[number].gold_option
        for number in usable
    ]
    # An open question's last gold token ends the turn; a choice item has one position.
    later = [logits[number][1:-1] for number in usable]
    distributions = Distributions(log_probs, options, gold, later)
    metrics = {
        name: metric.in_pass(distributions) for name, metric in METRICS.items() if metric.in_pass
    }
    top = log_probs.argmax(-1).tolist()
    for place, number in enumerate(usable):
        row = batch[number]
        results[number] = {
            "status": "ok",
            **{name: values[place] for name, values in metrics.items()},
            "answer_token": top[place],
            "answer": tokenizer.decode([top[place]]),
            **_greedy_answer(tokenizer, row, top[place], logits[number]),
            "option_logprobs": None if options[place] is None else options[place].double().numpy(),
        }
    return results


def _option_log_probs(log_probs: Any, row: Row) -> Any:
    import torch

    if row.options is None:
        return None
    return torch.stack([log_probs[tokens].logsumexp(-1) for tokens in row.options])


def _greedy_answer(tokenizer: Any, row: Row, top: int, logits: Any) -> dict[str, bool]:
    if row.options is not None:
        chosen = [number for number, tokens in enumerate(row.options) if top in tokens]
        return {"answer_valid": bool(chosen), "correct": chosen == [row.gold_option]}
    return {
        "answer_valid": begins_number(tokenizer.decode([top])),
        "correct": logits.argmax(-1).tolist() == row.gold,
    }
