"""The command lines that the pages tell a reader to type."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").glob("*.md"))),
    *sorted((ROOT / "config/examples").glob("*.yaml")),
    *sorted((ROOT / "profiles").glob("*/config.yaml")),
]
PROGRAMS = ("snakemake", "caft", "make", "python", "pytest")
# What a page writes for a name of the reader's.
NAMES = {"TARGET": "summary", "<dataset>": "mine", "<judge>": "strict", "<strategy>": "sft"}
_LINE = re.compile(rf"^(?:    |#   |# |)((?:{'|'.join(PROGRAMS)}) [^\n]*)$", re.MULTILINE)
_SPAN = re.compile(rf"`((?:{'|'.join(PROGRAMS)}) [^`]+)`")


def command_lines(text: str, spans: bool = True) -> Iterator[list[str]]:
    """Yield the words of each command line of a page, of those inside sentences too."""
    blocks = "\n".join(_blocks(text)).replace("\\\n", " ")
    for found in [*_LINE.findall(blocks), *(_SPAN.findall(text) if spans else ())]:
        for name, stands_for in NAMES.items():
            found = found.replace(name, stands_for)
        yield [
            word.strip("[]")
            for word in takewhile(lambda word: word != "|", shlex.split(found, comments=True))
            if word.strip("[]…") and word not in ("...", "2>&1")
        ]


def _blocks(text: str) -> Iterator[str]:
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith(("    ", "#")):
            yield line


def lines_of(program: str, spans: bool = True) -> list[tuple[str, list[str]]]:
    """Return the command lines of a program: the page, and the words behind the program."""
    return [
        (str(page.relative_to(ROOT)), words[1:])
        for page in PAGES
        for words in command_lines(page.read_text(encoding="utf-8"), spans and page.suffix == ".md")
        if words[0] == program
    ]
