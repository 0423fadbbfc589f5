"""Texts and names of a run in a card: none is markup, and none tells a folder of its machine."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caft.shown import escaped, line

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_PATH = re.compile(r"[/~.\\]|[A-Za-z]:|file:")


def quoted(text: str, language: str = "text") -> str:
    """Put a text into a code block that it cannot leave, whatever it holds."""
    clean = escaped(text)
    longest = max((len(run) for run in re.findall("`+", clean)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{clean}\n{fence}"


def as_code(text: str) -> str:
    """Show a name as code, whatever it holds."""
    clean = line(" ".join(str(text).split()))
    longest = max((len(run) for run in re.findall("`+", clean)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{clean}{space}{fence}"


def hub_id(dataset: Mapping[str, Any]) -> str | None:
    """Return a data set's id on the hub; None if it is from elsewhere, a local folder say."""
    name = dataset.get("id", "")
    return name if _HUB_ID.fullmatch(name) and not Path(name).exists() else None


def shown_name(text: str) -> str:
    """Return what a model or data set is called, without the folder on this machine it lies in."""
    if _PATH.match(text) or Path(text).exists():
        return re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return text
