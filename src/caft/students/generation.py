"""Batched generation: prompts sorted by length, each row stopping at its own end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from caft.prompting.answers import is_finished
from caft.prompting.chat import Chat
from caft.prompting.prompts import Messages
from caft.prompting.template import Place
from caft.students.reading import open_reader

_TAIL = (
    12  # tokens looked back at for the answer marker: a long answer of a choice or a number fits
)

_Measure = Callable[[Any, Any], Any]

_SLACK = 8  # tokens of padding that always pass: short prompts are cheap, small batches are not


@dataclass(frozen=True)
class Decoding:
    """How prompts are continued.

    Attributes:
        max_new_tokens: at most this many tokens an answer.
        temperature: 0 is greedy.
        top_p: nucleus of the sampling distribution.
        seed: of the sampling.
        stop_at_answer: end an answer after its first complete `[[...]]`.
        batch_size: rows per batch.
        place: where in a turn is written: an answer, a chain, or a thought before either.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop_at_answer: bool = False
    batch_size: int = 32
    place: Place = "direct"


@dataclass(frozen=True)
class Generated:
    """One answer: prompt index, text, token counts, and whether it ended by itself (`stop`).

    Attributes:
        text: what stands behind the last closed thought; empty if a thought was not closed.
        tokens: all that was written, without the token that ends the turn.
        measured: per such token what `measure` returned; empty if nothing is measured.
        thought: what was thought before the text; None if nothing was.
        thought_tokens: how many of the tokens are thoughts, their marks included.
    """

    index: int
    text: str
    prompt_tokens: int
    new_tokens: int
    finish_reason: str
    tokens: list[int] = field(default_factory=list)
    measured: list[list[float]] = field(default_factory=list)
    thought: str | None = None
    thought_tokens: int = 0


class Ending:
    """When an answer is complete and what it then says, whichever engine writes its tokens."""

    def __init__(self, chat: Chat, decoding: Decoding):
        """Set the limits: the model's chat, and how it is let write."""
        self.chat, self.tokenizer, self.ends = chat, chat.tokenizer, chat.ends
        self.place = decoding.place
        self.max_new_tokens = decoding.max_new_tokens
        self.stop_at_answer = decoding.stop_at_answer
        # Only a token with a bracket in it can complete an answer marker.
        vocabulary = self.tokenizer.get_vocab()
        self._closing = {token for text, token in vocabulary.items() if "]" in text}

    def is_reached(self, new: list[int]) -> bool:
        """Tell whether an answer of these tokens, at least one, is complete."""
        if new[-1] in self.ends or len(new) >= self.max_new_tokens:
            return True
        return (
            self.stop_at_answer
            and new[-1] in self._closing
            and is_finished(self.tokenizer.decode(new[-_TAIL:]))
            and (self.chat.thought is None or self._is_answered(new))
        )

    def _is_answered(self, new: list[int]) -> bool:
        """Tell whether a marked answer stands behind the thoughts, not in one."""
        begin, closed = self.chat.split(new, self.place)
        return closed and is_finished(self.tokenizer.decode(new[begin:]))

    def answer(
        self, index: int, prompt_tokens: int, new: list[int], measured: list[list[float]]
    ) -> Generated:
        """Turn the tokens of a complete answer into text, cut behind its first marked answer."""
        end = next((place for place, token in enumerate(new) if token in self.ends), None)
        kept = new if end is None else new[:end]
        begin, closed = self.chat.split(kept, self.place)
        text = self.tokenizer.decode(kept[begin:], skip_special_tokens=True) if closed else ""
        if begin:
            text = text.lstrip()
        if end is not None:
            text = text.removesuffix(self.chat.end_text)
        stopped = end is not None or (self.stop_at_answer and is_finished(text))
        if end is None and stopped:
            text = text[: text.index("]]", text.index("[[")) + 2]
        # The end-of-turn token was generated and paid for like any other.
        count = len(kept) + (end is not None)
        reason = "stop" if stopped else "length"
        return Generated(
            *(index, text, prompt_tokens, count, reason, kept, measured[: len(kept)]),
            thought=self.chat.thought_text(kept[:begin]) if begin else None,
            thought_tokens=begin,
        )


