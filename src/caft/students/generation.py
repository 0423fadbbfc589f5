"""Batched generation: rows that are complete make room for the next prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from caft.prompting.answers import finish
from caft.prompting.chat import Chat
from caft.prompting.prompts import Messages
from caft.prompting.template import Place
from caft.students.decoder import Decoder, Measure, Text, drawing

_TAIL = (
    12  # tokens looked back at for the answer marker: a long answer of a choice or a number fits
)

_LOT = 512  # prompts that are sorted by length together; in the main they are done in their order


@dataclass(frozen=True)
class Decoding:
    """How prompts are continued.

    Attributes:
        max_new_tokens: at most this many tokens an answer.
        temperature: 0 is greedy.
        top_p: nucleus of the sampling distribution.
        stop_at_answer: end an answer after its first complete `[[...]]`.
        batch_size: rows at once, at most.
        place: where in a turn is written: an answer, a chain, or a thought before either.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
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
            and finish(self.tokenizer.decode(new[-_TAIL:])) is not None
            and (self.chat.thought is None or self._is_answered(new))
        )

    def _is_answered(self, new: list[int]) -> bool:
        """Tell whether a marked answer stands behind the thoughts, not in one."""
        begin, closed = self.chat.split(new, self.place)
        return closed and finish(self.tokenizer.decode(new[begin:])) is not None

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
        finished = finish(text) if end is None and self.stop_at_answer else None
        stopped = end is not None or finished is not None
        text = text[:finished]
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
    measure: Measure | None = None,
    seeds: Sequence[int] = (),
) -> Iterator[list[Generated]]:
    """Continue chat prompts; answers come as they are complete.

    Args:
        model: from `caft.students.folders.load_model`.
        chat: its tokenizer and chat template.
        prompts: chat messages, one list per prompt.
        decoding: how they are continued.
        measure: what to note of every step, from the float32 logits of shape (rows, vocabulary) and
            the chosen tokens; returns a tensor of shape (rows, numbers). No logits are kept.
        seeds: of what is drawn for each prompt, with a temperature; which prompts share a batch
            does not matter.

    Yields:
        Answers that were complete at the same time; `index` is the position in `prompts`.
    """
    ids = [chat.prompt(messages, decoding.place) for messages in prompts]
    ending = Ending(chat, decoding)
    texts = [Text(index, ids[index], seeds[index] if seeds else 0) for index in in_order(ids)]
    decoder = Decoder(
        model,
        chat.tokenizer.pad_token_id,
        ending.is_reached,
        decoding.max_new_tokens,
        decoding.batch_size,
        measure,
        drawing(decoding.temperature, decoding.top_p) if decoding.temperature else None,
    )
    for done in decoder.write(texts):
        yield [ending.answer(one.index, len(one.prompt), one.new, one.measured) for one in done]


def in_order(ids: list[list[int]]) -> list[int]:
    """Return the order in which prompts begin: lot by lot, in each the longest first.

    So prompts that begin together are of like length, and a block of items is complete soon.
    """
    return [
        place
        for begin in range(0, len(ids), _LOT)
        for place in sorted(
            range(begin, min(begin + _LOT, len(ids))), key=lambda place: -len(ids[place])
        )
    ]
