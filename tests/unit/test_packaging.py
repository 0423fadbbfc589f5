import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK_TEXT = (ROOT / "requirements.lock").read_text(encoding="utf-8")
ENTRY = re.compile(
    r"^([a-z0-9._-]+)==([0-9][0-9a-z.]*)( ; [^\\\n]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
    r"(?:    #.*\n)+",
    re.MULTILINE,
)
LOCK = {canonicalize_name(found[1]): found[2] for found in ENTRY.finditer(LOCK_TEXT)}
SOURCE_ONLY = ["cellpylib", "connection-pool", "pycosat", "zss"]
MAIN = ["accelerate", "datasets", "numpy", "pandas", "peft", "pyarrow", "snakemake", "torch",
        "transformers", "trl"]  # fmt: skip


def test_the_lock_is_sorted_pins_with_hashes_and_names_what_has_no_wheel():
    rest = ENTRY.sub("", LOCK_TEXT).splitlines()
    assert rest[0].startswith("# Made by `make lock`.")
    assert rest[1:] == ["--only-binary :all:", *(f"--no-binary {name}" for name in SOURCE_ONLY)]
    assert sorted(LOCK) == list(LOCK)
    assert "://" not in LOCK_TEXT, "no index is named"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"SOURCE_ONLY := {' '.join(SOURCE_ONLY)}\n" in makefile


def write_wheel(folder, name, *needs):
    """Make a wheel with nothing in it but what it asks for; return its hash."""
    path = folder / name
    package = "-".join(name.split("-")[:2])
    with zipfile.ZipFile(path, "w") as archive:
        lines = ["Metadata-Version: 2.1", *(f"Requires-Dist: {need}" for need in needs)]
        archive.writestr(f"{package}.dist-info/METADATA", "\n".join(lines))
    return hashlib.sha256(path.read_bytes()).hexdigest()


LOCKED = """\
--only-binary :all:
big==2.0 \\
    --hash=sha256:aa
    # via
    #   caft (pyproject.toml)
    #   other
gpu-lib==1 ; sys_platform == 'linux' \\
    --hash=sha256:bb
    # via big
gpu-part==1 \\
    --hash=sha256:cc
    # via gpu-lib
maths==3 \\
    --hash=sha256:dd
    # via big
other==1 \\
    --hash=sha256:ee
    # via
    #   caft (pyproject.toml)
    #   gpu-part
"""


def with_wheels(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text(LOCKED)
    command = [
        sys.executable,
        ROOT / ".ci/local_wheels",
        lock,
        tmp_path,
        "https://a.example",
        "/no",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_wheel_of_ones_own_stands_for_the_locked_one_and_what_that_alone_needs(tmp_path):
    made = write_wheel(tmp_path, "big-2.0+cpu-py3-none-any.whl", "Maths >=2", "other; extra == 'x'")
    entries = LOCKED.split("\nbig")[0] + "\n"
    assert with_wheels(tmp_path) == (
        f"{entries}big==2.0+cpu --hash=sha256:{made}\n" + LOCKED[LOCKED.index("maths") :]
    )


@pytest.mark.parametrize(
    "name",
    [
        "big-2.1+cpu-py3-none-any.whl",
        "big-2.0+cpu-cp27-cp27m-any.whl",
        "large-2.0-py3-none-any.whl",
    ],
)
def test_a_wheel_of_another_version_python_or_package_changes_nothing(tmp_path, name):
    write_wheel(tmp_path, name)
    assert with_wheels(tmp_path) == LOCKED


def test_a_locked_wheel_that_lies_in_a_folder_changes_nothing(tmp_path):
    made = write_wheel(tmp_path, "big-2.0-py3-none-any.whl")
    (tmp_path / "lock").write_text(LOCKED)
    text = LOCKED.replace("sha256:aa", f"sha256:{made}")
    (tmp_path / "own").write_text(text)
    command = [sys.executable, ROOT / ".ci/local_wheels", tmp_path / "own", tmp_path]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == text


def test_every_package_is_listed_with_a_licence():
    command = [sys.executable, ROOT / ".ci/licences"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {line.split()[0]: line.split(maxsplit=2)[2] for line in listed.splitlines()}
    assert "Apache" in found["transformers"] and "BSD" in found["pandas"]
    assert {canonicalize_name(name) for name in found} >= set(map(canonicalize_name, MAIN))


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
    assert packages == {"pip": ["-r requirements.lock"]}


@pytest.mark.parametrize("name", MAIN)
def test_the_installed_version_is_the_locked_one(name):
    assert version(name).partition("+")[0] == LOCK[name]


@pytest.mark.parametrize(
    "folder, words, told",
    [
        ("here", ["ENV_GB=1e9"], "has less; make room, or say how much is enough"),
        ("here", ["PYTHON=false"], "caft needs Python 3.11 or newer"),
        ("a:b", [], "has a colon in it"),
    ],
)
def test_make_env_refuses_at_once_what_would_fail_later(tmp_path, folder, words, told):
    place = tmp_path / folder
    place.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (place / name).write_bytes((ROOT / name).read_bytes())
    command = ["make", "env", f"PYTHON={sys.executable}", *words]
    refused = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert refused.returncode
    assert told in refused.stderr
    assert not (place / ".venv").exists()


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
