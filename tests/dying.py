"""Processes that kill themselves at a chosen step."""

import os
import signal


def at_step(step, count, after, act):
    """Act in a process that kills itself at the count-th call of a function of `os`."""
    child = os.fork()
    if child == 0:
        original, calls = getattr(os, step), iter(range(1, 1000))

        def call(*arguments, **named):
            last = next(calls) == count
            if last and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return original(*arguments, **named)
            finally:
                if last:
                    os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, step, call)
        act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
