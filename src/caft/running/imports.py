"""Importing torch and what builds on it."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage while libraries are imported, which takes a fifth of the time otherwise.

    What the first such import leaves is never looked at again: no model is among it. After a later
    one that would keep models for good that refer to themselves.
    """
    first, was_on = "transformers.modeling_utils" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if first:
            gc.freeze()
        if was_on:
            gc.enable()
