import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caft.complexity.imported import import_metric
from caft.complexity.settings import MetricSettings
from caft.errors import ConfigError, ItemError
from caft.tables import parquet

ITEMS = pd.DataFrame(
    {
        "item_id": ["i1", "i2", "i3", "i4"],
        "question": ["What is it?", "Which one is true?", "Which one is true?", "Café, two"],
        "options": [["one", "two"], ["A b", "c"], ["x", "y"], None],
        "source_id": ["10", "20", "30", None],
        "split": ["train", "test", "train", "test"],
    }
)


def write(path, rows, kind="jsonl"):
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pd.DataFrame(rows).to_csv(path, sep="," if kind == "csv" else "\t", index=False)
    return path


def imported(path, items=ITEMS, **settings):
    """Return value or reason per item, the problems as (row, reason) and the counts."""
    settings = {"path": str(path), "column": "score", **settings}
    table, problems, counts = import_metric(MetricSettings.model_validate(settings), items)
    assert list(table["item_id"]) == list(items["item_id"])
    assert (table["value"].isna() == table["reason"].notna()).all()
    found = [row.reason if pd.isna(row.value) else row.value for row in table.itertuples()]
    return found, list(zip(problems["row"], problems["reason"], strict=True)), counts


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv", "tsv"])
def test_scores_are_joined_by_source_id_whatever_the_file(tmp_path, kind):
    rows = [
        {"n": 30, "score": 0.3},
        {"n": 10, "score": 0.125},
        {"n": 99, "score": 1.5},
    ]
    path = write(tmp_path / f"scores.{kind}", rows, kind)
    found, problems, counts = imported(path, join="source_id", id="n")
    assert found == [0.125, "unmatched", 0.3, "unmatched"]
    assert [reason for _, reason in problems] == ["unmatched"]
    assert counts == {
        "rows": 3,
        "rows_matched": 2,
        "rows_unmatched": 1,
        "items": 4,
        "items_matched": 2,
        "items_unmatched": 2,
    }


def test_scores_are_joined_by_item_id_from_the_column_of_that_name(tmp_path):
    path = write(tmp_path / "s.jsonl", [{"item_id": "i4", "score": 4}, {"item_id": "i1"}])
    found, problems, _ = imported(path, join="item_id")
    assert found == ["no_value", "unmatched", "unmatched", 4.0]
    assert problems == [(2, "no_value")]


def test_questions_match_whatever_their_case_white_space_and_composition(tmp_path):
    rows = [
        {"q": "  WHAT is\n it? ", "score": 1.0},
        {"q": "cafe\u0301,  Two", "score": 2.0},
    ]
    path = write(tmp_path / "s.jsonl", rows)
    found, problems, _ = imported(path, join="question", columns={"question": "q"})
    assert found == [1.0, "unmatched", "unmatched", 2.0]
    assert problems == []


def test_a_question_that_several_items_share_is_ambiguous(tmp_path):
    path = write(
        tmp_path / "s.jsonl",
        [{"question": "which one is true?", "score": 1.0}, {"question": "What is it?", "score": 2}],
    )
    found, problems, counts = imported(path, join="question")
    assert found == [2.0, "ambiguous", "ambiguous", "unmatched"]
    assert problems == [(1, "ambiguous")]
    assert (counts["rows_ambiguous"], counts["items_ambiguous"]) == (1, 2)


@pytest.mark.parametrize("written", [list, json.dumps])
def test_options_tell_questions_of_the_same_text_apart(tmp_path, written):
    rows = [
        {"question": "which one is true?", "options": written(["a  B", "C"]), "score": 1.0},
        {"question": "which one is true?", "options": written(["X", "y"]), "score": 2.0},
        {"question": "which one is true?", "options": written(["y", "x"]), "score": 3.0},
        {"question": "What is it?", "options": written([]), "score": 4.0},
        {"question": "Café, two", "options": None, "score": 5.0},
    ]
    path = write(tmp_path / "s.jsonl", rows)
    columns = {"question": "question", "options": "options"}
    found, problems, _ = imported(path, join="question", columns=columns)
    assert found == ["unmatched", 1.0, 2.0, 5.0]
    assert problems == [(3, "unmatched"), (4, "unmatched")]


