"""What ends a job and could be foreseen is one line with the path or key and the mend."""

import errno
import os

import pytest

from caft.running import ends
from caft.running.ends import foreseen
from caft.running.stops import Interrupted


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


class SafetensorError(Exception):
    """As the library calls it."""


def os_error(number, path=None):
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            os_error(errno.ENOSPC, "/data/a.parquet"),
            "cannot write or open /data/a.parquet: no space is left; free some, and run again",
        ),
        (
            os_error(errno.EDQUOT, "/data/a.parquet"),
            "cannot write or open /data/a.parquet: the quota is used up; free some, or ask",
        ),
        (
            os_error(errno.EROFS, "/data/a.parquet"),
            "cannot write or open /data/a.parquet: the file system is read-only; work in a folder",
        ),
        (
            os_error(errno.ENOTDIR, "/data/a/b"),
            "cannot write or open /data/a/b: a file is where a folder should be; move it away",
        ),
        (
            os_error(errno.EFBIG, "/data/a"),
            "cannot write or open /data/a: files may not be so large; raise the limit (ulimit -f)",
        ),
        (
            os_error(errno.ESTALE, "/data/a"),
            "cannot write or open /data/a: its network disk has lost it; mount it anew",
        ),
        (
            os_error(errno.EEXIST, b"/data/a"),
            "cannot write or open /data/a: a file is in the way; move it away",
        ),
        (
            os_error(errno.EACCES, "/data/a"),
            "cannot write or open /data/a: there is no right to do so; check the rights",
        ),
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            f"cannot write or open {os.getcwd()}: no space is left; free some",
        ),
        (
            RuntimeError("[Errno 28] Error writing bytes to file '/data/models/m.pt'"),
            "cannot write or open /data/models/m.pt: no space is left; free some",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598"),
            f"cannot write or open {os.getcwd()}: no space is left; free some",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/mine']"),
            "cannot write temporary files: [Errno 2] No usable temporary directory found in "
            "['/mine']; set TMPDIR to a folder with room",
        ),
        (
            MemoryError("Unable to allocate 9.1 GiB for an array"),
            "the memory is used up (Unable to allocate 9.1 GiB for an array); lower "
            "evaluation.batch_size, or run fewer jobs at once (--cores)",
        ),
        (
            OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"),
            "the memory of the GPU is used up (CUDA out of memory); lower evaluation.batch_size, "
            "or free the GPU of other programs",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
            "the memory is used up (DefaultCPUAllocator: can't allocate memory",
        ),
        (KeyboardInterrupt(), "Interrupted: what is complete is kept; the same command goes on"),
        (Interrupted("3 answers stored"), "Interrupted: 3 answers stored"),
    ],
)
def test_a_foreseeable_end_says_what_mends_it(error, line, monkeypatch):
    monkeypatch.setattr(ends, "fullest", os.getcwd)
    found = foreseen(error)
    assert found.startswith(line)
    assert "\n" not in found


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ("score_items", "engine.token_budget"),
        ("train_stage", "training.batch_size"),
        ("evaluate_model", "evaluation.batch_size"),
    ],
)
def test_the_key_that_saves_memory_is_the_jobs_own(rule, key):
    assert f"lower {key}" in foreseen(MemoryError(), rule)


def test_what_caused_an_error_decides():
    error = ValueError("the file cannot be made")
    error.__cause__ = os_error(errno.ENOSPC, "/data/a")
    assert foreseen(error).startswith("cannot write or open /data/a: no space is left")


@pytest.mark.parametrize(
    "error", [ValueError("memory"), KeyError(28), FileNotFoundError(2, "No such file", "/data/a")]
)
def test_what_nobody_could_foresee_is_none(error):
    assert foreseen(error) is None


def test_the_fullest_folder_is_named_where_an_error_names_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert os.path.isdir(ends.fullest())
