"""Question sets from different sources, all as the same raw rows.

An adapter has a module of its own, with its section of the configuration and the function that
reads; `ingest` checks the rows and makes the items table of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from caft.datasets.settings import DatasetSettings


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


@dataclass(frozen=True)
class Adapter:
    """Where questions come from. The module of each adapter ends in its own `ADAPTER`.

    Attributes:
        settings: its section of the configuration, which also tells the files that it reads.
        read: called with the section, the seed of the run and the folder for downloads.
    """

    settings: type[DatasetSettings]
    read: Callable[[dict[str, Any], int, Path], RawRows]


ADAPTERS = {
    "file": "caft.datasets.file",
    "hub": "caft.datasets.hub",
    "mmlu_dev": "caft.datasets.mmlu_dev",
    "reasoning_gym": "caft.datasets.reasoning_gym",
}
"""Module of each adapter; importing one takes no time, its libraries are imported when it reads."""


def adapter(name: str) -> Adapter:
    """Return the adapter of a name in `ADAPTERS`."""
    return import_module(ADAPTERS[name]).ADAPTER


def load(spec: dict[str, Any], seed: int, downloads: Path) -> RawRows:
    """Read a question set.

    Args:
        spec: a dataset's config; `adapter` names the source, the other keys are the adapter's.
        seed: of the run, for generated questions.
        downloads: folder for files that are fetched once and kept.

    Raises:
        ItemError: if the source cannot be used.
    """
    return adapter(spec["adapter"]).read(spec, seed, downloads)
