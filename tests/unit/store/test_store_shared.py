"""A store that others see: the umask says what they may do, an export names no machine."""

import os
import stat

import pyarrow.parquet as pq
import pytest

from caft.store import Store, export
from caft.store.compaction import compact


@pytest.fixture
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077], indirect=True, ids=oct)
def test_files_of_a_store_have_the_rights_that_the_umask_leaves(tmp_path, umask):
    store = Store(tmp_path / "store")
    with store:
        store.append([{"key": "a" * 64, "kind": "rationale", "text": "t"}])
        journals = rights(tmp_path)
    compact(tmp_path / "store")
    for made in (journals, rights(tmp_path)):
        assert set(made.values()) == {0o666 & ~umask, 0o777 & ~umask}
    assert any(name.endswith(".jsonl") for name in journals)
    assert any(name.endswith(".parquet") for name in rights(tmp_path))


def rights(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.parquet"])
def test_an_export_names_neither_the_machine_nor_its_folders(tmp_path, monkeypatch, name):
    monkeypatch.setattr("socket.gethostname", lambda: "canary-host")
    with Store(tmp_path / "canary-home/store") as store:
        store.append([{"key": "a" * 64, "kind": "rationale", "text": "t"}])
        assert any("canary-host" in path for path in rights(tmp_path))
        assert export.export(store, tmp_path / name) == 1
    assert b"canary" not in (tmp_path / name).read_bytes()
    if name.endswith(".parquet"):
        assert "canary" not in str(pq.read_table(tmp_path / name).to_pylist())
