"""Replies drawn from a grammar of shapes, dialects and faults, with the truth beside each."""

import json
import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from caft.complexity.topk_entropy import first_logprobs
from caft.store.record import encode
from caft.teacher import Request
from caft.teacher.endpoint.replies import Fault, read_answer, read_answer_body
from caft.teacher.records import read_back, to_answer, to_record
from caft.teacher.settings import Prices

PRICES = Prices(prompt=1.0, cached=0.1, completion=10.0, entered="2026-11-01")
ASKED = Request("k", "i", [{"role": "user", "content": "q"}], {}, 0, None, "big", "")
ANSWER, THOUGHT = "3 + 4 = 7. [[7]]", "Maybe [[8]], or `x`?\nNo: it is less."
GOOD = ["stop", "STOP", "end_turn", "eos", "stop_sequence", "completed", "FinishReason.STOP"]
BAD = ["length", "MAX_TOKENS", "content_filter: PROHIBITED_CONTENT", "abort", "eos_maybe", None]
ODD = [10**19, 10**500, -1, True, float("nan"), float("inf"), "many", [], {}, 0.5, None]


@dataclass
class Truth:
    """What a drawn reply is: None for what nobody can know from it."""

    text: str = ""
    has_thought: bool = False
    is_complete: bool = False
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    odd: bool = False
    body: bytes = b""
    reply: dict[str, Any] = field(default_factory=dict)

    @property
    def cost(self):
        return PRICES.value(self.prompt, self.cached, self.completion)


def drawn(seed):
    draw = random.Random(seed)
    truth = Truth()
    message = _message(draw, truth)
    truth.reply = {
        "id": "c1",
        "model": draw.choice(["big", "tiny", None, 7]),
        "choices": [_choice(draw, truth, message)],
    }
    _usage(draw, truth)
    if draw.random() < 0.1:
        place = draw.choice([truth.reply, truth.reply["choices"][0], message])
        place["error"] = {"code": 502, "message": "upstream died"}
        truth.is_complete = False
    if draw.random() < 0.2:
        truth.reply[draw.choice(["created", "extra", "system_fingerprint"])] = draw.choice(ODD)
    truth.body = _body(draw, truth.reply)
    return truth


def _message(draw, truth):
    truth.text = draw.choice([ANSWER, ANSWER, ANSWER, ""])
    thought = draw.choice(["", THOUGHT])
    truth.has_thought = bool(thought)
    if not thought:
        return {"role": "assistant", "content": _content(draw, truth.text)}
    style = draw.randrange(8)
    opens, closes = draw.choice(
        [
            ("<think>\n", "\n</think>\n\n"),
            ("<thinking>", "</thinking>"),
            ("[THINK]", "[/THINK]"),
            ("◁think▷", "◁/think▷"),
            ("<Thought>", "</Thought>\n"),
            ("<seed:think>", "</seed:think>"),
            (
                "<|channel|>analysis<|message|>",
                "<|end|><|start|>assistant<|channel|>final<|message|>",
            ),
        ]
    )
    if style == 0:
        return {"content": draw.choice(["", " \n"]) + opens + thought + closes + truth.text}
    if style == 1:
        return {"content": thought + closes + truth.text}
    if style == 2:
        truth.text = ""
        truth.is_complete = None  # never: the thought is open
        return {"content": opens + thought}
    if style == 3:
        return {"content": opens + thought + closes + opens + thought + closes + truth.text}
    if style == 4:
        kind = draw.choice(["reasoning", "thinking", "reasoning_text"])
        inner = draw.choice([{"text": thought}, {"thinking": [{"type": "text", "text": thought}]}])
        parts = [{"type": kind, **inner}, {"type": "output_text", "text": truth.text}]
        return {"content": parts}
    if style == 5:
        details = [{"type": "reasoning.text", "text": thought}]
        return {"content": truth.text or None, "reasoning_details": details}
    if style == 6:
        return {"content": f"analysis{thought}assistantfinal{truth.text}"}
    name = draw.choice(["reasoning_content", "reasoning"])
    return {"content": truth.text or None, name: thought}


def _content(draw, text):
    return draw.choice(
        [text, text or None, [{"type": "text", "text": text[:5]}, {"text": text[5:]}]]
    )


def _choice(draw, truth, message):
    word = draw.choice(GOOD + BAD)
    never = truth.is_complete is None
    truth.is_complete = word in GOOD and not never
    return {"index": 0, "message": message, "finish_reason": word}


