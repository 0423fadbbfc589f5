"""Size and speed of the explorer with many items, in a real browser.

    python benchmarks/explorer/run.py --items 12000 --models 7

Makes tables up: every item is answered by every model in both modes and has a teacher's answer,
which is more than a run has, where items are either trained on or asked. Texts are words drawn with
the frequencies of a language; they compress less well than real answers to one question. Reported:
seconds to make the page, its size, how much of long texts is kept, and the seconds until the page
can be used, of each filter, of sorting and of opening an item. `.ci/browser install` brings
chromium.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd
from playwright.sync_api import Page, sync_playwright

from caft.config.modes import View
from caft.mixtures.plan import Plan, PlannedStage, PlannedStrategy, Trained
from caft.report.explorer import explorer_page
from caft.report.items import Sources
from caft.report.summary import Asked, Results

_VIEWS = [View("direct", "direct", 0), View("cot", "cot", 0)]


class Words:
    """Draws texts from made-up words, common ones often."""

    def __init__(self, seed: int, count: int = 8000):
        self.draw = random.Random(seed)
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        weights = [1 / (rank + 2) for rank in range(len(letters))]
        self.words = [
            "".join(self.draw.choices(letters, weights, k=self.draw.choice([2, 3, 4, 5, 6, 7, 9])))
            for _ in range(count)
        ]
        self.weights = [1 / (rank + 2.7) for rank in range(count)]

    def texts(self, number: int, length: int) -> list[str]:
        """Return so many texts of about so many characters."""
        pool = self.draw.choices(self.words, self.weights, k=number * length // 5 + 1)
        per, found = max(1, length // 5), []
        for place in range(number):
            own = round(per * self.draw.uniform(0.4, 1.6))
            start = min(place * per, len(pool) - own)
            found.append(" ".join(pool[max(0, start) : max(0, start) + own]))
        return found


def made_up(count: int, models: int, length: int) -> Sources:
    """Return tables of so many items and models, with chains of thought of a length."""
    words = Words(1)
    draw = words.draw
    ids = [f"{draw.getrandbits(64):016x}" for _ in range(count)]
    items = pd.DataFrame(
        {
            "item_id": ids,
            "question": words.texts(count, 250),
            "options": _options(words, count),
            "answer": draw.choices("ABCD", k=count),
            "category": draw.choices(["law", "physics", "health", "history"], k=count),
            "reference_rationale": None,
            "source": "made up",
            "source_id": [str(number) for number in range(count)],
            "split": draw.choices(["train", "test"], k=count),
        }
    )
    names = [f"strategy_{number}" for number in range(models)]
    bought = pd.DataFrame(
        {
            "item_id": ids, "sample": 0, "text": words.texts(count, 2 * length), "reasoning": None,
            "parsed": "A", "accepted": True, "selected": True, "reason": None,
            "finish_reason": "stop", "prompt_tokens": 300, "completion_tokens": 400,
            "cost_usd": 0.001, "seconds": 4.2, "imported": False, "answered_by": "teacher",
            "error": None,
        }
    )  # fmt: skip
    bought["accepted"] = [draw.random() < 0.8 for _ in ids]
    bought["reason"] = bought["reason"].mask(~bought["accepted"], "wrong_answer")
    mixture = pd.DataFrame({"item_id": ids[: count // 2], "target": "answer"})
    stage = PlannedStage("m", None, "rows", 2, count // 2, count // 2, 0, 0, 0, 1, 1, 1)
    plan = Plan(
        {
            name: PlannedStrategy("cot", "default", "teacher", {1: Trained(name, 1, [stage])})
            for name in names
        }
    )
    results = Results(
        "made_up",
        "student",
        plan,
        {
            (name, view.name): _predictions(words, ids, 2 if view.mode == "direct" else length)
            for name in names
            for view in _VIEWS
        },
        {
            "default": pd.DataFrame(
                {"item_id": ids, "bucket": draw.choices(["easy", "hard"], k=count)}
            )
        },
        {"teacher": bought},
    )
    metrics = {
        name: pd.DataFrame(
            {
                "item_id": ids,
                "value": [draw.random() * 3 for _ in ids],
                "reason": None,
                "warm_up": False,
            }
        )
        for name in ("single_token_entropy", "margin", "cross_entropy", "option_entropy")
    }
    ways = [Asked(name, view, "last") for name in names for view in _VIEWS]
    return Sources(results, items, metrics, {"rows": mixture}, ways)


def _options(words: Words, count: int) -> list[list[str]]:
    texts = words.texts(4 * count, 20)
    return [texts[4 * number : 4 * number + 4] for number in range(count)]


def _predictions(words: Words, ids: list[str], length: int) -> pd.DataFrame:
    draw = words.draw
    return pd.DataFrame(
        {
            "text": words.texts(len(ids), length),
            "parsed": draw.choices("ABCD", k=len(ids)),
            "correct": draw.choices([True, False], k=len(ids)),
            "invalid": False,
            "new_tokens": draw.choices(range(20, 400), k=len(ids)),
            "thought": None,
            "thought_tokens": 0,
            "finish_reason": "stop",
        },
        index=pd.Index(ids, name="item_id"),
    )


_SET = """async ([name, value]) => {
  const control = document.querySelector(`#filters [name="${name}"]`);
  const started = performance.now();
  control.value = value;
  control.dispatchEvent(new Event("input", { bubbles: true }));
  await document.querySelector("regular-table").flush();
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return (performance.now() - started) / 1000;
}"""


def measure(page: Page, url: str) -> dict[str, float]:
    """Return the seconds that opening, filters, sorting and an item take."""
    started = time.perf_counter()
    page.goto(url)
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    found = {"open": time.perf_counter() - started}
    first = page.evaluate("document.querySelector('regular-table tbody th').textContent")
    for name, value in (
        ("text", "the"), ("text", ""), ("facet-0", "test"), ("facet-2", "hard"), ("way-A", "3"),
        ("is-A", "1"), ("way-B", "5"), ("is-B", "-1"),
    ):  # fmt: skip
        found[f"filter {name}={value}"] = page.evaluate(_SET, [name, value])
    found["sort"] = page.evaluate(
        """async () => {
          const started = performance.now();
          document.querySelector("thead tr:last-child th:nth-child(3) button").click();
          await document.querySelector("regular-table").flush();
          return (performance.now() - started) / 1000;
        }"""
    )
    started = time.perf_counter()
    page.evaluate("id => { location.hash = `#item=${id}`; }", first)
    page.wait_for_selector("#item:not([hidden])")
    found["item"] = time.perf_counter() - started
    return found


def main() -> None:
    """Make the page and drive a browser over it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--models", type=int, default=7)
    parser.add_argument("--length", type=int, default=600, help="characters of a chain of thought")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    sources = made_up(given.items, given.models, given.length)
    started = time.perf_counter()
    page = explorer_page([sources])
    print(f"page made in {time.perf_counter() - started:.1f} s, {len(page.encode()) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as tools:
        file = Path(folder) / "explorer.html"
        file.write_text(page, encoding="utf-8")
        browser = tools.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        runs = []
        for _ in range(given.repeats):
            opened = browser.new_context(offline=True).new_page()
            runs.append(measure(opened, file.as_uri()))
            kept = opened.evaluate("document.getElementById('cut').textContent")
            opened.context.close()
        browser.close()
    print(kept)
    for name in runs[0]:
        seconds = [run[name] for run in runs]
        print(f"{name}: {statistics.median(seconds):.2f} s (slowest {max(seconds):.2f})")


if __name__ == "__main__":
    main()
