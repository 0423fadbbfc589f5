"""Random sequences of edits, losses and kills end with the tables of a fresh run.

`python benchmarks/sequences/run.py` takes as many as you like.
"""

import pytest
from sequences import Sequence, World


@pytest.fixture(scope="module")
def world(config, student, tmp_path_factory):
    """The base config, a student, and a folder for all projects."""
    return World(tmp_path_factory.mktemp("sequences"), config, student)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_command_ends_with_the_tables_of_a_fresh_run(world, seed):
    Sequence(world, seed).go(4)
