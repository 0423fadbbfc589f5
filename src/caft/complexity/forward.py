"""The scoring engine: next-token distributions of many prompts, one forward pass per item."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from caft.complexity import METRICS
from caft.complexity.distribution import Distributions
from caft.prompting.answers import labels, render
from caft.prompting.asked import Prompts
from caft.prompting.chat import Chat
from caft.prompting.numbers import begins_number
from caft.running.jobs import Progress
from caft.students import memory, reading
from caft.students.opened import Loaded
from caft.tables.parquet import records

Result = TypeVar("Result")

TOKEN_BUDGET = {"cpu": 1000, "cuda": 32768}  # tokens per batch, padding included
# Padding in a batch: a block has few items of one length. These tokens always pass, and of a large
# batch this share, so that it ends for its budget.
PADDING = 512
_PADDED_SHARE = 0.125
_SAVED_SHARE = 0.25  # of a batch's budget, which rows that begin alike have to save
_KEPT_SHARE = 16  # as many tokens that were read once, and are kept for a row, cost as much as one


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
) -> list[dict[str, Any]]:
    """Score every item with the student's next-token distribution, one forward pass each.

    An open question's gold answer is appended to its prompt, so that the same pass also tells
    whether greedy decoding would write exactly that answer (`correct`); a causal model's answer
    distribution cannot see it.

    Args:
        prompts: the items with their direct prompts.
        student: the model; items that are longer than its context get status `too_long`.
        token_budget: tokens per batch; by default what was measured best for the device. Where
            memory is short, batches become smaller.
        progress: of the whole question set.

    Returns:
        Rows of the scores table (without `warm_up`), one per item in the same order.
    """
    model, tokenizer = student.model, student.chat.tokenizer
    rows = encode_rows(prompts, student.chat)
    fitting = [row for row in rows if len(row.tokens) <= student.context]
    budget = token_budget or TOKEN_BUDGET[model.device.type]
    progress = progress or Progress("scoring", len(rows))
    progress.advance(len(rows) - len(fitting))
    found: dict[int, dict[str, Any]] = {}
    beginning = reading.Beginning()
    scored = batches_that_fit(
        fitting,
        budget,
        lambda batch: score_batch(model, tokenizer, batch, beginning),
        reading.shares(model),
    )
    for batch, values in scored:
        found |= {row.index: value for row, value in zip(batch, values, strict=True)}
        progress.advance(len(batch))
    return [
        {
            **{"item_id": item["item_id"], "split": item["split"], "prompt_tokens": row.first + 1},
            **found.get(row.index, {"status": "too_long"}),
        }
        for item, row in zip(records(prompts.items), rows, strict=True)
    ]


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


def token_batches(rows: list[Row], budget: int, shares: bool = False) -> Iterator[list[Row]]:
    """Group rows of similar length into batches of at most `budget` tokens, or one row.

    Args:
        rows: in any order.
        budget: tokens that are read for a batch, padding included.
        shares: whether what all rows of a batch begin with is read once; rows that begin alike
            then have batches of their own.
    """
    loose: list[Row] = []
    for group in _alike(rows) if shares else []:
        shared = _shared(group)
        if shared * (len(group) - 1) < _SAVED_SHARE * budget:
            loose += group
        else:
            yield from _cut(group, budget, shared)
    yield from _cut(loose if shares else rows, budget)


def _alike(rows: list[Row]) -> Iterator[list[Row]]:
    """Group rows that begin alike for the greater part."""
    group: list[Row] = []
    for row in sorted(rows, key=lambda row: row.tokens):
        if group and not _shared([group[0], row]):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _shared(rows: list[Row]) -> int:
    return reading.shared([row.tokens for row in rows], (row.first for row in rows))


def _width(row: Row, shared: int) -> int:
    """Return what a row takes of a budget where so many of its tokens were read before."""
    return len(row.tokens) - shared + shared // _KEPT_SHARE


def _cut(rows: list[Row], budget: int, shared: int = 0) -> Iterator[list[Row]]:
    batch: list[Row] = []
    filled = 0
    for row in sorted(rows, key=lambda row: (len(row.tokens), row.index)):
        width = _width(row, shared)
        padding = len(batch) * width - filled
        if batch and ((len(batch) + 1) * width > budget or padding > _padding(filled)):
            yield batch
            batch, filled = [], 0
        batch.append(row)
        filled += width
    if batch:
        yield batch


def batches_that_fit(
    rows: list[Row],
    budget: int,
    compute: Callable[[list[Row]], Result],
    shares: bool = False,
) -> Iterator[tuple[list[Row], Result]]:
    """Compute batches of at most `budget` tokens, and smaller ones once memory was short.

    Args:
        rows: in any order.
        budget: tokens that are read for a batch.
        compute: of one batch.
        shares: as in `token_batches`.
    """

    def size(batch: list[Row]) -> int:
        shared = _shared(batch) if shares and len(batch) > 1 else 0
        return len(batch) * max(_width(row, shared) for row in batch)

    return memory.in_batches(
        rows, lambda left, most: token_batches(left, most, shares), budget, compute, size
    )


def _padding(tokens: int) -> float:
    return max(PADDING, _PADDED_SHARE * tokens)


def answer_logits(
    model: Any, batch: list[Row], pad: int, beginning: reading.Beginning | None = None
) -> list[Any]:
    """Run one forward pass and return each row's logits at the answer positions, float32.

    Args:
        model: on its device.
        batch: of rows.
        pad: a token that fills rows up.
        beginning: what was read for batches before.

    Returns:
        Per row a tensor of shape (max(1, n_gold), vocabulary).
    """
    wanted = [range(row.first, row.first + max(1, len(row.gold))) for row in batch]
    return reading.logits_at(model, [row.tokens for row in batch], wanted, pad, beginning)


def score_batch(
    model: Any, tokenizer: Any, batch: list[Row], beginning: reading.Beginning | None = None
) -> list[dict[str, Any]]:
    """Return scores-table values of a batch; non-finite logits give a status and nulls.

    All is computed on the model's device and comes from there at once.
    """
    import torch

    logits = answer_logits(model, batch, tokenizer.pad_token_id, beginning)
    device = model.device
    every = torch.cat(logits)  # position after position
    row_of = [number for number, part in enumerate(logits) for _ in part]
    of = torch.tensor(row_of, device=device)
    log_probs = torch.stack([part[0] for part in logits]).log_softmax(-1)
    options = _options(log_probs, batch)
    gold = torch.tensor([row.gold[0] if row.gold else row.gold_option for row in batch])
    # An open question's last gold token ends the turn; a choice item has one position.
    later = [n for n in range(1, len(row_of) - 1) if row_of[n - 1] == row_of[n] == row_of[n + 1]]
    items = Distributions(log_probs, options, gold.to(device), every[later], of[later])
    metrics = {name: metric.in_pass(items) for name, metric in METRICS.items() if metric.in_pass}
    written = torch.tensor([token for row in batch for token in row.gold or [-1]], device=device)

    def throughout(true: Any) -> Any:
        """Tell for each item whether something is true at all of its positions."""
        return torch.zeros(len(batch), device=device).index_add(0, of, (~true).float()) == 0

    found = [*metrics.values(), log_probs.argmax(-1)]
    found += [throughout(every.isfinite().all(-1)), throughout(every.argmax(-1) == written)]
    table = torch.cat([torch.stack([part.double() for part in found], 1), options.double()], 1)
    rows = table.cpu().numpy()
    return [
        _values(tokenizer, row, dict(zip(metrics, values, strict=False)), *values[len(metrics) :])
        for row, values in zip(batch, rows, strict=True)
    ]


def _options(log_probs: Any, batch: list[Row]) -> Any:
    """Return log-probabilities of option labels, -inf where an item has fewer; two at least."""
    import torch

    options = [row.options or [] for row in batch]
    most = max(2, *map(len, options))
    variants = max((len(tokens) for row in options for tokens in row), default=1)
    index = torch.full((len(batch), most, variants), -1)
    for row, variants_of in enumerate(options):
        for place, tokens in enumerate(variants_of):
            index[row, place, : len(tokens)] = torch.tensor(tokens)
    index = index.to(log_probs.device)
    found = log_probs.gather(1, index.clamp(min=0).flatten(1)).view(index.shape)
    return found.masked_fill(index < 0, -torch.inf).logsumexp(-1)


def _values(
    tokenizer: Any,
    row: Row,
    metrics: dict[str, float],
    top: float,
    finite: float,
    greedy: float,
    *options: float,
) -> dict[str, Any]:
    """Return an item's values; `top` is its likeliest token, `greedy` says it writes the gold."""
    if not finite:
        return {"status": "non_finite_logits"}
    token = int(top)
    answer = tokenizer.decode([token])
    if row.options is None:
        said = {"answer_valid": begins_number(answer), "correct": bool(greedy)}
    else:
        chosen = [number for number, tokens in enumerate(row.options) if token in tokens]
        said = {"answer_valid": bool(chosen), "correct": chosen == [row.gold_option]}
    known = None if row.options is None else np.array(options[: len(row.options)])
    return {
        "status": "ok",
        **{name: None if np.isnan(value) else value for name, value in metrics.items()},
        **{"answer_token": token, "answer": answer, **said, "option_logprobs": known},
    }
