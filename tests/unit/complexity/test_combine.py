import pandas as pd
import pytest

from caft.complexity.combine import joined
from caft.complexity.compute import compute_metric
from caft.complexity.settings import MetricSettings

ITEMS = pd.DataFrame({"item_id": list("abcde"), "split": ["train"] * 4 + ["test"]})


def values(*numbers, reasons=None):
    table = pd.DataFrame({"item_id": list("abcde"), "value": numbers, "warm_up": False})
    return table.assign(reason=reasons)


def combined(by, weights, tables):
    settings = MetricSettings.model_validate({"combine": {"metrics": weights, "by": by}})
    return compute_metric("combine", settings, joined(tables), ITEMS)


def test_values_are_added_up_with_their_weights():
    found = combined(
        "value",
        {"one": 1, "two": -0.5},
        {"one": values(1.0, 2, 3, 4, 5), "two": values(2.0, 2, 0, 0, 8)},
    )
    assert found["value"].tolist() == [0.0, 1.0, 3.0, 4.0, 1.0]
    assert found["item_id"].tolist() == list("abcde") and found["reason"].isna().all()


def test_a_rank_is_the_share_of_training_items_below_with_equal_ones_by_half():
    found = combined("rank", {"one": 1}, {"one": values(10.0, 30, 30, 70, 500)})
    # The test item is above all four training items, and moves none of them.
    assert found["value"].tolist() == [0.125, 0.5, 0.5, 0.875, 1.0]


def test_ranks_of_unlike_units_are_added_up():
    tables = {"one": values(1.0, 2, 3, 4, 0), "two": values(-400.0, -300, -200, -100, 0)}
    found = combined("rank", {"one": 1, "two": -1}, tables)
    assert found["value"].tolist() == [0.0, 0.0, 0.0, 0.0, -1.0]


@pytest.mark.parametrize("by", ["rank", "value"])
def test_an_item_that_lacks_a_value_has_none_with_its_reason(by):
    none = float("nan")
    tables = {
        "one": values(1.0, none, 3, none, 5, reasons=[None, "too_long", None, "too_long", None]),
        "two": values(1.0, 2, none, none, 5, reasons=[None, None, "no_answer", "no_answer", None]),
    }
    found = combined(by, {"two": 1, "one": 1}, tables)
    assert found["value"].isna().tolist() == [False, True, True, True, False]
    assert found["reason"].astype(object).where(found["reason"].notna(), None).tolist() == [
        None,
        "too_long",
        "no_answer",
        "too_long",
        None,
    ]
