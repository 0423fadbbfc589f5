"""Evaluation: ask a model every test item in one mode, greedily, and read its answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from caft import versions
from caft.complexity.distribution import entropies
from caft.errors import ItemError
from caft.evaluation.settings import Evaluation
from caft.prompting.answers import ABSTAINED, INVALID, TOO_LONG, equal, parse
from caft.prompting.asked import Asked, Prompts, joined
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache, Rows
from caft.running.jobs import Progress
from caft.students import vllm
from caft.students.engines import generate_with, open_writer
from caft.students.generation import Decoding
from caft.students.opened import Loaded, Scorer, Subject
from caft.students.tasks import Made, Task, make_table
from caft.tables.parquet import records


def evaluate(
    prompts: Prompts,
    student: Loaded,
    mode: str,
    settings: Evaluation,
    progress: Progress,
    entropy: bool = False,
) -> Iterator[Rows]:
    """Answer items with a model.

    Args:
        prompts: the items with their prompts of the mode.
        student: the model; that of another engine is a `caft.students.vllm.VllmModel`. A prompt
            that leaves no room for `max_new_tokens` in its context is not asked: `[too_long]`.
        mode: `direct` or `cot`.
        settings: how it is asked and read.
        progress: told how many are answered.
        entropy: whether that of the first token behind the thoughts is measured, with transformers.

    Yields:
        Rows of the predictions table as they are complete; an answer the parser cannot read is
        `[invalid]` and counts as wrong.
    """
    items = records(prompts.items)
    ask = generate_with(settings.engine)
    parser = settings.parser.of(mode)
    decoding = Decoding(
        settings.max_new_tokens.of(mode),
        stop_at_answer=mode == "cot",
        batch_size=settings.batch_size,
        place=student.place(mode),
    )
    room = student.context - decoding.max_new_tokens
    fits = [len(student.chat.prompt(turns, decoding.place)) <= room for turns in prompts.messages]
    fitting = [index for index, fit in enumerate(fits) if fit]
    too_long = [_too_long(item) for item, fit in zip(items, fits, strict=True) if not fit]
    progress.advance(asked := len(too_long))
    yield too_long
    right = 0
    messages = [prompts.messages[index] for index in fitting]
    measured = (_entropy,) if entropy else ()
    for batch in ask(student.model, student.chat, messages, decoding, *measured) if fitting else ():
        rows = [
            _read(items[fitting[answer.index]], answer, prompts.variant, parser) for answer in batch
        ]
        asked += len(rows)
        right += sum(row["correct"] for row in rows)
        progress.advance(len(rows), f"{right / asked:.3f} right so far")
        yield rows


def _too_long(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "item_id": item["item_id"],
        "text": "",
        "parsed": TOO_LONG,
        "answer": item["answer"],
        "correct": False,
        "invalid": False,
        "new_tokens": 0,
        "thought_tokens": 0,
        "finish_reason": "too_long",
    }


def _entropy(logits: Any, _: Any) -> Any:
    """Return the entropy of each row's next token in nats, shape (rows, 1)."""
    return entropies(logits.log_softmax(-1))[:, None]


def _read(item: dict[str, Any], answer: Any, variant: Prompt, parser: str) -> dict[str, Any]:
    kind = item["answer_kind"]
    options = 0 if item["options"] is None else len(item["options"])
    parsed = parse(answer.text, parser, kind, options, variant.labels, variant.abstain)
    said = parsed not in (INVALID, ABSTAINED, TOO_LONG)
    measured = answer.measured[answer.thought_tokens :]
    return {
        "item_id": item["item_id"],
        "text": answer.text,
        "parsed": parsed,
        "answer": item["answer"],
        "correct": said and equal(parsed, item["answer"], kind),
        "invalid": parsed == INVALID,
        "new_tokens": answer.new_tokens,
        "thought": answer.thought,
        "thought_tokens": answer.thought_tokens,
        "finish_reason": answer.finish_reason,
        "first_token_entropy": measured[0][0] if measured else None,
    }


class Way(NamedTuple):
    """Which items a model is asked, and how.

    Attributes:
        split: of the question set.
        mode: `direct` or `cot`.
        entropy: whether that of the first token of direct answers is measured, for mode `adaptive`.
    """

    split: str
    mode: str
    entropy: bool = False


def evaluate_model(
    asked: Asked,
    way: Way,
    subject: Subject,
    settings: Evaluation,
    cache: Cache,
    engine: vllm.Engine | None = None,
) -> Made:
    """Load a model and answer one split with it.

    Args:
        asked: the question set and its prompt variant.
        way: which items it is asked, and how.
        subject: the model.
        settings: how it is asked and read.
        cache: where finished blocks of items lie, and which of them are wanted.
        engine: of vLLM, where it answers for several models; by default one of its own.

    Returns:
        The predictions table, its provenance, and what differs from run to run (seconds, tokens).

    Raises:
        ItemError: if the split is to choose a threshold and has no items.
    """
    split, mode, entropy = way
    measured = entropy and mode == "direct"
    prompts = asked.of_split(split, mode)
    if entropy and not prompts.messages:
        raise ItemError(
            f"the data set has no items in the split {split}, which mode adaptive needs; give "
            "datasets.<name>.splits a share of validation, or leave adaptive out of run.modes."
        )
    limit = settings.max_new_tokens.of(mode)
    scorer = open_writer(settings.engine, subject, prompts.messages, mode, limit)
    if engine:
        scorer = engine.answering(scorer)

    def answer(blocks: list[Prompts], progress: Progress) -> Iterator[Rows]:
        return evaluate(joined(blocks), scorer.loaded, mode, settings, progress, measured)

    task = Task(
        "predictions",
        versions.EVALUATION,
        (f"answering ({mode})", "items", 1),
        {
            **_identity(subject.trained_file, scorer),
            "prompt": asked.variant.plain(),
            "mode": mode,
            "evaluation": settings.plain(),
            **{name: scorer.spec[name] for name in ("dtype", "device", "libraries")},
            # In no other key: answers of runs without mode adaptive are found as before.
            **({"measured": "first_token_entropy"} if measured else {}),
        },
        answer,
        counted=("new_tokens",),
        in_key={"evaluation": _of_mode(settings, mode)},
    )
    return make_table(task, scorer, prompts, cache)


def _identity(trained_file: Path | None, scorer: Scorer) -> dict[str, Any]:
    """Name a model: the student's revision, or the trained model's digest and maybe the epoch."""
    if trained_file is None:
        return {"model": scorer.spec["student"]}
    if "epoch" in scorer.trained:  # <digest>/epochs/<n>/model.json
        return {"model": trained_file.parents[2].name, "epoch": scorer.trained["epoch"]}
    return {"model": trained_file.parent.name}


def _of_mode(settings: Evaluation, mode: str) -> dict[str, Any]:
    return {
        key: value[mode] if isinstance(value, dict) else value
        for key, value in settings.plain().items()
    }
