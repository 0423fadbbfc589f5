import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from caft.running.settings_file import has_lost, keep, listed

SETTINGS = Path("data/settings/score_items/sums.tiny.json")
BESIDE = SETTINGS.with_suffix(".outputs")
RECORDED = Path(".snakemake/caft_outputs/score_items/sums.tiny.json")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A job that has written two files, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    keep(SETTINGS, {"seed": 1})
    job = SimpleNamespace(
        rule="score_items", wildcards=["sums", "tiny"], output=["scores.csv", "run.json"]
    )
    with listed(job):
        Path("scores.csv").write_text("item,score\na,1\nb,2\n")
        Path("run.json").write_text("{}\n")
    return job


def test_what_a_job_has_written_is_not_lost(made):
    assert not has_lost(SETTINGS, made.output)


@pytest.mark.parametrize("content", ["", "item,score\n", "item,score\na,1\n", "item,score\na,1\nb"])
def test_a_file_that_was_cut_is_lost_at_a_line_s_end_too(made, content):
    Path("scores.csv").write_text(content)
    assert has_lost(SETTINGS, made.output)


def test_a_file_beside_the_first_that_is_gone_is_lost(made):
    Path("run.json").unlink()
    assert has_lost(SETTINGS, made.output)


def test_without_its_first_file_a_job_is_snakemake_s_to_run(made):
    Path("scores.csv").unlink()
    assert not has_lost(SETTINGS, made.output)


def test_an_older_time_is_no_loss(made):
    os.utime("scores.csv", (1e9, 1e9))
    assert not has_lost(SETTINGS, made.output)


def test_while_a_job_runs_and_after_it_failed_there_is_no_list(made):
    def fail():
        with listed(made):
            assert not BESIDE.exists() and not RECORDED.exists()
            Path("scores.csv").write_text("item,score\n")
            raise OSError("full")

    with pytest.raises(OSError):
        fail()
    assert not BESIDE.exists() and not RECORDED.exists()
    assert not has_lost(SETTINGS, made.output)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_without_a_list_what_does_not_end_well_is_lost(made, content):
    RECORDED.unlink()
    BESIDE.write_bytes(content)
    assert not has_lost(SETTINGS, made.output)
    Path("run.json").write_text('{"seconds": 1')
    assert has_lost(SETTINGS, made.output)


def test_another_number_as_long_as_the_one_before_is_lost(made):
    Path("scores.csv").write_text("item,score\na,1\nb,3\n")
    assert has_lost(SETTINGS, made.output)


def test_a_large_file_is_told_by_its_size(made):
    with listed(made):
        Path("scores.csv").write_text("1" * 65_537)
    Path("scores.csv").write_text("2" * 65_537)
    assert not has_lost(SETTINGS, made.output)
    Path("scores.csv").write_text("2" * 65_538)
    assert has_lost(SETTINGS, made.output)


def test_files_of_another_run_with_the_same_settings_are_lost(made):
    earlier = {path: path.read_bytes() for path in (Path("scores.csv"), BESIDE)}
    with listed(made):
        Path("scores.csv").write_text("2" * 70_000)
    assert not has_lost(SETTINGS, made.output)
    for path, content in earlier.items():
        path.write_bytes(content)
    assert has_lost(SETTINGS, made.output)


def test_the_same_files_written_once_more_are_not_lost(made):
    earlier = BESIDE.read_bytes()
    with listed(made):
        Path("scores.csv").write_text("item,score\na,1\nb,2\n")
    BESIDE.write_bytes(earlier)
    assert not has_lost(SETTINGS, made.output)


@pytest.mark.parametrize("gone", [BESIDE, RECORDED, Path(".snakemake/caft_outputs")])
def test_one_list_is_enough(made, gone):
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert not has_lost(SETTINGS, made.output)
    Path("scores.csv").write_text("item,score\na,1\n")
    assert has_lost(SETTINGS, made.output)


def test_outside_of_a_run_nothing_is_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with listed(SimpleNamespace(rule="score_items", wildcards=[], output=[])):
        pass
    assert list(tmp_path.iterdir()) == []
