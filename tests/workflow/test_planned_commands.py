"""The command lines of the pages plan a run, with the targets and files that they name."""

import shlex
import tempfile
from collections import defaultdict
from importlib.util import find_spec
from itertools import takewhile

import pytest
import yaml
from commands import lines_of
from harness import ROOT, forks

JUDGE = {"provider": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
TOLD = ("--unlock", "--rulegraph")  # plan nothing


def plans():
    """Return the targets of all lines that have the same options, by these options."""
    found = defaultdict(set)
    for page, words in lines_of("snakemake"):
        if page.startswith("config/") or set(TOLD) & set(words):
            continue  # each example is checked by itself elsewhere
        targets = list(takewhile(lambda word: not word.startswith("-"), words))
        words = words[len(targets) :]
        for how in (["-n"], ["--cores", "all"], ["--cores", "1"], ["--resources", "gpu=4"]):
            if words[: len(how)] == how:
                words = words[len(how) :]
        found[shlex.join(words)] |= set(targets)
    return dict(found)


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    """A folder of a reader's: the checkout's files, and a configuration of the reader's own."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("config.yaml", "config", "docs", "profiles", "slurm"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "models").mkdir()
    for name in ("Qwen2.5-3B-Instruct", "Qwen2.5-32B-Instruct"):  # as config/examples name them
        (folder / "models" / name).symlink_to(config["students"]["tiny"]["path"])
    own = {**config, "judges": {"strict": JUDGE}}
    (folder / "my.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    (folder / "small.yaml").write_text("run: {seeds: [1]}\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("options", plans(), ids=lambda text: text or "no options")
def test_a_dry_run_takes_the_line(folder, options):
    if "kubernetes" in options and not find_spec("snakemake_executor_plugin_kubernetes"):
        pytest.skip("needs snakemake_executor_plugin_kubernetes (not in the lock)")
    if "engine: vllm" in options and not find_spec("vllm"):
        pytest.skip("needs vllm (not in the lock)")
    targets = plans()[options]
    words = [*sorted(targets), *shlex.split(options), "--snakefile", str(ROOT / "Snakefile"), "-n"]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryFile("w+") as output:
        run = forks().start("snakemake", words, str(folder), environment, output.fileno())
        code = run.wait(300)
        output.seek(0)
        assert code == 0, output.read()[-3000:]
