"""Where users run it: odd paths, other folders, a shared one, and as a module of their own."""

import copy
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
from harness import ROOT, Project

ITEMS = "data/items/mine.parquet"
MODULE = """\
configfile: "config.yaml"

rule first:
    output: "first.txt"
    shell: "echo done > {{output}}"

module caft:
    snakefile: "{checkout}/Snakefile"
    config: config
    {more}

use rule * from caft as caft_*
"""


def files(folder):
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def odd(config, tmp_path_factory):
    """A run with a checkout and an environment below a folder with an odd name, by a group."""
    folder = tmp_path_factory.mktemp("places") / "my pro'ject & more"
    checkout = folder / "check out"
    for name in ("workflow", "src"):
        shutil.copytree(ROOT / name, checkout / name)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, checkout)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (packages,) = (folder / "env/lib").glob("python3*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
    program = [str(folder / "env/bin/python"), "-m", "snakemake"]
    project = Project(folder / "work", copy.deepcopy(config), checkout=checkout, program=program)
    project.before = files(checkout)
    mask = os.umask(0o002)
    try:
        project.first = project.run(ITEMS, "data/models/tiny/student.json")
    finally:
        os.umask(mask)
    return project


def test_paths_may_have_spaces_quotes_and_signs_of_a_shell(odd):
    assert odd.first.rules == {"ingest_items": 1, "prepare_student": 1}


def test_a_run_in_a_folder_of_its_own_writes_nothing_into_the_checkout(odd):
    assert files(odd.checkout) == odd.before


def test_in_a_folder_of_a_group_all_of_it_may_write_what_was_made(odd):
    made = [path for path in (odd.folder / "data").rglob("*") if not path.is_symlink()]
    assert made
    assert [path for path in made if path.stat().st_mode & 0o060 != 0o060] == []


def test_another_folder_can_be_named_and_needs_no_config_of_its_own(config, tmp_path):
    project = Project(tmp_path / "here", config)
    (project.folder / "config.yaml").unlink()
    project.run("--directory", "there", ITEMS)
    assert (project.folder / "there" / ITEMS).exists()
    assert not (project.folder / "data").exists()


def as_module(config, folder, more=""):
    """Return a project with a workflow of its own that takes caft as a module."""
    project = Project(folder, config)
    (folder / "Snakefile").write_text(MODULE.format(checkout=ROOT, more=more))
    return project


def test_as_a_module_its_rules_have_names_of_their_own(config, tmp_path):
    changed = copy.deepcopy(config)
    changed["run"] |= {"strategies": ["base", "sft"], "modes": ["direct"]}
    changed["students"]["tiny"]["warm_up"] = None
    project = as_module(changed, tmp_path / "outer")
    done = project.run("--snakefile", "Snakefile", "first.txt", "results/summary.csv")
    assert done.rules["first"] == done.rules["caft_train_stage"] == 1
    assert "Training sft, stage 1 of 1, seed 1 (" in done.output
    assert "Asking the untuned student about mine (direct)" in done.output
    again = project.run("--snakefile", "Snakefile", "first.txt", "results/summary.csv")
    assert "Nothing to be done" in again.output


@pytest.mark.parametrize("more", ['prefix: "sub"', 'replace_prefix: {"data": "elsewhere"}'])
def test_a_module_below_a_prefix_is_refused_with_the_way_out(config, tmp_path, more):
    project = as_module(config, tmp_path / "outer", more)
    told = project.run("--snakefile", "Snakefile", "first.txt", succeeds=False).output
    assert f"--snakefile {ROOT}/Snakefile --directory FOLDER" in told
    assert "Traceback" not in told
