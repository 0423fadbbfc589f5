# How a run ends that cannot go on: with what is wrong, in place of Snakemake's lines of code.
from contextlib import contextmanager
from traceback import format_exception

from snakemake.exceptions import IncompleteCheckpointException, WorkflowError

from caft.running import ends


class CannotRun(WorkflowError):
    """What is wrong lies in the user's files, so Snakemake's own lines of code would mislead."""

    __traceback__ = None


@contextmanager
def plainly():
    """Say what is wrong in the user's files or with his disks in a line."""
    try:
        yield
    except Exception as error:
        if not (said := ends.told(error)):
            raise
        raise CannotRun(escaped(said)) from None


@contextmanager
def surely():
    """End the run where an input function fails.

    Snakemake catches all its exceptions, and takes an output that is there as a file of the user's: as current.
    """
    try:
        yield
    except IncompleteCheckpointException:
        raise
    except Exception as error:
        said = ends.told(error)
        print(
            f"CannotRun:\n{escaped(said)}" if said else "".join(format_exception(error)),
            file=sys.stderr,
        )
        sys.exit(1)
