from functools import partial

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caft.errors import CaftError
from caft.tables import parquet


def predictions():
    return pd.DataFrame(
        {
            "item_id": ["b", "a"],
            "text": ["[[B]]", "<b>\x1b[31m"],
            "parsed": ["B", "[invalid]"],
            "answer": ["B", "A"],
            "correct": [True, False],
            "invalid": [False, True],
            "new_tokens": [3, 12],
            "thought": ["hm", None],
            "thought_tokens": [1, 0],
            "finish_reason": ["stop", "length"],
        }
    )


def test_equal_rows_give_equal_bytes_in_any_order_of_rows_and_columns(tmp_path):
    table = predictions()
    turned = table.iloc[::-1, ::-1].set_axis([7, 8], axis=0)
    parquet.write("predictions", table, tmp_path / "one", {"mode": "cot"}, 1)
    parquet.write("predictions", turned, tmp_path / "other", {"mode": "cot"}, 1)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_several_row_groups_hold_the_rows_of_one_in_the_same_order(tmp_path, monkeypatch):
    one = predictions().iloc[[0]]
    table = pd.concat([one.assign(item_id=name) for name in "dbeac"], ignore_index=True)
    parquet.write("predictions", table, tmp_path / "one")
    monkeypatch.setattr(parquet, "_GROUP", 2)
    monkeypatch.setattr(parquet, "_HASHED_ROWS", 3)
    parquet.write("predictions", table, tmp_path / "three")
    assert pq.read_metadata(tmp_path / "three").num_row_groups == 3
    assert pq.read_table(tmp_path / "three").equals(pq.read_table(tmp_path / "one"))
    assert parquet.footer(tmp_path / "three") == parquet.footer(tmp_path / "one")


def test_a_cut_table_is_not_current_and_is_told_how_to_be_mended(tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write("predictions", predictions(), path)
    path.write_bytes(path.read_bytes()[:-9])
    assert not parquet.is_current("predictions", path)
    for reading in (parquet.footer, partial(parquet.read, "predictions")):
        with pytest.raises(CaftError, match=r"t\.parquet: cannot be read.*delete it and run again"):
            reading(path)


def test_a_text_that_is_missing_is_none_in_a_row(tmp_path):
    parquet.write("predictions", predictions(), tmp_path / "t.parquet")
    rows = parquet.records(parquet.read("predictions", tmp_path / "t.parquet"))
    assert [row["thought"] for row in rows] == [None, "hm"]


def test_a_table_is_read_back_as_written_and_sorted_by_item(tmp_path):
    parquet.write("predictions", predictions(), tmp_path / "t.parquet")
    found = parquet.read("predictions", tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(
        found, predictions().sort_values("item_id", ignore_index=True), check_dtype=False
    )


def test_rows_of_one_item_are_sorted_by_target(tmp_path):
    table = pd.DataFrame({"item_id": ["a", "a"], "target": ["rationale", "answer"]})
    parquet.write("mixtures", table, tmp_path / "t.parquet")
    assert list(parquet.read("mixtures", tmp_path / "t.parquet")["target"]) == [
        "answer",
        "rationale",
    ]


def test_a_column_that_is_not_given_becomes_null(tmp_path):
    parquet.write("predictions", predictions().drop(columns="correct"), tmp_path / "t.parquet")
    assert parquet.read("predictions", tmp_path / "t.parquet")["correct"].isna().all()


def test_a_missing_number_and_a_missing_flag_stay_null(tmp_path):
    scores = pd.DataFrame([{"item_id": "a", "correct": True, "margin": -0.5}, {"item_id": "b"}])
    parquet.write("scores", scores, tmp_path / "t.parquet")
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert [(row["correct"], row["margin"]) for row in rows] == [(True, -0.5), (None, None)]


def test_an_unknown_column_is_refused(tmp_path):
    with pytest.raises(CaftError, match="'predictions' has no column 'colour'"):
        parquet.write("predictions", predictions().assign(colour=1), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_footer_says_what_made_a_table(tmp_path):
    parquet.write("predictions", predictions(), tmp_path / "t.parquet", {"mode": "cot"}, 3)
    footer = parquet.footer(tmp_path / "t.parquet")
    assert (footer["table"], footer["spec"], footer["code"]) == ("predictions", {"mode": "cot"}, 3)
    rows = pq.read_table(tmp_path / "t.parquet")
    assert footer["content"] == parquet.content_hash([rows])


def test_the_content_hash_is_of_the_rows_and_not_of_what_made_them(tmp_path):
    changed = predictions().assign(new_tokens=[3, 13])
    for name, table, spec in [("a", predictions(), 1), ("b", predictions(), 2), ("c", changed, 1)]:
        parquet.write("predictions", table, tmp_path / name, spec)
    one, same, other = (parquet.footer(tmp_path / name)["content"] for name in "abc")
    assert one == same != other


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "t.parquet").write_text("not parquet")
    with pytest.raises(CaftError, match="t.parquet: cannot be read .* delete it"):
        parquet.read("items", tmp_path / "t.parquet")
    with pytest.raises(CaftError, match="gone.parquet"):
        parquet.read("items", tmp_path / "gone.parquet")


def test_a_table_of_another_kind_is_refused(tmp_path):
    pq.write_table(pa.table({"item_id": ["a"]}), tmp_path / "t.parquet")
    with pytest.raises(CaftError, match="is not a table 'items'"):
        parquet.read("items", tmp_path / "t.parquet")
    assert parquet.footer(tmp_path / "t.parquet") == {}


def test_a_column_that_may_be_absent_is_written_where_it_says_something(tmp_path):
    plain, column = predictions(), "first_token_entropy"
    parquet.write("predictions", plain, tmp_path / "plain.parquet")
    parquet.write("predictions", plain.assign(**{column: None}), tmp_path / "null.parquet")
    assert (tmp_path / "plain.parquet").read_bytes() == (tmp_path / "null.parquet").read_bytes()
    more = plain.assign(item_id=["x", "y"], **{column: [0.5, None]})
    parquet.write("predictions", more, tmp_path / "more.parquet")
    both = parquet.read("predictions", tmp_path / "plain.parquet", tmp_path / "more.parquet")
    assert both[column].dropna().tolist() == [0.5] and len(both) == 4
    assert column not in parquet.read("predictions", tmp_path / "plain.parquet")
    assert all(parquet.is_current("predictions", path) for path in tmp_path.iterdir())
