"""Draw the rules of the default run into docs/architecture.md, as a mermaid diagram.

    python docs/draw_rules.py

Snakemake knows the rules behind the checkpoint only when the plan is there. So this lays empty
files and a plan with one made-up model into a folder of its own, and asks for the graph there:
nothing is computed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

from caft.mixtures.plan import PlannedStage

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/architecture.md"
TARGETS = ("all", "analysis", "teacher_plan")
MODEL = "0" * 16
PLAN = "data/mixtures/sums/smollm2-135m/1/plan.json"
STUDENT = "data/models/smollm2-135m/student.json"

Graph = dict[str, set[str]]
"""For each rule, the rules that its inputs come from."""


def read_graph() -> Graph:
    """Return the graph of the rules that the targets need with the configuration as it ships.

    Raises:
        subprocess.CalledProcessError: if Snakemake refuses.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shutil.copy(ROOT / "config.yaml", folder)
        for line in _snakemake(folder, "--summary", "mixtures").splitlines()[1:]:
            _lay(folder / line.partition("\t")[0])
        nothing = dict.fromkeys((field.name for field in fields(PlannedStage)), 0)
        nothing_else = {"trained_mode": "direct", "buckets": "default", "teacher": None}
        stage = {**nothing, "model": MODEL, "parent": None}
        seeds = {"1": {"final": MODEL, "items": 0, "stages": [stage]}}
        _lay(folder / PLAN, {"sft": {**nothing_else, "seeds": seeds}})
        spec = {"student_file": STUDENT, "parent_file": None}
        _lay(folder / f"data/mixtures/stages/{MODEL}.json", spec)
        return _parse(_snakemake(folder, "--rulegraph", "mermaid-js", "--", *TARGETS))


def _lay(path: Path, content: object = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("" if content is None else json.dumps(content), encoding="utf-8")
    os.utime(path, (0, 0))  # as old as all others, so that nothing is out of date


def _snakemake(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--rerun-triggers", "mtime"]
    place = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    done = subprocess.run(
        [*command, *place, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"snakemake {' '.join(arguments)}:\n{done.stderr}")
    return done.stdout


def _parse(text: str) -> Graph:
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", text))
    graph: Graph = {name: set() for name in names.values()}
    for earlier, later in re.findall(r"(id\d+) --> (id\d+)", text):
        graph[names[later]].add(names[earlier])
    return graph


def shorten(graph: Graph) -> Graph:
    """Leave out every arrow that follows from others: a, b, c in a row need none from a to c."""
    behind: Graph = defaultdict(set)

    def reach(name: str) -> set[str]:
        if name not in behind:
            behind[name] = graph[name].union(*map(reach, graph[name]))
        return behind[name]

    return {
        name: needed - set().union(*(reach(other) for other in needed))
        for name, needed in graph.items()
    }


def render(graph: Graph) -> str:
    """Return the diagram, as mermaid text."""
    arrows = sorted((earlier, later) for later, needed in graph.items() for earlier in needed)
    lines = [f"    {earlier} --> {later}" for earlier, later in arrows]
    lines.append("    build_mixtures -.-> train_stage")  # the plan names the models; it is no input
    return "\n".join(["```mermaid", "flowchart TB", *lines, "```"])


def insert(page: str, diagram: str) -> str:
    """Return the page with the diagram in the place of the one that it has."""
    return re.sub(r"```mermaid\n.*?\n```", lambda _: diagram, page, count=1, flags=re.DOTALL)


if __name__ == "__main__":
    drawn = render(shorten(read_graph()))
    PAGE.write_text(insert(PAGE.read_text(encoding="utf-8"), drawn), encoding="utf-8")
