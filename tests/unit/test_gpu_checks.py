"""The checks of `benchmarks/gpu` that are quick, dry: those that start processes run in CI."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks/gpu"


@pytest.fixture
def check(monkeypatch, tmp_path):
    """Runs a theme on the CPU, in tiny shapes; it raises where what it compares differs."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def run(theme):
        machine = importlib.import_module("machine").Machine(True, tmp_path)
        return importlib.import_module(theme).check(machine)

    return run


def test_what_is_seen_is_told(check):
    found = check("visible")
    assert (found["device"], found["dtype"]) == ("cpu", "float32")


def test_scores_agree_with_those_of_a_cpu(check):
    assert float(check("precision")["float32 off by"]) == 0.0


def test_what_is_written_behind_a_switch_of_positions_agrees_with_one_pass(check):
    found = check("long_context")
    assert found["tokens behind the switch"] > 20 and float(found["off by"]) < 1e-4
