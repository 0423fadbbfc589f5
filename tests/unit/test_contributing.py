import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = re.compile(r"`((?:src|docs|tests|workflow|config|profiles|benchmarks|\.ci)/[\w./-]*)`")


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_path_that_a_page_for_contributors_names_is_there(page):
    named = PATHS.findall((ROOT / page).read_text(encoding="utf-8"))
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_room_has_a_row_in_the_architecture():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, flags=re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"\w+", row)}
    rooms = {path.stem for path in (ROOT / "src/caft").iterdir() if path.stem.isidentifier()}
    assert sorted(rooms - described - {"__init__", "__pycache__"}) == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert sorted(pages - set(re.findall(r"\]\(([\w-]+\.md)\)", index))) == []
