import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK_LINES = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
LOCK = {canonicalize_name(name): pin for name, _, pin in (x.partition("==") for x in LOCK_LINES)}
MAIN = ["accelerate", "datasets", "numpy", "pandas", "peft", "pyarrow", "snakemake", "torch",
        "transformers", "trl"]  # fmt: skip


def test_the_lock_is_sorted_lines_of_name_and_version():
    bad = [
        line for line in LOCK_LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)
    ]
    assert bad == []
    assert sorted(LOCK) == list(LOCK)


def test_every_dependency_is_pinned():
    extras = [name for names in PROJECT["optional-dependencies"].values() for name in names]
    names = {canonicalize_name(Requirement(x).name) for x in PROJECT["dependencies"] + extras}
    assert sorted(names - set(LOCK)) == []


def test_dependencies_are_sorted_and_carry_no_versions_of_their_own():
    for names in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        assert sorted(names, key=str.lower) == names
        assert not any(Requirement(name).specifier for name in names)


def test_conda_users_get_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    python, pip, packages = environment["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    assert packages == {"pip": ["-r requirements.lock", "-e ."]}


@pytest.mark.parametrize("name", MAIN)
def test_the_installed_version_is_the_locked_one(name):
    assert version(name).partition("+")[0] == LOCK[name]


def test_an_installed_package_has_every_file_that_is_no_module():
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    source = ROOT / "src"
    shipped = {
        path
        for package, patterns in content["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for path in source.joinpath(*package.split(".")).glob(pattern)
        if path.is_file()
    }
    others = {
        path
        for path in (source / "caft").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert shipped and shipped == others


def test_the_package_and_the_project_have_one_version():
    import caft

    assert PROJECT["version"] == caft.__version__
