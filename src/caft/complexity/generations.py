"""One greedy chain of thought per item, or several drawn ones, with statistics of every token.

The statistics come out of the decode loop, where the logits are; so memory grows with the tokens
and a new aggregate of them costs nothing (Goncharov et al., arXiv 2506.21220).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caft import versions
from caft.complexity.single_token_entropy import entropies
from caft.complexity.spans import answer_and_sentences
from caft.prompting.answers import ABSTAINED, INVALID, equal, parse
from caft.prompting.chat import encode_prompt
from caft.prompting.prompts import Messages, all_messages
from caft.running.blocks import Cache, block_rows, compute_in_blocks
from caft.running.jobs import Progress
from caft.students.generation import Generated, generate
from caft.students.opened import open_scorer
from caft.tables.hashing import digest
from caft.tables.parquet import SCHEMAS, records


def generate_with_student(
    items: pd.DataFrame,
    student_file: Path,
    adapter_file: Path | None,
    variant: dict[str, Any],
    engine: dict[str, Any],
    evaluation: dict[str, Any],
    seed: int,
    cache: Cache,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """Load a model and let it think about every item.

    Args:
        items: the items table.
        student_file: the student's `student.json`.
        adapter_file: `model.json` of a warm-up or of a stage; None for the untuned student.
        variant: prompt variant.
        engine: device settings.
        evaluation: `max_new_tokens`, `parser` (of the mode `cot`) and `batch_size`.
        seed: of the few-shot draw and the sampling.
        cache: where finished blocks of items lie, and which of them are wanted.
        samples: texts per item.
        temperature: 0 is greedy.
        top_p: nucleus of the sampling distribution.

    Returns:
        The generations table, its provenance, and what differs from run to run (seconds, tokens).
    """
    scorer = open_scorer(student_file, adapter_file, engine)
    sampling: dict[str, Any] = {"samples": samples, "temperature": temperature, "top_p": top_p}
    settings = {name: evaluation[name]["cot"] for name in ("max_new_tokens", "parser")}
    spec = {**scorer.spec, "prompt": variant, **settings, **sampling, "seed": seed}
    spec["batch_size"] = evaluation["batch_size"]
    messages = all_messages(items, variant, "cot", seed)

    def think(block: list[int], progress: Progress) -> tuple[pd.DataFrame, dict[str, float]]:
        table = generate_items(
            items.iloc[block],
            scorer.model,
            scorer.tokenizer,
            variant,
            evaluation,
            seed,
            scorer.context,
            **sampling,
            messages=[messages[position] for position in block],
            progress=progress,
        )
        return table.drop(columns="new_tokens"), {"new_tokens": int(table["new_tokens"].sum())}

    found = compute_in_blocks(
        "generations",
        block_rows(items, messages),
        think,
        {**scorer.key, **spec, "seed": seed if temperature else None},
        versions.GENERATIONS,
        cache,
        ("thinking", "texts", samples),
    )
    return scorer.mark(found.table, items), spec, found.run


def generate_items(
    items: pd.DataFrame,
    model: Any,
    tokenizer: Any,
    variant: dict[str, Any],
    evaluation: dict[str, Any],
    seed: int,
    context: int,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    messages: list[Messages] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Generate chains of thought, each to its first complete `[[...]]`; arguments as of the job.

    Args:
        items: the items table.
        model: from `caft.students.folders.load_model`.
        tokenizer: its tokenizer.
        variant: prompt variant.
        evaluation: as in `generate_with_student`.
        seed: of the few-shot draw and, together with the items, of the sampling.
        context: a prompt that leaves no room for `max_new_tokens` in it gets status `too_long`.
        samples: texts per item.
        temperature: 0 is greedy; only then are the lists per token kept.
        top_p: nucleus of the sampling distribution.
        messages: the rendered prompts, where the items are a part of a question set only.
        progress: of the whole question set, in texts.

    Returns:
        The generations table without `warm_up` and with `new_tokens`, ordered by sample and item.
    """
    messages = messages or all_messages(items, variant, "cot", seed)
    lengths = [len(encode_prompt(tokenizer, turns)) for turns in messages]
    limit = evaluation["max_new_tokens"]["cot"]
    fitting = [index for index, length in enumerate(lengths) if length + limit <= context]
    asked = records(items)
    found: dict[tuple[int, int], dict[str, Any]] = {}
    progress = progress or Progress("thinking", len(items) * samples, "texts")
    progress.advance((len(items) - len(fitting)) * samples)
    drawn_for = list(items["item_id"])  # nothing else: draws are the same in any number of jobs
    for sample in range(samples):
        for batch in generate(
            model,
            tokenizer,
            [messages[index] for index in fitting],
            limit,
            stop_at_answer=True,
            temperature=temperature,
            top_p=top_p,
            seed=int(digest([seed, sample, drawn_for], 7), 16),
            batch_size=evaluation["batch_size"],
            measure=token_statistics,
        ):
            for answer in batch:
                index = fitting[answer.index]
                row = _row(tokenizer, asked[index], answer, variant, evaluation["parser"]["cot"])
                found[sample, index] = row if not temperature else {**row, **_NO_LISTS}
            progress.advance(len(batch))
    nothing = dict.fromkeys(name for name in SCHEMAS["generations"].names if name != "warm_up")
    rows = [
        {
            **nothing,
            "item_id": item["item_id"],
            "split": item["split"],
            "sample": sample,
            "prompt_tokens": lengths[index],
            **found.get((sample, index), {"status": "too_long", "new_tokens": 0}),
        }
        for sample in range(samples)
        for index, item in enumerate(asked)
    ]
    return pd.DataFrame(rows)


def token_statistics(logits: Any, chosen: Any) -> Any:
    """Return per row entropy over the full vocabulary, log-probability of the token, and p1 - p2.

    Args:
        logits: float32, before any temperature, shape (rows, vocabulary).
        chosen: the tokens, shape (rows,).

    Returns:
        Shape (rows, 3), nats; NaN in rows with a logit that is not finite.
    """
    import torch

    log_probs = logits.log_softmax(-1)
    first, second = log_probs.topk(2).values.exp().unbind(-1)
    token = log_probs.gather(-1, chosen[:, None])[:, 0]
    return torch.stack([entropies(log_probs), token, first - second], dim=-1)


_LISTS = ("entropies", "logprobs", "gaps")
_NO_LISTS = dict.fromkeys(("tokens", *_LISTS, "answer_start", "sentence_ends"))


def _row(
    tokenizer: Any, item: dict[str, Any], answer: Generated, variant: dict[str, Any], parser: str
) -> dict[str, Any]:
    measured = np.array(answer.measured, dtype=np.float32).reshape(-1, len(_LISTS))
    row = {
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "tokens": np.array(answer.tokens, dtype=np.int32),
        "new_tokens": answer.new_tokens,
    }
    if not np.isfinite(measured).all():
        return {"status": "non_finite_logits", **row}
    kind = item["answer_kind"]
    options = 0 if item["options"] is None else len(item["options"])
    parsed = parse(answer.text, parser, kind, options, variant["labels"], variant["abstain"])
    start, ends = answer_and_sentences(tokenizer, answer.tokens)
    return {
        "status": "ok",
        **row,
        "parsed": parsed,
        "correct": parsed not in (INVALID, ABSTAINED) and equal(parsed, item["answer"], kind),
        **dict(zip(_LISTS, measured.T, strict=True)),
        "answer_start": start,
        "sentence_ends": np.array(ends, dtype=np.int32),
    }
