"""The tutorial, run from its first command to its last in a fresh folder.

What runs are the cells of the notebook; tests/unit/test_tutorial_parts.py compares both.
"""

import os
import shlex
import sys
import tempfile
from pathlib import Path

from harness import ROOT, forks

sys.path.insert(0, str(ROOT / "docs/tutorial"))
import pages


def shell_in(folder: Path) -> pages.Shell:
    """Run commands as a terminal does, but Snakemake as a fork: it starts ten seconds sooner."""
    terminal = pages.shell_in(folder)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src")}

    def run(command: str) -> str:
        program, *words = shlex.split(command.replace("\\\n", " "), comments=True)
        if program != "snakemake" or "|" in words:
            return terminal(command)
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            job = forks().start("snakemake", words, str(folder), environment, output.fileno())
            code = job.wait(1200)
            output.seek(0)
            printed = output.read()
        assert code == 0, printed[-6000:]
        return printed

    return run


def test_every_command_of_the_tutorial_works_and_prints_what_the_page_shows(tmp_path):
    pages.lay_out(tmp_path)
    shown = [part for part in pages.cells(pages.PAGE.read_text(encoding="utf-8")) if part.runs]
    blocks = pages.cells_of_notebook(pages.NOTEBOOK.read_text(encoding="utf-8"))
    try:
        printed = list(pages.run_all(blocks, tmp_path, shell_in(tmp_path)))
    finally:
        pages.stop_teacher(tmp_path)
    others = {
        part.source: found
        for part, text in zip(shown, printed, strict=True)
        if part.printed is not None and (found := pages.differences(part.printed, text, part.about))
    }
    assert others == {}, "run python docs/tutorial/pages.py if this is meant"
    assert (tmp_path / "results/overview.html").stat().st_size > 10_000
