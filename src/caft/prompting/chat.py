"""From chat messages to token ids, so that no text of an item can become a special token."""

import re
from typing import Any

from caft.errors import ModelError
from caft.prompting.prompts import Messages


def encode_prompt(tokenizer: Any, messages: Messages) -> list[int]:
    """Encode messages with the tokenizer's own chat template, up to the model's turn."""
    return _encode(tokenizer, messages, add_generation_prompt=True)


def encode_completion(tokenizer: Any, messages: Messages, text: str) -> list[int]:
    """Encode the model's turn after `encode_prompt`, with the token that ends the turn.

    The template decides how a turn goes on and ends. Where it renders earlier turns differently
    (some drop or add a thinking block) the text is encoded alone and closed with the
    end-of-sequence token.
    """
    prompt = encode_prompt(tokenizer, messages)
    turn = [*messages, {"role": "assistant", "content": text}]
    whole = _encode(tokenizer, turn, add_generation_prompt=False)
    ends = {tokenizer.eos_token_id, *_turn_ends(tokenizer)}
    if whole[: len(prompt)] == prompt:
        rest = whole[len(prompt) :]
        closed = [position for position, token in enumerate(rest) if token in ends]
        if closed:
            # What follows the end of the turn (often a line break) is never generated.
            return rest[: closed[-1] + 1]
    return [*_plain(tokenizer, text), tokenizer.eos_token_id]


def first_token(tokenizer: Any, messages: Messages, text: str) -> int:
    """Return the first token of the model's turn if it writes `text` after this template."""
    return encode_completion(tokenizer, messages, text)[0]


def label_tokens(tokenizer: Any, messages: Messages, labels: list[str]) -> list[list[int]]:
    """Return each label's possible first tokens: as the template continues, and after a space.

    Raises:
        ModelError: if two labels share a token, so that their probabilities cannot be told apart.
    """
    variants = [
        sorted({first_token(tokenizer, messages, label), *_after_space(tokenizer, label)})
        for label in labels
    ]
    flat = [token for tokens in variants for token in tokens]
    if len(flat) != len(set(flat)):
        raise ModelError(
            f"the tokenizer begins several of the labels {labels} with the same token; "
            "use a prompt variant with letters (prompts.<name>.labels: upper)."
        )
    return variants


def _after_space(tokenizer: Any, label: str) -> list[int]:
    tokens = _plain(tokenizer, " " + label)
    return tokens if len(tokens) == 1 else []


def _turn_ends(tokenizer: Any) -> list[int]:
    """Return the special tokens that this template puts after a turn's text."""
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    tokens = _encode(tokenizer, probe, add_generation_prompt=False)
    special = {tokenizer.convert_tokens_to_ids(token) for token in _special_tokens(tokenizer)}
    return [token for token in tokens[-3:] if token in special]


def stop_tokens(tokenizer: Any) -> list[int]:
    """Return the tokens that end a model's turn; generation stops at any of them."""
    return sorted({tokenizer.eos_token_id, *_turn_ends(tokenizer)})


def _special_tokens(tokenizer: Any) -> set[str]:
    # Many tokenizers do not name the tokens that open a turn as special (Llama 3, Phi):
    # `all_special_tokens` holds the named ones only.
    marked = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return marked | set(tokenizer.all_special_tokens)


def _encode(tokenizer: Any, messages: Messages, add_generation_prompt: bool) -> list[int]:
    special = sorted(_special_tokens(tokenizer), key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(token) for token in special))
    guarded, guard = _guard(messages, pattern)
    text = tokenizer.apply_chat_template(
        guarded, add_generation_prompt=add_generation_prompt, tokenize=False
    )
    if not guard:
        return tokenizer(text, add_special_tokens=False)["input_ids"]
    # Every special token left in the text is the template's own; what lies between is plain text,
    # and the items' own look-alikes are put back only there.
    ids: list[int] = []
    position = 0
    for match in [*pattern.finditer(text), None]:
        plain = text[position : match.start() if match else len(text)]
        for placeholder, original in guard.items():
            plain = plain.replace(placeholder, original)
        ids += _plain(tokenizer, plain)
        if match:
            ids.append(tokenizer.convert_tokens_to_ids(match.group()))
            position = match.end()
    return ids


def _guard(messages: Messages, pattern: re.Pattern[str]) -> tuple[Messages, dict[str, str]]:
    """Replace special tokens inside contents by private-use characters that occur in no content."""
    found = {match for message in messages for match in pattern.findall(message["content"])}
    if not found:
        return messages, {}
    everything = "".join(message["content"] for message in messages)
    free = (chr(code) for code in range(0xF0000, 0xFFFFD) if chr(code) not in everything)
    guard = {token: next(free) for token in sorted(found)}
    guarded = [
        {**message, "content": pattern.sub(lambda match: guard[match.group()], message["content"])}
        for message in messages
    ]
    return guarded, {placeholder: token for token, placeholder in guard.items()}


def _plain(tokenizer: Any, text: str) -> list[int]:
    if not text:
        return []
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
