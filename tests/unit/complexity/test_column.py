import pandas as pd
import pytest

from caft.complexity.compute import compute_metric
from caft.complexity.settings import MetricSettings
from caft.errors import ConfigError

LEVELS = {"Level 1": 1, "Level 2": 2}


def column(cells, **settings):
    """Return value or reason per item."""
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(len(cells))], "level": cells})
    items["split"] = "test"
    metric = MetricSettings.model_validate({"metric": "column", "column": "level", **settings})
    table = compute_metric("column", metric, items, items)
    return [row.reason if pd.isna(row.value) else row.value for row in table.itertuples()]


def test_numbers_of_an_item_column_are_the_values():
    assert column(["3", "1.5", None, "x"]) == [3.0, 1.5, "no_value", "not_a_number"]


def test_words_of_an_item_column_stand_for_numbers():
    assert column(["Level 2", "Level 1", "Level ?"], values=LEVELS) == [2.0, 1.0, "not_a_number"]


def test_a_column_without_a_number_shows_three_cells_and_the_setting_that_reads_them():
    with pytest.raises(ConfigError, match="has 'Level 2', 'Level 1'. Give .* `values`") as error:
        column(["Level 2", "Level 1"])
    assert "{'Level 2': 0, 'Level 1': 1}" in str(error.value)


def test_a_column_that_items_lack_is_an_error_with_the_mend():
    with pytest.raises(ConfigError, match=r"no column 'grade'; keep it with columns\.more"):
        column(["1"], column="grade")
