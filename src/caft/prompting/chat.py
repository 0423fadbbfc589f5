"""From chat messages to token ids, so that no text of an item can become a special token."""

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from caft.errors import ModelError
from caft.prompting.probing import probe
from caft.prompting.prompts import Messages
from caft.prompting.settings import Template
from caft.prompting.template import (
    Form,
    Place,
    Renderer,
    Shape,
    ThoughtForm,
    common,
    special_pattern,
    special_pieces,
    special_tokens,
)

_BEFORE = "\U000f0000"  # a character that is one token with none behind it


@dataclass(frozen=True)
class Chat:
    """A student's tokenizer and chat template: its prompts, its answers and where they end.

    Whatever the template puts between a question and its answer, and is the same for all of them,
    ends the prompt: an answer is scored, trained and generated from the same position.

    Attributes:
        tokenizer: of the student.
        settings: what the configuration says about the template.
        more_ends: tokens that end a turn beside the template's own, as the model's makers say.
    """

    tokenizer: Any
    settings: Template = field(default_factory=Template)
    more_ends: frozenset[int] = frozenset()

    @cached_property
    def shape(self) -> Shape:
        """What the template was found to do.

        Raises:
            ModelError: if it cannot carry a question and its answer.
        """
        return probe(self.tokenizer, self.settings)

    @property
    def thought(self) -> ThoughtForm | None:
        """How the family marks its thoughts, if it has any."""
        return self.shape.thought

    def place(self, mode: str, thinks: bool | None = None) -> Place:
        """Return where a model writes in a mode, `direct` or `cot`.

        Args:
            mode: how it is asked.
            thinks: whether it was trained to think before its text; None is the student's habit.
        """
        if mode == "direct":
            return "direct"
        return "thought" if (self.shape.thinks if thinks is None else thinks) else "cot"

    def prompt(self, messages: Messages, place: Place) -> list[int]:
        """Encode messages up to the position where the model writes."""
        text, guard = self._asked(messages, place)
        return self._ids(text, guard)

    def completion(
        self, messages: Messages, text: str, place: Place, reasoning: str | None = None
    ) -> list[int]:
        """Encode what the model writes after `prompt`, with the token that ends its turn.

        Args:
            messages: of the prompt.
            text: the answer, or what stands behind a thought.
            place: where it is written.
            reasoning: what is thought before the text, in place `thought`.
        """
        return self.row(messages, text, place, reasoning)[1]

    def row(
        self, messages: Messages, text: str, place: Place, reasoning: str | None = None
    ) -> tuple[list[int], list[int]]:
        """Return the token ids of a prompt and of its completion."""
        before, guard = self._asked(messages, place, text, reasoning or "")
        shown = self._guarded(text, guard)
        if place == "thought" and self.thought:
            shown = self._guarded(reasoning or "", guard) + self.thought.closes + shown
        written = self.form(place).glue + shown + self.shape.end
        # What stands before the last special token of the prompt is encoded once.
        common = max((match.end() for match in self._special.finditer(before)), default=0)
        first, last = self._ids(before[:common], guard), before[common:]
        prompt = first + self._ids(last, guard, goes_on=common > 0)
        whole = first + self._ids(last + written, guard, goes_on=common > 0)
        if whole[: len(prompt)] == prompt:
            return prompt, whole[len(prompt) :]
        # The end of the prompt and the beginning of this text are one token: each is encoded alone.
        return prompt, self._ids(written, guard)

    def label_tokens(
        self, messages: Messages, labels: list[str]
    ) -> tuple[list[int], list[list[int]]]:
        """Return what precedes every label, and each label's possible first tokens behind that.

        The possible tokens are the one with which the template continues and that of the label
        after a space. Where all labels begin with the same blank token, it precedes them.

        Raises:
            ModelError: if two labels share a token, so that their probabilities cannot be told
                apart.
        """
        written = [self.completion(messages, label, "direct") for label in labels]
        lead = self._blank_start(written)
        variants = [
            sorted({ids[len(lead)], *self._after_space(label)})
            for ids, label in zip(written, labels, strict=True)
        ]
        flat = [token for tokens in variants for token in tokens]
        if len(flat) != len(set(flat)):
            raise ModelError(
                f"the tokenizer begins several of the labels {labels} with the same token; "
                "use a prompt variant with letters (prompts.<name>.labels: upper)."
            )
        return lead, variants

    def scored_row(self, messages: Messages, text: str) -> tuple[list[int], list[int]]:
        """Return the token ids of a direct prompt and an answer, from its first visible token on.

        A tokenizer that cuts numbers into digits writes a space before them as a token of its own:
        the same for every number, it tells nothing about the item.
        """
        prompt, answer = self.row(messages, text, "direct")
        lead = self._digits_lead
        if lead and answer[: len(lead)] == lead:
            return prompt + lead, answer[len(lead) :]
        return prompt, answer

    def opening(self, place: Place) -> list[int]:
        """Return what opens the model's turn, after the token that opens every text.

        A template with neither has the end-of-sequence token there, as before any new text.
        """
        form = self.form(place)
        turn = [{"role": "user", "content": "a"}]
        closed = self._ids(self.render(turn, opened=False, **form.variables), {})
        whole = self.prompt(turn, place)
        opening = whole[len(common(closed, whole)) :]
        first = whole[0]
        if first == self.tokenizer.bos_token_id and opening[:1] != [first]:
            opening = [first, *opening]
        return opening or [self.tokenizer.eos_token_id]

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens that end a model's turn; generation stops at any of them."""
        own = {self._ids(self.shape.end, {})[-1], self.tokenizer.eos_token_id, *self.more_ends}
        # A header between thought and answer may hold what ends a message elsewhere.
        within = self._ids(self.thought.opens + self.thought.closes, {}) if self.thought else []
        return frozenset(own - {None}) - set(within)

    @cached_property
    def end_text(self) -> str:
        """The plain text that a template writes between an answer and the token that ends it."""
        return "".join(
            text for text, special in special_pieces(self.tokenizer, self.shape.end) if not special
        )

    def split(self, tokens: list[int], place: Place) -> tuple[int, bool]:
        """Find where the answer begins in what a model wrote.

        Args:
            tokens: all of it, without the token that ends the turn.
            place: where it was written.

        Returns:
            How many tokens the thoughts take, their marks included; and whether the last thought
            is closed, so that an answer may follow.
        """
        if not self.thought:
            return 0, True
        opening, closing = self.thought.marks
        text = self.tokenizer.decode(tokens)
        end = text.rfind(closing)
        behind = text[end + len(closing) :] if end >= 0 else text
        opened = end < 0 and place == "thought"
        if opened or (opening and opening in behind):
            return len(tokens), False
        return (0, True) if end < 0 else (self._count(tokens, end + len(closing)), True)

    def thought_text(self, tokens: list[int]) -> str:
        """Return what stands between the marks of thoughts; `tokens` as counted by `split`."""
        opening, closing = self.thought.marks if self.thought else ("", "")
        text = self.tokenizer.decode(tokens).strip()
        return text.removeprefix(opening).removesuffix(closing).strip()

    def _count(self, tokens: list[int], characters: int) -> int:
        """Return how many tokens it takes to write so many characters."""
        counts = range(len(tokens))
        return bisect_left(counts, characters, key=lambda n: len(self.tokenizer.decode(tokens[:n])))

    @cached_property
    def render(self) -> Renderer:
        """The template as a function from messages to text."""
        shape = self.shape
        return Renderer(self.tokenizer, self.settings, shape.folds_system, shape.in_parts)

    def form(self, place: Place) -> Form:
        """Return how a place is reached from the messages.

        Raises:
            ModelError: if it is a thought and the family has none.
        """
        if place not in self.shape.forms:
            raise ModelError(
                "the chat template has no place for a thought; name its marks as template.thought: "
                "['<think>', '</think>'], leave its switch on in template.cot, or train on "
                "`rationale` instead of `reasoning`."
            )
        return self.shape.forms[place]

    def _asked(self, messages: Messages, place: Place, *texts: str) -> tuple[str, dict[str, str]]:
        """Render a prompt; what looks like a special token in a text is replaced by a stand-in."""
        contents = [message["content"] for message in messages]
        guard = self._guard([*contents, *texts])
        form = self.form(place)
        turns = [
            {**message, "content": self._guarded(text, guard)}
            for message, text in zip(messages, contents, strict=True)
        ]
        return self.render(turns, **form.variables) + form.block, guard

    def _guard(self, texts: list[str]) -> dict[str, str]:
        """Map special tokens and marks of thoughts in texts to characters that occur in none."""
        found = {match for text in texts for match in self._marks.findall(text)}
        if not found:
            return {}
        everything = "".join(texts)
        free = (chr(code) for code in range(0xF0000, 0xFFFFD) if chr(code) not in everything)
        return {token: next(free) for token in sorted(found)}

    def _guarded(self, text: str, guard: dict[str, str]) -> str:
        return self._marks.sub(lambda match: guard[match.group()], text) if guard else text

    @cached_property
    def _marks(self) -> Any:
        marks = [mark for mark in (self.thought.marks if self.thought else ()) if mark]
        return special_pattern(self.tokenizer, *marks)

    def _ids(self, text: str, guard: dict[str, str], goes_on: bool = False) -> list[int]:
        """Encode a text; its special tokens are the template's own, stand-ins become plain text.

        Args:
            text: as rendered.
            guard: special tokens in it that are none, with their stand-ins.
            goes_on: whether it stands behind a special token, and does not begin a text.
        """
        if not guard and not goes_on:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        ids: list[int] = []
        position = 0
        for match in [*self._special.finditer(text), None]:
            inside = (goes_on or bool(position)) and not self._prepends_everywhere
            piece = text[position : match.start() if match else len(text)]
            ids += self._plain(piece, guard, inside)
            if match:
                ids.append(self.tokenizer.convert_tokens_to_ids(match.group().strip()))
                position = match.end()
        return ids

    @cached_property
    def _special_tokens(self) -> set[str]:
        return special_tokens(self.tokenizer)

    @cached_property
    def _special(self) -> Any:
        """Finds special tokens, with the white space beside them that some of them swallow."""
        added = self.tokenizer.added_tokens_decoder.values()
        before = {str(token) for token in added if token.lstrip}
        behind = {str(token) for token in added if token.rstrip}
        return re.compile(
            "|".join(
                r"\s*" * (text in before) + re.escape(text) + r"\s*" * (text in behind)
                for text in sorted(self._special_tokens, key=len, reverse=True)
            )
        )

    def _plain(self, text: str, guard: dict[str, str], inside: bool) -> list[int]:
        """Encode a text without special tokens, the originals of its stand-ins as plain text."""
        if not guard:
            return self._encode(text, inside)
        parts = [""]
        originals = {stand_in: token for token, stand_in in guard.items()}
        for character in text:
            original = originals.get(character, character)
            if original is character or original in self._special_tokens:
                parts[-1] += original
            else:  # a mark that the tokenizer would find in any text: it is cut in two
                parts[-1] += original[:1]
                parts.append(original[1:])
        first, *rest = parts
        ids = self._encode(first, inside)
        return ids + [token for part in rest for token in self._encode(part, inside=True)]

    def _encode(self, text: str, inside: bool = False) -> list[int]:
        """Encode plain text that begins a text, or goes on inside one."""
        if not text:
            return []
        return self._inside(text) if inside and self._prepends else self._text_ids(text)

    def _inside(self, text: str) -> list[int]:
        before, whole = self._text_ids(_BEFORE), self._text_ids(_BEFORE + text)
        return whole[len(before) :] if whole[: len(before)] == before else self._text_ids(text)

    @cached_property
    def _prepends(self) -> bool:
        """Whether the tokenizer puts a blank in front of a text, as those of SentencePiece do."""
        return self._inside("a") != self._text_ids("a")

    @cached_property
    def _prepends_everywhere(self) -> bool:
        """Whether it does so behind every special token, too."""
        text = min(self._special_tokens) + "a"
        return self._ids(text, {})[1:] == self._text_ids("a")

    def _text_ids(self, text: str) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(encoded["input_ids"])

    def _after_space(self, label: str) -> list[int]:
        tokens = self._encode(" " + label, inside=True)
        return tokens if len(tokens) == 1 else []

    def _blank_start(self, written: list[list[int]]) -> list[int]:
        start = common(*written)
        visible = (
            number
            for number in range(len(start))
            if self.tokenizer.decode(start[: number + 1]).strip()
        )
        return start[: next(visible, len(start))]

    @cached_property
    def _digits_lead(self) -> list[int]:
        turn = [{"role": "user", "content": "a"}]
        return self._blank_start([self.completion(turn, str(n), "direct") for n in range(10)])
