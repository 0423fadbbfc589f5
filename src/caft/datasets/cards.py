"""Cards of data sets: they are data, and may only name files of their own data set."""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

SHOWN = 200  # characters of a name in an error
_CARDS = ("README.md", ".huggingface.yaml")  # which the library reads
_NAME_FILES = ("data_files", "data_dir")  # wherever they stand
_MOST_BYTES, _MOST_NODES = 2**20, 1_000_000


def cards(name: str, revision: str | None) -> Iterator[Path]:
    """Yield the files, fetched if need be, in which a data set says what its files are."""
    if Path(name).is_dir():
        yield from (path for card in _CARDS if (path := Path(name, card)).exists())
        return
    from datasets import config
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError

    api = HfApi(endpoint=config.HF_ENDPOINT, library_name="caft")
    for card in _CARDS:
        with suppress(EntryNotFoundError):
            yield Path(api.hf_hub_download(name, card, repo_type="dataset", revision=revision))


def card_problem(path: Path) -> str | None:
    """Say what a card names that is no file of its own data set; None if there is nothing.

    Raises:
        Exception: as huggingface_hub, if the card cannot be read.
    """
    if path.stat().st_size > _MOST_BYTES:
        return f"has more than {_MOST_BYTES // 2**20} MB, so it is not read."
    if path.suffix == ".yaml":
        import yaml

        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    else:
        from huggingface_hub import DatasetCard

        said = vars(DatasetCard.load(path).data)
    if _written_out(said, {}) > _MOST_NODES:
        return "repeats itself without end, so it is not read."
    for key, value in _strings(said):
        if key in _NAME_FILES and not _is_own(value):
            return (
                f"names {value[:SHOWN]!a} ({key}), which is no file of the data set; only paths "
                "below its own folder are read."
            )
    return None


def _is_own(pattern: str) -> bool:
    absolute = PurePosixPath(pattern).is_absolute() or PureWindowsPath(pattern).anchor
    return not (absolute or "::" in pattern or "://" in pattern or ".." in _parts(pattern))


def _parts(pattern: str) -> list[str]:
    return re.split(r"[/\\]", pattern)


def _strings(said: Any) -> Iterator[tuple[str, str]]:
    """Yield every text with the key of the config that it belongs to."""
    left: list[tuple[str, Any]] = [("", said)]
    while left:
        key, value = left.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            left += (
                (key if key in _NAME_FILES else str(name), part) for name, part in value.items()
            )
        elif isinstance(value, list):
            left += ((key, part) for part in value)


def _written_out(value: Any, known: dict[int, float]) -> float:
    """Count the parts of a value with every alias of YAML written out; it may hold itself."""
    if id(value) not in known:
        known[id(value)] = math.inf
        parts = value.values() if isinstance(value, dict) else value
        inner = parts if isinstance(value, dict | list) else ()
        known[id(value)] = 1 + sum(_written_out(part, known) for part in inner)
    return known[id(value)]
