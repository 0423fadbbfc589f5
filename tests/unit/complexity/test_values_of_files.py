"""Values as published files have them: words, lists per token, zeros that mean nothing."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caft.complexity.imported import import_metric
from caft.complexity.reading import read_value, require_number
from caft.complexity.settings import MetricSettings
from caft.errors import ConfigError, ItemError

ITEMS = pd.DataFrame(
    {
        "item_id": ["i0", "i1", "i2"],
        "question": ["a?", "b?", "c?"],
        "options": None,
        "source_id": ["0", "1", "2"],
        "split": "test",
    }
)


@pytest.fixture
def read(tmp_path):
    """Return a function that reads cells, one per item, and gives value or reason of each."""

    def read(*cells, more=None, kind="jsonl", **settings):
        rows = [{"n": n, "score": cell, **(more or {})} for n, cell in enumerate(cells)]
        path = tmp_path / f"scores.{kind}"
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
        metric = {"path": str(path), "column": "score", "id": "n", **settings}
        table, _, _ = import_metric(MetricSettings.model_validate(metric), ITEMS)
        return [row.reason if pd.isna(row.value) else row.value for row in table.itertuples()]

    return read


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "tsv"])
def test_words_have_the_numbers_that_the_settings_give_them(read, kind):
    found = read("low", "high", "else", kind=kind, values={"low": 0, "high": 2})
    assert found == [0.0, 2.0, "not_a_number"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "tsv"])
@pytest.mark.parametrize(
    "aggregate, value", [("mean", 0.75), ("max", 1.5), ("last", 0.25), ({"at": "place"}, 1.5)]
)
def test_a_list_comes_to_one_number(read, kind, aggregate, value):
    cells = [json.dumps([0.5, 1.5, 0.25]) if kind == "tsv" else [0.5, 1.5, 0.25], None]
    found = read(*cells, more={"place": 1}, kind=kind, aggregate=aggregate)
    assert found == [value, "no_value", "unmatched"]


def test_a_list_written_as_text_is_a_list_in_parquet_too(read):
    assert read("[0.5, 1.5]", "[]", kind="parquet", aggregate="max")[:2] == [1.5, "no_value"]


@pytest.mark.parametrize("place", [-1, 3, None, "x"])
def test_a_position_outside_the_list_gives_no_value(read, place):
    with pytest.raises(ConfigError, match="holds no number"):
        read([1.0, 2.0, 3.0], more={"place": place}, aggregate={"at": "place"})


def test_a_list_with_something_else_than_numbers_gives_no_value(read):
    assert read([1.0, None], [1.0, "x"], [1, 2], aggregate="mean") == [*["not_a_number"] * 2, 1.5]


def test_zeros_are_missing_where_the_settings_say_so(read):
    assert read(0.0, "0", 0.5) == [0.0, 0.0, 0.5]
    assert read(0.0, "0", 0.5, zero_is_missing=True) == ["zero", "zero", 0.5]


@pytest.mark.parametrize(
    "cells, mend",
    [
        (["low", "medium", "high"], r"'low', 'medium', 'high'\. .*`values`.*'low': 0, 'medium': 1"),
        ([[0.5, 1.5], [2.5], []], r"\[0\.5, 1\.5\], \[2\.5\], \[\]\. Set `aggregate`"),
    ],
)
def test_a_column_without_a_number_is_an_error_that_shows_three_cells(read, cells, mend):
    with pytest.raises(ConfigError, match=rf"column 'score' holds no number: it has {mend}"):
        read(*cells)


def test_following_the_message_reads_the_column(read):
    with pytest.raises(ConfigError) as error:
        read("low", "medium", "high")
    values = str(error.value).partition("such as ")[2].partition("}")[0] + "}"
    assert read("low", "medium", "high", values=json.loads(values.replace("'", '"'))) == [0, 1, 2]


def test_what_c_prints_for_no_number_is_no_value():
    for cell in ("-nan", "+nan", float("nan")):
        read_cell = read_value(cell, {}, MetricSettings(metric="imported"))
        assert read_cell == {"value": None, "reason": "no_value"}


def test_decimal_commas_are_told_as_such():
    with pytest.raises(ConfigError, match="Write decimals with a point, or name another"):
        require_number("s.csv: column 's'", ["0,5", "1"], [None, None])


def test_a_file_that_only_a_question_set_could_read_is_told_how_to_be_saved(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes("id;score;note\n0;1;groß\n".encode("cp1252"))
    settings = MetricSettings(metric="imported", path=str(path), column="score", id="id")
    with pytest.raises(ItemError, match="no key `encoding`: save the file as CSV in UTF-8"):
        import_metric(settings, ITEMS)


def test_a_column_of_nothing_is_no_error(read):
    assert read(None, None, None) == ["no_value"] * 3