def generate(
    model: Any,
    chat: Chat,
    prompts: list[Messages],
    decoding: Decoding,
    measure: _Measure | None = None,
) -> Iterator[list[Generated]]:
    """Continue chat prompts, batch by batch as they finish.

    Args:
        model: from `caft.students.folders.load_model`.
        chat: its tokenizer and chat template.
        prompts: chat messages, one list per prompt.
        decoding: how they are continued.
        measure: what to note of every step, from the float32 logits of shape (rows, vocabulary) and
            the chosen tokens; returns a tensor of shape (rows, numbers). No logits are kept.

    Yields:
        The answers of one batch; `index` is the position in `prompts`.
    """
    import torch

    ids = [chat.prompt(messages, decoding.place) for messages in prompts]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    ending = Ending(chat, decoding)
    choose = _chooser(decoding.temperature, decoding.top_p)
    for number, batch in enumerate(_batches(order, ids, decoding.batch_size)):
        torch.manual_seed(decoding.seed + number)
        with torch.inference_mode():
            answers = _decode(
                model,
                [ids[index] for index in batch],
                chat.tokenizer.pad_token_id,
                choose,
                ending.is_reached,
                measure,
            )
        yield [
            ending.answer(index, len(ids[index]), new, measured)
            for index, (new, measured) in zip(batch, answers, strict=True)
        ]


def _batches(order: list[int], ids: list[list[int]], batch_size: int) -> Iterator[list[int]]:
    """Cut prompts sorted by length into batches with at most about a fifth of padding."""
    batch: list[int] = []
    for index in order:
        if batch and (
            len(batch) == batch_size or len(ids[index]) > 1.25 * len(ids[batch[0]]) + _SLACK
        ):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _decode(
    model: Any,
    prompts: list[list[int]],
    pad: int,
    choose: Callable[[Any], Any],
    is_done: Callable[[list[int]], bool],
    measure: _Measure | None,
) -> list[tuple[list[int], list[list[float]]]]:
    """Return each prompt's new tokens, the last one included, and what was measured of them.

    A loop of our own instead of transformers' `generate`, which computes finished rows until the
    slowest one ends: here they leave the batch, which halves the time of short answers.
    """
    reader = open_reader(model, prompts, pad)
    new: list[list[int]] = [[] for _ in prompts]
    measured: list[list[list[float]]] = [[] for _ in prompts]
    rows, going = list(range(len(prompts))), set(range(len(prompts)))
    following: list[int] | None = None
    while True:
        logits = reader.read(following)
        # What is measured tells that a logit was not finite; sampling from it would end the batch.
        chosen = choose(logits.nan_to_num() if measure else logits)
        numbers = measure(logits, chosen).tolist() if measure else []
        following = chosen.tolist()
        for place, row in enumerate(rows):
            if reader.rest[place]:
                following[place] = reader.rest[place].pop()
            elif row in going:
                new[row].append(following[place])
                measured[row] += numbers[place : place + 1]
                if is_done(new[row]):
                    going.remove(row)
        if not going:
            return list(zip(new, measured, strict=True))
        places = [place for place, row in enumerate(rows) if row in going]
        if len(places) < len(rows) and reader.keep(places):
            rows = [rows[place] for place in places]
            following = [following[place] for place in places]


def _chooser(temperature: float, top_p: float) -> Callable[[Any], Any]:
    """Return how a token is chosen from logits of shape (rows, vocabulary)."""
    if not temperature:
        return lambda logits: logits.argmax(-1)
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    warpers = [TemperatureLogitsWarper(temperature), TopPLogitsWarper(top_p)]

    def sample(logits: Any) -> Any:
        for warp in warpers:
            logits = warp(None, logits)
        return logits.softmax(-1).multinomial(1)[:, 0]

    return sample