def test_rows_that_repeat_a_value_are_no_ambiguity_and_conflicting_ones_are(tmp_path):
    rows = [
        {"n": 10, "score": 1.0},
        {"n": 10, "score": 1.0},
        {"n": 20, "score": 1.0},
        {"n": 20, "score": 1.5},
        {"n": 30, "score": 3.0},
        {"n": 30, "score": None},
    ]
    path = write(tmp_path / "s.parquet", rows, "parquet")
    found, problems, counts = imported(path, join="source_id", id="n")
    assert found == [1.0, "ambiguous", 3.0, "unmatched"]
    assert problems == [(3, "ambiguous"), (4, "ambiguous"), (6, "no_value")]
    assert counts["rows_matched"] == 3


def test_texts_that_are_no_numbers_are_listed_and_truth_values_count(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("n,score\n10,True\n20,easy\n30,inf\n40,nan\n30,false\n")
    items = ITEMS.assign(source_id=["10", "20", "30", "40"])
    found, problems, _ = imported(path, items, join="source_id", id="n")
    assert found == [1.0, "not_a_number", 0.0, "no_value"]
    assert problems == [(3, "not_a_number"), (4, "not_a_number"), (5, "no_value")]


def test_only_the_rows_that_are_meant_are_read(tmp_path):
    rows = [
        {"n": 10, "model": "small", "shot": 0, "score": 1.0},
        {"n": 10, "model": "large", "shot": 0, "score": 2.0},
        {"n": 10, "model": "small", "shot": 5, "score": 3.0},
    ]
    path = write(tmp_path / "s.parquet", rows, "parquet")
    where = {"model": "small", "shot": 0}
    found, problems, counts = imported(path, join="source_id", id="n", where=where)
    assert (found[0], problems, counts["rows"]) == (1.0, [], 1)
    with pytest.raises(ConfigError, match=r"no row has \{'model': 'other'\}"):
        imported(path, join="source_id", id="n", where={"model": "other"})


def test_a_line_that_is_no_row_is_listed(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text('{"item_id": "i1", "score": 1}\n{"item_id": \n')
    found, problems, counts = imported(path, join="item_id")
    assert found[0] == 1.0 and problems == [(2, "unreadable")]
    assert counts["rows_unreadable"] == 1


def test_the_problems_show_key_and_value(tmp_path):
    path = write(tmp_path / "s.jsonl", [{"n": 10, "score": 1}, {"n": 7, "score": "much"}])
    settings = {"path": str(path), "column": "score", "join": "source_id", "id": "n"}
    _, problems, _ = import_metric(MetricSettings.model_validate(settings), ITEMS)
    assert problems.to_dict("records") == [
        {"row": 2, "key": "7", "value": "much", "reason": "unmatched"}
    ]


def test_an_imported_table_can_be_stored(tmp_path):
    path = write(tmp_path / "s.jsonl", [{"item_id": "i2", "score": 1.25}])
    settings = {"path": str(path), "column": "score", "join": "item_id"}
    table, _, _ = import_metric(MetricSettings.model_validate(settings), ITEMS)
    parquet.write("metrics", table, tmp_path / "m.parquet")
    stored = parquet.read("metrics", tmp_path / "m.parquet")
    assert stored["value"].notna().tolist() == [False, True, False, False]
    assert list(stored["split"]) == ["train", "test", "train", "test"]
    assert not stored["warm_up"].any()


def test_a_missing_column_or_file_and_a_join_that_fits_nothing_are_errors(tmp_path):
    path = write(tmp_path / "s.jsonl", [{"n": "q7", "score": 1}])
    with pytest.raises(ConfigError, match=r"no column 'entropy'; the file has: n, score"):
        imported(path, join="source_id", id="n", column="entropy")
    with pytest.raises(ConfigError, match=r"none of its 1 rows .* 'q7', the items have '10'"):
        imported(path, join="source_id", id="n")
    with pytest.raises(ItemError, match="no such file"):
        imported(tmp_path / "absent.csv", join="item_id")


@pytest.mark.parametrize("options", [1e400, 7, True, "one", {"a": "one"}])
def test_options_that_are_no_list_fit_no_item(tmp_path, options):
    rows = [
        {"q": "What is it?", "o": options, "score": 1.0},
        {"q": "Which one is true?", "o": ["x", "y"], "score": 2.0},
    ]
    columns = {"question": "q", "options": "o"}
    found, problems, _ = imported(
        write(tmp_path / "s.jsonl", rows), join="question", columns=columns
    )
    assert found == ["unmatched", "unmatched", 2.0, "unmatched"]
    assert problems == [(1, "unmatched")]
