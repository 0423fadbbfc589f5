"""A teacher for the scripted server, and how to ask it."""

from pathlib import Path

from caft.teacher import Here, Request, make_teacher
from caft.teacher.sections import read_teacher

CANARY = "sk-canary-0123456789abcdef"
SPEC = {
    "provider": "openai",
    "base_url": "http://127.0.0.1:9/v1",
    "model": "scripted",
    "revision": "",
    "api_key_env": None,
    "max_tokens_field": "max_tokens",
    "max_new_tokens": 100,
    "temperature": 0.0,
    "top_p": None,
    "stop": None,
    "seed": None,
    "extra_body": {},
    "concurrency": 8,
    "requests_per_minute": None,
    "tokens_per_minute": None,
    "timeout_s": 5.0,
    "attempts": 4,
    "backoff_s": 0.005,
    "max_wait_s": 0.05,
    "breaker": 10,
    "prices": None,
    "budget": {"max_requests": None, "max_tokens": None, "max_cost_usd": None},
    "expected_completion_tokens": 50,
    "batch": False,
    "batch_poll_s": 0.02,
}


class Words:
    """A tokenizer that counts words."""

    def __call__(self, text, **_):
        return {"input_ids": text.split()}


def make(spec, store="no-such-store"):
    """Make a teacher from its section in plain values."""
    return make_teacher(read_teacher(spec), Words(), Here(Path(store)))


def teacher(server, store="no-such-store", **changed):
    """Return the teacher that asks a server."""
    return make({**SPEC, "base_url": server.url, **changed}, store)


def request(name, sample=0, decoding=None):
    """Return a request whose question is its name."""
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": name}]
    sent = {"max_tokens": 100, "temperature": 0.0} if decoding is None else decoding
    return Request(f"key of {name}", name, messages, sent, sample, None, "scripted", "")


def requests(count):
    """Return requests named q0, q1, …"""
    return [request(f"q{number}") for number in range(count)]


def ask(teacher, asked):
    """Return all answers by key."""
    return {answer.key: answer for batch in teacher.answer(iter(asked)) for answer in batch}


def ask_one(server, **changed):
    """Return the answer to one question."""
    (answer,) = ask(teacher(server, **changed), [request("q0")]).values()
    return answer
