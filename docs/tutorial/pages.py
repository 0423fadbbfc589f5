"""Run the tutorial and write what it prints into the page; make the notebook from the page.

In an environment where `snakemake` and `caft` are commands, from the root of the repository:

    python docs/tutorial/pages.py            # run it in a fresh folder, write page and notebook
    python docs/tutorial/pages.py --notebook # the notebook alone, after a change of words

A block of the page that is marked `sh` or `python` is run. What follows it as `text` is what it
prints; as `text about` it depends on trained weights, which differ a little between processors.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import nbformat
from nbformat import v4

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial.md"
NOTEBOOK = ROOT / "docs/tutorial.ipynb"
NEEDED = ("Snakefile", "config.yaml", "config", "workflow", "docs/tutorial")
LONGEST = 1200  # seconds that a command may take
PORT = "8765"  # of the page; a run takes one that is free
_BLOCK = re.compile(r"^```(\w[\w ]*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_CHANGING = [  # what differs between two runs: moments, durations, digests, temporary folders
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,\d]*(?:\+00:00)?"), "<time>"),
    (re.compile(r"\b[\d.]+ (?:s|min|h)\b|\b\d+:\d\d:\d\d\b"), "<duration>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<digest>"),
]


@dataclass(frozen=True)
class Cell:
    """A part of the page: words, or a block that is run, with what it prints."""

    kind: str  # words, yaml, sh or python
    source: str
    printed: str | None = None
    about: bool = False  # whether it depends on trained weights

    @property
    def runs(self) -> bool:
        """Whether it is a block that is run."""
        return self.kind in ("sh", "python")


def cells(page: str) -> list[Cell]:
    """Part a page into words and blocks; a block of output belongs to the one before it."""
    found: list[Cell] = []
    at = 0
    for block in _BLOCK.finditer(page):
        between, (kind, text) = page[at : block.start()].strip("\n"), block.groups()
        at = block.end()
        if between:
            found.append(Cell("words", between))
        if kind.startswith("text"):
            found[-1] = replace(found[-1], printed=text, about=kind == "text about")
        else:
            found.append(Cell(kind, text))
    if rest := page[at:].strip("\n"):
        found.append(Cell("words", rest))
    return found


def page_of(parts: list[Cell]) -> str:
    """Put a page together again."""
    return "\n".join(_written(part) for part in parts)


def _written(part: Cell) -> str:
    if part.kind == "words":
        return f"{part.source}\n"
    text = f"```{part.kind}\n{part.source}```\n"
    if part.printed is not None:
        text += f"\n```{'text about' if part.about else 'text'}\n{part.printed}```\n"
    return text


def notebook_of(parts: list[Cell]) -> str:
    """Return the same as a notebook: blocks of the shell are cells of `%%bash`."""
    made = []
    for number, part in enumerate(parts):
        name = {"id": f"part-{number}"}
        if part.kind in ("words", "yaml"):
            text = part.source if part.kind == "words" else _written(part).strip("\n")
            made.append(v4.new_markdown_cell(text, **name))
            continue
        source = part.source.rstrip("\n")
        printed = [v4.new_output("stream", text=part.printed)] if part.printed else []
        source = f"%%bash\n{source}" if part.kind == "sh" else source
        made.append(v4.new_code_cell(source, outputs=printed, **name))
    # The commands are typed in the root of the repository.
    made.insert(1, v4.new_code_cell("%cd ..", id="root"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.writes(v4.new_notebook(cells=made, metadata={"kernelspec": kernel})) + "\n"


def cells_of_notebook(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and source of what a notebook runs."""
    for cell in nbformat.reads(text, as_version=4).cells:
        if cell.cell_type == "code" and not cell.source.startswith("%cd"):
            shell = cell.source.startswith("%%bash\n")
            yield "sh" if shell else "python", cell.source.removeprefix("%%bash\n") + "\n"


def lay_out(folder: Path) -> None:
    """Copy what the tutorial needs of the repository to a new folder."""
    for name in NEEDED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


def free_port() -> str:
    """Return a port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


Shell = Callable[[str], str]
"""Runs a command in the folder of the run and returns what it prints."""


def shell_in(folder: Path) -> Shell:
    """Return what runs commands as a reader's terminal does."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}

    def run(command: str) -> str:
        # A file, not a pipe: what a command leaves running does not hold it open.
        with tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder) as output:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LONGEST,
            )
            output.seek(0)
            printed = output.read()
        if done.returncode:
            raise RuntimeError(f"{command}\nended with {done.returncode}:\n{printed[-4000:]}")
        return printed

    return run


def run_all(blocks: Iterator[tuple[str, str]], folder: Path, shell: Shell) -> Iterator[str]:
    """Run blocks in their order and yield what each prints, with the port of the page."""
    port = free_port()
    config = folder / "config/examples/tutorial.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace(PORT, port), encoding="utf-8")
    for kind, source in blocks:
        if kind == "python":
            (folder / "block.py").write_text(source, encoding="utf-8")
            source = "python block.py 2> block.log"
        if "docs/tutorial/teacher.py" in source:
            source = source.replace("teacher.py", f"teacher.py --port {port}")
        yield shell(source).replace(port, PORT)


def stop_teacher(folder: Path) -> None:
    """Stop the teacher of a run that did not get as far as doing it itself."""
    with suppress(OSError, ValueError):
        os.kill(int((folder / "teacher.pid").read_text(encoding="utf-8")), signal.SIGTERM)


def differences(shown: str, printed: str, about: bool) -> list[tuple[str, str]]:
    """Return the lines that the page shows otherwise than a run prints them.

    Args:
        shown: on the page.
        printed: by a run.
        about: whether numbers may differ by a fifth of themselves and 0.2: those of trained
            weights, which another processor rounds otherwise.
    """
    # Sentences wrap elsewhere when a number in them is longer.
    texts = [_masked(" ".join(text.split()) if about else text) for text in (shown, printed)]
    one, other = (text.splitlines() for text in texts)
    pairs = zip_longest(one, other, fillvalue="")
    return [pair for pair in pairs if not _same(*pair, about)]


def _masked(text: str) -> str:
    for pattern, name in _CHANGING:
        text = pattern.sub(name, text)
    return text


def _same(shown: str, printed: str, about: bool) -> bool:
    if not about:
        return shown == printed
    blank = [_NUMBER.sub("#", line) for line in (shown, printed)]
    values = [
        [float(n.replace(",", "")) for n in _NUMBER.findall(line)] for line in (shown, printed)
    ]
    return blank[0] == blank[1] and all(
        abs(one - other) <= 0.2 + 0.2 * abs(one) for one, other in zip(*values, strict=True)
    )


def made_anew(parts: list[Cell], folder: Path, shell: Shell) -> list[Cell]:
    """Run a page and return it with what was printed."""
    blocks = [part for part in parts if part.runs]
    printed = run_all(((part.kind, part.source) for part in blocks), folder, shell)
    texts = dict(zip(map(id, blocks), printed, strict=True))
    return [
        part if part.printed is None else replace(part, printed=texts[id(part)]) for part in parts
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebook", action="store_true")
    parts = cells(PAGE.read_text(encoding="utf-8"))
    if not parser.parse_args().notebook:
        with tempfile.TemporaryDirectory() as made:
            lay_out(Path(made))
            try:
                parts = made_anew(parts, Path(made), shell_in(Path(made)))
            finally:
                stop_teacher(Path(made))
        PAGE.write_text(page_of(parts), encoding="utf-8")
    NOTEBOOK.write_text(notebook_of(parts), encoding="utf-8")
