"""Raw rows of a question set, all of them at once."""

from caft.datasets import load


def loaded(settings, seed, downloads):
    """Read a question set, and all of its rows."""
    raw = load(settings, seed, downloads)
    raw.rows = list(raw.rows)
    return raw
