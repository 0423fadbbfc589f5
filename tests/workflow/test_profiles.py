"""The shipped profiles for executors that are not tried for real here."""

from importlib.util import find_spec

import pytest
from harness import ROOT, Project
from snakemake.cli import parse_args
from snakemake.settings.enums import RerunTrigger

PLUGINS = ["snakemake_executor_plugin_kubernetes", "snakemake_storage_plugin_fs"]


@pytest.mark.parametrize("more", [[], ["--profile", str(ROOT / "profiles/slurm")]])
@pytest.mark.parametrize("folder", [ROOT, None])
def test_every_run_loads_the_default_profile(tmp_path, monkeypatch, folder, more):
    monkeypatch.chdir(folder or tmp_path)
    given = parse_args(["--snakefile", str(ROOT / "Snakefile"), *more, "results/summary.csv"])[1]
    assert given.rerun_incomplete
    assert given.max_checksum_file_size == 1_000_000_000
    assert set(given.rerun_triggers) == set(RerunTrigger.all())


@pytest.mark.skipif(
    None in map(find_spec, PLUGINS), reason="needs " + " and ".join(PLUGINS) + " (not in the lock)"
)
def test_a_dry_run_with_the_kubernetes_profile_plans_every_step(tmp_path):
    project = Project(tmp_path, {}, ("--profile", str(ROOT / "profiles/kubernetes")))
    planned = project.run("-n", "results/summary.csv").output
    assert "/mnt/caft/files/data/items/sums.parquet" in planned
    assert {"score_items", "generate_rationales", "summarize"} <= set(planned.split())
