"""A chat endpoint on loopback that behaves as a script says: faults, latencies, counters.

As a program it serves in a process of its own until its standard input closes. It prints its port
and in the end the most requests that it had at once:

    python tests/contract/scripted_server.py exponential:0.3
"""

import asyncio
import json
import random
import re
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from socket import SO_LINGER, SOL_SOCKET

FAULTS = {  # what a retry mends
    "429": (429, {}, {"error": {"message": "slow down"}}),
    "429 after": (429, {"Retry-After": "0"}, {"error": {"message": "slow down"}}),
    "429 date": (429, {"Retry-After": formatdate(0, usegmt=True)}, {"error": {"message": "slow"}}),
    "408": (408, {}, {"error": {"message": "too slow"}}),
    "409": (409, {}, {"error": {"message": "locked"}}),
    "500": (500, {}, {"error": {"message": "broken"}}),
    "503": (503, {}, b"<h1>busy</h1>"),
    "hang": None,
    "reset": None,
    "empty body": (200, {}, b""),
    "comments alone": (200, {}, b": PROCESSING\n\n: PROCESSING\n\n"),
    "no object": (200, {}, b'"busy"'),
    "html": (200, {"Content-Type": "text/html"}, b"<html><body>sign in</body></html>"),
    "no choices": (200, {}, {"error": {"message": "upstream failed", "code": 502}}),
    "broken off": (200, {}, {"choices": [{"message": {"content": ""}, "finish_reason": "error"}]}),
    "empty": (200, {}, {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]}),
}
REASONS = {200: "OK", 307: "Temporary Redirect", 401: "Unauthorized", 429: "Too Many Requests"}


def reply(text, finish_reason="stop", usage=(7, 3), **message):
    """Return a chat completion."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "scripted",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
            }
        ],
    }
    if usage:
        prompt, completion = usage
        body["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    return body


def question(request):
    """Return the last message of a request, which identifies it in the tests."""
    return request["messages"][-1]["content"] if request["messages"] else ""


def addends(request):
    """Return the numbers of a question such as `Add 3 and 4.`"""
    one, other = re.search(r"Add (\d+) and (\d+)", question(request)).groups()
    return int(one), int(other)


class ScriptedServer:
    """Serves in a thread of its own.

    Args:
        answer: makes the reply of a request: a dict, or (status, headers, body), or the name of a
            fault. It is given the request and how often the question was asked before.
        latency: seconds before the reply to a question.

    Attributes:
        asked: how often each question came.
        answered: how often each question was sent a complete answer.
        requests: all requests as (headers, body).
        most: the most requests at once.
        routes: what else is served: functions of (path, headers, body) by method and first part
            of the path, which return (status, headers, body) or `hang`.
    """

    def __init__(self, answer: Callable = lambda request, times: reply("so [[B]]"), latency=None):
        self.answer, self.latency = answer, latency or (lambda question: 0.0)
        self.asked, self.answered, self.requests = Counter(), Counter(), []
        self.now = self.most = 0
        self.arrivals = []
        self.on_request = lambda: None
        self.routes = {}
        self.port = None

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        started = threading.Event()

        async def serve():
            self.ended = asyncio.Event()
            server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1000)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await self.ended.wait()
            server.close()

        def run():
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(serve())

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        started.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    async def _connection(self, reader, writer):
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with suppress(*gone):
            while await self._exchange(reader, writer):
                pass
        writer.close()

    async def _exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:-2])
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path == "/v1/chat/completions":
            return await self._chat(headers, json.loads(body), writer)
        route = self.routes.get((method, path.split("?")[0].split("/")[2]))
        result = route(path.removeprefix("/v1"), headers, body) if route else (404, {}, {})
        if result == "hang":
            await asyncio.sleep(3600)
        await _send(writer, *result)
        return True

    async def _chat(self, headers, request, writer):
        asked = question(request)
        times = self.asked[asked]
        self.asked[asked] += 1
        self.requests.append((headers, request))
        self.arrivals.append(asyncio.get_running_loop().time())
        self.now += 1
        self.most = max(self.most, self.now)
        self.on_request()
        try:
            await asyncio.sleep(self.latency(asked))
            result = self.answer(request, times)
            if result == "hang":
                await asyncio.sleep(3600)
            if result == "reset":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + b'{"choices": [{')
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.get_extra_info("socket").setsockopt(
                    SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0)
                )
                return False
            if isinstance(result, str):
                result = FAULTS[result]
            elif isinstance(result, dict):
                self.answered[asked] += 1
                result = (200, {}, result)
            await _send(writer, *result)
            return result[1].get("Connection") != "close"
        finally:
            self.now -= 1


async def _send(writer, status, headers, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": len(content), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    line = f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}\r\n"
    writer.write(f"{line}{head}\r\n".encode("latin-1") + content)
    await writer.drain()


def draws(kind, seed=1):
    """Return a function that draws latencies: `exponential:0.3` (mean) or `constant:0.05`."""
    name, seconds = kind.split(":")
    drawn = random.Random(seed)
    if name == "exponential":
        return lambda question: drawn.expovariate(1 / float(seconds))
    return lambda question: float(seconds)


if __name__ == "__main__":
    with ScriptedServer(latency=draws(sys.argv[1])) as server:
        print(server.port, flush=True)
        sys.stdin.read()  # until the parent has gone
        print(server.most)
