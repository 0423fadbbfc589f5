"""Snakemake runs and their script jobs as forks of a process that has the libraries loaded.

An interpreter with torch, transformers, TRL and Snakemake takes ten seconds to start, what a job of
the tests does in it a fraction of one. A fork has nothing of caft loaded: each reads the code anew.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import IO

LIBRARIES = [
    *("snakemake.cli", "snakemake.executors.local", "snakemake_executor_plugin_slurm"),
    *("pandas", "pyarrow.parquet", "scipy.stats", "matplotlib.pyplot", "openai", "datasets"),
    *("peft", "trl.trainer.sft_trainer", "transformers.models.llama.modeling_llama"),
]


class Forks:
    """A process that forks on demand; it ends with the process that has started it."""

    def __init__(self, requests: socket.socket):
        self.requests, self.lock = requests, threading.Lock()

    @classmethod
    def of_new_process(cls) -> "Forks":
        """Start an interpreter that loads the libraries."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            command = [sys.executable, __file__, str(there.fileno())]
            subprocess.Popen(command, pass_fds=[there.fileno()], env=_few_threads())
        return cls(here)

    @classmethod
    def of_this_process(cls) -> "Forks":
        """Fork a helper off this process; call it before there are threads."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            here.close()
            serve(there)
        there.close()
        return cls(here)

    def start(self, what: str, arguments: list[str], folder: str, env: dict, output: int) -> "Fork":
        """Run `snakemake` or a `script` in a fork, with its output going to a descriptor."""
        here, there = os.pipe()
        request = json.dumps([what, arguments, folder, env]).encode()
        with self.lock:
            socket.send_fds(self.requests, [request], [output, there])
        os.close(there)
        return Fork(os.fdopen(here))


class Fork:
    """A running fork; it tells its process id first and its exit status last."""

    def __init__(self, told: IO[str]):
        self.told, self.pid = told, int(told.readline())

    def ended(self) -> bool:
        """Tell whether it and all that it has started have ended."""
        return bool(select.select([self.told], [], [], 0)[0])

    def wait(self, seconds: float | None = None) -> int:
        """Return the exit status; -9 if it was killed, as what takes longer is with its jobs."""
        if not select.select([self.told], [], [], seconds)[0]:
            os.killpg(self.pid, signal.SIGKILL)
        with self.told:
            return int(self.told.read() or -signal.SIGKILL)


def _few_threads() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def serve(requests: socket.socket) -> None:
    """Fork for every request; the fork reports its exit status itself."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, (*descriptors,), *_ = socket.recv_fds(requests, 1 << 20, 2)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _serve_one(*json.loads(request), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _serve_one(
    what: str, arguments: list[str], folder: str, env: dict, output: int, status: int
) -> None:
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.write(status, f"{os.getpid()}\n".encode())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    code = 1
    try:
        {"snakemake": _snakemake, "script": _script}[what](arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(status, str(code).encode())
    os._exit(code)


def _snakemake(arguments: list[str]) -> None:
    from snakemake.benchmark import benchmarked
    from snakemake.cli import main
    from snakemake.script import PythonScript

    os.setsid()
    forks = Forks.of_this_process()

    def execute_script(self: PythonScript, fname: str, edit: bool = False) -> None:
        job = forks.start("script", [fname], os.getcwd(), dict(os.environ), output=1)
        with benchmarked(job.pid, self.bench_record) if self.bench_record else nullcontext():
            code = job.wait()
        if code:
            raise subprocess.CalledProcessError(code, f"python {fname}")

    PythonScript.execute_script = execute_script
    sys.argv = ["snakemake", *arguments]
    main(arguments)


def _script(arguments: list[str]) -> None:
    sys.argv = arguments
    sys.path[0:0] = [str(Path(arguments[0]).parent)]
    runpy.run_path(arguments[0], run_name="__main__")


def _load() -> None:
    """Load the libraries, and what they build when they are first used."""
    for library in LIBRARIES:
        __import__(library)
    from snakemake.cli import get_argument_parser
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    get_argument_parser()
    get_checkpoint_conversion_mapping("llama")
    # A fork that looks for garbage would copy the pages of all that it shares.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    serve(socket.socket(fileno=int(sys.argv[1])))
