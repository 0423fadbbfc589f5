"""The page of training rows as a browser shows it."""

from itertools import product

import pytest
from samples import write_plan

from caft.report.samples import samples_page


@pytest.fixture
def file(tmp_path, monkeypatch, planned_stage, chat):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "samples.html"
    file.write_text(samples_page(write_plan(planned_stage), chat, "sums, tiny"), encoding="utf-8")
    return file


@pytest.mark.parametrize(("width", "scheme"), product((1280, 480), ("light", "dark")))
def test_the_page_fits_and_is_open_to_everybody(file, visit, findings, width, scheme):
    page = visit(file, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("pre mark").count() == 5
    assert page.locator("script").count() == 0
    assert findings(page) == []
