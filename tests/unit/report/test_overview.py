"""The page with the answer: what it shows, and that nothing in it runs or is fetched."""

import base64
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from configurations import SHIPPED
from outcomes import ALIKE, accuracies, default_run, outcome, row

from caft.mixtures.settings import Strategy
from caft.report.answer import answers
from caft.report.overview import Picture, overview_page, strategy_in_words
from caft.report.results import Tables

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
CANARY = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
PROVENANCE = {
    "caft": "0.1.0",
    "commit": "c0ffee0123456789",
    "config": {
        "run": {"relevant_difference": 0.05, "split": "test"},
        "strategies": SHIPPED["strategies"],
    },
}
VOID = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """Reads a page: its elements, its text, and the rows of its tables; every tag must close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text, self.rows = [], [], "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def words(self):
        return " ".join(self.text.split())

    def row(self, *start):
        """The rows whose first cell begins so, as words."""
        rows = ([" ".join(cell.split()) for cell in one] for one in self.rows)
        return [one for one in rows if one and one[0].startswith(start)]


def page_of(tables, pictures=(), **provenance):
    return Page(overview_page(tables, {**PROVENANCE, **provenance}, pictures))


def test_the_page_begins_with_the_answer_and_says_all_that_the_terminal_says():
    page, (found,) = page_of(default_run()), answers(default_run())
    for part in (found.result, found.costs, found.advice, found.warnings, found.conditions):
        for sentence in part:
            assert sentence in page.words, sentence
    assert page.words.index(found.result[0]) < page.words.index("The comparison")


def test_every_strategy_has_its_verdicts_against_the_four():
    comparison, costs = page_of(default_run()).row("complexity_aware")[0::2]
    assert comparison == [
        "complexity_awareanswers of easy and medium items, 2×; then rationales of hard items, 4×; "
        "asked cot",
        "0.54 [0.46, 0.63]", "0.54", "0.54", "0.54",
        "▲ better +0.53 [+0.44, +0.62]", "▲ better +0.32 [+0.23, +0.41]",
        "? open -0.11 [-0.20, -0.02]needs about 1,700 items",
        "? open +0.04 [-0.06, +0.14]needs about 1,900 items",
    ]  # fmt: skip
    assert costs[:7] == ["complexity_aware", "44 of 44", "1,188", "0", "20,586", "12,690", "33,276"]
    assert costs[7:] == ["25 s", "1.9 min", "5.6 min", "60 s"]


def test_a_tie_and_a_missing_reference_are_shown_as_such():
    verdicts = {("distill", "complexity_aware"): ALIKE}
    tables = outcome({"distill": 0.5, "complexity_aware": 0.5}, verdicts)
    page = page_of(tables)
    aware = page.row("complexity_aware")[0]
    assert aware[5:] == ["= alike +0.00 [-0.09, +0.09]"]
    assert page.row("strategy")[0][5:] == ["against distill"]


def test_what_is_unknown_is_shown_as_unknown():
    tables = outcome(accuracies(0.1, 0.3, 0.6, 0.5, 0.4), {})
    tables.summary["cost_usd"] = float("nan")
    tables.summary["accuracy_hard"] = float("nan")
    rows = page_of(tables).row("distill")
    assert rows[0][4] == "–"
    assert rows[-1][3] == "unknown"


def test_the_page_needs_no_network_and_lets_nothing_run():
    text = overview_page(default_run(), PROVENANCE, [Picture("Cost", "What it cost.", SVG)])
    page = Page(text)
    assert not re.search(r"(?i)(?:https?:)?//\w", text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    (policy,) = (one["content"] for tag, one in page.elements if "http-equiv" in one)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    addresses = [one["src"] for _, one in page.elements if "src" in one]
    assert addresses and all(
        address.startswith("data:image/svg+xml;base64,") for address in addresses
    )


def test_a_figure_is_on_the_page_with_its_caption_beside_it():
    caption = "Accuracy, see\n``docs/summary.md``, by bucket.\n"
    page = page_of(default_run(), [Picture("Cost", caption, SVG)])
    assert "Cost. Accuracy, see docs/summary.md, by bucket." in page.words
    (image,) = (one for tag, one in page.elements if tag == "img")
    assert base64.b64decode(image["src"].partition(",")[2]) == SVG
    assert image["alt"] == "Cost; described beside it"
    without = page_of(default_run(), [Picture("Cost", caption.replace("`", ""), SVG)])
    marked = [one.elements.count(("code", {})) for one in (page, without)]
    assert marked[0] == marked[1] + 1, "one of the caption"


def test_text_of_a_run_is_text():
    tables = outcome({"base": 0.1, "sft": 0.3}, {}, dataset=CANARY)
    complexity = tables.complexity.assign(dataset=CANARY, warning=f"it answers {CANARY}")
    thresholds = tables.thresholds.assign(dataset=CANARY)
    pairs = tables.comparisons
    page = page_of(Tables(tables.summary, pairs, complexity, thresholds), version=CANARY)
    assert not {tag for tag, _ in page.elements} & {"script", "img"}
    assert page.text.count("<script>alert(1)</script>") >= 2


def test_every_student_has_a_section_of_its_own():
    one, other = (outcome({"base": 0.1, "sft": 0.3}, {}, student=name) for name in ("a", "b"))
    names = ("summary", "comparisons", "complexity", "thresholds")
    both = Tables(*(pd.concat([getattr(one, name), getattr(other, name)]) for name in names))
    page = page_of(both)
    assert [one["id"] for tag, one in page.elements if tag == "h2"] == [
        "part-1",
        "part-2",
        "reading",
    ]
    assert "sums, a" in page.words and "sums, b" in page.words


def test_equal_tables_give_equal_pages():
    pictures = [Picture("Cost", "What it cost.", SVG)]
    pages = {overview_page(default_run(), PROVENANCE, pictures) for _ in range(2)}
    assert len(pages) == 1


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"stages": []}, "not trained"),
        (SHIPPED["strategies"]["sft"], "answers of all items, 2×"),
        (
            SHIPPED["strategies"]["random_same_size"],
            "answers of easy and medium items, 2×; then rationales of hard items, 4×, "
            "buckets drawn at random",
        ),
        (
            SHIPPED["strategies"]["mixed"],
            "answers of easy and medium items and rationales of hard items, 2×",
        ),
        (SHIPPED["strategies"]["cascade"], "rationales of all items by self, then the teacher, 2×"),
    ],
)
def test_what_a_strategy_trains_on_is_told_in_words(section, words):
    assert strategy_in_words(Strategy.model_validate(section)) == words


def test_modes_in_which_a_strategy_was_not_trained_are_listed():
    tables = outcome({"base": 0.1, "sft": 0.3}, {})
    asked = pd.DataFrame([row("sft", 0.05, mode="cot", invalid_rate=0.25)])
    both = Tables(pd.concat([tables.summary, asked]), tables.comparisons, tables.complexity,
                  tables.thresholds)  # fmt: skip
    assert ["sft", "cot", "0.05 [0.00, 0.13]", "25%"] in page_of(both).row("sft")
