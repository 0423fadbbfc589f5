import psutil
import pytest

from caft.running.machine import memory_mb


@pytest.mark.parametrize(
    ("limit", "megabytes"),
    [("8000000000", 8000), ("max", 64000), ("999000000000", 64000), (None, 64000)],
)
def test_memory_is_the_machines_or_that_of_its_container(tmp_path, monkeypatch, limit, megabytes):
    class Machine:
        total = 64_000_000_000

    monkeypatch.setattr(psutil, "virtual_memory", Machine)
    file = tmp_path / "memory.max"
    if limit:
        file.write_text(f"{limit}\n")
    assert memory_mb(file) == megabytes
