"""Batched generation: prompts sorted by length, left padding, each row stopping at its own end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from caft.answers import is_finished
from caft.chat import encode_prompt, stop_tokens
from caft.prompts import Messages

_TAIL = (
    12  # tokens looked back at for the answer marker: a long answer of a choice or a number fits
)


@dataclass(frozen=True)
class Generated:
    """One answer: prompt index, text, token counts, and whether it ended by itself (`stop`)."""

    index: int
    text: str
    prompt_tokens: int
    new_tokens: int
    finish_reason: str


def generate(
    model: Any,
    tokenizer: Any,
    prompts: list[Messages],
    max_new_tokens: int,
    stop_at_answer: bool = False,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch_size: int = 32,
) -> Iterator[list[Generated]]:
    """Continue chat prompts, batch by batch as they finish.

    Args:
        model: from `caft.models.load_model`.
        tokenizer: its tokenizer.
        prompts: chat messages, one list per prompt.
        max_new_tokens: at most this many tokens an answer.
        stop_at_answer: end a row after its first complete `[[...]]`.
        temperature: 0 is greedy.
        top_p: nucleus of the sampling distribution.
        seed: of the sampling.
        batch_size: rows per batch.

    Yields:
        The answers of one batch; `index` is the position in `prompts`.
    """
    import torch
    from transformers import GenerationConfig

    ids = [encode_prompt(tokenizer, messages) for messages in prompts]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    ends = stop_tokens(tokenizer)
    # A config of our own: a student's shipped defaults (repetition penalty, sampling) would change
    # what is measured.
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        **(
            {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
            if temperature
            else {"do_sample": False}
        ),
    )
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        width = max(len(ids[index]) for index in batch)
        tokens = torch.full((len(batch), width), tokenizer.pad_token_id)
        mask = torch.zeros_like(tokens)
        for row, index in enumerate(batch):
            tokens[row, width - len(ids[index]) :] = torch.tensor(ids[index])
            mask[row, width - len(ids[index]) :] = 1
        torch.manual_seed(seed + start)
        criteria = [_AnswerComplete(tokenizer, width)] if stop_at_answer else []
        with torch.inference_mode():
            output = model.generate(
                tokens.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=settings,
                stopping_criteria=criteria,
            )
        yield [
            _finish(tokenizer, index, new, len(ids[index]), ends, stop_at_answer)
            for index, new in zip(batch, output[:, width:].tolist(), strict=True)
        ]


class _AnswerComplete:
    """Stopping criterion per row: a complete marked answer near the end of what is new."""

    def __init__(self, tokenizer: Any, prompt_width: int):
        self.tokenizer, self.prompt_width = tokenizer, prompt_width

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        new = input_ids[:, self.prompt_width :][:, -_TAIL:].tolist()
        done = [is_finished(text) for text in self.tokenizer.batch_decode(new)]
        return torch.tensor(done, device=input_ids.device)


def _finish(
    tokenizer: Any,
    index: int,
    new: list[int],
    prompt_tokens: int,
    ends: list[int],
    stop_at_answer: bool,
) -> Generated:
    end = next((position for position, token in enumerate(new) if token in ends), None)
    kept = new if end is None else new[:end]
    text = tokenizer.decode(kept, skip_special_tokens=True)
    stopped = end is not None or (stop_at_answer and is_finished(text))
    if end is None and stopped:
        text = text[: text.index("]]", text.index("[[")) + 2]
    # The end-of-turn token was generated and paid for like any other.
    count = len(kept) + (end is not None)
    return Generated(index, text, prompt_tokens, count, "stop" if stopped else "length")
