import os
import socket
import subprocess
import sys

import pytest

from caft.locks import remove_stale_lock


@pytest.fixture
def locked(tmp_path):
    """A folder as a killed run of this machine leaves it."""
    remove_stale_lock(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir()
    (tmp_path / ".snakemake/locks/0.input.lock").write_text("data/items/mine.parquet\n")
    return tmp_path


def test_the_lock_of_a_dead_run_is_removed(locked):
    assert remove_stale_lock(locked)
    assert not (locked / ".snakemake/locks").exists()


def test_the_lock_of_a_live_run_stays(locked):
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()", "snakemake"]
    run = subprocess.Popen(waiting, cwd=locked, stdin=subprocess.PIPE)
    try:
        assert not remove_stale_lock(locked)
    finally:
        run.communicate()
    assert (locked / ".snakemake/locks/0.input.lock").exists()
    assert remove_stale_lock(locked)


def test_the_lock_of_another_machine_stays(locked):
    (locked / ".snakemake/caft_host").write_text(f"not-{socket.gethostname()}")
    assert not remove_stale_lock(locked)
    assert os.listdir(locked / ".snakemake/locks")


def test_a_folder_without_a_lock_is_left_alone(tmp_path):
    assert not remove_stale_lock(tmp_path)
