import re

import pytest
from samples import write_plan

from caft.mixtures.plan import Plan
from caft.report.samples import samples_page


@pytest.fixture
def page(tmp_path, monkeypatch, planned_stage, chat):
    monkeypatch.chdir(tmp_path)
    return samples_page(write_plan(planned_stage), chat, "sums, tiny, round 1")


def parts(page):
    return page.split("<h2")[1:]


def test_each_mixture_is_shown_once_under_the_stages_that_train_on_it(page):
    titles = re.findall(r"<h2[^>]*>(.*)</h2>", page)
    assert titles == ["sft, stage 1; complexity_aware, stage 1", "complexity_aware, stage 2"]
    assert "sums, tiny, round 1" in page


def test_a_stage_tells_its_rows_passes_updates_lengths_and_what_was_left_out(page):
    numbers = dict(re.findall("<dt>(.*)</dt><dd>(.*)</dd>", parts(page)[0]))
    assert numbers == {
        "rows": "5",
        "passes": "2",
        "updates": "7",
        "prompt tokens": "20 to 30, median 20",
        "tokens with loss": "1 to 9, median 3",
        "longest row": "39 tokens",
        "left out, too long": "3",
        "left out, no rationale": "0",
    }


def test_two_rows_of_each_target_and_the_longest_one_are_shown(page):
    shown = [re.findall(r"<h3>item (\w+, .*):", part) for part in parts(page)]
    assert shown == [
        ["i1, answer", "i2, answer", "i5, rationale, the longest"],
        ["i1, answer", "i2, answer, the longest"],
    ]


def test_the_longest_row_is_shown_where_it_is_not_among_the_first(
    tmp_path, monkeypatch, planned_stage, chat
):
    from caft.tables import parquet

    monkeypatch.chdir(tmp_path)
    plan, file = write_plan(planned_stage), "data/mixtures/rows/second.parquet"
    rows = parquet.read("mixtures", "data/mixtures/rows/first.parquet")
    parquet.write("mixtures", rows[rows["target"] == "answer"], file)
    second = parts(samples_page(plan, chat, "any"))[1]
    names = re.findall(r"<h3>item (\w+, .*):", second)
    assert names == ["i1, answer", "i2, answer", "i4, answer, the longest"]


def test_what_carries_loss_is_marked_and_nothing_else(page, chat):
    # The chat template of the student: the answer, and the token that ends its turn.
    assert parts(page)[1].count("<mark>2&lt;|im_end|&gt;</mark></pre>") == 2
    row = parts(page)[0].split("<h3>item i1")[1].split("</pre>")[0]
    prompt = row.split("<pre>")[1].split("<mark>")[0]
    assert "1 + 1 ?" in prompt and prompt.endswith("assistant\n")
    count = int(re.search(r"(\d+) tokens of prompt, 2 with loss", row)[1])
    assert count == len(chat.prompt([{"role": "user", "content": "1 + 1 ?"}], "direct"))


def test_text_of_items_is_text_and_what_nobody_sees_has_a_code(page):
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "\u202e" not in page


def test_a_round_that_trains_nothing_says_so(chat):
    assert "No strategy of this round trains anything." in samples_page(Plan({}), chat, "any")
