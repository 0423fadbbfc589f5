"""What every job shares: a log, one-line errors, progress with rate and ETA, and the clock."""

import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from caft import errors
from caft.errors import CaftError
from caft.running import devices, ends, settings_file, stops
from caft.running.locks import is_snakemake
from caft.shown import Formatter, line, streams_shown

_SECONDS_BETWEEN_LINES = 5.0
# Where torch reads how it keeps the memory of a GPU; the second name is that of older versions.
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
GROWING = "expandable_segments:True"
_SLOW = 0.1  # units per second, below which seconds per unit say more


@contextmanager
def job(snakemake: Any, label: str = "") -> Iterator[logging.Logger]:
    """Run a script's body with a log and, on failure, one line: what to do, where the log is.

    Args:
        snakemake: the object Snakemake gives to a script; log, rule, threads, resources
            and wildcards are read.
        label: what lines of progress begin with on the terminal, where jobs run side by side; by
            default the rule and its wildcards.

    Raises:
        SystemExit: with status 1 after any error and 130 after a stop, once it has been reported.
    """
    path = str(snakemake.log[0])
    name = " ".join(
        [snakemake.rule, *(f"{key}={value}" for key, value in snakemake.wildcards.items() if value)]
    )
    # Before torch is imported: it reads these once.
    os.environ.setdefault("OMP_NUM_THREADS", str(snakemake.threads))
    if not any(name in os.environ for name in ALLOCATOR):
        os.environ[ALLOCATOR[0]] = GROWING
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl|peft")
    values = " ".join(str(value) for _, value in snakemake.wildcards.items() if value)
    log = _logger(path, label or f"{snakemake.rule} {values}".rstrip())
    _end_with_the_run()
    started = time.monotonic()
    try:
        with (
            stops.listening(),
            streams_shown(),
            settings_file.listed(snakemake),
            devices.held(snakemake.resources.get("gpu", 0), log),
        ):
            yield log
        log.info("%s: done in %s", name, clock(time.monotonic() - started))
    except CaftError as error:
        # A kind that only code tells apart is named as the one that users know.
        kind = next(one for one in type(error).__mro__ if one.__module__ == errors.__name__)
        log.error("%s: %s: %s (log: %s)", name, kind.__name__, error, path)
        sys.exit(1)
    except (Exception, KeyboardInterrupt) as error:
        if line := ends.foreseen(error, snakemake.rule):
            log.error("%s: %s (log: %s)", name, line, path)
        else:
            logging.getLogger("caft.file").error(traceback.format_exc())
            log.error(
                "%s: unexpected %s: %s (traceback in %s)", name, type(error).__name__, error, path
            )
        sys.exit(stops.STATUS if isinstance(error, KeyboardInterrupt) else 1)


def _end_with_the_run() -> None:
    """End with the Snakemake process above.

    A job that outlives a killed run would go on buying answers and writing models beside the next.
    """
    import psutil

    run = next((process for process in psutil.Process().parents() if is_snakemake(process)), None)
    if run is not None:
        stops.end_with(run.pid)


class _Labelled(Formatter):
    """Put a job's label in front of its progress."""

    def __init__(self, label: str):
        super().__init__("%(message)s")
        self.label = label

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"[{line(self.label)}] {text}" if getattr(record, "progress", False) else text


def _logger(path: str, label: str) -> logging.Logger:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    logging.raiseExceptions = False  # a log on a full disk would answer each line with a traceback
    log, file_only = logging.getLogger("caft"), logging.getLogger("caft.file")
    log.setLevel(logging.INFO)
    log.propagate = False
    to_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    to_file.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(_Labelled(label))
    log.handlers = [to_file, to_terminal]
    file_only.handlers, file_only.propagate = [to_file], False
    return log


def clock(seconds: float) -> str:
    """Format seconds as `h:mm:ss`."""
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"


class Progress:
    """Log done/total, rate and time left, at most every few seconds and once at the end.

    What was `done` before counts as done, but not in the rate.
    """

    def __init__(self, what: str, total: int, unit: str = "items", done: int = 0):
        self.what, self.total, self.unit = what, total, unit
        self.done, self.started = done, time.monotonic()
        self._before = done
        self._last = self.started
        self.log = logging.getLogger("caft")

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more as done; `note` (money so far, loss …) is added to the line."""
        self.done += count
        now = time.monotonic()
        early = now - self._last < _SECONDS_BETWEEN_LINES and self.done < self.total
        if early or not count:
            return
        self._last = now
        rate = (self.done - self._before) / max(now - self.started, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        self.log.info(
            "%s: %d/%d (%d%%), %s, %s left%s",
            *(self.what, self.done, self.total, 100 * self.done // max(self.total, 1)),
            *(self._speed(rate), clock(left), f", {note}" if note else ""),
            extra={"progress": True},
        )

    def _speed(self, rate: float) -> str:
        slow = 0 < rate < _SLOW
        return f"{1 / rate:.0f} s per {self.unit[:-1]}" if slow else f"{rate:.1f} {self.unit}/s"

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started
