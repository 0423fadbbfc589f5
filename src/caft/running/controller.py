"""What to do while Slurm's controller is away: Snakemake's plugin waits for it without a word."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable

_SECONDS_BETWEEN_LOOKS = 60.0
_LONGEST_SECONDS = 50.0  # a look that takes longer is no answer


def watch() -> None:
    """Look each minute whether the controller answers, and wait for it, while this process lives.

    Before each look at its jobs the plugin asks the controller how long it remembers them
    (`MinJobAge`), and turns to `sacct` where it gets no answer. On a cluster without accounting
    that never answers, and the run would hang when the controller has long been back.
    """
    import snakemake_executor_plugin_slurm as plugin

    plugin.get_min_job_age = waiting_for(plugin.get_min_job_age, answers)
    changes = changes_of(answers)

    def look() -> None:
        while True:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            if line := changes():
                print(line, file=sys.stderr, flush=True)

    threading.Thread(target=look, daemon=True).start()


def waiting_for(
    ask: Callable[[], int | None], look: Callable[[], bool], pause: float = 1.0
) -> Callable[[], int | None]:
    """Return a function that asks, and asks again as long as nobody answers."""

    def asked() -> int | None:
        while (found := ask()) is None:
            if look():
                return ask()  # whatever it says now that it is there
            time.sleep(pause)
        return found

    return asked


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
