import os
import stat

import pytest
import safetensors.numpy

from caft.errors import CutError
from caft.tables.files import atomic_path, read_json, share_weights, write_json, write_text


def test_a_failing_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    target = tmp_path / "table"
    target.write_text("old")
    with pytest.raises(ValueError, match="disk"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ValueError("disk")
    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    assert target.read_text() == "old"


def test_a_first_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ValueError), atomic_path(tmp_path / "new" / "table") as temporary:
        temporary.write_text("half")
        raise ValueError
    assert list((tmp_path / "new").iterdir()) == []


def test_the_file_is_the_old_one_until_the_write_is_done(tmp_path):
    target = tmp_path / "table"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent == tmp_path
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


@pytest.mark.parametrize(
    "umask, file, folder", [(0o022, 0o644, 0o755), (0o002, 0o664, 0o775), (0o077, 0o600, 0o700)]
)
def test_the_umask_says_who_may_read_and_write_what_is_made(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a" / "b" / "note.txt", "é")
        with atomic_path(tmp_path / "a" / "model.safetensors") as temporary:
            safetensors.numpy.save_file({}, temporary)
        share_weights(tmp_path / "a")
    finally:
        os.umask(before)
    made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert made == {"a": folder, "b": folder, "note.txt": file, "model.safetensors": file}
    assert (tmp_path / "a" / "b" / "note.txt").read_bytes() == "é".encode()


@pytest.mark.parametrize("content", [b"", b'{"a": "b', b'{"a": "\xc3'])
def test_json_that_was_cut_is_named_with_its_mend(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CutError, match=r"a\.json: is not whole \(.*\); delete it and run again\."):
        read_json(tmp_path / "a.json")


def test_json_is_written_readably_and_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, None], "a": "é"})
    assert (tmp_path / "a.json").read_text() == (
        '{\n  "a": "é",\n  "b": [\n    1,\n    null\n  ]\n}\n'
    )
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": [1, None]}


def test_a_value_that_json_cannot_hold_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert read_json(tmp_path / "a.json") == 1
