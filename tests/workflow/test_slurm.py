"""The workflow on a real Slurm through `--profile slurm`; `.ci/slurm start` makes a cluster."""

import subprocess

import pandas as pd
import pytest
from harness import ROOT, Project


def idle_cluster():
    try:
        states = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
    except FileNotFoundError:
        return False
    return states.returncode == 0 and bool(states.stdout.strip())


pytestmark = pytest.mark.skipif(
    not idle_cluster(), reason="no Slurm here; `.ci/slurm install` and `.ci/slurm start` make one"
)


@pytest.fixture(scope="module")
def project(config, tmp_path_factory):
    """A project whose first run went through Slurm."""
    project = Project(tmp_path_factory.mktemp("slurm") / "project", config, ("--profile", "slurm"))
    (project.folder / "slurm").symlink_to(ROOT / "profiles/slurm")
    project.first = project.run("results/summary.csv")
    return project


def test_the_table_is_the_same_as_that_of_a_local_run(project, config, tmp_path):
    local = Project(tmp_path / "local", config)
    local.run("results/summary.csv")
    tables = [
        pd.read_csv(run.folder / "results/summary.csv").filter(regex="^(?!.*seconds)")
        for run in (project, local)
    ]
    pd.testing.assert_frame_equal(*tables)
