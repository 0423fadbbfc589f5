import os
from types import SimpleNamespace

import pytest

from caft.running import settings_file
from caft.running.settings_file import keep, listed
from caft.tables.files import read_json


@pytest.fixture(autouse=True)
def in_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def changes(path, *calls):
    """Make each call; tell which of them wrote the file anew."""
    changed = []
    for arguments in calls:
        before = path.read_bytes() if path.exists() else None
        if before:
            os.utime(path, (1e9, 1e9))
        keep(path, *arguments)
        changed.append(before is None or path.stat().st_mtime > 2e9 or path.stat().st_mtime != 1e9)
    return changed


def test_only_other_settings_write_it_anew(tmp_path):
    path = tmp_path / "a/b.json"
    first, other = {"epochs": 2, "seed": 1}, {"epochs": 3, "seed": 1}
    same = {"seed": 1, "epochs": 2}
    assert changes(path, [first], [same], [other], [other], [first]) == [
        *(True, False, True, False, True)
    ]


def ended(path, rule="made"):
    """Let a job of these settings end well; return its settings file."""
    output = path.with_name("out.csv")
    snakemake = SimpleNamespace(rule=rule, wildcards={}, output=[str(output)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings_file.layout, "job_settings", lambda *_: str(path))
        with listed(snakemake):
            output.write_text("a\n")
    return path.read_bytes()


def test_back_to_the_settings_of_what_is_there_is_the_content_that_made_it(tmp_path):
    path = tmp_path / "a.json"
    keep(path, {"epochs": 2})
    first = ended(path)
    keep(path, {"epochs": 3})
    assert path.read_bytes() != first
    keep(path, {"epochs": 2})
    assert path.read_bytes() == first, "Snakemake compares the content of what is newer"


def test_settings_of_before_are_another_content_where_other_outputs_lie(tmp_path):
    path = tmp_path / "a.json"
    keep(path, {"epochs": 2})
    ended(path)
    backup = {one: one.read_bytes() for one in tmp_path.glob("a.*")}
    keep(path, {"epochs": 3})
    recorded = ended(path)  # by Snakemake
    for one, content in backup.items():
        one.write_bytes(content)
    keep(path, {"epochs": 3})
    assert path.read_bytes() not in (recorded, backup[path])


def test_a_lost_folder_of_settings_is_the_content_of_a_first_run(tmp_path):
    path = tmp_path / "a.json"
    keep(path, {"epochs": 2})
    first = ended(path)
    for one in tmp_path.glob("a.*"):
        one.unlink()
    keep(path, {"epochs": 2})
    assert path.read_bytes() == first


def test_what_was_lost_makes_another_content_that_stays(tmp_path):
    path = tmp_path / "a.json"
    keep(path, {"epochs": 2})
    whole = path.read_bytes()
    keep(path, {"epochs": 2}, True)
    lost = path.read_bytes()
    keep(path, {"epochs": 2}, False)
    assert whole != lost == path.read_bytes()
    keep(path, {"epochs": 2}, True)
    assert path.read_bytes() not in (whole, lost)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"settings": 1}', b"\xff", b"null"])
def test_one_that_cannot_be_read_is_written_anew(tmp_path, content):
    path = tmp_path / "a.json"
    keep(path, {"epochs": 2})
    right = read_json(path)["settings"]
    path.write_bytes(content)
    keep(path, {"epochs": 2})
    assert read_json(path)["settings"] == right


def test_a_change_stays_one_when_what_was_made_before_it_is_touched(tmp_path):
    path, outputs = tmp_path / "a.json", [tmp_path / "out.csv"]
    keep(path, {"epochs": 2})
    ended(path)
    keep(path, {"epochs": 3}, False, outputs)
    waiting = path.read_bytes()
    keep(path, {"epochs": 3}, False, outputs)
    assert path.read_bytes() == waiting
    os.utime(outputs[0], ns=(path.stat().st_mtime_ns + 1, path.stat().st_mtime_ns + 1))
    keep(path, {"epochs": 3}, False, outputs)
    assert path.read_bytes() != waiting
    ended(path)
    made = path.read_bytes()
    keep(path, {"epochs": 3}, False, outputs)
    assert path.read_bytes() == made


def test_back_to_the_settings_of_what_is_there_it_is_no_newer_than_that(tmp_path):
    path, output = tmp_path / "a.json", tmp_path / "out.csv"
    keep(path, {"epochs": 2})
    ended(path)
    keep(path, {"epochs": 3}, False, [output])
    assert path.stat().st_mtime_ns > output.stat().st_mtime_ns
    keep(path, {"epochs": 2}, False, [output])
    assert path.stat().st_mtime_ns == output.stat().st_mtime_ns
