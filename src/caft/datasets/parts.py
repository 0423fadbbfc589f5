"""The splits that a data set has of its own: every part of it is one, or is refused."""

from collections.abc import Iterable

from caft.datasets.settings import Parts
from caft.errors import ItemError

SPLITS = ("train", "validation", "test")
_USUAL = {
    "train": "train",
    "test": "test",
    "val": "validation",
    "dev": "validation",
}


def require_parts(name: str, found: Iterable[str], parts: Parts) -> None:
    """Refuse parts that no split is named for, and names that are no parts.

    Raises:
        ItemError: with all parts that there are.
    """
    there, known = list(found), parts.split_of()
    for part in there:
        if part not in known:
            raise ItemError(
                f"{name}: `parts` names no split for {part!r}; the parts are {', '.join(there)}."
            )
    for part in known:
        if part not in there:
            raise ItemError(f"{name}: has no part {part!r}; the parts are {', '.join(there)}.")


def guessed(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the split of each part whose name tells it."""
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in names:
        plain = name.casefold()
        split = next((one for word, one in _USUAL.items() if word in plain), None)
        if split:
            splits[split].append(name)
    return {split: of for split, of in splits.items() if of}


def suggested(names: Iterable[str]) -> str:
    """Return the key `parts` as it would be for these parts, by what their names contain."""
    shown = ", ".join(f"{split}: [{', '.join(of)}]" for split, of in guessed(names).items())
    return f"`parts: {{{shown}}}`"
