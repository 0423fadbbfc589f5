"""The shipped profiles for executors that are not tried for real here."""

from importlib.util import find_spec

import pytest
from harness import ROOT, Project

PLUGINS = ["snakemake_executor_plugin_kubernetes", "snakemake_storage_plugin_fs"]


@pytest.mark.skipif(
    None in map(find_spec, PLUGINS), reason="needs " + " and ".join(PLUGINS) + " (not in the lock)"
)
def test_a_dry_run_with_the_kubernetes_profile_plans_every_step(tmp_path):
    project = Project(tmp_path, {}, ("--profile", str(ROOT / "profiles/kubernetes")))
    planned = project.run("-n", "results/summary.csv").output
    assert "/mnt/caft/files/data/items/sums.parquet" in planned
    assert {"score_items", "generate_rationales", "summarize"} <= set(planned.split())
