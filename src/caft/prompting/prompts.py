"""How an item is put to a model: named prompt variants from config, rendered to chat messages."""

import json
import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

import pandas as pd

from caft.errors import ItemError
from caft.prompting.answers import INVALID, labels, parse, render, with_mark
from caft.prompting.settings import PLACEHOLDER, Prompt
from caft.tables.hashing import unit_interval
from caft.tables.items import GOLD_COLUMNS
from caft.tables.parquet import records

Messages = list[dict[str, str]]


def build_messages(
    item: Mapping[str, Any], variant: Prompt, mode: str, examples: Messages | None = None
) -> Messages:
    """Render one item as chat messages.

    Args:
        item: a row of the items table.
        variant: a prompt variant of the config.
        mode: `direct` (answer only) or `cot`.
        examples: earlier turns, from `few_shot_turns`.

    Returns:
        System, example turns and the question; the model's turn is next.
    """
    kind = item["answer_kind"]
    template = variant.question.choice if kind == "choice" else variant.question.open
    return [
        {"role": "system", "content": _fill(variant.instruction(mode).of(kind), item, variant)},
        *(examples or []),
        {"role": "user", "content": _fill(template, item, variant)},
    ]


def _fill(template: str, item: Mapping[str, Any], variant: Prompt) -> str:
    """Fill in what an item has; other words in braces, such as LaTeX's, stay as they are."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "options":
            return render_options(item["options"], variant.labels)
        if name not in item or name in GOLD_COLUMNS:
            return match.group(0)
        return item[name] if isinstance(item[name], str) else ""  # null: the item has none

    # One pass, so that a question that contains "{options}" stays as it is.
    return PLACEHOLDER.sub(value, template)


def render_options(options: Any, style: str) -> str:
    """Render options one a line, `A) text`; empty for open questions."""
    if options is None:
        return ""
    return "\n".join(
        f"{label}) {text}" for label, text in zip(labels(style, len(options)), options, strict=True)
    )


def completion(
    item: Mapping[str, Any],
    variant: Prompt,
    rationale: str | None = None,
    right: bool = True,
) -> str:
    """Return what the model should write: the bare answer, or a rationale and marked answer.

    Args:
        item: a row of the items table.
        variant: a prompt variant of the config.
        rationale: a teacher's text; None for the bare answer.
        right: whether the rationale is known to reach the gold answer; if not, what can be read
            out of it stays its answer.
    """
    kind, answer = item["answer_kind"], item["answer"]
    if rationale is None:
        return render(answer, kind, variant.labels)
    options = 0 if item["options"] is None else len(item["options"])
    if not right and (read := parse(rationale, "any", kind, options)) != INVALID:
        answer = read
    return with_mark(rationale, answer, kind, options, variant.labels)


def few_shot_turns(items: pd.DataFrame, variant: Prompt, mode: str, seed: int) -> pd.Series:
    """Choose each item's worked examples from the training split, never the item itself.

    Args:
        items: the items table.
        variant: a prompt variant; `few_shot` examples are given, in the order of a seeded draw.
        mode: `direct` shows answers, `cot` shows reference rationales.
        seed: of the draw, which depends on each training item alone.

    Returns:
        Messages per item_id; none without `few_shot`.

    Raises:
        ItemError: if there are too few items to show, one more than wanted: none is its own
            example.
    """
    wanted = variant.few_shot
    if not wanted:
        return pd.Series([[] for _ in items.index], index=items["item_id"], dtype=object)
    pool = items[items["split"] == "train"]
    if mode == "cot":
        pool = pool[pool["reference_rationale"].notna()]
    if len(pool) <= wanted:
        raise ItemError(_too_few(mode, len(pool), wanted))
    order = sorted(records(pool), key=lambda item: unit_interval("few_shot", seed, item["item_id"]))
    shown = order[: wanted + 1]
    turns = {
        item["item_id"]: [
            build_messages(item, variant, mode)[-1],
            {
                "role": "assistant",
                "content": completion(
                    item, variant, item["reference_rationale"] if mode == "cot" else None
                ),
            },
        ]
        for item in shown
    }
    chosen = [[key for key in turns if key != item_id][:wanted] for item_id in items["item_id"]]
    return pd.Series(
        [list(chain.from_iterable(turns[key] for key in keys)) for keys in chosen],
        index=items["item_id"],
        dtype=object,
    )


def _too_few(mode: str, found: int, wanted: int) -> str:
    solved, more = "", "training items"
    if mode == "cot":
        solved, more = " with a rationale of the data set's own", "such rationales"
    return (
        f"few-shot prompts ({mode}): {wanted} worked examples need {wanted + 1} training items"
        f"{solved}, as none is its own example, and there are {found}; give more {more}, or set "
        "few_shot of the prompt, or run.shots, lower."
    )


def all_messages(items: pd.DataFrame, variant: Prompt, mode: str, seed: int) -> list[Messages]:
    """Render every row of an items table, few-shot turns from its training split included."""
    examples = few_shot_turns(items, variant, mode, seed)
    return [
        build_messages(item, variant, mode, examples[item["item_id"]]) for item in records(items)
    ]


def dump(messages: Messages) -> str:
    """Serialise messages for a table."""
    return json.dumps(messages, ensure_ascii=False)
