import os

import pytest

from caft.errors import ConfigError
from caft.running.private import open_private, private_folder


@pytest.fixture
def shared(monkeypatch, tmp_path):
    """A temporary folder that everybody may write to."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))
    return folder


def enter(name):
    with private_folder(name):
        pass


def test_a_private_folder_is_made_for_its_user_alone(shared):
    with private_folder("caft-x") as folder, open_private(folder, "one") as file:
        file.write("1")
    made = shared / f"caft-x-{os.getuid()}"
    assert made.stat().st_mode & 0o777 == 0o700
    assert (made / "one").stat().st_mode & 0o777 == 0o600
    with private_folder("caft-x") as folder, open_private(folder, "one") as file:
        assert file.read() == "1", "a file that is opened again keeps its content"


def test_a_link_in_place_of_the_folder_is_refused(shared, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (shared / f"caft-x-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"caft-x.*no folder of yours alone.*TMPDIR"):
        enter("caft-x")


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755, 0o701])
def test_a_folder_that_is_open_to_others_is_refused(shared, mode):
    folder = shared / f"caft-x-{os.getuid()}"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match="others may read or write it"):
        enter("caft-x")


def test_another_users_folder_is_refused(shared, monkeypatch):
    other = os.getuid() + 1
    (shared / f"caft-x-{other}").mkdir(mode=0o700)
    monkeypatch.setattr("os.getuid", lambda: other)
    with pytest.raises(ConfigError, match="another user owns it"), private_folder("caft-x"):
        pass


@pytest.mark.parametrize("what", ["a file", "a link to nothing", "a link to itself"])
def test_what_is_no_folder_is_refused(shared, what):
    path = shared / f"caft-x-{os.getuid()}"
    if what == "a file":
        path.write_text("mine")
    else:
        path.symlink_to(shared / "nothing" if what == "a link to nothing" else path)
    with pytest.raises(ConfigError, match=r"caft-x.*no folder of yours alone.*TMPDIR"):
        enter("caft-x")


def test_a_link_inside_is_not_followed_and_its_file_stays(shared, tmp_path):
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("my thesis")
    with private_folder("caft-x") as folder:
        (shared / f"caft-x-{os.getuid()}/0").symlink_to(thesis)
        with pytest.raises(OSError):
            open_private(folder, "0")
    assert thesis.read_text() == "my thesis"
