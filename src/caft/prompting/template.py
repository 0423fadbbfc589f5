"""What a chat template does with a question and its answer, found by rendering probes.

A template is a program of its family's, and families differ in what stands between question and
answer: a block of an empty thought, the header of a channel, a space. What is found here is the
same for every item, so `caft.prompting.chat` adds it to every prompt, and no text of an item is
ever looked at by a template in the place of an answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, Literal

from caft.errors import ModelError
from caft.prompting.prompts import Messages
from caft.prompting.settings import Template

Place = Literal["direct", "cot", "thought"]
"""Where a student writes: an answer alone, a chain as its text, or a thought before its text."""

PLACES: tuple[Place, ...] = ("direct", "cot", "thought")
# What opens a thought and what stands between it and an answer, where a template shows neither.
_KNOWN_THOUGHTS = (
    ("<think>\n", "\n</think>\n\n"),
    ("<thinking>\n", "\n</thinking>\n\n"),
    ("<thought>\n", "\n</thought>\n\n"),
    ("<reasoning>\n", "\n</reasoning>\n\n"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel>thought\n", "\n<channel|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("[THINK]", "[/THINK]"),
    ("<unused94>thought\n", "<unused95>"),
)
_TODAY = re.compile(r"""strftime_now\s*\(\s*(['"])(.*?)\1\s*\)""")
_SWITCHES = ("enable_thinking", "thinking")
_REASONING = ("reasoning_content", "reasoning", "thinking")  # keys of a message, by family
_SYSTEM, _QUESTION, _THOUGHT = "Zeta rules", "Quoka seven", "Vexing idea"
_ANSWER, _OTHER = "Yes", "Nonsuch"
# Letters, digits and words: what the first token of an answer may be made of.
_ANSWERS = (_ANSWER, "A", "B", "no", "7", "12", "The sum")


@dataclass(frozen=True)
class ThoughtForm:
    """How a family marks what is thought before an answer.

    Attributes:
        opens: from the generation prompt to the thought; empty where the prompt opens it already.
        closes: from the thought to the answer.
        marks: the two marks alone, as they are found in what a model writes.
    """

    opens: str
    closes: str
    marks: tuple[str, str]


@dataclass(frozen=True)
class Form:
    """How a place is reached from the messages.

    Attributes:
        variables: of the template.
        block: stands between the generation prompt and what the model writes: the prompt's end.
        glue: white space behind it, which may be one token with the beginning of an answer.
    """

    variables: dict[str, Any]
    block: str = ""
    glue: str = ""


@dataclass(frozen=True)
class Shape:
    """All that was found.

    Attributes:
        forms: of every place; `thought` is missing where the family has none.
        end: what ends the model's turn, the special token included.
        left_out: what ends a text behind the last turn; it is neither trained nor asked for.
        thought: how a thought is marked, if the family has any.
        thinks: whether the untuned student is asked to think in mode `cot`.
        folds_system: whether the system message goes in front of the first question, as the
            template has no place for it.
        in_parts: whether a content is given as a list of typed parts.
        today: the day that the template is told; empty where it does not ask.
    """

    forms: dict[Place, Form]
    end: str
    left_out: str = ""
    thought: ThoughtForm | None = None
    thinks: bool = False
    folds_system: bool = False
    in_parts: bool = False
    today: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether a prompt is what the template makes of the messages alone, and nothing else."""
        forms = (self.forms["direct"], self.forms["cot"])
        return all(not form.variables and not form.block for form in forms) and not (
            self.left_out or self.thought or self.folds_system or self.in_parts or self.today
        )

    def for_people(self) -> dict[str, Any]:
        """Return what was found, for the student's record."""
        thought = self.thought
        return {
            "variables": {place: form.variables for place, form in self.forms.items()},
            "block": {place: form.block for place, form in self.forms.items()},
            "end": self.end,
            "left_out": self.left_out,
            "thought": list(thought.marks) if thought else None,
            "thinks": self.thinks,
            "system_message": "in front of the question" if self.folds_system else "of its own",
            "content_in_parts": self.in_parts,
            "today": self.today or None,
        }


@dataclass(frozen=True)
class Renderer:
    """A tokenizer's chat template as a function from messages to text.

    Attributes:
        tokenizer: of the student.
        settings: the date that the template is told, and variables of the user's.
        folds_system: as of `Shape`; so is `in_parts`.
    """

    tokenizer: Any
    settings: Template = field(default_factory=Template)
    folds_system: bool = False
    in_parts: bool = False

    @cached_property
    def source(self) -> str:
        """The template, told the configured day where it asks for today's.

        Raises:
            ModelError: if it asks in a form that only shows when it is rendered.
        """

        def day(found: re.Match[str]) -> str:
            return repr(self.settings.strftime(found[2]))

        source = _TODAY.sub(day, str(self.tokenizer.get_chat_template()))
        if re.search(r"strftime_now\s*\(", source):
            raise ModelError(
                "the chat template asks for today's date in a form that changes; a prompt would "
                "be another one every day: write the date into chat_template.jinja."
            )
        return source

    def __call__(self, messages: Messages, opened: bool = True, **variables: Any) -> str:
        """Render messages.

        Args:
            messages: as in `caft.prompting.prompts`.
            opened: whether the model's turn is opened at the end.
            variables: of the template.

        Raises:
            ModelError: if the template refuses them.
        """
        from jinja2 import TemplateError

        if self.folds_system and messages and messages[0]["role"] == "system":
            first, question, *rest = messages
            text = "\n\n".join(filter(None, (first["content"], question["content"])))
            messages = [{**question, "content": text}, *rest]
        turns: list[dict[str, Any]] = [*messages]
        if self.in_parts:
            turns = [
                {**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns
            ]
        try:
            text = self.tokenizer.apply_chat_template(
                turns,
                add_generation_prompt=opened,
                tokenize=False,
                chat_template=self.source,
                **variables,
            )
        except (TemplateError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ModelError(
                f"the chat template cannot render a conversation ({error}); use a student with "
                "another template, or mend the file chat_template.jinja in its folder."
            ) from error
        return str(text)


def probe(tokenizer: Any, settings: Template) -> Shape:
    """Find out what a template does.

    Args:
        tokenizer: of the student, with a chat template.
        settings: what the configuration says about it; what is given wins over what is found.

    Raises:
        ModelError: if the template cannot carry what is asked: it renders no question, opens no
            turn of the model's, or has an answer stand elsewhere than behind what opens the turn.
    """
    render = _renderer(tokenizer, settings)
    source = render.source
    for mode, given in (("direct", settings.direct), ("cot", settings.cot)):
        for name in sorted(given):
            if not re.search(rf"\b{re.escape(name)}\b", source):
                raise ModelError(
                    f"template.{mode}.{name}: the chat template reads no variable "
                    "of this name; check its spelling, or leave it out."
                )
    switch = _switch(render, source)
    off = {switch: False} if switch else {}
    on = {**({switch: True} if switch else {}), **settings.cot}
    thought = _thought(render, source, on, settings)
    variables: dict[Place, dict[str, Any]] = {
        "direct": {**off, **settings.direct},
        "cot": {**settings.cot, **off},
        "thought": on,
    }
    if switch and settings.cot.get(switch) is False:  # the user wants no thoughts
        thought_form = None
    else:
        thought_form = Form(on, thought.opens) if thought else None
    forms: dict[Place, Form] = {
        place: _closed(render, variables[place], thought) for place in ("direct", "cot")
    }
    thought = _with_header(thought, forms["direct"].block)
    thinks = settings.thinks
    if thinks is None:
        thinks = thought_form is not None and (
            switch is not None or not thought_form.block or _is_header(forms["direct"].block)
        )
    elif thinks and thought_form is None:
        raise ModelError(
            "template.thinks: the chat template shows no thought; name its marks as "
            "template.thought: ['<think>', '</think>'], or leave thinks out."
        )
    if thought_form:
        forms["thought"] = thought_form
    end, left_out = _end(render, forms["direct"], thought)
    return Shape(
        forms=forms,
        end=end,
        left_out=left_out,
        thought=thought,
        thinks=thinks,
        folds_system=render.folds_system,
        in_parts=render.in_parts,
        today=settings.today if source != str(tokenizer.get_chat_template()) else "",
    )


def _turns(*contents: str) -> Messages:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]


def _renderer(tokenizer: Any, settings: Template) -> Renderer:
    """Find the form of messages in which a template carries a question and its instruction."""
    asked = [{"role": "system", "content": _SYSTEM}, *_turns(_QUESTION, _ANSWER, "More?")]
    finished: Messages = [*asked, {"role": "assistant", "content": _OTHER}]
    first_error = None
    for in_parts in (False, True):
        for folds_system in (False, True):
            render = Renderer(tokenizer, settings, folds_system, in_parts)
            try:
                text = render(asked, **settings.direct)
                # Some show an instruction before the last question only while it has no answer.
                whole = render(finished, opened=False, **settings.direct)
            except ModelError as error:
                first_error = first_error or error
                continue
            shown = (all(part["content"] in one for part in asked) for one in (text, whole))
            if all(shown):
                return render
    raise first_error or ModelError(
        "the chat template leaves out a part of a conversation of instruction, question, answer "
        "and question; use a student with another template."
    )


def _switch(render: Renderer, source: str) -> str | None:
    """Return the variable by which a template turns thinking on and off."""

    def both(name: str, value: bool) -> tuple[str, str]:
        asked, answered = _turns(_QUESTION), _turns(_QUESTION, _ANSWER)
        return render(asked, **{name: value}), render(answered, opened=False, **{name: value})

    for name in _SWITCHES:
        if re.search(rf"(?<![.\w'\"]){name}\b(?!['\"])", source) and both(name, True) != both(
            name, False
        ):
            return name
    return None


def _thought(
    render: Renderer, source: str, variables: Mapping[str, Any], settings: Template
) -> ThoughtForm | None:
    """Find how a family marks its thoughts: named, rendered, opened by the prompt, or known."""
    prompt = render(_turns(_QUESTION), **variables)
    if settings.thought:
        opening, closing = settings.thought
        return _between(prompt, f"{opening}\n", f"\n{closing}\n\n")
    opened = _opened_by(prompt)
    for key in _REASONING:
        turns: list[dict[str, Any]] = [*_turns(_QUESTION, _ANSWER)]
        turns[1][key] = _THOUGHT
        text = render(turns, opened=False, **variables)
        if text.startswith(prompt) and _THOUGHT in text[len(prompt) :]:
            opens, rest = text[len(prompt) :].split(_THOUGHT, 1)
            closes = rest[: rest.index(_ANSWER)]
            mark = opens.strip() or (opened[0].strip() if opened else "")
            return ThoughtForm(opens, closes, (mark, closes.strip()))
    # A template that cuts thoughts out of earlier answers may name their end alone.
    named = (pair for pair in _KNOWN_THOUGHTS if pair[1].strip() in source)
    known = opened or next(named, None)
    return _between(prompt, *known) if known else None


def _between(prompt: str, opens: str, closes: str) -> ThoughtForm:
    marks = (opens.strip(), closes.strip())
    return ThoughtForm("" if prompt.rstrip().endswith(marks[0]) else opens, closes, marks)


def _opened_by(prompt: str) -> tuple[str, str] | None:
    end = prompt.rstrip()
    return next((pair for pair in _KNOWN_THOUGHTS if end.endswith(pair[0].strip())), None)


def _with_header(thought: ThoughtForm | None, block: str) -> ThoughtForm | None:
    """Let what opens every answer also open one behind a thought, where nothing shows that it does.

    Args:
        thought: as found.
        block: what stands between a prompt and an answer without a thought.
    """
    if thought is None or any(mark in block for mark in thought.marks if mark):
        return thought
    header = block.strip()
    return thought if header in thought.closes else replace(thought, closes=thought.closes + block)


def _is_header(block: str) -> bool:
    return bool(block.strip())


def _closed(render: Renderer, variables: dict[str, Any], thought: ThoughtForm | None) -> Form:
    """Return how an answer is reached without a thought."""
    asked = _turns(_QUESTION)
    prompt = render(asked, **variables)
    block = _block(render, variables, asked, thought)
    if thought and prompt.rstrip().endswith(thought.marks[0]) and not (block or "").strip():
        block = thought.closes  # the prompt opens a thought, and a finished answer has none
    if block is None:
        raise ModelError(
            f"the chat template's generation prompt ends in {prompt[-30:]!r}, and not all finished "
            "answers stand behind that, or behind the same text after it; if it opens a thought, "
            "name its two marks as template.thought, else use a student with another template."
        )
    unasked = prompt == render(asked, opened=False, **variables)
    if block.strip() and unasked and not _opens_always(render, variables, prompt):
        raise ModelError(
            f"the chat template opens no turn of the model's: an answer stands behind {block!r}, "
            "which add_generation_prompt does not write; mend it in chat_template.jinja in the "
            "student's folder."
        )
    glue = _glue(render.tokenizer, prompt, block)
    return Form(variables, block.removesuffix(glue), glue)


def _opens_always(render: Renderer, variables: Mapping[str, Any], prompt: str) -> bool:
    """Tell whether a turn of the model's is opened behind every conversation, finished ones too."""
    last, earlier = _behind_answers(render, variables)
    opening = last[len(common(last, earlier)) :]
    return bool(opening.strip()) and prompt.endswith(opening)


def _behind_answers(render: Renderer, variables: Mapping[str, Any]) -> tuple[str, str]:
    """Return what stands behind the last answer of a conversation, and behind an earlier one."""
    conversations = (_turns(_QUESTION, _ANSWER), _turns(_QUESTION, _ANSWER, "More?"))
    texts = (render(turns, opened=False, **variables) for turns in conversations)
    last, earlier = (text[text.rindex(_ANSWER) + len(_ANSWER) :] for text in texts)
    return last, earlier


def _block(
    render: Renderer, variables: Mapping[str, Any], asked: Messages, thought: ThoughtForm | None
) -> str | None:
    """Return what stands between a prompt and an answer; None if it is not the same for all.

    A prompt may end in an empty thought, closed, that finished answers do not have, or not whole.
    """
    opening, closing = map(re.escape, thought.marks if thought else ("", ""))
    empty = re.compile(rf"{opening}\s*{closing}\s*\Z")
    longer: Messages = [{"role": "system", "content": _SYSTEM}, *_turns(_OTHER, _ANSWER, _SYSTEM)]
    blocks = set()
    for turns in (asked, longer):
        prompt = render(turns, **variables)
        for answer in (_ANSWER, _OTHER):
            answered = [*turns, {"role": "assistant", "content": answer}]
            text = render(answered, opened=False, **variables)
            before = prompt
            if thought and not text.startswith(prompt) and empty.search(prompt):
                before = empty.sub("", prompt)
                if text.startswith(closed := before + thought.marks[1]):
                    before = closed
            rest = text[len(before) :] if text.startswith(before) else ""
            blocks.add(rest[: rest.index(answer)] if answer in rest else None)
    return blocks.pop() if len(blocks) == 1 else None


def _glue(tokenizer: Any, prompt: str, block: str) -> str:
    """Return the white space at a block's end that can be one token with the answer's beginning."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    glue = ""
    while True:
        kept = block.removesuffix(glue)
        before = ids(prompt + kept)
        answers = (ids(prompt + block + answer) for answer in _ANSWERS)
        if all(whole[: len(before)] == before for whole in answers) or not kept[-1:].isspace():
            return glue
        glue = kept[-1] + glue


def _end(render: Renderer, form: Form, thought: ThoughtForm | None) -> tuple[str, str]:
    """Return what ends a turn of the model's, and what ends a text behind it and is left out.

    What stands behind the last turn of a conversation but not behind an earlier one ends the text,
    not the turn: it is no part of an answer. A template without any mark has the end-of-sequence
    token, and so has one whose mark also stands between a thought and its answer.
    """
    tokenizer = render.tokenizer
    last, earlier = _behind_answers(render, form.variables)
    pieces = [special_pieces(tokenizer, text) for text in (last, earlier)]
    shared = [
        piece for piece, _ in takewhile(lambda pair: pair[0] == pair[1], zip(*pieces, strict=False))
    ]
    tail = shared if any(special for _, special in shared) else pieces[0]
    plain = [text for text, _ in takewhile(lambda piece: not piece[1], tail)]
    ends = [text for text, _ in takewhile(lambda piece: piece[1], tail[len(plain) :])]
    inside = thought.opens + thought.closes if thought else ""
    if not ends or ends[0] in inside:
        if not tokenizer.eos_token or tokenizer.eos_token in inside:
            raise ModelError(
                "the chat template ends a turn with no special token that ends nothing else, and "
                "the tokenizer has no such end-of-sequence token; give it one (eos_token in "
                "tokenizer_config.json)."
            )
        return str(tokenizer.eos_token), last.strip()
    count = ends.index(tokenizer.eos_token) + 1 if tokenizer.eos_token in ends else 1
    end = "".join(plain + ends[:count])
    return end, last.removeprefix(end).strip()


def common(*sequences: Any) -> Any:
    """Return the longest common beginning of texts or lists."""
    first, last = min(sequences), max(sequences)  # all others lie between them
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((number for number, (a, b) in pairs if a != b), len(first))]


def special_tokens(tokenizer: Any) -> set[str]:
    """Return the special tokens of a tokenizer, named ones and others."""
    # Many tokenizers do not name the tokens that open a turn as special (Llama 3, Phi):
    # `all_special_tokens` holds the named ones only.
    marked = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return marked | set(tokenizer.all_special_tokens)


def special_pattern(tokenizer: Any, *others: str) -> re.Pattern[str]:
    """Return what finds special tokens in a text, and other marks beside them."""
    texts = sorted({*special_tokens(tokenizer), *others}, key=len, reverse=True)
    return re.compile("|".join(re.escape(text) for text in texts))


def special_pieces(tokenizer: Any, text: str) -> list[tuple[str, bool]]:
    """Cut a text at its special tokens; each piece comes with whether it is one."""
    pieces, position = [], 0
    for found in special_pattern(tokenizer).finditer(text):
        pieces += [(text[position : found.start()], False), (found.group(), True)]
        position = found.end()
    return [piece for piece in [*pieces, (text[position:], False)] if piece[0]]