def _usage(draw, truth):
    reply, choice = truth.reply, truth.reply["choices"][0]
    prompt, cached, wrote, thought = (draw.randrange(1, 5000) for _ in range(4))
    cached = min(cached, prompt)
    truth.prompt, truth.completion = prompt, wrote
    dialect, has_total = draw.randrange(8), draw.random() < 0.8
    if dialect == 0:
        usage = {"prompt_tokens": prompt, "completion_tokens": wrote}
    elif dialect == 1:
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": wrote + thought,
            "completion_tokens_details": {"reasoning_tokens": thought},
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        truth.cached, truth.completion = cached, wrote + thought
    elif dialect == 2:
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": wrote,
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        truth.completion = wrote + thought
    elif dialect == 3:
        usage = {
            "input_tokens": prompt,
            "output_tokens": wrote,
            "cache_read_input_tokens": cached,
        }
        truth.prompt, truth.cached = prompt + cached, cached
    elif dialect == 4:
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": wrote,
            "prompt_cache_hit_tokens": cached,
            "prompt_cache_miss_tokens": prompt - cached,
        }
        truth.cached = cached
    elif dialect == 5:
        usage = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": wrote,
            "thoughtsTokenCount": thought,
            "totalTokenCount": prompt + wrote + thought,
        }
        truth.completion, has_total = wrote + thought, False
    elif dialect == 6:  # the thinking is in the total alone
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": wrote,
            "total_tokens": prompt + wrote + thought,
        }
        truth.completion = wrote + thought
    else:
        usage = {"prompt_tokens": float(prompt), "completion_tokens": str(wrote)}
    if has_total:
        usage["total_tokens"] = truth.prompt + truth.completion
    fault = draw.random()
    if fault < 0.15:
        counts = [name for name, value in usage.items() if not isinstance(value, dict)]
        told = [value for value in ODD if value not in (None, {})]  # those two tell nothing
        usage[draw.choice(counts)] = draw.choice(told)
        truth.odd = True
    elif fault < 0.2:
        usage = dict.fromkeys(usage, 0)
    if fault > 0.95:
        return
    place = draw.choice([reply, reply, choice, reply.setdefault("x_groq", {})])
    place["usage"] = usage


def _body(draw, reply):
    whole = json.dumps(reply).encode()
    shape = draw.randrange(9)
    if shape == 0:
        return b": PROCESSING\n\n: PROCESSING\n\n" + whole
    if shape == 1:
        return b"data: " + whole + b"\n\ndata: [DONE]\n\n"
    if shape == 2:
        return whole + b"\n[DONE]\n"
    if shape == 3:
        return b"\xef\xbb\xbf" + whole
    if shape == 4:
        return b'{"status": "working"}\n' + whole + b"\n"
    if shape == 5 and isinstance(reply["choices"][0]["message"]["content"], str):
        return _stream(draw, reply)
    return b" \n" + whole if shape == 6 else whole


def _stream(draw, reply):
    (choice,) = reply["choices"]
    message = choice["message"]
    deltas = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "reasoning", "content"):
        text = message.get(name) or ""
        cut = draw.randrange(len(text) + 1)
        deltas += [{name: text[:cut]}, {name: text[cut:]}] if text else []
    rest = {name: value for name, value in message.items() if not isinstance(value, str)}
    chunks = [{**reply, "choices": [{"index": 0, "delta": delta}]} for delta in [*deltas, rest]]
    for chunk in chunks:
        chunk.pop("usage", None)
    end = {**choice, "delta": {}}
    end.pop("message")
    chunks += [{**reply, "choices": [end]}, {**reply, "choices": []}]
    lines = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return b"".join([b": ping\n\n", *lines, b"data: [DONE]\n\n"])


def _columns(answer):
    return {name: value for name, value in vars(answer).items() if name != "raw"}


def check(truth):
    """Read a drawn reply; return whether its tokens, its cost were known."""
    try:
        raw = read_answer_body(truth.body, "sk-0123456789")
        live = read_answer(raw, ASKED, PRICES, 0.5)
    except Fault:
        assert not truth.text  # nothing that was written is thrown away
        return None
    record = to_record(ASKED, live, "rationale")
    (stored,) = encode([record])
    answer = to_answer(json.loads(stored), PRICES)
    assert _columns(answer) == _columns(live)
    assert _columns(read_back(live, record, json.loads(stored), PRICES)) == _columns(live)
    assert "[[8]]" not in answer.text
    assert answer.text == truth.text
    assert bool(answer.reasoning) == truth.has_thought
    assert (answer.finish_reason == "stop") == truth.is_complete
    assert answer.prompt_tokens in (truth.prompt, None)
    assert answer.completion_tokens in (truth.completion, None)
    # A part that cannot be read has the higher price; all else is right.
    assert answer.cost_usd is None or answer.cost_usd >= truth.cost - 1e-12
    assert truth.odd or answer.cost_usd in (None, pytest.approx(truth.cost))
    return answer.cost_usd is not None


def test_ten_thousand_drawn_replies_are_read_right_or_as_unknown():
    known = [check(drawn(seed)) for seed in range(10_000)]
    read = [one for one in known if one is not None]
    assert len(read) > 9000
    assert sum(read) / len(read) > 0.6


def _places(value):
    if isinstance(value, dict | list):
        for name in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, name
            yield from _places(value[name])


def test_an_odd_value_at_any_place_costs_at_most_its_own_answer():
    records, answers = [], []
    for seed in range(5000):
        draw, reply = random.Random(seed), drawn(seed).reply
        for _ in range(draw.choice([1, 1, 3])):
            owner, name = draw.choice(list(_places(reply)))
            owner[name] = draw.choice([*ODD, "", 0, "\ud800", [[]], [None], {"a": None}, -0.0])
        body = json.dumps(reply).encode()
        body = body[: draw.randrange(len(body))] if draw.random() < 0.1 else body
        try:
            raw = read_answer_body(body, "sk-0123456789")
            answer = read_answer(raw, ASKED, PRICES, 0.5)
        except Fault:
            continue
        first_logprobs(answer.raw)
        answers.append(replace(answer, key=str(seed)))
        records.append(to_record(ASKED, answers[-1], "rationale"))
    assert len(records) > 3000
    for answer, record, body in zip(answers, records, encode(records), strict=True):
        stored = json.loads(body)
        used = read_back(answer, record, stored, PRICES)
        assert _columns(used) == _columns(to_answer(stored, PRICES))
