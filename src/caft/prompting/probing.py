"""What a chat template does with a question and its answer, found by rendering probes."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any

from caft.errors import ModelError
from caft.prompting.prompts import Messages
from caft.prompting.settings import Template
from caft.prompting.template import (
    Form,
    Place,
    Renderer,
    Shape,
    ThoughtForm,
    common,
    special_pieces,
)

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
_SWITCHES = ("enable_thinking", "thinking")
_REASONING = ("reasoning_content", "reasoning", "thinking")  # keys of a message, by family
_SYSTEM, _QUESTION, _THOUGHT = "Zeta rules", "Quoka seven", "Vexing idea"
_ANSWER, _OTHER = "Yes", "Nonsuch"
# Letters, digits and words: what the first token of an answer may be made of.
_ANSWERS = (_ANSWER, "A", "B", "no", "7", "12", "The sum")


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
