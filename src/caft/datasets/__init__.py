"""Question sets from different sources, all as the same raw rows.

An adapter has a module of its own, with its section of the configuration and the function that
reads; `ingest` checks the rows and makes the items table of them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from caft.datasets.settings import DatasetSettings
from caft.registry import Registry

S = TypeVar("S", bound=DatasetSettings)


@dataclass
class RawRows:
    """What an adapter reads.

    Attributes:
        rows: one dict per question with the keys file, row (1-based), source_id, question, options
            (list of str or None; a value that is no list stays as it is), answer (as given, str or
            None), category, rationale and split (or None), and perhaps about: the text that several
            questions are about, with which this question begins, and more: values of the items'
            further columns by name. They may be read while somebody asks for them, once, so that
            not all are in memory; what is wrong with their file is an ItemError then.
        answer_kind: choice, numeric or text, of all rows.
        answer_format: how a choice answer is given: letter, index0, index1 or text.
        rejected: rows that could not be read, with the columns of quarantined_items; whole, as
            what follows, when all rows are read.
        blank: how many empty rows of spreadsheets were passed over.
        notes: what may make results wrong, and is seen only where the rows are read.
    """

    rows: Iterable[dict[str, Any]]
    answer_kind: str
    answer_format: str = "letter"
    rejected: list[dict[str, Any]] = field(default_factory=list)
    blank: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Adapter(Generic[S]):
    """Where questions come from. The module of each adapter ends in its own `ADAPTER`.

    Attributes:
        settings: its section of the configuration; it also tells which files it reads, and what is
            wrong between its keys.
        read: called with the section, the seed of the run and the folder for downloads.
    """

    settings: type[S]
    read: Callable[[S, int, Path], RawRows]


ADAPTERS: Registry[Adapter[Any]] = Registry(
    __name__,
    "ADAPTER",
    {
        "file": ".file",
        "hub": ".hub",
        "package": ".package",
        "reasoning_gym": ".reasoning_gym",
    },
)
"""Every adapter by its name in the config. Its libraries are imported when it reads."""


RETIRED = {
    "mmlu_dev": "mmlu_dev is read by the adapter `package` now, which gives the same items; write "
    "instead of `adapter: mmlu_dev` these keys, and leave the others: {adapter: package, package: "
    "lm-eval==0.4.13, wheel_sha256: "
    "5daaa1973bf874005f64f28d3834b875f6886f0d6475878e6a6c821994a5286a, members: "
    "[lm_eval/tasks/mmlu/flan_cot_fewshot/_cot_prompts.json], format: worked_prompts, columns: "
    "{question: question, options: options, answer: answer, rationale: rationale, category: "
    "subject, id: id}}",
}
"""Adapters that are no more, and what to write instead."""


def read_section(plain: Mapping[str, Any]) -> DatasetSettings:
    """Turn a section `datasets.<name>` in plain values, as rules have it, back."""
    return ADAPTERS[plain["adapter"]].settings.model_validate(plain)


def load(settings: DatasetSettings, seed: int, downloads: Path) -> RawRows:
    """Read a question set; its rows are read when they are asked for.

    Args:
        settings: the data set's section of the config.
        seed: of the run, for generated questions.
        downloads: folder for files that are fetched once and kept.

    Raises:
        ItemError: if the source cannot be used.
    """
    return ADAPTERS[settings.adapter].read(settings, seed, downloads)
