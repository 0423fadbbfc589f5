"""The page of all items, as a reader uses it."""

import pytest
from explored import IDS, items, sources

from caft.report.explorer import explorer_page

CANARIES = {
    "script": "<script>document.title = 'run'</script>",
    "end": "</script><img src=x onerror=\"document.title='run'\"> </style></textarea>",
    "comment": "<!-- never closed",
    "formula": '=HYPERLINK("http://example.org";"cmd")',
    "ansi": "\x1b[31mred\x1b[0m\x07\x00",
    "rtl": "‮desrever‬ مرحبا שלום",
}
LINES = "one\u2028two\u2029three\nfour\r\n{{data}} {{program}} ${x} &lt;b&gt;"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The page of a small run."""
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    path.write_text(explorer_page([sources()]), encoding="utf-8")
    return path


@pytest.fixture
def page(visit, file):
    return ready(visit(file))


def ready(page):
    page.wait_for_selector("body[data-ready]")
    return page


def drawn(page):
    """Wait until the table shows what was asked for."""
    page.evaluate("document.querySelector('regular-table').flush()")


def listed(page):
    drawn(page)
    return page.locator("regular-table tbody th").all_inner_texts()


def choose(page, **names):
    for name, label in names.items():
        page.select_option(f"[name={name.replace('_', '-')}]", label=label)


def look_at(page, item):
    page.click(f"regular-table tbody th a:text-is('{item}')")
    page.wait_for_selector("#item:not([hidden])")
    drawn(page)
    return page.inner_text("#item")


def section(page, title):
    return page.inner_text(f"#item section:has(h3:text-is('{title}'))")


def test_every_item_is_a_row(page):
    assert listed(page) == IDS
    assert page.inner_text("#count") == "6 of 6 items"


def test_an_item_shows_all_that_is_known_of_it(page):
    look_at(page, "a1")
    question = section(page, "Question")
    for text in ("What is 0 + 0?", "zero ✓ gold", "two", "made up", "row 0"):
        assert text in question
    assert "entropy 2" in section(page, "Complexity").replace("\n", " ")
    bought = section(page, "What the teacher wrote")
    rejected, accepted = bought.split("guru, sample 1")
    assert "guru, sample 0: rejected: wrong_answer" in rejected and "It is [[B]]." in rejected
    assert "accepted" in accepted and "0.5 USD" in accepted and "10 + 6" in accepted
    trained = section(page, "Trained on it")
    assert "distill, stage 1: rationale, 2 epochs, seed 1, 2, 3" in trained
    assert "complexity_aware, stage 2: answer + rationale, 4 epochs, seed 1" in trained
    assert "stage 1: answer" not in trained
    assert "not in the reported split" in section(page, "Answers of the models")


def test_the_answers_of_all_models_stand_side_by_side(page):
    look_at(page, "d4")
    titles = page.locator("#item .cards h4").all_inner_texts()
    assert [title.split(" ", 1)[1] for title in titles] == [
        "base direct*", "base cot",
        "distill direct, seed 1", "distill direct, seed 2", "distill direct, seed 3",
        "distill cot*, seed 1", "distill cot*, seed 2", "distill cot*, seed 3",
        "complexity_aware direct", "complexity_aware cot*",
    ]  # fmt: skip
    marks = page.locator("#item .cards h4 [role=img]")
    labels = [mark.get_attribute("aria-label") for mark in marks.all()]
    assert labels == ["no answer found"] * 2 + ["right"] * 6 + ["wrong"] * 2


def test_what_is_unknown_is_said(page):
    assert "none: too_long" in look_at(page, "c3").replace("\n", " ")
    assert "cost\nunknown" in look_at(page, "b2")
    assert "warm-up before scoring: answer" in section(page, "Trained on it")


def test_items_that_one_model_gets_right_and_another_wrong_are_found(page):
    choose(page, way_A="distill cot", is_A="right", way_B="complexity_aware cot", is_B="wrong")
    assert listed(page) == ["d4"]
    look_at(page, "d4")
    assert page.locator("#item .chosen").count() == 4
    first = page.locator("#item .cards h4").first.inner_text()
    assert first.startswith("A") and "distill cot*, seed 1" in first
    choose(page, is_A="wrong", is_B="right")
    assert listed(page) == []


def test_with_several_seeds_most_of_them_decide(page):
    choose(page, way_A="distill cot")
    assert listed(page) == ["d4", "e5", "f6"], "only what it was asked"
    cells = page.locator("regular-table tbody td:nth-child(3)").all_inner_texts()
    assert cells == ["3/3", "2/3", "1/3"]
    choose(page, is_A="right")
    assert listed(page) == ["d4", "e5"]
    choose(page, is_A="wrong")
    assert listed(page) == ["f6"]


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [
        ("split", "test", ["d4", "e5", "f6"]),
        ("category", "law", ["c3", "d4"]),
        ("bucket", "hard", ["a1", "e5", "f6"]),
        ("teacher guru", "accepted", ["a1"]),
        ("teacher guru", "wrong_answer", ["a1"]),
        ("teacher guru", "unparsed", ["b2"]),
    ],
)
def test_items_are_found_by_what_they_are(page, label, value, expected):
    page.get_by_label(label, exact=True).select_option(value)
    assert listed(page) == expected
    page.click("text=Show all")
    page.wait_for_selector("#count:text-is('6 of 6 items')")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3 + 3", ["d4"]), ("EIGHT", ["e5"]), ("f6", ["f6"]), ("nowhere", []), (".*", [])],
)
def test_items_are_found_by_their_text(page, text, expected):
    page.fill("[name=text]", text)
    assert listed(page) == expected


def test_a_metric_sorts_and_what_has_none_comes_last(page):
    button = page.locator("thead button", has_text="entropy")
    button.click()
    assert listed(page) == ["f6", "a1", "e5", "b2", "d4", "c3"]
    header = page.locator("thead th", has_text="entropy")
    assert header.get_attribute("aria-sort") == "descending"
    button.click()
    assert listed(page) == ["d4", "b2", "e5", "a1", "f6", "c3"]
    assert header.get_attribute("aria-sort") == "ascending"


def test_the_address_of_an_item_leads_to_it(visit, file):
    page = ready(visit(file, address="#item=e5"))
    assert "What is 4 + 4?" in page.inner_text("#item")
    page.evaluate("location.hash = '#item=b2'")
    page.wait_for_selector("#item h2:has-text('Item b2')")
    page.click("#item >> text=Close")
    page.wait_for_selector("#item", state="hidden")
    assert page.url.endswith("#")


def test_an_address_of_no_item_is_answered(visit, file):
    page = ready(visit(file, address="#item=%3Cb%3E"))
    assert page.inner_text("#count") == "There is no item <b> here."


def test_keys_reach_everything(page):
    page.focus("regular-table tbody tr:first-child a")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("a:focus:text-is('c3')")
    page.keyboard.press("End")
    page.wait_for_selector("a:focus:text-is('f6')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#item:not([hidden])")
    assert page.evaluate("document.activeElement.id") == "item"
    page.keyboard.press("Escape")
    page.wait_for_selector("#item", state="hidden")
    page.wait_for_selector("a:focus:text-is('f6')")
    page.keyboard.press("/")
    page.keyboard.type("a1")
    assert listed(page) == ["a1"]


@pytest.mark.parametrize("width", [1280, 480])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_from_using_it(visit, file, findings, width, scheme):
    page = ready(visit(file, width, scheme))
    if width == 480:
        page.click("#filters summary")
    choose(page, way_A="distill cot", is_A="right", way_B="complexity_aware cot", is_B="wrong")
    assert listed(page) == ["d4"]
    assert findings(page) == []
    look_at(page, "d4")
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_dark_page_is_dark(visit, file):
    ink = "getComputedStyle(document.body).backgroundColor"
    colours = {scheme: visit(file, scheme=scheme).evaluate(ink) for scheme in ("light", "dark")}
    assert colours == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}


def test_a_print_shows_the_open_item_in_full(page):
    look_at(page, "d4")
    page.emulate_media(media="print")
    assert page.locator("#filters").is_hidden() and page.locator("regular-table").is_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('#item')).overflowY") == "visible"
    assert page.locator("#item .cards").last.is_visible()


def test_each_data_set_and_student_has_a_page_of_its_own(visit, tmp_path):
    file = tmp_path / "explorer.html"
    other = items(question=[f"Other {number}" for number in range(6)])
    parts = [sources(), sources(other, dataset="others")]
    file.write_text(explorer_page(parts), encoding="utf-8")
    page = ready(visit(file))
    choose(page, part="others, tiny")
    page.wait_for_selector("regular-table >> text=Other 3")
    assert "Other 3" in look_at(page, "d4")
    assert page.url.endswith("#item=d4&of=others/tiny")
    again = ready(visit(file, address="#item=d4&of=others/tiny"))
    assert "Other 3" in again.inner_text("#item")


@pytest.mark.parametrize("text", [*CANARIES.values(), LINES], ids=[*CANARIES, "lines"])
def test_text_of_items_is_text(visit, tmp_path, text):
    strange = [f"{number}{text}" for number in range(6)]
    table = items(
        item_id=strange,
        question=[text] * 6,
        answer=[text] * 6,
        options=[[text, text]] * 6,
        category=[text] * 6,
        reference_rationale=[text] * 6,
        source_id=[text] * 6,
    )
    file = tmp_path / "explorer.html"
    file.write_text(explorer_page([sources(table, text=text)]), encoding="utf-8")
    page = ready(visit(file))
    drawn(page)
    rows = page.locator("regular-table tbody tr")
    assert rows.count() == 6
    assert len({row.bounding_box()["height"] for row in rows.all()}) == 1
    page.evaluate("id => { location.hash = `#item=${encodeURIComponent(id)}`; }", strange[3])
    page.wait_for_selector("#item:not([hidden])")
    expected = "".join(
        chr(0x2400 + ord(one)) if ord(one) < 32 and one not in "\n\t" else one for one in text
    )
    told = page.locator("#item .prose").first.evaluate("one => one.textContent")
    assert told == expected
    assert expected in page.locator("#item .card").last.evaluate("one => one.textContent")
    assert page.title() == "Items of the run"
    assert page.locator("#item img, #item script, regular-table img").count() == 0
    page.fill("[name=text]", text.split("\n")[0].strip())
    assert len(listed(page)) == 6


def test_the_page_may_run_no_script_but_its_own(browser, file):
    """Chromium complains of what the page forbids, so that `visit` would fail here."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(file.as_uri())
    ready(page)
    page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "document.title = 'run'";
      document.body.append(script);
    }""")
    assert page.title() == "Items of the run"
    sent = page.evaluate("fetch('data:text/plain,x').then(() => 'sent', () => 'blocked')")
    assert sent == "blocked"
    context.close()
