"""Says when Slurm's controller is away: Snakemake's plugin waits for it without a word."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable

_SECONDS_BETWEEN_LOOKS = 60.0
_LONGEST_SECONDS = 50.0  # a look that takes longer is no answer


def watch() -> None:
    """Look each minute whether the controller answers, while this process lives."""
    changes = changes_of(answers)

    def look() -> None:
        while True:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            if line := changes():
                print(line, file=sys.stderr, flush=True)

    threading.Thread(target=look, daemon=True).start()


def changes_of(look: Callable[[], bool]) -> Callable[[], str | None]:
    """Return a function that looks, and returns what is new: a line, or None."""
    answered, since = True, ""

    def change() -> str | None:
        nonlocal answered, since
        before, answered = answered, look()
        if before == answered:
            return None
        if answered:
            return f"Slurm's controller answers again; it was away since {since}."
        since = time.strftime("%H:%M")
        return (
            f"Slurm's controller does not answer ({since}). This run waits for it, and its jobs "
            "go on; nothing is lost (docs/cluster.md)."
        )

    return change


def answers() -> bool:
    """Tell whether the controller answers; True where that cannot be asked."""
    try:
        done = subprocess.run(
            ["scontrol", "ping"], check=False, capture_output=True, timeout=_LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    except OSError:
        return True
    return done.returncode == 0
