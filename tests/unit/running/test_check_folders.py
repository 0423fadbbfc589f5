import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from caft.errors import CaftError
from caft.running.places import check_folders, date_back, dated_ahead

NAMES = ["sums", "tiny"]


@pytest.fixture(autouse=True)
def in_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data/models/tiny").mkdir(parents=True)
    Path("results/figures").mkdir(parents=True)
    Path("data/README.md").write_text("mine")
    Path("data/models/other").write_text("of no name of this run")


def test_folders_that_are_there_or_not_yet_are_right():
    check_folders(NAMES, acts=True)


@pytest.mark.parametrize(
    "path",
    ["data/mixtures", "logs", "benchmarks", "results/models", "data/scores/sums", ".snakemake"],
)
@pytest.mark.parametrize("acts", [True, False])
def test_a_file_in_the_way_of_a_folder_is_named(path, acts):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("mine")
    with pytest.raises(CaftError, match=f"cannot write into {path}: a file .* move it away"):
        check_folders(NAMES, acts)


def test_a_student_s_folder_that_is_a_file_is_named():
    Path("data/models/tiny").rmdir()
    Path("data/models/tiny").write_text("mine")
    with pytest.raises(CaftError, match="data/models/tiny: a file"):
        check_folders(NAMES, acts=True)


def test_a_link_to_a_disk_that_is_not_there_is_named():
    Path("data/blocks").mkdir()
    check_folders(NAMES, acts=True)
    Path("data/scores").symlink_to("/nowhere/scores")
    with pytest.raises(CaftError, match="data/scores: it is a link to /nowhere/scores"):
        check_folders(NAMES, acts=True)


@pytest.mark.parametrize(
    "path, acts, refused",
    [
        ("results/figures", True, True),
        ("results/figures", False, False),
        ("data/models/tiny", True, False),
    ],
)
def test_only_a_run_has_to_be_able_to_write_and_where_it_surely_does(
    monkeypatch, path, acts, refused
):
    access = os.access
    monkeypatch.setattr(os, "access", lambda one, mode: str(one) != path and access(one, mode))
    if refused:
        with pytest.raises(CaftError, match=f"cannot write into {path}: .*--directory FOLDER"):
            check_folders(NAMES, acts)
    else:
        check_folders(NAMES, acts)


def full(monkeypatch, folder, total=10**9):
    """Let the disk of one folder be full."""
    usage = shutil.disk_usage
    told = SimpleNamespace(total=total, free=4096)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda one: told if str(one) == str(folder) else usage(one)
    )


def test_a_full_disk_is_named_and_one_that_tells_no_size_is_not(monkeypatch):
    full(monkeypatch, "results", total=0)
    check_folders(NAMES, acts=True)
    full(monkeypatch, "results")
    check_folders(NAMES, acts=False)
    with pytest.raises(CaftError, match="cannot write into results: no space .* free some"):
        check_folders(NAMES, acts=True)


def test_a_full_folder_of_temporary_files_is_named(monkeypatch, tmp_path):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    full(monkeypatch, tmp_path / "temporary")
    check_folders(NAMES, acts=False)
    with pytest.raises(CaftError, match="temporary: no space is left; .* set TMPDIR to a folder"):
        check_folders(NAMES, acts=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    check_folders(NAMES, acts=True)


def test_what_was_made_in_the_future_keeps_its_order_and_is_no_newer_than_now(tmp_path):
    hour = 3_600_000_000_000
    now = time.time_ns()
    times = {"old.csv": now - hour, "first.csv": now + hour, "second.csv": now + 2 * hour}
    for name, changed in times.items():
        Path("results", name).write_text("a\n")
        os.utime(f"results/{name}", ns=(changed, changed))
    (tmp_path / "mine.csv").write_text("a\n")
    os.utime("mine.csv", ns=(now + hour, now + hour))
    date_back(dated_ahead(tmp_path))
    old, first, second = (Path("results", name).stat().st_mtime_ns for name in times)
    assert (old, second - first) == (now - hour, hour)
    assert now <= second <= time.time_ns()
    assert Path("mine.csv").stat().st_mtime_ns == now + hour
    assert dated_ahead(tmp_path) == {}
