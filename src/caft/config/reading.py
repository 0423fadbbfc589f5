"""From files and the command line to the configuration, the same for Snakemake and for `caft`."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from caft.config.model import Configuration
from caft.datasets import RETIRED
from caft.errors import ConfigError
from caft.mixtures.recipe import Recipe
from caft.settings import NAME
from caft.teacher.keys import exposed

Raw = dict[str, Any]


def read_files(paths: Iterable[Path]) -> Raw:
    """Read files as Snakemake does: each is laid over those before, key by key.

    Raises:
        ConfigError: if a file cannot be read or holds no keys.
    """
    raw: Raw = {}
    for path in paths:
        part = _read_file(path)
        if not isinstance(part, dict):
            raise ConfigError(f"{path}: holds no keys.")
        lay_over(raw, part)
    return raw


def _read_file(path: Path) -> Any:
    import yaml
    import yte

    try:
        text = path.read_text(encoding="utf-8")
        try:
            return json.loads(text)
        except ValueError:
            return yte.process_yaml(text, require_use_yte=True)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({_flat(error)}).") from error


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())


def lay_over(below: Raw, above: Mapping[str, Any]) -> None:
    """Lay keys over others, in place; no mapping is shared afterwards, as YAML's aliases would.

    As in Snakemake an empty mapping changes nothing.
    """
    for key, value in above.items():
        if not isinstance(value, Mapping):
            below[key] = value
        elif value or key not in below:
            inner = below.get(key)
            below[key] = inner if isinstance(inner, dict) else {}
            lay_over(below[key], value)


def read_words(given: Mapping[str, Any]) -> Raw:
    """Read what stands behind `--config` as YAML: there Snakemake leaves inner values as text."""
    import yaml

    def read(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: read(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [read(part) for part in value]
        return yaml.safe_load(value) if isinstance(value, str) else value

    try:
        return {key: read(value) for key, value in given.items()}
    except yaml.YAMLError as error:
        raise ConfigError(f"--config: cannot be read as YAML ({_flat(error)}).") from error


def parse(raw: Mapping[str, Any]) -> Configuration:
    """Check a configuration key by key and fill in the defaults.

    Raises:
        ConfigError: naming every problem with its config path.
    """
    raw = _as_text(raw)
    # First of all: whatever else is wrong would be told together with what was given.
    if keys := [f"{where}: {what}" for where, what in exposed(raw)]:
        raise ConfigError(_lines(keys))
    try:
        config = Configuration.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_lines(problems(error, raw))) from None
    found: list[str] = []
    for name, strategy in config.strategies.items():
        try:
            Recipe.model_validate(strategy.training)
        except ValidationError as error:
            found += problems(error, strategy.training, ("strategies", name, "training"))
    if found:
        raise ConfigError(_lines(found))
    return config


def _lines(found: Iterable[str]) -> str:
    return "\n".join(f"config: {problem}" for problem in found)


def _as_text(value: Any) -> Any:
    """Copy a configuration; what YAML reads as a date is text again."""
    if isinstance(value, Mapping):
        return {key: _as_text(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(part) for part in value]
    return value.isoformat() if isinstance(value, date) else value


def problems(error: ValidationError, raw: Any, path: tuple[str, ...] = ()) -> list[str]:
    """Say what is wrong, one line per place: its config path, and what would be right.

    Args:
        error: pydantic's.
        raw: what was checked.
        path: of `raw` in the configuration.
    """
    found: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False):
        where = ".".join([*path, *_place(detail, raw)])
        # Each branch of a union has its own complaint about the same place.
        found.setdefault(where or "top level", []).append(_complaint(detail))
    return [f"{where}: {', and '.join(dict.fromkeys(texts))}." for where, texts in found.items()]


def _place(detail: ErrorDetails, raw: Any) -> Iterator[str]:
    """Yield the keys that lead to an error, without pydantic's names for branches of unions."""
    *_, last = detail["loc"] or ("",)
    inner: Any = raw
    for part in detail["loc"]:
        if part in inner if isinstance(inner, dict) else _is_place(inner, part):
            inner = inner[part]
        elif detail["type"] != "missing" or part != last:
            continue
        yield str(part)
    if detail["type"].startswith("union_tag"):
        yield detail["ctx"]["discriminator"].strip("'")


def _is_place(value: Any, part: int | str) -> bool:
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


_COMPLAINTS = {
    "missing": "is needed",
    "literal_error": "{given} is not one of {expected}",
    "union_tag_invalid": "{tag!r} is not one of {expected_tags}",
    "union_tag_not_found": "is needed",
    "greater_than_equal": "{given} is less than the minimum of {ge:g}",
    "less_than_equal": "{given} is greater than the maximum of {le:g}",
    "greater_than": "{given} has to be greater than {gt:g}",
    "less_than": "{given} has to be less than {lt:g}",
    "too_short": "{given} has fewer than {min_length} entries",
    "too_long": "{given} has more than {max_length} entries",
    "finite_number": "{given} is not finite",
    "string_type": "{given} is no text; if it is meant as one, write it in quotes",
}
_KINDS = {
    "int": "whole number",
    "float": "number",
    "list": "list",
    "dict": "section of keys",
    "model": "section of keys",
}


def _complaint(detail: ErrorDetails) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "string_pattern_mismatch":
        if context["pattern"] != NAME:
            return f"{given!r} does not have the form {context['pattern']}"
        better = re.sub("[^A-Za-z0-9_-]+", "_", given).strip("_-") or "name"
        return (
            f"{given!r} is no name: it becomes a file name, so it has letters, digits, - and _ "
            f"alone, such as {better}"
        )
    if kind == "union_tag_invalid" and context["tag"] in RETIRED:
        return RETIRED[context["tag"]]
    if kind in _COMPLAINTS:
        return _COMPLAINTS[kind].format(given=repr(given), **context)
    if kind.startswith("bool"):
        return f"{given!r} is neither true nor false"
    if name := _KINDS.get(kind.partition("_")[0]):
        return f"{given!r} is no {name}"
    return detail["msg"].removeprefix("Value error, ")
