"""What all sections of the configuration share: unknown keys are refused, every key is described.

A section is a pydantic model beside the code that it is for: in its room's `settings.py`, or in the
file of the adapter or provider that it describes. `caft.config.model` puts the sections together.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


class Section(BaseModel):
    """A section of the configuration; it cannot be changed once it is read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )
    unwritten: ClassVar[dict[str, Any]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Note which keys are not written where they have their default, with that default."""
        cls.unwritten = {
            name: field.default
            for name, field in cls.model_fields.items()
            if field.json_schema_extra in (_LEFT_OUT, _LATER)
        }

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        """Refuse an unknown key with those that are known, which pydantic's own words lack."""
        unknown = given.keys() - cls.model_fields if isinstance(given, dict) else set()
        if unknown:
            first, known = min(unknown, key=str), ", ".join(sorted(cls.model_fields))
            raise ValueError(f"unknown key {first!r}; known keys are {known}")
        return given

    @model_serializer(mode="wrap")
    def _written_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written = write(self)
        return {
            name: value
            for name, value in written.items()
            if name not in self.unwritten or value != self.unwritten[name]
        }

    def plain(self, *names: str) -> dict[str, Any]:
        """Return the section, or these keys of it, as plain values for Snakemake's params.

        Equal sections give equal texts, whatever the order in which their keys were written:
        mappings are sorted at every depth.
        """
        return in_order(self.model_dump(include=set(names) or None))


_LEFT_OUT: dict[str, Any] = {"left_out": True}
_LATER: dict[str, Any] = {"later": True}


def key(description: str | None, default: Any = ..., **limits: Any) -> Any:
    """Describe a key; without a default it has to be given.

    Args:
        description: what the key means, for docs/config.md and for editors; None for a section
            whose own docstring says so.
        default: the one place where its default stands.
        limits: `ge`, `gt`, `le`, `lt`, `min_length`, `pattern`, as of pydantic's `Field`.
    """
    return Field(default, description=description, validate_default=True, **limits)


def optional(description: str, **limits: Any) -> Any:
    """Describe a key that may be left out; it has no default, and null is the same as no key."""
    return Field(None, description=description, json_schema_extra=_LEFT_OUT, **limits)


def later(description: str, default: Any, **limits: Any) -> Any:
    """Describe a key that came later: with its default nothing is written, and so no digest moves.

    Args:
        description: as of `key`.
        default: what earlier versions did.
        limits: as of `key`.
    """
    return Field(default, description=description, json_schema_extra=_LATER, **limits)


def in_order(value: Any) -> Any:
    """Sort the keys of all mappings in a value, as texts: YAML has numbers among them, too."""
    if isinstance(value, Mapping):
        return {name: in_order(value[name]) for name in sorted(value, key=str)}
    return [in_order(part) for part in value] if isinstance(value, list | tuple) else value


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value} is no number")
    return value


def _shortest(value: float) -> float:
    return int(value) if value.is_integer() else value


def _unique(values: list[Any]) -> list[Any]:
    if len({repr(value) for value in values}) < len(values):
        raise ValueError(f"{values} names something twice")
    return values


_NUMBER = BeforeValidator(_no_flag)

Whole = Annotated[int, _NUMBER]
"""A whole number; 2.0 and "2" are 2."""
Natural = Annotated[int, Field(ge=0), _NUMBER]
"""A whole number from 0."""
Count = Annotated[int, Field(ge=1), _NUMBER]
"""A whole number from 1."""
Number = Annotated[float, _NUMBER]
"""A number; 1 is 1.0, and 2e-4, which YAML takes for a text, is 0.0002."""
NotNegative = Annotated[float, Field(ge=0), _NUMBER]
"""A number from 0."""
Positive = Annotated[float, Field(gt=0), _NUMBER]
"""A number above 0."""
Share = Annotated[float, Field(ge=0, le=1), _NUMBER]
"""A number from 0 to 1."""
Amount = Annotated[float, _NUMBER, AfterValidator(_shortest)]
"""A number that is mostly whole: 2.0 is 2, so that both mean the same model."""
PositiveAmount = Annotated[float, Field(gt=0), _NUMBER, AfterValidator(_shortest)]
"""An amount above 0."""
NAME = "^[A-Za-z0-9][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME)]
"""A name of the user's, which becomes a file name."""
Unique = AfterValidator(_unique)
"""Marks a list that holds everything once."""
