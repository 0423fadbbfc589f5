"""Published scores, joined to the real question set that they are about."""

from pathlib import Path

import pytest

from caft.complexity.imported import import_metric
from caft.complexity.settings import MetricSettings
from caft.datasets import load, read_section
from caft.datasets.ingest import ingest

COLUMNS = {"question": "question", "options": "options", "answer": "answer", "id": "item_id"}


@pytest.fixture(scope="module")
def items(reference_data):
    spec = {
        "adapter": "file",
        "path": str(reference_data / "mmlu_pro_items.parquet"),
        "columns": COLUMNS,
    }
    settings = read_section({**spec, "splits": {"train": 0.5, "test": 0.5}})
    return ingest(load(settings, 1, Path("unused")), settings.splits, 1, "mmlu_pro", 0.1).items


def published(reference_data, items, model, variant, column):
    settings = {
        "path": str(reference_data / "published_scores.parquet"),
        "column": column,
        "join": "source_id",
        "id": "item_id",
        "where": {"model": model, "variant": variant},
    }
    return import_metric(MetricSettings.model_validate(settings), items)


@pytest.mark.parametrize(
    ("model", "variant", "rows"),
    [
        ("phi-4-mini-instruct", "numbers_fallback", 4045),
        ("qwen2.5-3b-instruct", "numbers_old", 9467),
    ],
)
def test_published_entropies_find_their_items(reference_data, items, model, variant, rows):
    table, problems, counts = published(reference_data, items, model, variant, "entropy")
    assert counts == {
        "rows": rows,
        "rows_matched": rows,
        "items": 12031,
        "items_matched": rows,
        "items_unmatched": 12031 - rows,
    }
    assert problems.empty
    assert table["value"].notna().sum() == rows and table["value"].min() >= 0
    assert set(table["reason"].dropna()) == {"unmatched"}


@pytest.mark.parametrize(
    ("columns", "matched", "ambiguous", "empty"),
    [
        # 748 of the 12,032 rows share their question text with another one.
        ({"question": "question"}, 11234, 748, 49),
        ({"question": "question", "options": "options"}, 11975, 0, 56),
    ],
)
def test_options_tell_real_questions_of_the_same_text_apart(
    reference_data, items, columns, matched, ambiguous, empty
):
    settings = {
        "path": str(reference_data / "mmlu_pro_items.parquet"),
        "column": "total_tokens",
        "join": "question",
        "columns": columns,
    }
    _, problems, counts = import_metric(MetricSettings.model_validate(settings), items)
    # One row has two equal options and is no item here.
    assert (counts["rows_matched"], counts["rows_unmatched"]) == (matched, 1)
    assert (
        counts.get("items_ambiguous", 0) == (problems["reason"] == "ambiguous").sum() == ambiguous
    )
    assert counts["items_no_value"] == empty


def test_published_correctness_is_imported_beside_them(reference_data, items):
    model, variant = "phi-4-mini-instruct", "numbers_fallback"
    entropy, correct = (
        published(reference_data, items, model, variant, column)[0]["value"]
        for column in ("entropy", "correct")
    )
    assert entropy.notna().sum() == correct.notna().sum() == 4045
    assert set(correct.dropna()) == {0.0, 1.0}
    assert entropy[correct == 0].mean() > entropy[correct == 1].mean()
