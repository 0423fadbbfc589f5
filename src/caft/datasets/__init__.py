"""Question sets from different sources, all as the same raw rows.

An adapter is a function `(spec, seed, downloads) -> RawRows`; `ingest` checks the rows and makes
the items table of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass
class RawRows:
    """What an adapter read.

    Attributes:
        rows: one dict per question with the keys file, row (1-based), source_id, question, options
            (list of str or None; a value that is no list stays as it is), answer (as given, str or
            None), category, rationale and split (or None).
        answer_kind: choice, numeric or text, of all rows.
        answer_format: how a choice answer is given: letter, index0, index1 or text.
        rejected: rows that could not be read, with the columns of quarantined_items.
    """

    rows: list[dict[str, Any]]
    answer_kind: str
    answer_format: str = "letter"
    rejected: list[dict[str, Any]] = field(default_factory=list)


Adapter = Callable[[dict[str, Any], int, Path], RawRows]


def _adapter(module: str) -> Adapter:
    """Import an adapter's module at its first use: some of their libraries take seconds."""

    def read(spec: dict[str, Any], seed: int, downloads: Path) -> RawRows:
        return import_module(f"caft.datasets.{module}").read(spec, seed, downloads)

    return read


ADAPTERS: dict[str, Adapter] = {
    name: _adapter(name) for name in ("file", "hub", "mmlu_dev", "reasoning_gym")
}


def load(spec: dict[str, Any], seed: int, downloads: Path) -> RawRows:
    """Read a question set.

    Args:
        spec: a dataset's config; `adapter` names the source, the other keys are the adapter's.
        seed: of the run, for generated questions.
        downloads: folder for files that are fetched once and kept.

    Raises:
        ItemError: if the source cannot be used.
    """
    return ADAPTERS[spec["adapter"]](spec, seed, downloads)
