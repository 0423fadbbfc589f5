"""The overview as a browser shows it: on every width and in every scheme, to everybody."""

from itertools import product

import pytest
from configurations import SHIPPED
from outcomes import default_run

from caft.figures import FIGURES
from caft.report.overview import Picture, overview_page

SQUARE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><path d="M0 0h40v20z"/></svg>'
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    provenance = {
        "caft": "0.1.0",
        "commit": None,
        "config": {
            "run": {"relevant_difference": 0.05, "split": "test"},
            "strategies": SHIPPED["strategies"],
        },
    }
    pictures = [Picture(name.capitalize(), "What it shows.", SQUARE) for name in FIGURES]
    file = tmp_path_factory.mktemp("overview") / "overview.html"
    file.write_text(overview_page(default_run(), provenance, pictures), encoding="utf-8")
    return file


@pytest.mark.parametrize(("width", "scheme"), product((1280, 480), ("light", "dark")))
def test_the_page_fits_has_its_figures_and_is_open_to_everybody(
    file, visit, findings, width, scheme
):
    page = visit(file, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    drawn = "[...document.images].filter(image => image.naturalWidth > 0).length"
    assert page.evaluate(drawn) == len(FIGURES)
    assert findings(page) == []
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_dark_page_is_dark_and_its_figures_stand_on_white(file, visit):
    page = visit(file, scheme="dark")
    colour = "getComputedStyle(document.querySelector('{}')).backgroundColor"
    assert page.evaluate(colour.format("body")) == "rgb(22, 25, 28)"
    assert page.evaluate(colour.format("figure img")) == "rgb(255, 255, 255)"


def test_a_small_page_names_each_number_of_a_strategy(file, visit):
    label = "getComputedStyle(document.querySelector('.cards tbody td'), '::before').content"
    assert visit(file, 480).evaluate(label) == '"accuracy"'
    assert visit(file, 1280).evaluate(label) == "none"


def test_a_printed_page_is_black_on_white_and_fits(file, visit):
    page = visit(file, 718, "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("document.documentElement.scrollWidth") == 718
