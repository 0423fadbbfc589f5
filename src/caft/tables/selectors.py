"""Values below a column, by a path such as `question.choices[].text`."""

import ast
import io
import json
import re
import tokenize
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from caft.tables.rows import Unclear, once

_LONGEST_LIST = 100_000  # characters of a text that is read as a list in Python's words
_STEP = re.compile(r"\[(\d*)\]")
_PART = re.compile(r"([^\[\]]*)((?:\[\d*\])*)")


class Misfit(Exception):
    """A row whose cells cannot be used; the arguments are a reason in a word, and in words."""


def select(record: Mapping[str, Any], selector: str) -> Any:
    """Return what a selector finds in a row; None where there is nothing.

    A column of that very name comes first. Otherwise `a.b` is `b` in the object `a`, `a[2]` the
    third entry of a list, `a[][2]` that of every entry, and `a[].b`, or `a.b` where `a` is a list,
    `b` of every entry. A text that holds JSON, as nested values do in CSV, is read.
    """
    return record[selector] if selector in record else _walk(record, steps(selector))


def _walk(value: Any, path: Sequence[str | int | None]) -> Any:
    for place, step in enumerate(path, start=1):
        if step is not None:
            value = _step(value, step)
        elif isinstance(next(iter(path[place:]), None), int):  # names look into lists anyway
            several = _opened(value)
            return [_walk(one, path[place:]) for one in several] if _is_list(several) else None
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


@cache
def steps(selector: str) -> tuple[str | int | None, ...]:
    """Part a selector: names of keys, numbers of entries, and None for every entry.

    What has other brackets is the name of a column.
    """
    found: list[str | int | None] = []
    for part in selector.split("."):
        if not (match := _PART.fullmatch(part)):
            return (selector,)
        found += [match[1]] if match[1] else []
        found += [int(number) if number else None for number in _STEP.findall(match[2])]
    return tuple(found)


def _step(value: Any, step: str | int) -> Any:
    value = _opened(value)
    if _is_list(value):
        if isinstance(step, int):
            return value[step] if step < len(value) else None
        return [_step(one, step) for one in value]
    return value.get(step) if isinstance(value, Mapping) else None


def _opened(value: Any) -> Any:
    return parsed(value) if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") else value


def parsed(text: str) -> Any:
    """Return what a text holds in JSON or in Python's words, else the text itself.

    Raises:
        Misfit: if it is a list without commas, as numpy prints one.
    """
    for parse in (_json, _literal)[: 2 if len(text) <= _LONGEST_LIST else 1]:
        try:
            with warnings.catch_warnings(action="ignore"):
                value = parse(text.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if parse is _literal and _lacks_commas(text, value):
            raise Misfit(
                "bad_options",
                "a list without commas, as numpy prints it, so that its entries run together; "
                "write it as JSON (json.dumps(list(options))) before you save the file",
            )
        return value
    return text


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=once)


def _literal(text: str) -> Any:
    tree = _Arrays().visit(ast.parse(text, mode="eval"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            found = once([(ast.unparse(key).strip("'"), None) for key in node.keys if key])
            if isinstance(found, Unclear):
                return found
    return ast.literal_eval(tree)


class _Arrays(ast.NodeTransformer):
    """Takes numpy's `array([...], dtype=object)` for its list; nothing is called."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Return what is in the brackets of `array(...)`."""
        is_array = isinstance(node.func, ast.Name) and node.func.id == "array" and node.args
        return self.visit(node.args[0]) if is_array else node


def _lacks_commas(text: str, value: Any) -> bool:
    if not re.search(r"['\"]\s+['\"]", text):
        return False
    tokens = tokenize.generate_tokens(io.StringIO(text.strip()).readline)
    written = sum(one.type == tokenize.STRING for one in tokens)
    return written > sum(isinstance(one, str) for one in _leaves(value))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple | set):
        for one in value:
            yield from _leaves(one)
    else:
        yield value
