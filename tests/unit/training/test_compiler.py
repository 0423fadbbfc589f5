import importlib.machinery

import pytest

from caft.errors import TrainingError
from caft.training import compiler


@pytest.fixture(autouse=True)
def triton(monkeypatch, tmp_path):
    """A machine with Triton, a compiler, the headers of Python and a folder for kernels."""
    spec = importlib.machinery.ModuleSpec("triton", None)
    monkeypatch.setattr(compiler, "find_spec", lambda name: spec)
    program = tmp_path / "bin/gcc"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "include").mkdir()
    (tmp_path / "include/Python.h").touch()
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "kernels/of/mine"))
    include = {"include": str(tmp_path / "include")}
    monkeypatch.setattr(compiler.sysconfig, "get_paths", lambda: include)
    return tmp_path


def test_a_machine_that_has_all_of_it_passes():
    compiler.check_compiler()


def test_without_triton_nothing_is_needed(triton, monkeypatch):
    (triton / "bin/gcc").unlink()
    monkeypatch.setattr(compiler, "find_spec", lambda name: None)
    compiler.check_compiler()


def test_a_compiler_of_ones_own_does(triton, monkeypatch):
    (triton / "bin/gcc").rename(triton / "bin/mycc")
    monkeypatch.setenv("CC", "mycc")
    compiler.check_compiler()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "bin/gcc").unlink(), "a C compiler and finds none; install gcc"),
        (lambda folder: (folder / "include/Python.h").unlink(), r"Python\.h is not there; install"),
        (lambda folder: (folder / "kernels").touch(), "which cannot be written; set TRITON_CACHE"),
    ],
)
def test_what_is_missing_is_an_error_with_the_mend(triton, spoil, told):
    spoil(triton)
    with pytest.raises(TrainingError, match=told):
        compiler.check_compiler()


def test_a_compiler_that_is_named_and_not_there_is_told(monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    with pytest.raises(TrainingError, match="C compiler and finds /nowhere/cc"):
        compiler.check_compiler()


def test_kernels_lie_in_the_home_folder_by_default(triton, monkeypatch):
    monkeypatch.delenv("TRITON_CACHE_DIR")
    monkeypatch.setenv("HOME", str(triton / "home"))
    assert compiler._cache() == triton / "home/.triton/cache"
    monkeypatch.setenv("TRITON_HOME", str(triton / "other"))
    assert compiler._cache() == triton / "other/.triton/cache"
