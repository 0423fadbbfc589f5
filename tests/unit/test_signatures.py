"""A function that takes many things takes them in groups that have a name."""

import ast
from pathlib import Path

CAFT = Path(__file__).parents[2] / "src/caft"
MOST = 7
# Rooms whose functions still take more; empty it when they do not.
LEFT_OUT: set[str] = set()


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function):
    given = function.args
    listed = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [one.arg for one in listed if one and one.arg not in ("self", "cls")]


def test_no_function_has_more_than_seven_parameters():
    paths = [path for path in CAFT.rglob("*.py") if path.relative_to(CAFT).parts[0] not in LEFT_OUT]
    assert len(paths) > 50
    many = {
        f"{path.relative_to(CAFT)}: {function.name}": parameters(function)
        for path in paths
        for function in functions(path)
        if len(parameters(function)) > MOST
    }
    assert many == {}
