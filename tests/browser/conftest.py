"""A browser for pages that a run makes: Debian's chromium, without any network."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

CHROMIUM = os.environ.get("CAFT_CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="session")
def browser():
    """A headless chromium; root may start it only outside its sandbox."""
    if not CHROMIUM:
        pytest.skip("no chromium here; as root, `.ci/browser install` brings it")
    tools = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with tools.sync_playwright() as playwright:
        arguments = [] if os.geteuid() else ["--no-sandbox"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Open a page from the disk; what it complained of and asked for is checked at the end."""
    visited = []

    def opened(file: Path, width: int = 1280, scheme: str = "light", address: str = ""):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        page = context.new_page()
        seen = SimpleNamespace(context=context, complaints=[], asked=[])
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (seen.complaints.append("a dialog"), dialog.dismiss()))
        page.on("request", lambda request: seen.asked.append(request.url))
        visited.append(seen)
        page.goto(file.as_uri() + address)
        return page

    yield opened
    for seen in visited:
        seen.context.close()
    assert [text for seen in visited for text in seen.complaints] == []
    asked = {url for seen in visited for url in seen.asked if not url.startswith("blob:")}
    assert [url for url in asked if not url.startswith("file:") or ".html" not in url] == []


@pytest.fixture
def findings():
    """What axe-core finds in a page that keeps somebody from using it."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-core is not installed"
    ).Axe()

    def found(page) -> list[str]:
        violations = axe.run(page).response["violations"]
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in violations
            if one["impact"] in ("serious", "critical")
        ]

    return found
