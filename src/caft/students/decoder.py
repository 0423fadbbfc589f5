"""The decode loop: texts are written side by side; one that is complete makes room for the next.

A loop of our own instead of transformers' `generate`, which computes complete rows until the
slowest one ends.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from caft.students import memory, ropes
from caft.students.readers import bytes_per_token, open_reader

Measure = Callable[[Any, Any], Any]
Draw = Callable[[Any, Any], Any]

_SLACK = 8  # tokens of padding that always pass: short prompts are cheap, small batches are not
_PASS = 32768  # tokens of prompts that are read at once
# Steps between two looks at what is written: a look waits for the GPU. What a row writes behind its
# end is cut.
_STEPS = {"cpu": 1, "cuda": 4}


class Text:
    """A prompt and what is written behind it."""

    def __init__(self, index: int, prompt: list[int], seed: int = 0):
        """Set where it stands among the prompts, its tokens, and the seed of what is drawn."""
        self.index, self.prompt = index, prompt
        self.new: list[int] = []
        self.measured: list[list[float]] = []
        self.done = False
        self._generator, self._drawn = random.Random(seed), list[float]()

    def __len__(self) -> int:
        return len(self.prompt) + len(self.new)

    def draws(self, steps: int) -> list[float]:
        """Return the numbers in 0..1 that choose its next tokens, whenever these are written."""
        begin, end = len(self.new), len(self.new) + steps
        self._drawn += [self._generator.random() for _ in range(end - len(self._drawn))]
        return self._drawn[begin:end]


class Decoder:
    """Rows of a batch, and what of them is written.

    Attributes:
        rows: the texts that are under way.
        reader: reads them with the model.
        last: the last token of each row, which is not read yet.
        filling: whether texts join, until there is no room for more.
        full: how many rows there were then.
    """

    def __init__(
        self,
        model: Any,
        pad: int,
        is_done: Callable[[list[int]], bool],
        longest: int,
        batch_size: int,
        measure: Measure | None = None,
        draw: Draw | None = None,
    ):
        """Set how texts are written.

        Args:
            model: a causal language model.
            pad: token of the padding.
            is_done: tells from the tokens of an answer, at least one, whether it is complete.
            longest: tokens of an answer, at most.
            batch_size: texts at once, at most.
            measure: as in `generate`.
            draw: chooses the next tokens, from `drawing`; without it they are the likeliest.
        """
        self.model, self.pad, self.is_done, self.longest = model, pad, is_done, longest
        self.batch_size, self.measure, self.draw = batch_size, measure, draw
        self.rows: list[Text] = []
        self.reader = open_reader(model, pad)
        self.last: Any = None
        self.filling, self.full = True, 0
        self.by_length = ropes.by_length(model)
        on_gpu = model.device.type == "cuda"
        self.cached = memory.cached_tokens(model, bytes_per_token(model) if on_gpu else 0)

    def write(self, texts: Iterable[Text]) -> Iterator[list[Text]]:
        """Write texts, and yield those that are complete."""
        waiting = deque(texts)
        while waiting or self.rows:
            joining = self._joining(waiting) if self.filling or not self.rows else []
            if self.filling and not joining:
                self.filling, self.full = False, len(self.rows)
                continue
            if not self._forward(joining):
                self._begin_again(waiting)
                continue
            if done := [row for row in self.rows if row.done]:
                yield done
            self._leave(waiting)

    def _forward(self, joining: list[Text]) -> bool:
        """Let texts join, or write on; return False if there was too little memory for the rows."""
        import torch

        try:
            with torch.inference_mode():
                if joining:
                    self._join(joining)
                else:
                    self._step()
        except RuntimeError as error:
            if len(self.rows) == 1 or not memory.is_short(error):
                raise
            return False
        return True

    def _joining(self, waiting: deque[Text]) -> list[Text]:
        """Take the next texts that have room: slots, memory, and little padding among them."""
        joining: list[Text] = []
        if self.rows and not self.reader.joins:
            return joining
        widest = max((len(row.prompt) for row in self.rows), default=0)
        while waiting and len(self.rows) + len(joining) < self.batch_size:
            lengths = [len(text) for text in [*joining, waiting[0]]]
            if max(lengths) > 1.25 * min(lengths) + _SLACK or (
                joining and max(lengths) * len(lengths) > _PASS
            ):
                break
            widest, count = max(widest, len(waiting[0].prompt)), len(self.rows) + len(lengths)
            if count > 1 and (widest + self.longest) * count > self.cached:
                break
            joining.append(waiting.popleft())
        return joining

    def _join(self, joining: list[Text]) -> None:
        import torch

        self.rows += joining
        draws = self._draws(joining, 1)
        logits = self.reader.join([row.prompt + row.new for row in joining])
        chosen, numbers = self._choose(logits, draws[0])
        first = len(self.rows) == len(joining)
        self.last = chosen if first else torch.cat([self.last, chosen])
        unread = self.reader.unread[-len(joining) :]
        self._note(joining, unread, chosen[:, None], numbers[:, None])

    def _step(self) -> None:
        """Write a token per row, or a few of them on a GPU."""
        import torch

        steps = min(_STEPS[self.model.device.type], *(self.longest - len(r.new) for r in self.rows))
        if self.by_length or any(self.reader.unread):
            steps = 1
        written = []
        for draws in self._draws(self.rows, steps):
            self.last, numbers = self._choose(self.reader.read(self.last), draws)
            written.append((self.last, numbers))
        tokens, measured = (torch.stack(part, dim=1) for part in zip(*written, strict=True))
        self._note(self.rows, self.reader.unread, tokens, measured)

    def _draws(self, rows: list[Text], steps: int) -> Any:
        """Return per step a number in 0..1 for each row, or nothing where nothing is drawn."""
        import torch

        if self.draw is None:
            return [None] * steps
        drawn = [row.draws(steps) for row in rows]
        return torch.tensor(drawn, dtype=torch.float64).T.to(self.model.device)

    def _choose(self, logits: Any, draws: Any) -> tuple[Any, Any]:
        """Return the next tokens, and what is measured of them."""
        # What is measured tells that a logit was not finite; drawing from it would fail.
        usable = logits.nan_to_num() if self.measure else logits
        chosen = self.draw(usable, draws) if self.draw else usable.argmax(-1)
        none = chosen.new_empty(len(chosen), 0)
        return chosen, self.measure(logits, chosen) if self.measure else none

    def _note(self, rows: list[Text], unread: list[int], tokens: Any, measured: Any) -> None:
        """Add what was written, shape (rows, steps), to the texts, up to their ends."""
        found = zip(rows, unread, tokens.tolist(), measured.tolist(), strict=True)
        for row, left, new, numbers in found:
            for token, number in zip(new, numbers, strict=True):
                if left or row.done:  # its prompt is not read yet, or it has ended before
                    break
                row.new.append(token)
                row.measured += [number] if self.measure else []
                row.done = self.is_done(row.new)

    def _leave(self, waiting: deque[Text]) -> None:
        """Let rows go: those that are complete, and those that have to be read anew."""
        anew = [row for row in self.rows if not row.done and self._is_other(row)]
        places = [n for n, row in enumerate(self.rows) if not row.done and row not in anew]
        if len(places) < len(self.rows):
            self.reader.keep(places)
            self.rows, self.last = [self.rows[place] for place in places], self.last[places]
        waiting.extendleft(reversed(anew))
        # Each joining copies the cache: some rows join together.
        some = self.full - len(self.rows) >= max(1, self.full // 8)
        self.filling = self.reader.joins and (self.filling or some or bool(anew))

    def _is_other(self, row: Text) -> bool:
        """Tell whether what is kept of a row is of no use for its next token."""
        return self.by_length and bool(row.new) and ropes.is_other(self.model, len(row))

    def _begin_again(self, waiting: deque[Text]) -> None:
        """Read all rows anew, half as many at once, with what was written of them."""
        waiting.extendleft(reversed(self.rows))
        self.batch_size = len(self.rows) // 2
        self.rows, self.last, self.filling = [], None, True
        self.reader = open_reader(self.model, self.pad)
        memory.release()


def drawing(temperature: float, top_p: float) -> Draw:
    """Return how tokens are drawn from logits (rows, vocabulary) with a number in 0..1 for each."""
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    warpers = [TemperatureLogitsWarper(temperature), TopPLogitsWarper(top_p)]

    def draw(logits: Any, numbers: Any) -> Any:
        import torch

        for warp in warpers:
            logits = warp(None, logits)
        below = logits.double().softmax(-1).cumsum(-1)
        return torch.searchsorted(below, numbers[:, None] * below[:, -1:], right=True)[:, 0]

    return draw
