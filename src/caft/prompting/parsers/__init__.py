"""Parsers: where in a model's text its answer stands. One file each (or several), one line here."""

from collections.abc import Callable
from dataclasses import dataclass

from caft.registry import Registry


@dataclass(frozen=True)
class Parser:
    """How the answer is found in a text.

    Attributes:
        places: each returns what stands in the answer's place, or None; the first from which an
            answer can be read counts.
        of_rationales: whether it reads texts that end in their answer, as a teacher's do.
    """

    places: tuple[Callable[[str], str | None], ...]
    of_rationales: bool = True


PARSERS: Registry[Parser] = Registry(
    __name__,
    "PARSER",
    {
        "marked": ".stated:PARSERS",
        "answer_is": ".stated:PARSERS",
        "any": ".stated:PARSERS",
        "leading": ".stated:PARSERS",
    },
)
"""Every parser by its name in the config, with the module that declares it."""
