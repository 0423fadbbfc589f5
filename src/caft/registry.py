"""Names, and where what they name is declared: it is imported when it is first asked for."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping of names to what modules declare, in the order of its lines.

    To add to it, add a line to `where`.
    """

    def __init__(self, package: str, attribute: str, where: dict[str, str]):
        """Take the lines.

        Args:
            package: that module names with a leading dot are in.
            attribute: of a module that declares one thing.
            where: by name `module`, or `module:ATTRIBUTE`; an attribute that is a dict declares
                several things, by name.
        """
        self.package, self.attribute, self.where = package, attribute, where

    def __getitem__(self, name: str) -> T:
        module, _, attribute = self.where[name].partition(":")
        found: Any = getattr(import_module(module, self.package), attribute or self.attribute)
        return found[name] if isinstance(found, dict) else found

    def __contains__(self, name: object) -> bool:
        return name in self.where

    def __iter__(self) -> Iterator[str]:
        return iter(self.where)

    def __len__(self) -> int:
        return len(self.where)
