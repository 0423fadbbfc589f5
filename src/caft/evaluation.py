"""Evaluation: ask a model every test item in one mode, greedily, and read its answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from caft import generation_vllm
from caft.answers import ABSTAINED, INVALID, equal, parse
from caft.complexity.scorer import load_scorer
from caft.generation import generate
from caft.jobs import Progress
from caft.models import STUDENT_FILE
from caft.prompts import all_messages
from caft.tables import records


def backend(engine: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what loads a model and what generates with it, for a value of `evaluation.engine`."""
    if engine == "vllm":
        return generation_vllm.load_scorer, generation_vllm.generate
    return load_scorer, generate


def evaluate(
    items: pd.DataFrame,
    split: str,
    model: Any,
    tokenizer: Any,
    variant: dict[str, Any],
    mode: str,
    settings: dict[str, Any],
    seed: int,
) -> pd.DataFrame:
    """Answer the items of one split with a model.

    Args:
        items: the whole items table (few-shot examples come from its training split).
        split: which split to answer.
        model: from `caft.models.load_model`, or a `caft.generation_vllm.VllmModel`.
        tokenizer: its tokenizer.
        variant: prompt variant.
        mode: `direct` or `cot`.
        settings: `engine`, `batch_size`, and per mode `parser` and `max_new_tokens`.
        seed: of the few-shot draw.

    Returns:
        The predictions table; an answer the parser cannot read is `[invalid]` and counts as wrong.
    """
    chosen = (items["split"] == split).to_numpy()
    messages = [
        turns
        for turns, keep in zip(all_messages(items, variant, mode, seed), chosen, strict=True)
        if keep
    ]
    asked = records(items[chosen])
    progress = Progress(f"answering ({mode})", len(asked))
    rows: list[dict[str, Any]] = []
    _, ask = backend(settings["engine"])
    for batch in ask(
        model,
        tokenizer,
        messages,
        settings["max_new_tokens"][mode],
        stop_at_answer=mode == "cot",
        batch_size=settings["batch_size"],
    ):
        rows += [
            _read(asked[answer.index], answer, variant, settings["parser"][mode])
            for answer in batch
        ]
        progress.advance(
            len(batch), f"{sum(row['correct'] for row in rows) / len(rows):.3f} right so far"
        )
    return pd.DataFrame(rows)


def _read(
    item: dict[str, Any], answer: Any, variant: dict[str, Any], parser: str
) -> dict[str, Any]:
    kind = item["answer_kind"]
    options = 0 if item["options"] is None else len(item["options"])
    parsed = parse(answer.text, parser, kind, options, variant["labels"], variant["abstain"])
    return {
        "item_id": item["item_id"],
        "text": answer.text,
        "parsed": parsed,
        "answer": item["answer"],
        "correct": parsed not in (INVALID, ABSTAINED) and equal(parsed, item["answer"], kind),
        "invalid": parsed == INVALID,
        "new_tokens": answer.new_tokens,
        "finish_reason": answer.finish_reason,
    }


def evaluate_model(
    items: pd.DataFrame,
    split: str,
    student: Path,
    trained_file: Path | None,
    variant: dict[str, Any],
    mode: str,
    settings: dict[str, Any],
    engine: dict[str, Any],
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """Load a model and answer one split with it.

    Args:
        items: the items table.
        split: which split.
        student: folder of the untuned student.
        trained_file: the trained model's `model.json`, None for the untuned student.
        variant: prompt variant.
        mode: `direct` or `cot`.
        settings: the `evaluation` section of the config.
        engine: device settings.
        seed: of the few-shot draw.

    Returns:
        The predictions table, its provenance, and what differs from run to run (seconds, tokens).
    """
    clock = Progress(f"evaluation ({mode})", 1)
    load, _ = backend(settings["engine"])
    scorer = load(student / STUDENT_FILE, trained_file, engine)
    predictions = evaluate(
        items, split, scorer.model, scorer.tokenizer, variant, mode, settings, seed
    )
    spec = {
        "model": trained_file.parent.name if trained_file else scorer.spec["student"],
        "prompt": variant,
        "mode": mode,
        "evaluation": settings,
        **{name: scorer.spec[name] for name in ("dtype", "device", "libraries")},
    }
    run = {"seconds": round(clock.seconds, 3), "new_tokens": int(predictions["new_tokens"].sum())}
    return predictions, spec, run
