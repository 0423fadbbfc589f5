"""The splits that a data set has of its own: every part of it is one, or is refused."""

import re
from collections.abc import Iterable, Mapping

from caft.datasets.settings import Parts
from caft.errors import ItemError

SPLITS = ("train", "validation", "test")
_VALIDATION = {"val", "valid", "validation", "dev", "development", "eval", "evaluation"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")


def require_parts(name: str, found: Iterable[str], parts: Parts) -> None:
    """Refuse parts that no split is named for, and names that are no parts.

    Raises:
        ItemError: with all parts that there are.
    """
    there, known = list(found), [*parts.split_of(), *parts.left_out()]
    for part in there:
        if part not in known:
            raise ItemError(
                f"{name}: `parts` names no split for {part!r}; the parts are {', '.join(there)}. "
                "Name those that are not to be read under `parts.leave_out`."
            )
    for part in known:
        if part not in there:
            raise ItemError(f"{name}: has no part {part!r}; the parts are {', '.join(there)}.")


def guessed(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the split of each part whose name tells it."""
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in names:
        if split := _told(name):
            splits[split].append(name)
    return {split: of for split, of in splits.items() if of}


def _told(name: str) -> str | None:
    """Return the split that a word of a name tells; words end at signs, digits and capitals."""
    words = [word.casefold() for word in _WORD.findall(name)]
    for split in ("train", "test"):
        if any(word.startswith(split) for word in words):
            return split
    return None if _VALIDATION.isdisjoint(words) else "validation"


def divided(names: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the key `parts` for parts of these names, and notes on it.

    Validation stands for a test that is not there. The key is empty if no part is train, or none
    is anything else.
    """
    names = list(names)
    found, notes = guessed(names), []
    if not {"train"} < found.keys():
        return {}, []
    if "test" not in found:
        found["test"] = found.pop("validation")
        notes.append(f"parts: there is no test; {', '.join(found['test'])} stands for it.")
    if rest := _untold(names):
        found["leave_out"] = rest
        notes.append(f"parts: not read, as the name tells no split: {', '.join(rest)}.")
    return found, notes


def _untold(names: Iterable[str]) -> list[str]:
    return [name for name in names if not _told(name)]


def suggested(names: Iterable[str]) -> str:
    """Return the key `parts` as it would be for these parts, by what their names contain."""
    names = list(names)
    rest = _untold(names)
    return shown({**guessed(names), **({"leave_out": rest} if rest else {})})


def shown(parts: Mapping[str, list[str]]) -> str:
    """Return the key `parts` as it is written."""
    inner = ", ".join(f"{key}: [{', '.join(names)}]" for key, names in parts.items())
    return f"`parts: {{{inner}}}`"
