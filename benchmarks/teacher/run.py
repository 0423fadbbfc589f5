"""How much of what an endpoint can give the teacher's client takes, store writes included.

    python benchmarks/teacher/run.py
    python benchmarks/teacher/run.py --peers curator distilabel

Two loads, against a scripted server in a process of its own:

- `waiting`: 600 calls, 30 at once, latencies exponential with mean 0.3 s. Reported is the share of
  the greedy bound: the time in which 30 slots that are never idle serve these very latencies.
- `busy`: 2,000 calls, 200 at once, latency constant 50 ms, which one process cannot saturate.
  Reported is the rate relative to the bare asynchronous OpenAI client (gather and a semaphore,
  nothing stored), in turns in the same run.

Peers run in environments of their own, which are made here; one that does not install is left out.
"""

# ruff: noqa: E402
import argparse
import asyncio
import heapq
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/contract"))

import openai
from asking import SPEC, make, requests
from scripted_server import draws

from caft.store import Store
from caft.teacher.asking import Asking, obtain

Client = Callable[[str, int, int], float]  # URL, calls, slots -> seconds

LOADS = {"waiting": ("exponential:0.3", 600, 30), "busy": ("constant:0.05", 2000, 200)}
PEERS = {
    "curator": ["bespokelabs-curator"],
    "distilabel": ["distilabel[openai]==1.5.3", "requests"],
}


@contextmanager
def serving(latency: str, most: list[int]) -> Iterator[str]:
    """Run the scripted server and yield its base URL; `most` gets its most requests at once."""
    script = ROOT / "tests/contract/scripted_server.py"
    command = [sys.executable, str(script), latency]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin and server.stdout
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        server.stdin.close()
        most.append(int(server.stdout.readline()))


def greedy_bound(latency: str, calls: int, slots: int) -> float:
    """Return the seconds in which slots that are never idle serve the server's latencies."""
    draw = draws(latency)
    free = [0.0] * slots
    for _ in range(calls):
        heapq.heappush(free, heapq.heappop(free) + draw(""))
    return max(free)


def ours(url: str, calls: int, slots: int) -> float:
    """Ask through the provider and the store; return seconds."""
    teacher = make({**SPEC, "base_url": url, "concurrency": slots})
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        started = time.perf_counter()
        with Store(folder) as store:
            answers = obtain(requests(calls), Asking(teacher, store), "benchmark", lambda batch: "")
        seconds = time.perf_counter() - started
    assert sum(answer.finish_reason == "stop" for answer in answers.values()) == calls
    return seconds


def bare(url: str, calls: int, slots: int) -> float:
    """Ask with the bare asynchronous client; return seconds."""

    async def ask_all() -> float:
        gate = asyncio.Semaphore(slots)

        async def ask(client: openai.AsyncOpenAI, messages: list) -> str | None:
            async with gate:
                reply = await client.chat.completions.create(
                    model="scripted", messages=messages, max_tokens=100, temperature=0.0
                )
                return reply.choices[0].message.content

        asked = requests(calls)
        started = time.perf_counter()
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            texts = await asyncio.gather(*[ask(client, one.messages) for one in asked])
        assert texts.count("so [[B]]") == calls
        return time.perf_counter() - started

    return asyncio.run(ask_all())


def peer(name: str, environments: Path, url: str, calls: int, slots: int) -> float:
    """Ask with a peer in an environment of its own; return seconds, NaN if that does not work."""
    python = environments / name / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environments / name)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *PEERS[name]]
        if subprocess.run(install, check=False).returncode:
            return math.nan
    script = str(Path(__file__).with_name("peers.py"))
    with tempfile.TemporaryDirectory() as work:
        done = subprocess.run(
            [str(python), script, name, url, str(calls), str(slots)],
            cwd=work,
            env={**os.environ, "HOME": work},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return math.nan
    return float(done.stdout.split()[-1])


def compare(name: str, clients: dict[str, Client], repeats: int) -> None:
    """Time clients in turns and print a line for each."""
    latency, calls, slots = LOADS[name]
    seconds: dict[str, list[float]] = {client: [] for client in clients}
    most: dict[str, list[int]] = {client: [] for client in clients}
    for _ in range(repeats):
        for client, ask in clients.items():
            with serving(latency, most[client]) as url:
                seconds[client].append(ask(url, calls, slots))
    middle = {client: statistics.median(times) for client, times in seconds.items()}
    for client, time_of in middle.items():
        row = {
            "load": name,
            "client": client,
            "seconds": round(time_of, 2),
            "calls_per_second": round(calls / time_of, 1),
            "share_of_bound": round(greedy_bound(latency, calls, slots) / time_of, 3),
            "of_bare_client": round(middle["bare client"] / time_of, 2),
            "most_at_once": max(most[client]),
        }
        print(json.dumps(row), flush=True)


def main() -> None:
    """Run both loads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=[], choices=sorted(PEERS))
    parser.add_argument("--environments", type=Path, default=Path(__file__).parent / ".venvs")
    arguments = parser.parse_args()
    clients: dict[str, Client] = {"caft": ours, "bare client": bare}
    for name in arguments.peers:
        clients[name] = partial(peer, name, arguments.environments.absolute())
    for name in LOADS:
        compare(name, clients, arguments.repeats)


if __name__ == "__main__":
    main()
