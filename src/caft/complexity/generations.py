"""One greedy chain of thought per item, or several drawn ones, with statistics of every token.

The statistics come out of the decode loop, where the logits are; so memory grows with the tokens
and a new aggregate of them costs nothing (Goncharov et al., arXiv 2506.21220).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from caft import versions
from caft.complexity.distribution import entropies
from caft.complexity.spans import answer_and_sentences
from caft.prompting.answers import ABSTAINED, INVALID, equal, parse
from caft.prompting.asked import Asked, Prompts, joined
from caft.prompting.chat import Chat
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache, Rows
from caft.running.jobs import Progress
from caft.students.engines import generate_with, open_writer
from caft.students.generation import Decoding, Generated
from caft.students.opened import Loaded, Subject
from caft.students.settings import Writing
from caft.students.tasks import Made, Task, make_table
from caft.tables.hashing import digest
from caft.tables.parquet import SCHEMAS, records


@dataclass(frozen=True)
class Sampling:
    """How many texts are written per item, and how; by default the greedy one.

    Attributes:
        samples: texts per item.
        temperature: 0 is greedy; only then are the lists per token kept.
        top_p: nucleus of the sampling distribution.
    """

    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0


GREEDY = Sampling()


def generate_with_student(
    asked: Asked,
    subject: Subject,
    writing: Writing,
    cache: Cache,
    sampling: Sampling = GREEDY,
) -> Made:
    """Load a model and let it think about every item.

    Args:
        asked: the question set and its prompt variant; its seed is that of the sampling too.
        subject: the student, or a model trained from it.
        writing: how long it may think, how the answer is read, and what writes samples. Greedy
            chains are written with transformers: vLLM gives no entropies over the vocabulary.
        cache: where finished blocks of items lie, and which of them are wanted.
        sampling: what is drawn.

    Returns:
        The generations table, its provenance, and what differs from run to run (seconds, tokens).
    """
    if not sampling.temperature:
        writing = writing.model_copy(update={"engine": "transformers"})
    prompts, limit = asked.prompts("cot"), writing.max_new_tokens.cot
    scorer = open_writer(writing.engine, subject, prompts.messages, "cot", limit)
    settings = {"max_new_tokens": writing.max_new_tokens.cot, "parser": writing.parser.cot}
    spec = {**scorer.spec, "prompt": asked.variant.plain(), **settings, **asdict(sampling)}

    def think(blocks: list[Prompts], progress: Progress) -> Iterator[Rows]:
        # Which texts share a batch shows in the last digits of the tokens' statistics: a block that
        # has them is made of itself alone.
        for part in [joined(blocks)] if sampling.temperature else blocks:
            yield from generate_items(part, scorer.loaded, writing, sampling, progress)

    task = Task(
        "generations",
        versions.SAMPLES if sampling.temperature else versions.GENERATIONS,
        ("thinking", "texts", sampling.samples),
        {**spec, "seed": asked.seed, "batch_size": writing.batch_size},
        think,
        counted=("new_tokens",),
        in_key={"seed": asked.seed if sampling.temperature else None},
    )
    return make_table(task, scorer, prompts, cache)


def generate_items(
    prompts: Prompts,
    student: Loaded,
    writing: Writing,
    sampling: Sampling = GREEDY,
    progress: Progress | None = None,
) -> Iterator[Rows]:
    """Generate chains of thought, each to its first complete `[[...]]`.

    Args:
        prompts: the items with their `cot` prompts; their seed is, together with the item and the
            number of the sample, that of the sampling.
        student: the model; a prompt that leaves no room for `max_new_tokens` in its context gets
            status `too_long`.
        writing: as in `generate_with_student`.
        sampling: what is drawn.
        progress: of the whole question set, in texts.

    Yields:
        Rows of the generations table without `warm_up` and with `new_tokens`: all samples of an
        item at once, items as they are complete.
    """
    chat, samples, place = student.chat, sampling.samples, student.place("cot")
    lengths = [len(chat.prompt(turns, place)) for turns in prompts.messages]
    limit, parser = writing.max_new_tokens.cot, writing.parser.cot
    asked = records(prompts.items)
    progress = progress or Progress("thinking", len(asked) * samples, "texts")
    nothing = dict.fromkeys(name for name in SCHEMAS["generations"].names if name != "warm_up")

    def row(index: int, sample: int, values: dict[str, Any]) -> dict[str, Any]:
        item = asked[index]
        known = {"item_id": item["item_id"], "split": item["split"], "sample": sample}
        return {**nothing, **known, "prompt_tokens": lengths[index], **values}

    texts: list[tuple[int, int]] = []
    too_long: list[tuple[int, int]] = []
    for index, length in enumerate(lengths):
        fits = length + limit <= student.context
        (texts if fits else too_long).extend((index, sample) for sample in range(samples))
    progress.advance(len(too_long))
    yield [row(*text, {"status": "too_long", "new_tokens": 0}) for text in too_long]
    decoding = Decoding(
        limit,
        sampling.temperature,
        sampling.top_p,
        stop_at_answer=True,
        batch_size=writing.batch_size,
        place=place,
    )
    # Nothing else enters the draws: they are the same in any number of jobs.
    seeds = [
        int(digest([prompts.seed, sample, asked[index]["item_id"]], 7), 16)
        for index, sample in texts
    ]
    messages = [prompts.messages[index] for index, _ in texts]
    # Of samples only whether the numbers are finite is of use.
    measured = {"logprobs": True} if writing.engine == "vllm" else {"measure": token_statistics}
    write = generate_with(writing.engine)
    found: dict[int, Rows] = {}
    for batch in write(student.model, chat, messages, decoding, seeds=seeds, **measured):
        progress.advance(len(batch))
        for answer in batch:
            index, sample = texts[answer.index]
            values = _row(asked[index], answer, prompts.variant, parser)
            if not sampling.temperature:
                values |= _per_token(chat, answer, values["status"])
            found.setdefault(index, []).append(row(index, sample, values))
        complete = [index for index, rows in found.items() if len(rows) == samples]
        yield [one for index in complete for one in found.pop(index)]


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


def _row(item: dict[str, Any], answer: Generated, variant: Prompt, parser: str) -> dict[str, Any]:
    row = {
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "new_tokens": answer.new_tokens,
        "thought_tokens": answer.thought_tokens,
    }
    if not np.isfinite([number for step in answer.measured for number in step]).all():
        return {"status": "non_finite_logits", **row}
    kind = item["answer_kind"]
    options = 0 if item["options"] is None else len(item["options"])
    parsed = parse(answer.text, parser, kind, options, variant.labels, variant.abstain)
    return {
        "status": "ok",
        **row,
        "parsed": parsed,
        "correct": parsed not in (INVALID, ABSTAINED) and equal(parsed, item["answer"], kind),
    }


def _per_token(chat: Chat, answer: Generated, status: str) -> dict[str, Any]:
    """Return the tokens and, where all numbers are finite, the lists and places of them."""
    tokens = np.array(answer.tokens, dtype=np.int32)
    if status != "ok":
        return {"tokens": tokens}
    measured = np.array(answer.measured, dtype=np.float32).reshape(-1, len(_LISTS))
    start, ends = answer_and_sentences(chat.tokenizer, answer.tokens, answer.thought_tokens)
    return {
        "tokens": tokens,
        **dict(zip(_LISTS, measured.T, strict=True)),
        "answer_start": start,
        "sentence_ends": np.array(ends, dtype=np.int32),
    }
