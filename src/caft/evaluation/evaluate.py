"""Evaluation: ask a model every test item in one mode, greedily, and read its answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from caft import versions
from caft.prompting.answers import ABSTAINED, INVALID, equal, parse
from caft.prompting.prompts import Messages, all_messages
from caft.running.blocks import Cache, block_rows, compute_in_blocks
from caft.running.jobs import Progress
from caft.students import vllm as generation_vllm
from caft.students.folders import STUDENT_FILE
from caft.students.generation import generate
from caft.students.opened import Scorer, open_scorer
from caft.tables.parquet import records


def backend(engine: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what opens a model and what generates with it, for a value of `evaluation.engine`."""
    if engine == "vllm":
        return generation_vllm.open_scorer, generation_vllm.generate
    return open_scorer, generate


def evaluate(
    items: pd.DataFrame,
    messages: list[Messages],
    model: Any,
    tokenizer: Any,
    variant: dict[str, Any],
    mode: str,
    settings: dict[str, Any],
    progress: Progress,
) -> pd.DataFrame:
    """Answer items with a model.

    Args:
        items: rows of the items table.
        messages: their prompts.
        model: from `caft.students.folders.load_model`, or a `caft.students.vllm.VllmModel`.
        tokenizer: its tokenizer.
        variant: prompt variant.
        mode: `direct` or `cot`.
        settings: `engine`, `batch_size`, and per mode `parser` and `max_new_tokens`.
        progress: told how many are answered.

    Returns:
        The predictions table; an answer the parser cannot read is `[invalid]` and counts as wrong.
    """
    asked = records(items)
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
        right = sum(row["correct"] for row in rows) / len(rows)
        progress.advance(len(batch), f"{right:.3f} right in this block")
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
    cache: Cache,
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
        cache: where finished blocks of items lie, and which of them are wanted.

    Returns:
        The predictions table, its provenance, and what differs from run to run (seconds, tokens).
    """
    open_model, _ = backend(settings["engine"])
    scorer = open_model(student / STUDENT_FILE, trained_file, engine)
    spec = {
        **_identity(trained_file, scorer),
        "prompt": variant,
        "mode": mode,
        "evaluation": settings,
        **{name: scorer.spec[name] for name in ("dtype", "device", "libraries")},
    }
    chosen = (items["split"] == split).to_numpy()
    rendered = all_messages(items, variant, mode, seed)
    asked, messages = items[chosen], [rendered[position] for position in chosen.nonzero()[0]]

    def answer(block: list[int], progress: Progress) -> tuple[pd.DataFrame, dict[str, float]]:
        table = evaluate(
            asked.iloc[block],
            [messages[position] for position in block],
            scorer.model,
            scorer.tokenizer,
            variant,
            mode,
            settings,
            progress,
        )
        return table, {"new_tokens": int(table["new_tokens"].sum())}

    predictions = compute_in_blocks(
        "predictions",
        block_rows(asked, messages),
        answer,
        {**scorer.key, **spec, "evaluation": _of_mode(settings, mode)},
        versions.EVALUATION,
        cache,
        (f"answering ({mode})", "items", 1),
    )
    return predictions.table, spec, predictions.run


def _identity(trained_file: Path | None, scorer: Scorer) -> dict[str, Any]:
    """Name a model: the student's revision, or the trained model's digest and maybe the epoch."""
    if trained_file is None:
        return {"model": scorer.spec["student"]}
    if "epoch" in scorer.trained:  # <digest>/epochs/<n>/model.json
        return {"model": trained_file.parents[2].name, "epoch": scorer.trained["epoch"]}
    return {"model": trained_file.parent.name}


def _of_mode(settings: dict[str, Any], mode: str) -> dict[str, Any]:
    return {
        key: value[mode] if isinstance(value, dict) else value for key, value in settings.items()
    }
