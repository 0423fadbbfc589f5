"""A store that a group shares: the umask of each says what the others may do."""

import os
import stat

import pytest

from caft.store import Store
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
