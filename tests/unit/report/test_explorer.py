import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from configurations import configuration
from explored import IDS, items, sources, unpacked

from caft.report.explorer import explorer_page
from caft.report.items import _read_metrics, part_of
from caft.tables import parquet

ROOT = Path(__file__).parents[3]


def column(name, values):
    """Return a column of few different texts as the page has it."""
    return [None if code < 0 else values["values"][code] for code in values["codes"]]


def facet(head, name):
    return next(column(name, one) for one in head["facets"] if one["name"] == name)


def test_items_are_in_the_order_of_their_ids_whatever_the_order_of_the_tables():
    turned = items().iloc[::-1]
    assert part_of(replace(sources(), items=turned)) == part_of(sources())
    assert part_of(sources()).head["ids"] == IDS


def test_an_item_has_a_place_in_each_column():
    head = part_of(sources()).head
    assert facet(head, "split") == ["train"] * 3 + ["test"] * 3
    assert facet(head, "bucket") == ["hard", "easy", "medium", "easy", "hard", "hard"]
    assert facet(head, "teacher guru") == ["accepted + wrong_answer", "unparsed", *[None] * 4]
    assert head["metrics"] == [{"name": "entropy", "values": [2.0, 0.5, None, 0.25, 1.5, 3.0]}]
    assert head["options"][:2] == [["zero", "two", "four"], None]


def test_each_seed_has_its_answers_and_the_untuned_student_answers_once():
    ways = {(way["strategy"], way["mode"]): way for way in part_of(sources()).head["ways"]}
    assert [seed["outcomes"] for seed in ways["distill", "cot"]["seeds"]] == [
        "---rrw", "---rwi", "---rrr",
    ]  # fmt: skip
    assert [seed["seed"] for seed in ways["distill", "cot"]["seeds"]] == [1, 2, 3]
    assert ways["base", "cot"]["seeds"] == [{"seed": None, "model": "base", "outcomes": "---iii"}]
    assert [ways["distill", mode]["trained"] for mode in ("direct", "cot")] == [False, True]


def test_stages_of_seeds_that_train_on_the_same_are_told_once():
    stages = part_of(sources()).head["stages"]
    told = [(one["strategy"], one.get("stage"), one.get("seeds")) for one in stages]
    assert told == [
        ("warm-up before scoring", None, None),
        ("distill", 1, [1, 2, 3]),
        ("complexity_aware", 1, [1]),
        ("complexity_aware", 2, [1]),
    ]
    assert column("", stages[0]) == [None, "answer", *[None] * 4]
    assert column("", stages[3]) == ["answer + rationale", *[None] * 5]


def test_what_the_teacher_was_paid_for_each_answer_is_there():
    part = part_of(sources())
    named = [dict(zip(part.head["bought"], row, strict=True)) for row in part.texts[0]["bought"]]
    assert [(one["reason"], one["cost_usd"]) for one in named] == [
        ("wrong_answer", 0.25),
        (None, 0.5),
    ]
    assert part.texts[1]["bought"][0][part.head["bought"].index("cost_usd")] is None, "unknown"
    assert part.texts[2]["bought"] == []


def test_a_run_without_a_teacher_and_without_values_has_a_page():
    bare = sources()
    empty = replace(bare.results, rationales={})
    part = part_of(replace(bare, results=empty, metrics={}, mixtures=bare.mixtures))
    assert part.texts[0]["bought"] == [] and part.texts[0]["reasons"] == []


def test_the_same_tables_make_the_same_page():
    assert explorer_page([sources()]) == explorer_page([sources()])


def test_the_page_has_everything_and_shows_none_of_it_to_html():
    marker = "<script>alert('mark')</script>"
    page = explorer_page([sources(items(question=[marker] * 6), text=marker)])
    assert marker not in page and "alert('mark')" not in page
    blocks = unpacked(page)
    assert blocks["part-0-head"]["questions"] == [marker] * 6
    assert marker in json.dumps(blocks["part-0-texts-0"])


def test_the_policy_names_what_the_page_runs_and_lets_nothing_out():
    page = explorer_page([sources()])
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src 'none';")
    scripts = re.findall(r'<script type="module">(.*?)</script>', page, flags=re.DOTALL)
    style = re.search(r"<style>(.*?)</style>", page, flags=re.DOTALL)[1]
    assert len(scripts) == 2
    for text in [*scripts, style]:
        assert b64encode(sha256(text.encode()).digest()).decode() in policy
    assert "unsafe" not in policy and "http" not in policy


def test_a_page_that_would_be_too_large_leaves_out_the_middle_of_long_texts():
    long = "begin " + " ".join(str(number) for number in range(3000)) + " end"
    whole, small = (
        unpacked(explorer_page([sources(text=long)], largest)) for largest in (10**7, 1)
    )
    assert whole["facts"]["longest"] == 16000 and small["facts"]["longest"] == 100
    cut = small["part-0-texts-0"][3]["answers"][1][1]
    assert cut.startswith("begin 0 1 2") and cut.endswith("2999 end")
    assert f"[… {len(long) - 100} characters are left out here …]" in cut
    assert whole["part-0-texts-0"][3]["answers"][1][1] == long and len(cut) < 200
    assert small["part-0-head"] == whole["part-0-head"], "what is filtered by is whole"


def test_metrics_that_the_same_pass_gave_are_shown_beside_that_of_the_buckets(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    ids = {"item_id": ["a", "b"], "split": "test"}
    parquet.write(
        "metrics",
        pd.DataFrame({**ids, "value": [1.0, 2.0], "warm_up": False}),
        "data/metrics/d/s/entropy.parquet",
    )
    scores = {
        **ids, "warm_up": False, "status": ["ok", "too_long"], "margin": [0.5, None],
    }  # fmt: skip
    parquet.write("scores", pd.DataFrame(scores), "data/scores/d/s/base/letters.parquet")
    config = configuration(
        {
            "students": {"s": {"path": "s"}},
            "metrics": {
                "entropy": {"metric": "single_token_entropy", "prompt": "letters"},
                "margin": {"prompt": "letters"},
                "option_entropy": {"prompt": "letters"},
                "cross_entropy": {"prompt": "numbers"},
                "cot_mean": {},
            },
            "buckets": {"default": {"metric": "entropy"}},
        }
    )
    found = _read_metrics(config, "d", "s")
    assert list(found) == ["entropy", "margin"], "another pass, or no value at all, is left out"
    assert found["margin"]["reason"].tolist()[1] == "too_long"


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("regular-table.js", "1ba52b6eb23cfa1ee203216fcaf0ef71dae033701c1122eb32f73361c5513f06"),
        ("LICENSE", "863c730579cead0b65b268c3c0c8607e2f9906f956760a19a7a337df6029d739"),
    ],
)
def test_the_library_is_as_it_was_published(name, digest):
    content = (ROOT / "src/caft/report/assets/regular-table" / name).read_bytes()
    assert sha256(content).hexdigest() == digest
